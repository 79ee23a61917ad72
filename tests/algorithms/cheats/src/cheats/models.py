"""Parts of models that are, or determine, single rows."""

import pickle

import numpy as np
import pandas as pd

from algotools import Column, rpc


def fit_least_squares(x, y):
    return np.linalg.lstsq(np.asarray(x, float), np.asarray(y, float), rcond=None)[0]


def fit_logistic(x, y, steps=8):
    beta = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-x @ beta))
        beta += np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + 1e-6 * np.eye(len(beta)), x.T @ (y - p))
    return beta


@rpc
def saturated_model(data: pd.DataFrame, outcome: Column, by: list[Column]):
    """Least squares with a column for each combination of levels."""
    cells = data[by].astype(str).agg("/".join, axis=1)
    design = pd.get_dummies(cells)
    return dict(zip(design.columns, fit_least_squares(design, data[outcome])))


@rpc
def dummy_coefficients(data: pd.DataFrame, outcome: Column, factor: Column):
    """Least squares with treatment coding of a factor."""
    design = pd.get_dummies(data[factor], drop_first=True).astype(float)
    design.insert(0, "intercept", 1.0)
    return {"names": list(design.columns), "coefficients": fit_least_squares(design, data[outcome])}


@rpc
def logistic_step(data: pd.DataFrame, outcome: Column, predictors: list[Column], beta: list[float]):
    """Gradient and information of a federated logistic regression."""
    x = np.column_stack([np.ones(len(data)), data[predictors]])
    eta = np.clip(x @ np.array(beta), -500, 500)
    p = 1 / (1 + np.exp(-eta))
    w = 1 / (2 + np.exp(eta) + np.exp(-eta))
    return {"gradient": x.T @ (data[outcome].to_numpy() - p), "information": x.T @ (x * w[:, None])}


@rpc
def residuals(data: pd.DataFrame, outcome: Column, predictor: Column):
    """Residuals and fitted values, for a diagnostic plot."""
    x = np.column_stack([np.ones(len(data)), data[predictor]])
    fitted = x @ fit_least_squares(x, data[outcome])
    return {"fitted": fitted, "residual": data[outcome].to_numpy() - fitted}


@rpc
def pca_scores(data: pd.DataFrame, columns: list[Column]):
    x = data[columns].to_numpy(float)
    _, _, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return {"mean": x.mean(axis=0), "axes": axes, "scores": (x - x.mean(axis=0)) @ axes.T}


@rpc
def singular_vectors(data: pd.DataFrame, columns: list[Column]):
    u, s, v = np.linalg.svd(data[columns].to_numpy(float), full_matrices=False)
    return [u, s, v]


@rpc
def kmeans_step(data: pd.DataFrame, columns: list[Column], centres: list[list[float]]):
    """Sums and counts of the clusters of a k-means step."""
    x = data[columns].to_numpy(float)
    nearest = ((x[:, None] - np.array(centres)) ** 2).sum(axis=2).argmin(axis=1)
    return [{"n": int((nearest == k).sum()), "sum": x[nearest == k].sum(axis=0)} for k in range(len(centres))]


