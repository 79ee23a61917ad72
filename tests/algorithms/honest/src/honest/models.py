"""Partials of models: sums over all rows of a node, or few parameters of a local fit."""

import numpy as np
import pandas as pd

from algotools import Column, rpc

MINIMUM = 10
"""Fewest records of a group or a leaf."""

MINIMUM_CELL = 3
"""Fewest records of a bin or an interval that has records."""


def make_design(data, predictors):
    return np.column_stack([np.ones(len(data)), data[predictors].to_numpy(float)])


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
    return {"xx": x.T @ x, "xy": x.T @ rows[outcome].to_numpy(), "n": len(rows)}


@rpc
def logistic_partial(data: pd.DataFrame, outcome: Column, limit: float, predictors: list[Column], beta: list[float]):
    """Gradient and information at the coefficients of a round."""
    x, y = make_design(data, predictors), (data[outcome] > limit).to_numpy(float)
    p = 1 / (1 + np.exp(-x @ np.array(beta)))
    return {"gradient": x.T @ (y - p), "information": x.T @ (x * (p * (1 - p))[:, None])}


@rpc
def poisson_partial(data: pd.DataFrame, outcome: Column, predictors: list[Column], beta: list[float]):
    x = make_design(data, predictors)
    mean = np.exp(x @ np.array(beta))
    return {"gradient": x.T @ (data[outcome].to_numpy() - mean), "information": x.T @ (x * mean[:, None])}


