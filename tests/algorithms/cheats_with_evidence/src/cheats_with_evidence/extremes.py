"""Quantiles and sums that are the value of one record."""

import numpy as np
import pandas as pd

from algotools import Column, aggregate, rpc


@rpc
def median(data: pd.DataFrame, column: Column):
    return {"median": aggregate.quantile(data[column], 0.5), "n": aggregate.count(data[column])}


@rpc
def quantiles(data: pd.DataFrame, column: Column, q: list[float]):
    return [aggregate.quantile(data[column], each) for each in q]


@rpc
def percentiles(data: pd.DataFrame, column: Column):
    return [aggregate.quantile(data[column], percent / 100) for percent in range(101)]


@rpc
def box_plot(data: pd.DataFrame, column: Column):
    quantiles = {"low": 0, "q1": 0.25, "median": 0.5, "q3": 0.75, "high": 1}
    return {name: aggregate.quantile(data[column], q) for name, q in quantiles.items()}


@rpc
def edges_of_histogram(data: pd.DataFrame, column: Column, bins: int = 5):
    """A histogram with numpy's default edges."""
    edges = np.histogram_bin_edges(data[column].dropna(), bins)
    return {"counts": aggregate.histogram(data[column], edges), "edges": edges}


@rpc
def robust_scaling(data: pd.DataFrame, column: Column):
    """Median and median of the absolute deviations."""
    values = data[column].dropna()
    centre = aggregate.quantile(values, 0.5)
    spread = aggregate.quantile((values - centre).abs(), 0.5)
    return {"n": aggregate.count(values), "centre": centre, "spread": spread}


@rpc
def clipped_sums(data: pd.DataFrame, column: Column, limits: list[float]):
    """Sums of the values above each limit, to choose a limit for winsorizing."""
    return [aggregate.sum((data[column] - limit).clip(lower=0)) for limit in limits]


@rpc
def largest_share(data: pd.DataFrame, column: Column):
    """How much of the total the most expensive patient causes."""
    total = aggregate.sum(data[column])
    return {"total": total, "share": aggregate.derive(data[column].max() / total, total)}


@rpc
def outer_norm(data: pd.DataFrame, column: Column, order: int = 200):
    """The p-norm of a column."""
    total = aggregate.sum((data[column] / 1000) ** order)
    return aggregate.derive(total ** (1 / order), total)


@rpc
def smooth_maximum(data: pd.DataFrame, column: Column):
    """Log-sum-exp of a column, for a stable softmax."""
    values = data[column].astype(float)
    total = aggregate.sum(np.exp(values - values.max()))
    return aggregate.derive(values.max() + np.log(total), total)
