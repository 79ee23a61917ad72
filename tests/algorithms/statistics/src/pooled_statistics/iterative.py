"""Statistics that an algorithm of many steps finds."""

import numpy as np
import pandas as pd
from scipy import optimize

from algotools import Aggregator, Column, federated


@federated
def clusters(
    data: pd.DataFrame, total: Aggregator, columns: list[Column], start: list[list[float]]
) -> dict[str, object]:
    """Clusters by Lloyd's algorithm (k-means)."""
    x = data[columns].to_numpy()
    centres, k = np.array(start), np.arange(len(start))
    for step in range(1, 100):
        distances = ((x[:, None, :] - centres) ** 2).sum(axis=2)
        member = (distances.argmin(axis=1)[:, None] == k).astype(float)
        counts, sums = total.sum(member), total.cross_product(member, x)
        old, centres = centres, sums / counts[:, None]
        if np.array_equal(old, centres):
            return {"centres": centres, "steps": step}
    raise RuntimeError("the clusters do not converge")


@federated
def logistic_by_bfgs(data: pd.DataFrame, total: Aggregator, outcome: Column, predictors: list[Column]) -> np.ndarray:
    """Logistic regression by L-BFGS of scipy, which knows nothing of nodes."""
    y, x = data[outcome].to_numpy(dtype=float), data[predictors].to_numpy(dtype=float)

    def reduce(b: np.ndarray) -> np.ndarray:
        linear = b[0] + x @ b[1:]
        residual = 1 / (1 + np.exp(-linear)) - y
        return np.concatenate([[(np.logaddexp(0, linear) - y * linear).sum(), residual.sum()], residual @ x])

    def objective(b: np.ndarray) -> tuple[float, np.ndarray]:
        value = total.add(lambda: reduce(b))
        return value[0], value[1:]

    start = np.zeros(len(predictors) + 1)
    return optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8}).x


@federated
def location(data: pd.DataFrame, total: Aggregator, column: Column, low: float, high: float) -> float:
    """A robust centre: the root of the sum of tanh(x - centre), by Brent's method."""
    values = data[column].to_numpy()
    return optimize.brentq(lambda centre: total.add(lambda: np.tanh(values - centre).sum()), low, high, xtol=1e-12)