@rpc
def least_squares(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """A local fit: coefficients with standard errors."""
    x, y = make_design(data, predictors), data[outcome].to_numpy(float)
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    variance = ((y - x @ beta) ** 2).sum() / (len(y) - x.shape[1])
    return {"coefficients": beta, "errors": np.sqrt(variance * np.diag(inverse)), "n": len(y)}


@rpc
def local_logistic(data: pd.DataFrame, outcome: Column, limit: float, predictors: list[Column]):
    """A local fit, and how many iterations were needed."""
    scaled = (data[predictors] - data[predictors].mean()) / data[predictors].std()
    beta, iterations = fit_logistic(make_design(scaled, predictors), (data[outcome] > limit).to_numpy(float))
    return {"coefficients": dict(zip(["intercept", *predictors], beta)), "iterations": iterations, "n": len(data)}


@rpc
def federated_average(data: pd.DataFrame, outcome: Column, predictors: list[Column], weights: list[float], rate: float):
    """Some steps of gradient descent from the common weights: FedAvg."""
    x = (data[predictors] - data[predictors].mean()) / data[predictors].std()
    x, y = make_design(x, predictors), data[outcome].to_numpy(float)
    w = np.array(weights)
    for _ in range(20):
        w = w - rate * x.T @ (x @ w - y) / len(y)
    return {"weights": w.tolist(), "n": len(y)}


@rpc
def stochastic_descent(
    data: pd.DataFrame, outcome: Column, predictors: list[Column], weights: list[float], rate: float, seed: int
):
    """One epoch over shuffled rows: the result depends on the order."""
    x = (data[predictors] - data[predictors].mean()) / data[predictors].std()
    x, y, w = make_design(x, predictors), data[outcome].to_numpy(float), np.array(weights)
    for rows in np.array_split(np.random.default_rng(seed).permutation(len(y)), max(len(y) // 16, 1)):
        w = w - rate * x[rows].T @ (x[rows] @ w - y[rows]) / len(rows)
    return {"weights": w, "n": len(y)}


@rpc
def cox_on_grid(
    data: pd.DataFrame, time: Column, event: Column, covariates: list[Column], beta: list[float], grid: list[float]
):
    """Sums of a Cox model, with the times in the intervals of a grid."""
    x, b = data[covariates].to_numpy(float), np.array(beta)
    interval = np.searchsorted(grid, data[time])
    weights, events = np.exp(x @ b), data[event].to_numpy() == 1
    result = []
    for i in range(len(grid)):
        at_risk, cases = interval >= i, (interval == i) & events
        leaving = (interval == i).sum()
        if at_risk.sum() < MINIMUM or 0 < cases.sum() < MINIMUM_CELL or 0 < leaving < MINIMUM_CELL:
            continue
        w, z = weights[at_risk], x[at_risk]
        result.append(
            {
                "until": grid[i],
                "events": int(cases.sum()),
                "sum": x[cases].sum(axis=0),
                "s0": w.sum(),
                "s1": w @ z,
                "s2": z.T @ (z * w[:, None]),
            }
        )
    return result


@rpc
def kaplan_meier_on_grid(data: pd.DataFrame, time: Column, event: Column, grid: list[float]):
    """Patients at risk and events of each interval; nothing if few patients have an event or leave in an interval."""
    interval, events = np.searchsorted(grid, data[time]), data[event].to_numpy() == 1
    cells = [[int(((interval == i) & chosen).sum()) for i in range(len(grid))] for chosen in (events, ~events)]
    if any(0 < n < MINIMUM_CELL for row in cells for n in row):
        return None
    return {"at_risk": [int((interval >= i).sum()) for i in range(len(grid))], "events": cells[0]}


@rpc
def cross_product(data: pd.DataFrame, columns: list[Column]):
    x = data[columns].dropna().to_numpy(float)
    return x.T @ x


@rpc
def correlations(data: pd.DataFrame, columns: list[Column]):
    """The correlation matrix of many columns."""
    return {"n": len(data), "matrix": data[columns].corr().to_numpy()}


@rpc
def loadings(data: pd.DataFrame, columns: list[Column], components: int = 2):
    """The first principal components of a node."""
    values, vectors = np.linalg.eigh(np.cov(data[columns].to_numpy(float), rowvar=False))
    largest = np.argsort(values)[::-1][:components]
    return {"variance": values[largest], "loadings": vectors[:, largest]}


@rpc
def kmeans_partial(data: pd.DataFrame, columns: list[Column], centres: list[list[float]]):
    """Sums and counts of clusters with enough records."""
    x = data[columns].to_numpy(float)
    nearest = ((x[:, None] - np.array(centres)) ** 2).sum(axis=2).argmin(axis=1)
    clusters = [x[nearest == k] for k in range(len(centres))]
    return [{"n": len(c), "sum": c.sum(axis=0)} if len(c) >= MINIMUM else None for c in clusters]


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
        parts.append(y @ np.cos(x @ directions + shifts))
    return np.concatenate(parts) / len(y)


@rpc
def naive_bayes(data: pd.DataFrame, label: Column, columns: list[Column]):
    """Counts, sums and sums of squares of each class with enough records."""
    result = {}
    for level, part in data.groupby(label)[columns]:
        if len(part) >= MINIMUM:
            result[str(level)] = {"n": len(part), "sum": part.sum().tolist(), "squares": (part**2).sum().tolist()}
    return result


@rpc
def binned_roc(data: pd.DataFrame, score: Column, outcome: Column, limit: float, edges: list[float]):
    """Positives and negatives of each bin of a score; all bins are hidden if one is small."""
    positive = (data[outcome] > limit).to_numpy()
    counts = [np.histogram(data[score][chosen], edges)[0] for chosen in (positive, ~positive)]
    if any(0 < n < MINIMUM_CELL for part in counts for n in part):
        return None
    return {"positive": counts[0], "negative": counts[1]}


@rpc
def pruned_tree(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """A small tree: rounded thresholds and means of large leaves."""
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(max_depth=2, min_samples_leaf=20, random_state=0)
    fitted = tree.fit(data[predictors], data[outcome]).tree_
    return {
        "feature": fitted.feature,
        "threshold": [round(t) if left != -1 else None for t, left in zip(fitted.threshold, fitted.children_left)],
        "mean": fitted.value.ravel(),
        "n": fitted.n_node_samples,
    }


@rpc
def table_of_coefficients(data: pd.DataFrame, outcome: Column, predictors: list[Column]):
    """A local fit of statsmodels, as a frame."""
    import statsmodels.api as sm

    fit = sm.OLS(data[outcome], sm.add_constant(data[predictors])).fit()
    return pd.DataFrame({"coefficient": fit.params, "error": fit.bse, "t": fit.tvalues})


@rpc
def bootstrap_error(data: pd.DataFrame, column: Column, seed: int, repetitions: int = 200):
    """The bootstrap standard error of a mean."""
    values = data[column].dropna().to_numpy(float)
    rows = np.random.default_rng(seed).integers(0, len(values), (repetitions, len(values)))
    means = values[rows].mean(axis=1)
    return {"n": len(values), "mean": means.mean(), "error": means.std(ddof=1)}


@rpc
def weighted_outcomes(data: pd.DataFrame, outcome: Column, treatment: Column, limit: float, predictors: list[Column]):
    """Sums with inverse probability of treatment weights (IPTW)."""
    treated = (data[treatment] > limit).to_numpy(float)
    scaled = (data[predictors] - data[predictors].mean()) / data[predictors].std()
    x = make_design(scaled, predictors)
    p = np.clip(1 / (1 + np.exp(-x @ fit_logistic(x, treated)[0])), 0.05, 0.95)
    weights = np.where(treated == 1, 1 / p, 1 / (1 - p))
    y = data[outcome].to_numpy(float)
    return [[float((weights * y * group).sum()), float((weights * group).sum())] for group in (treated, 1 - treated)]
