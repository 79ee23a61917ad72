"""Models of an outcome, and components."""

import numpy as np
import pandas as pd

from algotools import Aggregator, Column, federated


@federated
def principal_components(data: pd.DataFrame, total: Aggregator, columns: list[Column]) -> dict[str, np.ndarray]:
    """Principal components of the covariance matrix, the largest first."""
    rows = data[columns].dropna()
    n = total.count(rows)
    products = total.cross_product(rows - total.sum(rows) / n)
    variances, vectors = np.linalg.eigh(products / (n.iloc[0] - 1))
    return {"variances": variances[::-1], "components": (vectors * np.sign(vectors.sum(axis=0)))[:, ::-1].T}


@federated
def linear(data: pd.DataFrame, total: Aggregator, outcome: Column, predictors: list[Column]) -> dict[str, np.ndarray]:
    """Linear regression with standard errors."""
    rows = data[[outcome, *predictors]].dropna()
    y = rows[outcome]
    x = np.column_stack([np.ones_like(y), rows[predictors]])
    n, xx, xy, yy = total.count(y), total.cross_product(x), total.cross_product(x, y), total.sum(y**2)
    coefficients = np.linalg.solve(xx, xy)
    variance = (yy - coefficients @ xy) / (n - len(xy))
    return {"coefficients": coefficients, "errors": np.sqrt(variance * np.diag(np.linalg.inv(xx)))}


def make_design(
    data: pd.DataFrame, total: Aggregator, y: pd.Series, numbers: list[str], categories: list[str]
) -> tuple[np.ndarray, int]:
    """Intercept, numbers, and a column for each level but the first of each category; and the number of columns."""
    levels = {name: total.levels(data[name]) for name in categories}
    dummies = [data[name] == level for name in categories for level in levels[name][1:]]
    return np.column_stack([np.ones_like(y), data[numbers], *dummies]), 1 + len(numbers) + len(dummies)


@federated
def binomial(
    data: pd.DataFrame, total: Aggregator, outcome: Column, numbers: list[Column], categories: list[Column]
) -> np.ndarray:
    """Logistic regression with numbers and categories."""
    rows = data[[outcome, *numbers, *categories]].dropna()
    y = rows[outcome].astype(float)
    x, width = make_design(rows, total, y, numbers, categories)
    coefficients = np.zeros(width)
    for _ in range(25):
        mean = 1 / (1 + np.exp(-x @ coefficients))
        information, gradient = total.cross_product(x, weights=mean * (1 - mean)), total.cross_product(x, y - mean)
        step = np.linalg.solve(information, gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-9:
            return coefficients
    raise RuntimeError("the fit does not converge")


@federated
def poisson(
    data: pd.DataFrame, total: Aggregator, outcome: Column, numbers: list[Column], categories: list[Column]
) -> np.ndarray:
    """Poisson regression with numbers and categories."""
    rows = data[[outcome, *numbers, *categories]].dropna()
    y = rows[outcome].astype(float)
    n, s = total.count(y), total.sum(y)
    x, width = make_design(rows, total, y, numbers, categories)
    coefficients = np.zeros(width)
    coefficients[0] = np.log(s / n)
    for _ in range(25):
        mean = np.exp(x @ coefficients)
        information, gradient = total.cross_product(x, weights=mean), total.cross_product(x, y - mean)
        step = np.linalg.solve(information, gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-9:
            return coefficients
    raise RuntimeError("the fit does not converge")


@federated
def ridge(
    data: pd.DataFrame, total: Aggregator, outcome: Column, predictors: list[Column], penalty: float
) -> np.ndarray:
    """Ridge regression of a centred outcome on z-scores."""
    rows = data[[outcome, *predictors]].dropna()
    n, s = total.count(rows), total.sum(rows)
    centred = rows - s / n
    sd = np.sqrt(total.sum(centred**2) / n)
    z, y = centred[predictors] / sd[predictors], centred[outcome]
    products, moments = total.cross_product(z), total.cross_product(z, y)
    return np.linalg.solve(products + penalty * np.eye(len(predictors)), moments)
