"""The same statistics as pairs of an rpc and a master."""

from typing import Any

import numpy as np
import pandas as pd

from algotools import AlgorithmClient, Column, master, rpc


@rpc
def summary_of_node(data: pd.DataFrame, column: Column) -> dict[str, float]:
    """Return number, sum and sum of squares of a column."""
    values = data[column].dropna()
    return {"n": values.size, "s": values.sum(), "ss": (values**2).sum()}


@master
def summary_by_hand(client: AlgorithmClient, column: str) -> dict[str, float]:
    """Return number, mean and standard deviation of a column."""
    partials = list(client.run(summary_of_node, column=column))
    n, s, ss = (sum(partial[name] for partial in partials) for name in ("n", "s", "ss"))
    return {"n": n, "mean": s / n, "sd": ((ss - s**2 / n) / (n - 1)) ** 0.5}


@rpc
def regression_of_node(data: pd.DataFrame, outcome: Column, predictors: list[Column]) -> dict[str, Any]:
    """Return the cross products of the predictors and the outcome."""
    rows = data[[outcome, *predictors]].dropna()
    y = rows[outcome].to_numpy()
    x = np.column_stack([np.ones(len(y)), rows[predictors]])
    return {"n": len(y), "xx": x.T @ x, "xy": x.T @ y, "yy": y @ y}


@master
def regression_by_hand(client: AlgorithmClient, outcome: str, predictors: list[str]) -> dict[str, Any]:
    """Return the coefficients of a linear regression and their standard errors."""
    partials = list(client.run(regression_of_node, outcome=outcome, predictors=predictors))
    n, xx, xy, yy = (sum(partial[name] for partial in partials) for name in ("n", "xx", "xy", "yy"))
    coefficients = np.linalg.solve(xx, xy)
    variance = (yy - coefficients @ xy) / (n - len(xx))
    return {"coefficients": coefficients, "errors": np.sqrt(np.diag(variance * np.linalg.inv(xx)))}


@rpc
def logistic_of_node(
    data: pd.DataFrame, outcome: Column, predictors: list[Column], coefficients: list[float]
) -> dict[str, Any]:
    """Return the Hessian and the gradient of the log-likelihood."""
    rows = data[[outcome, *predictors]].dropna()
    y = rows[outcome].to_numpy()
    x = np.column_stack([np.ones(len(y)), rows[predictors]])
    p = 1 / (1 + np.exp(-(x @ np.array(coefficients))))
    return {"hessian": x.T @ (x * (p * (1 - p))[:, None]), "gradient": x.T @ (y - p)}


@master
def logistic_by_hand(client: AlgorithmClient, outcome: str, predictors: list[str]) -> list[float]:
    """Return the coefficients of a logistic regression, by Newton's method."""
    coefficients = np.zeros(1 + len(predictors))
    for _ in range(25):
        partials = list(
            client.run(logistic_of_node, outcome=outcome, predictors=predictors, coefficients=list(coefficients))
        )
        hessian, gradient = (sum(partial[name] for partial in partials) for name in ("hessian", "gradient"))
        step = np.linalg.solve(hessian, gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-6:
            break
    return list(coefficients)


@rpc
def k_means_of_node(data: pd.DataFrame, columns: list[Column], centres: list[list[float]]) -> dict[str, Any]:
    """Return the sums and counts of the rows that are nearest to each centre."""
    x = data[columns].dropna().to_numpy()
    current = np.array(centres)
    nearest = np.argmin(((x[:, None] - current) ** 2).sum(axis=2), axis=1)
    sums = np.array([x[nearest == i].sum(axis=0) for i in range(len(current))])
    return {"sums": sums, "counts": np.bincount(nearest, minlength=len(current))}


@master
def k_means_by_hand(client: AlgorithmClient, columns: list[str], centres: list[list[float]]) -> list[Any]:
    """Return the centres of clusters (Lloyd's method)."""
    current = np.array(centres)
    for _ in range(25):
        partials = list(client.run(k_means_of_node, columns=columns, centres=current.tolist()))
        sums, counts = (sum(partial[name] for partial in partials) for name in ("sums", "counts"))
        previous, current = current, sums / counts[:, None]
        if np.abs(current - previous).max() < 1e-6:
            break
    return current.tolist()
