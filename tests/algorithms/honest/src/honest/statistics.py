"""Partials of the statistics of the pooled functions, as a node sends them in one round."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from algotools import Column, rpc

MINIMUM = 10
"""Fewest records of a group or a bin."""


def make_design(data, numbers, factor, levels):
    """Return a design matrix: intercept, numbers, and a column for each level after the first.

    None if few records have one of the levels.
    """
    if any(0 < (data[factor] == level).sum() < MINIMUM for level in levels):
        return None
    dummies = [(data[factor] == level).to_numpy(float) for level in levels[1:]]
    return np.column_stack([np.ones(len(data)), data[numbers].to_numpy(float), *dummies])


@rpc
def squares_around(data: pa.Table, column: Column, mean: float):
    """The second pass of mean and standard deviation."""
    deviations = pc.subtract(pc.drop_null(data[column]), mean)
    return {"n": len(deviations), "squares": pc.sum(pc.multiply(deviations, deviations)).as_py()}


@rpc
def cells_of_chi_square(data: pl.DataFrame, row: Column, column: Column, rows: list[str], columns: list[str]):
    """The counts of a crosstab of the researcher's levels."""
    table = [[data.filter((pl.col(row) == a) & (pl.col(column) == b)).height for b in columns] for a in rows]
    return table if all(n >= MINIMUM for line in table for n in line) else None


@rpc
def bins_of_quantile(data: pd.DataFrame, column: Column, low: float, high: float, bins: int):
    """Cumulative counts at the edges of bins; edges with few records on a side have those of the next edge."""
    values = np.sort(data[column].dropna())
    below = np.searchsorted(values, np.linspace(low, high, bins + 1))
    merged = [0]
    for n in below[1:].tolist():
        merged.append(n if n - merged[-1] >= MINIMUM and len(values) - n >= MINIMUM else merged[-1])
    return {"n": len(values), "below": merged}


@rpc
def centred_products(data: pd.DataFrame, columns: list[Column], means: list[float]):
    """The second pass of correlation and principal components."""
    x = data[columns].dropna().to_numpy(float) - np.array(means)
    return {"n": len(x), "product": x.T @ x}


@rpc
def welch_sums(data: pl.DataFrame, column: Column, group: Column, limit: float):
    """Count, sum and sum of squares of both groups."""
    values = pl.col(column).cast(pl.Float64)
    groups = data.group_by((pl.col(group) > limit).alias("above"), maintain_order=False)
    sums = groups.agg(n=pl.len(), sum=values.sum(), squares=(values**2).sum()).sort("above")
    return sums.to_dicts() if sums["n"].min() >= MINIMUM else None


@rpc
def sums_of_anova(data: pd.DataFrame, column: Column, group: Column, levels: list[str]):
    """Counts, sums and the sum of squares of the researcher's levels."""
    parts = [data.loc[data[group] == level, column].dropna() for level in levels]
    if min(map(len, parts)) < MINIMUM:
        return None
    return {"n": [len(p) for p in parts], "sum": [p.sum() for p in parts], "squares": sum((p**2).sum() for p in parts)}


@rpc
def binomial_with_factor(
    data: pd.DataFrame, outcome: Column, numbers: list[Column], factor: Column, levels: list[str], beta: list[float]
):
    """A step of a logistic regression with a category."""
    rows = data[data[factor].isin(levels)]
    x = make_design(rows, numbers, factor, levels)
    if x is None:
        return None
    p = 1 / (1 + np.exp(-x @ np.array(beta)))
    return [x.T @ (rows[outcome].to_numpy() - p), x.T @ (x * (p * (1 - p))[:, None])]


@rpc
def poisson_with_factor(
    data: pd.DataFrame, outcome: Column, numbers: list[Column], factor: Column, levels: list[float], beta: list[float]
):
    """A step of a Poisson regression with a category."""
    rows = data[data[factor].isin(levels)]
    x = make_design(rows, numbers, factor, levels)
    if x is None:
        return None
    mean = np.exp(x @ np.array(beta))
    return [x.T @ (rows[outcome].to_numpy() - mean), x.T @ (x * mean[:, None])]


@rpc
def cox_at_times(data: pd.DataFrame, time: Column, event: Column, covariate: Column, beta: float, times: list[float]):
    """Sums of a Cox model at event times that the researcher names; each event counts at the next of these times."""
    z, moments = data[covariate].to_numpy(float), data[time].to_numpy()
    w = np.exp(beta * z)
    position = np.searchsorted(times, moments)
    cases = [(position == i) & (data[event].to_numpy() == 1) for i in range(len(times))]
    previous = [-np.inf, *times[:-1]]
    at_risk = [moments > start for start in previous]
    if min(map(np.sum, at_risk)) < MINIMUM or min(map(np.sum, cases)) < MINIMUM:
        return None
    return {
        "events": [int(c.sum()) for c in cases],
        "sum": [z[c].sum() for c in cases],
        "s0": [w[r].sum() for r in at_risk],
        "s1": [(w * z)[r].sum() for r in at_risk],
    }


@rpc
def ridge_of_scores(
    data: pd.DataFrame, outcome: Column, predictors: list[Column], means: list[float], sds: list[float]
):
    """Cross products of standardized predictors: the second pass of a ridge regression."""
    z = (data[predictors].to_numpy(float) - np.array(means)) / np.array(sds)
    return {"zz": z.T @ z, "zy": z.T @ data[outcome].to_numpy(float)}


@rpc
def loss_and_gradient(data: pd.DataFrame, outcome: Column, limit: float, predictors: list[Column], beta: list[float]):
    """The terms of an optimiser such as L-BFGS."""
    x = np.column_stack([np.ones(len(data)), data[predictors].to_numpy(float)])
    y, eta = (data[outcome] > limit).to_numpy(float), x @ np.array(beta)
    return {"loss": float(np.logaddexp(0, eta).sum() - y @ eta), "gradient": x.T @ (1 / (1 + np.exp(-eta)) - y)}


@rpc
def score_at(data: pl.LazyFrame, column: Column, shape: float):
    """The equation of a root finder such as brentq: the score of a gamma distribution."""
    values = pl.col(column).filter(pl.col(column) > 0)
    sums = data.select(n=values.len(), total=values.sum(), logs=values.log().sum()).collect()
    n, total, logs = sums.row(0)
    return float(n * np.log(shape * n / total) + logs) if n >= MINIMUM else None
