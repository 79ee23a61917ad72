"""Partials of models: sums over all rows of a node, or few parameters of a local fit."""

import numpy as np
import pandas as pd

from algotools import Column, aggregate, rpc

MINIMUM = 10
"""Fewest records of a group, a bin or an interval that the function selects itself."""


def make_design(data, predictors):
    """Return the predictors with an intercept; a frame, so that the rows are known."""
    design = data[predictors].astype(float)
    design.insert(0, "intercept", 1.0)
    return design


def scale(data, predictors):
    return make_design((data[predictors] - data[predictors].mean()) / data[predictors].std(), predictors)


def fit_logistic(x, y, tolerance=1e-8):
    """Return coefficients and the number of iterations."""
    beta = np.zeros(x.shape[1])
    for iteration in range(1, 50):
        p = 1 / (1 + np.exp(-x @ beta))
        step = np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + 1e-9 * np.eye(len(beta)), x.T @ (y - p))
        beta += step
        if np.abs(step).max() < tolerance:
            break
    return beta, iteration


@rpc
def linear_partial(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """X'X and X'y."""
    rows = data[[outcome, *predictors]].dropna()
    x = make_design(rows, predictors)
    xx, xy = aggregate.cross_product(x), aggregate.cross_product(x, rows[outcome])
    return {"xx": xx, "xy": xy, "n": aggregate.count(rows[outcome])}


@rpc
def logistic_partial(data: pd.DataFrame, outcome: Column, limit: float, predictors: list[Column], beta: list[float]):
    """Gradient and information at the coefficients of a round."""
    x, y = make_design(data, predictors), (data[outcome] > limit).astype(float)
    p = 1 / (1 + np.exp(-x @ np.array(beta)))
    return {
        "gradient": aggregate.cross_product(x, y - p),
        "information": aggregate.cross_product(x, weights=p * (1 - p)),
    }


@rpc
def poisson_partial(data: pd.DataFrame, outcome: Column, predictors: list[Column], beta: list[float]):
    x = make_design(data, predictors)
    mean = np.exp(x @ np.array(beta))
    return {
        "gradient": aggregate.cross_product(x, data[outcome] - mean),
        "information": aggregate.cross_product(x, weights=mean),
    }


@rpc
def least_squares(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """A local fit: coefficients with standard errors."""
    x, y = make_design(data, predictors), data[outcome]
    xx, xy = aggregate.cross_product(x), aggregate.cross_product(x, y)
    n, yy = aggregate.count(y), aggregate.sum(y**2)
    beta = np.linalg.solve(xx, xy)
    variance = (yy - beta @ xy) / (n - len(beta))
    errors = np.sqrt(variance * np.diag(np.linalg.inv(xx)))
    return {
        "coefficients": aggregate.derive(beta, xx, xy),
        "errors": aggregate.derive(errors, xx, xy, yy),
        "n": n,
    }


@rpc
def local_logistic(data: pd.DataFrame, outcome: Column, limit: float, predictors: list[Column]):
    """A local fit, and how many iterations were needed."""
    x, y = scale(data, predictors), (data[outcome] > limit).astype(float)
    beta, iterations = fit_logistic(x.to_numpy(), y.to_numpy())
    aggregate.declare([*beta, iterations], records=len(y), parameters=len(beta))
    return {
        "coefficients": dict(zip(["intercept", *predictors], beta)),
        "iterations": iterations,
        "n": aggregate.count(data[outcome]),
    }


@rpc
def federated_average(data: pd.DataFrame, outcome: Column, predictors: list[Column], weights: list[float], rate: float):
    """Some steps of gradient descent from the common weights: FedAvg."""
    x, y, w = scale(data, predictors).to_numpy(), data[outcome].to_numpy(float), np.array(weights)
    for _ in range(20):
        w = w - rate * x.T @ (x @ w - y) / len(y)
    return {
        "weights": aggregate.declare(w.tolist(), records=len(y), parameters=len(w)),
        "n": aggregate.count(data[outcome]),
    }


@rpc
def stochastic_descent(
    data: pd.DataFrame, outcome: Column, predictors: list[Column], weights: list[float], rate: float, seed: int
):
    """One epoch over shuffled rows: the result depends on the order."""
    x, y, w = scale(data, predictors).to_numpy(), data[outcome].to_numpy(float), np.array(weights)
    for rows in np.array_split(np.random.default_rng(seed).permutation(len(y)), max(len(y) // 16, 1)):
        w = w - rate * x[rows].T @ (x[rows] @ w - y[rows]) / len(rows)
    return {"weights": aggregate.declare(w, records=len(y), parameters=len(w)), "n": aggregate.count(data[outcome])}


@rpc
def cox_on_grid(
    data: pd.DataFrame, time: Column, event: Column, covariates: list[Column], beta: list[float], grid: list[float]
):
    """Sums of a Cox model, with the times in the intervals of a grid."""
    x = data[covariates].astype(float)
    interval = np.searchsorted(grid, data[time])
    weights, events = np.exp(x @ np.array(beta)), data[event].to_numpy() == 1
    result = []
    for i in range(len(grid)):
        at_risk, cases = interval >= i, (interval == i) & events
        # The risk sets of two intervals differ by the records that leave, so these need to be many as well.
        if min(at_risk.sum(), cases.sum(), (interval == i).sum()) < MINIMUM:
            continue
        w, z = weights[at_risk], x[at_risk]
        result.append(
            {
                "until": grid[i],
                "events": aggregate.count(data.loc[cases, event]),
                "sum": [aggregate.sum(x.loc[cases, column]) for column in covariates],
                "s0": aggregate.sum(w),
                "s1": aggregate.cross_product(z, w),
                "s2": aggregate.cross_product(z, weights=w),
            }
        )
    return result


@rpc
def kaplan_meier_on_grid(data: pd.DataFrame, time: Column, event: Column, grid: list[float]):
    """Patients at risk and events of each interval; nothing if few patients have an event or leave in an interval."""
    interval, events = np.searchsorted(grid, data[time]), data[event].to_numpy() == 1
    cells = [(interval == i) & chosen for i in range(len(grid) + 1) for chosen in (events, ~events)]
    if any(0 < cell.sum() < MINIMUM for cell in cells):
        return None
    return {
        "at_risk": [aggregate.count(data.loc[interval >= i, time]) for i in range(len(grid))],
        "events": [aggregate.count(data.loc[(interval == i) & events, time]) for i in range(len(grid))],
    }


@rpc
def cross_product(data: pd.DataFrame, columns: list[Column]):
    return aggregate.cross_product(data[columns].dropna())


@rpc
def correlations(data: pd.DataFrame, columns: list[Column]):
    """The correlation matrix of many columns."""
    centred = data[columns] - data[columns].mean()
    product = aggregate.cross_product(centred)
    sizes = np.sqrt(np.diag(product))
    return {
        "n": aggregate.count(data[columns[0]]),
        "matrix": aggregate.derive(product / np.outer(sizes, sizes), product),
    }


@rpc
def loadings(data: pd.DataFrame, columns: list[Column], components: int = 2):
    """The first principal components of a node."""
    n, product = aggregate.count(data[columns[0]]), aggregate.cross_product(data[columns] - data[columns].mean())
    values, vectors = np.linalg.eigh(product / (n - 1))
    largest = np.argsort(values)[::-1][:components]
    return {
        "variance": aggregate.derive(values[largest], product),
        "loadings": aggregate.derive(vectors[:, largest], product),
    }


@rpc
def kmeans_partial(data: pd.DataFrame, columns: list[Column], centres: list[list[float]]):
    """Sums and counts of clusters with enough records."""
    x = data[columns]
    nearest = ((x.to_numpy(float)[:, None] - np.array(centres)) ** 2).sum(axis=2).argmin(axis=1)
    clusters = [x[nearest == k] for k in range(len(centres))]
    return [
        {"n": aggregate.count(c[columns[0]]), "sum": [aggregate.sum(c[column]) for column in columns]}
        if len(c) >= MINIMUM
        else None
        for c in clusters
    ]


@rpc
def wide_gradient(data: pd.DataFrame, outcome: Column, predictors: list[Column], features: int, seed: int):
    """The gradient of a model with random Fourier features, at coefficients of 0."""
    rng = np.random.default_rng(seed)
    x = ((data[predictors] - data[predictors].mean()) / data[predictors].std()).to_numpy("float32")
    y = (data[outcome] - data[outcome].mean()).to_numpy("float32")
    parts = []
    for size in np.diff([*range(0, features, 500), features]):  # in parts, to save memory
        directions = rng.standard_normal((x.shape[1], size)).astype("float32")
        shifts = rng.uniform(0, 2 * np.pi, size).astype("float32")
        parts.append(aggregate.cross_product(np.cos(x @ directions + shifts), y))
    return aggregate.derive(np.concatenate(parts) / len(y), *parts)


@rpc
def naive_bayes(data: pd.DataFrame, label: Column, columns: list[Column]):
    """Counts, sums and sums of squares of each class with enough records."""
    result = {}
    for level, part in data.groupby(label):
        if len(part) >= MINIMUM:
            result[str(level)] = {
                "n": aggregate.count(part[label]),
                "sum": [aggregate.sum(part[column]) for column in columns],
                "squares": [aggregate.sum(part[column] ** 2) for column in columns],
            }
    return result


@rpc
def binned_roc(data: pd.DataFrame, score: Column, outcome: Column, limit: float, edges: list[float]):
    """Positives and negatives of each bin of a score."""
    is_positive = data[outcome] > limit
    return {
        "positive": aggregate.histogram(data.loc[is_positive, score], edges),
        "negative": aggregate.histogram(data.loc[~is_positive, score], edges),
    }


@rpc
def pruned_tree(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """A small tree: rounded thresholds and means of large leaves."""
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(max_depth=2, min_samples_leaf=20, random_state=0)
    fitted = tree.fit(data[predictors], data[outcome]).tree_
    thresholds = [round(t) if left != -1 else None for t, left in zip(fitted.threshold, fitted.children_left)]
    parts = {
        "feature": fitted.feature,
        "threshold": thresholds,
        "mean": fitted.value.ravel(),
        "n": fitted.n_node_samples,
    }
    records, leaves = int(fitted.n_node_samples.min()), fitted.n_leaves
    return {name: aggregate.declare(part, records=records, parameters=int(leaves)) for name, part in parts.items()}


@rpc
def table_of_coefficients(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """A local fit of statsmodels, as a frame."""
    import statsmodels.api as sm

    fit = sm.OLS(data[outcome], make_design(data, predictors)).fit()
    table = pd.DataFrame({"coefficient": fit.params, "error": fit.bse, "t": fit.tvalues})
    return aggregate.declare(table, records=len(data), parameters=len(table))


@rpc
def bootstrap_error(data: pd.DataFrame, column: Column, seed: int, repetitions: int = 200):
    """The bootstrap standard error of a mean."""
    values = data[column].dropna().to_numpy(float)
    rows = np.random.default_rng(seed).integers(0, len(values), (repetitions, len(values)))
    means = values[rows].mean(axis=1)
    estimates = {"mean": means.mean(), "error": means.std(ddof=1)}
    aggregate.declare(list(estimates.values()), records=len(values), parameters=1)
    return {"n": aggregate.count(data[column]), **estimates}


@rpc
def weighted_outcomes(data: pd.DataFrame, outcome: Column, treatment: Column, limit: float, predictors: list[Column]):
    """Sums with inverse probability of treatment weights (IPTW)."""
    x, treated = scale(data, predictors).to_numpy(), (data[treatment] > limit).astype(float)
    p = np.clip(1 / (1 + np.exp(-x @ fit_logistic(x, treated.to_numpy())[0])), 0.05, 0.95)
    weights = pd.Series(np.where(treated == 1, 1 / p, 1 / (1 - p)), index=data.index)
    groups = treated == 1, treated == 0
    return [[aggregate.sum((weights * data[outcome])[group]), aggregate.sum(weights[group])] for group in groups]
