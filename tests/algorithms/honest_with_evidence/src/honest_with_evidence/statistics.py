"""Partials of the statistics of the pooled functions, as a node sends them in one round."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from algotools import Column, aggregate, rpc

MINIMUM = 10
"""Fewest records of a group or a bin."""


def make_design(data, numbers, factor, levels):
    """Return a design matrix: intercept, numbers, and a column for each level after the first.

    None if few records have one of the levels.
    """
    if any(0 < (data[factor] == level).sum() < MINIMUM for level in levels):
        return None
    dummies = {f"level {level}": (data[factor] == level).astype(float) for level in levels[1:]}
    return data[numbers].astype(float).assign(intercept=1.0, **dummies)


@rpc
def squares_around(data: pa.Table, column: Column, mean: float):
    """The second pass of mean and standard deviation."""
    deviations = pc.subtract(data[column], mean)
    squares = aggregate.sum(pc.multiply(deviations, deviations))
    return {"n": aggregate.count(deviations), "squares": squares}


@rpc
def cells_of_chi_square(data: pl.DataFrame, row: Column, column: Column, rows: list[str], columns: list[str]):
    """The counts of a crosstab of the researcher's levels."""
    data = data.filter(pl.col(row).is_in(rows) & pl.col(column).is_in(columns))
    table = aggregate.table(data[row], data[column])
    return [[table[level][other] for other in columns] for level in rows]


@rpc
def bins_of_quantile(data: pd.DataFrame, column: Column, low: float, high: float, bins: int):
    """Cumulative counts at the edges of bins; edges with few records on a side have those of the next edge."""
    values = data[column].dropna()
    merged = [values[:0]]
    for edge in np.linspace(low, high, bins + 1)[1:]:
        below = values[values < edge]
        is_large = len(below) - len(merged[-1]) >= MINIMUM and len(values) - len(below) >= MINIMUM
        merged.append(below if is_large else merged[-1])
    return {"n": aggregate.count(values), "below": [aggregate.count(below) for below in merged]}


@rpc
def centred_products(data: pd.DataFrame, columns: list[Column], means: list[float]):
    """The second pass of correlation and principal components."""
    x = data[columns].dropna() - np.array(means)
    return {"n": aggregate.count(x[columns[0]]), "product": aggregate.cross_product(x)}


@rpc
def welch_sums(data: pl.DataFrame, column: Column, group: Column, limit: float):
    """Count, sum and sum of squares of both groups."""
    values = data[column].cast(pl.Float64)
    parts = [values.filter(data[group] > limit), values.filter(data[group] <= limit)]
    return [
        {"n": aggregate.count(part), "sum": aggregate.sum(part), "squares": aggregate.sum(part**2)} for part in parts
    ]


@rpc
def sums_of_anova(data: pd.DataFrame, column: Column, group: Column, levels: list[str]):
    """Counts, sums and the sum of squares of the researcher's levels."""
    parts = [data.loc[data[group] == level, column].dropna() for level in levels]
    return {
        "n": [aggregate.count(part) for part in parts],
        "sum": [aggregate.sum(part) for part in parts],
        "squares": aggregate.sum(data.loc[data[group].isin(levels), column] ** 2),
    }


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
    return [aggregate.cross_product(x, rows[outcome] - p), aggregate.cross_product(x, weights=p * (1 - p))]


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
    return [aggregate.cross_product(x, rows[outcome] - mean), aggregate.cross_product(x, weights=mean)]


@rpc
def cox_at_times(data: pd.DataFrame, time: Column, event: Column, covariate: Column, beta: float, times: list[float]):
    """Sums of a Cox model at event times that the researcher names; each event counts at the next of these times."""
    z = data[covariate].astype(float)
    w = np.exp(beta * z)
    position = np.searchsorted(times, data[time])
    cases = [(position == i) & (data[event] == 1) for i in range(len(times))]
    at_risk = [data[time] > start for start in (-np.inf, *times[:-1])]
    if min(map(np.sum, at_risk)) < MINIMUM or min(map(np.sum, cases)) < MINIMUM:
        return None
    return {
        "events": [aggregate.count(z[c]) for c in cases],
        "sum": [aggregate.sum(z[c]) for c in cases],
        "s0": [aggregate.sum(w[r]) for r in at_risk],
        "s1": [aggregate.sum((w * z)[r]) for r in at_risk],
    }


@rpc
def ridge_of_scores(
    data: pd.DataFrame, outcome: Column, predictors: list[Column], means: list[float], sds: list[float]
):
    """Cross products of standardized predictors: the second pass of a ridge regression."""
    z = (data[predictors] - np.array(means)) / np.array(sds)
    return {"zz": aggregate.cross_product(z), "zy": aggregate.cross_product(z, data[outcome])}


@rpc
def loss_and_gradient(data: pd.DataFrame, outcome: Column, limit: float, predictors: list[Column], beta: list[float]):
    """The terms of an optimiser such as L-BFGS."""
    x = data[predictors].astype(float)
    x.insert(0, "intercept", 1.0)
    y, eta = (data[outcome] > limit).astype(float), x @ np.array(beta)
    return {
        "loss": aggregate.sum(np.logaddexp(0, eta) - y * eta),
        "gradient": aggregate.cross_product(x, 1 / (1 + np.exp(-eta)) - y),
    }


@rpc
def score_at(data: pl.LazyFrame, column: Column, shape: float):
    """The equation of a root finder such as brentq: the score of a gamma distribution."""
    values = data.select(column).filter(pl.col(column) > 0)
    n, total, logs = aggregate.count(values), aggregate.sum(values), aggregate.sum(values.select(pl.col(column).log()))
    n, total, logs = (np.asarray(part).item() for part in (n, total, logs))
    return aggregate.derive(float(n * np.log(shape * n / total) + logs), n, total, logs)
