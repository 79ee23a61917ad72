"""Pooled functions whose totals can have few records.

They have a module of their own, because the gate allows the texts in the source of an algorithm.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from algotools import Aggregator, Column, federated


@federated
def least_value(data: pd.DataFrame, total: Aggregator, column: Column) -> float:
    return total.minimum(data[column])


@federated
def greatest_value(data: pd.DataFrame, total: Aggregator, column: Column) -> float:
    return total.maximum(data[column])


@federated
def median_of(data: pd.DataFrame, total: Aggregator, column: Column, edges: list[float] | None = None) -> float:
    return total.quantile(data[column], 0.5, edges=edges)


@federated
def counts_in_bins(data: pd.DataFrame, total: Aggregator, column: Column, edges: list[float]) -> np.ndarray:
    return total.histogram(data[column], edges)


@federated
def counts_of_levels(data: pd.DataFrame, total: Aggregator, group: Column) -> pd.Series:
    return total.table(data[group])


@federated
def means_by_level(data: pd.DataFrame, total: Aggregator, column: Column, group: Column) -> pd.Series:
    return total.mean(data[column], by=data[group])


@federated
def variances_by_level(data: pd.DataFrame, total: Aggregator, column: Column, group: Column) -> pd.Series:
    return total.variance(data[column], by=data[group])


@federated
def moments_above(data: pd.DataFrame, total: Aggregator, column: Column, limit: float) -> list[float]:
    values = data[column]
    return total.moments(values[values > limit], 3)


@federated
def number_above(data: pd.DataFrame, total: Aggregator, column: Column, limit: float) -> int:
    return total.sum(data[column] > limit)


@federated
def sums_of_levels(data: pd.DataFrame, total: Aggregator, group: Column) -> list[float]:
    levels = total.levels(data[group])
    return [total.sum((data[group] == level).astype(float)) for level in levels]


@federated
def numbers_at_risk(data: pd.DataFrame, total: Aggregator, time: Column, grid: list[float]) -> np.ndarray:
    return total.sum(data[time].to_numpy()[:, None] >= np.array(grid))


@federated
def frequent_levels(data: pd.DataFrame, total: Aggregator, group: Column) -> list[float]:
    return total.levels(data[group])


FUNCTIONS = [
    least_value,
    greatest_value,
    median_of,
    counts_in_bins,
    counts_of_levels,
    means_by_level,
    variances_by_level,
    moments_above,
    number_above,
    sums_of_levels,
    numbers_at_risk,
    frequent_levels,
]