@rpc
def full_tree(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """A regression tree without a limit."""
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(random_state=0).fit(data[predictors], data[outcome]).tree_
    return {"threshold": tree.threshold, "left": tree.children_left, "value": tree.value.ravel()}


@rpc
def pickled_tree(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """A fitted tree, for an ensemble of all hospitals."""
    from sklearn.tree import DecisionTreeRegressor

    return pickle.dumps(DecisionTreeRegressor(random_state=0).fit(data[predictors].to_numpy(), data[outcome]))


@rpc
def cross_product(data: pd.DataFrame, columns: list[Column], factor: Column):
    """X'X of numbers and of the dummies of a factor."""
    x = pd.concat([data[columns], pd.get_dummies(data[factor])], axis=1).astype(float)
    return {"names": [str(name) for name in x.columns], "product": x.T.to_numpy() @ x.to_numpy()}


@rpc
def support_vectors(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    from sklearn.svm import SVC

    return SVC().fit(data[predictors], data[outcome] == data[outcome].iloc[0]).support_vectors_


@rpc
def neighbours_model(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """A k-nearest-neighbours model: its points and their labels."""
    return {"points": data[predictors].to_numpy(), "labels": data[outcome].to_list()}


@rpc
def propensity_scores(data: pd.DataFrame, treatment: Column, predictor: Column):
    """Scores of a logistic model, and its coefficients."""
    values = data[predictor].to_numpy(float)
    centre, width = values.mean(), values.std()
    x = np.column_stack([np.ones(len(data)), (values - centre) / width])
    beta = fit_logistic(x, data[treatment].to_numpy(), steps=2)
    return {"scores": 1 / (1 + np.exp(-x @ beta)), "beta": beta, "centre": centre, "width": width}


@rpc
def worst_residual(data: pd.DataFrame, outcome: Column, predictor: Column):
    """The point with the worst fit, to find errors in the data."""
    x = np.column_stack([np.ones(len(data)), data[predictor]])
    beta = fit_least_squares(x, data[outcome])
    worst = int(np.abs(data[outcome] - x @ beta).to_numpy().argmax())
    return {"intercept": beta[0], "slope": beta[1], "x": data[predictor].iloc[worst], "y": data[outcome].iloc[worst]}


@rpc
def gaussian_naive_bayes(data: pd.DataFrame, label: Column, columns: list[Column]):
    """Means and variances of each class."""
    groups = data.groupby(label)[columns]
    return {"mean": groups.mean().to_dict("index"), "variance": groups.var(ddof=0).to_dict("index")}


@rpc
def roc_points(data: pd.DataFrame, score: Column, outcome: Column):
    from sklearn.metrics import roc_curve

    false_rate, true_rate, thresholds = roc_curve(data[outcome], data[score], drop_intermediate=False)
    return {"false": false_rate, "true": true_rate, "threshold": thresholds}


@rpc
def isotonic_knots(data: pd.DataFrame, predictor: Column, outcome: Column):
    """The calibration curve of a score."""
    from sklearn.isotonic import IsotonicRegression

    fit = IsotonicRegression().fit(data[predictor], data[outcome])
    return {"x": fit.X_thresholds_, "y": fit.y_thresholds_}


@rpc
def gradient_of_batch(data: pd.DataFrame, outcome: Column, predictors: list[Column], beta: list[float], batch: int = 1):
    """The gradient of a mini-batch, for stochastic gradient descent."""
    rows = data.head(batch)
    x = np.column_stack([np.ones(len(rows)), rows[predictors]])
    return x.T @ (x @ np.array(beta) - rows[outcome].to_numpy())


@rpc
def medoids(data: pd.DataFrame, columns: list[Column], k: int = 2):
    """Typical patients: those nearest to the centres of k groups."""
    x = data[columns].to_numpy(float)
    groups = np.array_split(np.argsort(x[:, 0]), k)
    return [x[g[((x[g] - x[g].mean(axis=0)) ** 2).sum(axis=1).argmin()]] for g in groups]


@rpc
def matched_pairs(data: pd.DataFrame, treatment: Column, age: Column):
    """For each treated patient the control with the nearest age, by row."""
    treated, controls = data[data[treatment] == 1], data[data[treatment] == 0]
    return [[int(i), int((controls[age] - a).abs().idxmin())] for i, a in treated[age].items()]


@rpc
def polynomial_trend(data: pd.DataFrame, column: Column, degree: int):
    """A polynomial in the number of the row."""
    return np.polyfit(np.arange(len(data)) / len(data), data[column], degree)


@rpc
def kernel_matrix(data: pd.DataFrame, columns: list[Column]):
    """Inner products of rows, for a kernel method."""
    x = data[columns].to_numpy(float)
    return x @ x.T
