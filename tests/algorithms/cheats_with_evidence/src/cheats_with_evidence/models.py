"""Parts of models that are, or determine, single rows."""

import numpy as np
import pandas as pd

from algotools import Column, aggregate, rpc


def fit_least_squares(x, y):
    return np.linalg.lstsq(np.asarray(x, float), np.asarray(y, float), rcond=None)[0]


@rpc
def saturated_model(data: pd.DataFrame, outcome: Column, by: list[Column]):
    """Least squares with a column for each combination of levels."""
    design = pd.get_dummies(data[by].astype(str).agg("/".join, axis=1))
    coefficients = fit_least_squares(design, data[outcome])
    aggregate.declare(coefficients, records=len(data), parameters=design.shape[1])
    return dict(zip(design.columns, coefficients))


@rpc
def dummy_coefficients(data: pd.DataFrame, outcome: Column, factor: Column):
    """Least squares with treatment coding of a factor, from cross products."""
    design = pd.get_dummies(data[factor], drop_first=True).astype(float)
    design.insert(0, "intercept", 1.0)
    xx, xy = aggregate.cross_product(design), aggregate.cross_product(design, data[outcome])
    return {"names": list(design.columns), "coefficients": aggregate.derive(np.linalg.solve(xx, xy), xx, xy)}


@rpc
def logistic_step(data: pd.DataFrame, outcome: Column, predictors: list[Column], beta: list[float]):
    """Gradient and information of a federated logistic regression."""
    x = np.column_stack([np.ones(len(data)), data[predictors]])
    eta = np.clip(x @ np.array(beta), -500, 500)
    p = 1 / (1 + np.exp(-eta))
    w = 1 / (2 + np.exp(eta) + np.exp(-eta))
    return {
        "gradient": aggregate.cross_product(x, data[outcome].to_numpy() - p),
        "information": aggregate.cross_product(x, weights=w),
    }


@rpc
def kmeans_step(data: pd.DataFrame, columns: list[Column], centres: list[list[float]]):
    """Sums and counts of the clusters of a k-means step."""
    x = data[columns].to_numpy(float)
    nearest = ((x[:, None] - np.array(centres)) ** 2).sum(axis=2).argmin(axis=1)
    clusters = [data.loc[nearest == k, columns] for k in range(len(centres))]
    return [
        {"n": aggregate.count(part[columns[0]]), "sum": [aggregate.sum(part[column]) for column in columns]}
        for part in clusters
    ]


@rpc
def full_tree(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """A regression tree without a limit."""
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(random_state=0).fit(data[predictors], data[outcome]).tree_
    parts = {"threshold": tree.threshold, "left": tree.children_left, "value": tree.value.ravel()}
    return {
        name: aggregate.declare(part, records=len(data), parameters=tree.node_count) for name, part in parts.items()
    }


@rpc
def cross_product(data: pd.DataFrame, columns: list[Column], factor: Column):
    """X'X of numbers and of the dummies of a factor."""
    x = pd.concat([data[columns], pd.get_dummies(data[factor])], axis=1).astype(float)
    return {"names": [str(name) for name in x.columns], "product": aggregate.cross_product(x)}


@rpc
def gaussian_naive_bayes(data: pd.DataFrame, label: Column, columns: list[Column]):
    """Means and variances of each class."""
    groups = dict(iter(data.groupby(label)))
    return {
        "mean": {level: {c: aggregate.mean(part[c]) for c in columns} for level, part in groups.items()},
        "variance": {
            level: {c: aggregate.variance(part[c], ddof=0) for c in columns} for level, part in groups.items()
        },
    }


@rpc
def gradient_of_batch(data: pd.DataFrame, outcome: Column, predictors: list[Column], beta: list[float], batch: int = 1):
    """The gradient of a mini-batch, for stochastic gradient descent."""
    rows = data.head(batch)
    x = np.column_stack([np.ones(len(rows)), rows[predictors]])
    return aggregate.cross_product(x, x @ np.array(beta) - rows[outcome].to_numpy())


@rpc
def polynomial_trend(data: pd.DataFrame, column: Column, degree: int):
    """A polynomial in the number of the row."""
    coefficients = np.polyfit(np.arange(len(data)) / len(data), data[column], degree)
    return aggregate.declare(coefficients, records=len(data), parameters=degree + 1)


@rpc
def kernel_matrix(data: pd.DataFrame, columns: list[Column]):
    """Inner products of rows, for a kernel method: the rows of the product are the columns of the table."""
    return aggregate.cross_product(data[columns].T)
