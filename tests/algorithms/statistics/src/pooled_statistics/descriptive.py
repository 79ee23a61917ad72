"""Statistics that describe columns."""

import numpy as np
import pandas as pd
from scipy import stats

from algotools import Aggregator, Column, federated


@federated
def summary(data: pd.DataFrame, total: Aggregator, column: Column) -> dict[str, float]:
    """Count, mean and standard deviation, from moments."""
    values = data[column].dropna()
    n, s, ss = total.count(values), total.sum(values), total.sum(values**2)
    mean = s / n
    return {"n": n, "mean": mean, "sd": ((ss - n * mean**2) / (n - 1)) ** 0.5}


@federated
def summary_in_two_passes(data: pd.DataFrame, total: Aggregator, column: Column) -> dict[str, float]:
    """Count, mean and standard deviation, from deviations."""
    values = data[column].dropna()
    n, s = total.count(values), total.sum(values)
    mean = s / n
    return {"n": n, "mean": mean, "sd": (total.sum((values - mean) ** 2) / (n - 1)) ** 0.5}


@federated
def group_means(data: pd.DataFrame, total: Aggregator, column: Column, group: Column) -> pd.Series:
    """Mean of each group."""
    return total.sum(data[column], by=data[group]) / total.count(data[column], by=data[group])


@federated
def crosstab(data: pd.DataFrame, total: Aggregator, rows: Column, columns: Column) -> dict[str, object]:
    """Cross table, and the chi-squared test of independence."""
    observed = total.table(data[rows], data[columns])
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / observed.to_numpy().sum()
    chi2 = ((observed - expected) ** 2 / expected).to_numpy().sum()
    freedom = (observed.shape[0] - 1) * (observed.shape[1] - 1)
    return {"table": observed, "chi2": chi2, "p": stats.chi2.sf(chi2, freedom)}


@federated
def histogram(
    data: pd.DataFrame, total: Aggregator, column: Column, bins: int, bounds: list[float] | None = None
) -> dict[str, object]:
    """Counts in bins of equal width between two bounds; default: the smallest and the largest value."""
    low, high = bounds or (total.minimum(data[column]), total.maximum(data[column]))
    edges = np.linspace(low, high, bins + 1)
    return {"edges": edges, "counts": total.histogram(data[column], edges)}


@federated
def quantiles(
    data: pd.DataFrame, total: Aggregator, column: Column, q: list[float], edges: list[float] | None = None
) -> np.ndarray:
    """Quantiles, interpolated linearly: between values, or in bins with these edges."""
    return total.quantile(data[column], q, edges=edges)


@federated
def correlations(data: pd.DataFrame, total: Aggregator, columns: list[Column]) -> np.ndarray:
    """Correlation matrix of the complete rows, from deviations."""
    rows = data[columns].dropna()
    means = total.sum(rows) / total.count(rows)
    products = total.cross_product(rows - means)
    sd = np.sqrt(np.diag(products))
    return products / np.outer(sd, sd)
