"""Statistics as pooled functions."""

from typing import Any

import numpy as np
import pandas as pd

from algotools import Aggregator, Column, federated


@federated
def summary(data: pd.DataFrame, total: Aggregator, column: Column) -> dict[str, float]:
    """Return number, mean and standard deviation of a column."""
    values = data[column].dropna()
    n, s, ss = total.count(values), total.sum(values), total.sum(values**2)
    return {"n": n, "mean": s / n, "sd": ((ss - s**2 / n) / (n - 1)) ** 0.5}


@federated
def regression(data: pd.DataFrame, total: Aggregator, outcome: Column, predictors: list[Column]) -> dict[str, Any]:
    """Return the coefficients of a linear regression and their standard errors."""
    rows = data[[outcome, *predictors]].dropna()
    y = rows[outcome]
    x = np.column_stack([np.ones_like(y), rows[predictors]])
    n, xx, xy, yy = total.count(y), total.cross_product(x), total.cross_product(x, y), total.sum(y**2)
    coefficients = np.linalg.solve(xx, xy)
    variance = (yy - coefficients @ xy) / (n - len(xx))
    return {"coefficients": coefficients, "errors": np.sqrt(np.diag(variance * np.linalg.inv(xx)))}


@federated
def logistic(data: pd.DataFrame, total: Aggregator, outcome: Column, predictors: list[Column]) -> list[float]:
    """Return the coefficients of a logistic regression, by Newton's method."""
    rows = data[[outcome, *predictors]].dropna()
    y = rows[outcome]
    x = np.column_stack([np.ones_like(y), rows[predictors]])
    coefficients = np.zeros(1 + len(predictors))
    for _ in range(25):
        p = 1 / (1 + np.exp(-(x @ coefficients)))
        hessian = total.cross_product(x, weights=p * (1 - p))
        step = np.linalg.solve(hessian, total.cross_product(x, y - p))
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-6:
            break
    return list(coefficients)


@federated
def logistic_with_rows(data: pd.DataFrame, total: Aggregator, outcome: Column, predictors: list[Column]) -> list[float]:
    """Return the coefficients of a logistic regression; the number of rows makes one round more necessary."""
    rows = data[[outcome, *predictors]].dropna()
    y = rows[outcome].to_numpy()
    x = np.column_stack([np.ones(len(y)), rows[predictors].to_numpy()])
    coefficients = np.zeros(1 + len(predictors))
    for _ in range(25):
        p = 1 / (1 + np.exp(-(x @ coefficients)))
        hessian, gradient = total.cross_product(x, weights=p * (1 - p)), total.cross_product(x, y - p)
        step = np.linalg.solve(hessian, gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-6:
            break
    return list(coefficients)


@federated
def k_means(data: pd.DataFrame, total: Aggregator, columns: list[Column], centres: list[list[float]]) -> list[Any]:
    """Return the centres of clusters (Lloyd's method)."""
    x = data[columns].dropna().to_numpy()
    current = np.array(centres)
    for _ in range(25):
        nearest = np.argmin(((x[:, None] - current) ** 2).sum(axis=2), axis=1)
        clusters = range(len(current))
        sums, counts = total.sum(x, by=nearest, levels=clusters), total.count(nearest, by=nearest, levels=clusters)
        previous, current = current, sums.to_numpy() / counts.to_numpy()[:, None]
        if np.abs(current - previous).max() < 1e-6:
            break
    return current.tolist()


@federated
def k_means_lazily(
    data: pd.DataFrame, total: Aggregator, columns: list[Column], centres: list[list[float]]
) -> list[Any]:
    """Return the same centres; a node skips the work for a total that is known."""
    x = data[columns].dropna().to_numpy()
    current = np.array(centres)

    def assign() -> dict[str, Any]:
        nearest = np.argmin(((x[:, None] - current) ** 2).sum(axis=2), axis=1)
        sums = np.array([x[nearest == i].sum(axis=0) for i in range(len(current))])
        return {"sums": sums, "counts": np.bincount(nearest, minlength=len(current))}

    for _ in range(25):
        clusters = total.add(assign)
        previous, current = current, clusters["sums"] / clusters["counts"][:, None]
        if np.abs(current - previous).max() < 1e-6:
            break
    return current.tolist()
