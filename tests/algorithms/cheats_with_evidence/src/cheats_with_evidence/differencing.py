"""Sums of large groups that differ by few records, in one result or in several tasks."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl

from algotools import Column, aggregate, rpc


@rpc
def sum_up_to(data: pd.DataFrame, column: Column, by: Column, limit: float):
    """The sum over the rows up to a limit."""
    part = data.loc[data[by] <= limit, column]
    return {"sum": aggregate.sum(part), "count": aggregate.count(part)}


@rpc
def mean_up_to_of_polars(data: pl.DataFrame, column: Column, by: Column, limit: float):
    part = data.filter(pl.col(by) <= limit)[column]
    return {"mean": aggregate.mean(part), "n": aggregate.count(part)}


@rpc
def sum_without(data: pd.DataFrame, column: Column, by: Column, excluded: list[int]):
    """The sum without some patients, who withdrew their consent."""
    part = data.loc[~data[by].isin(excluded), column]
    return {"sum": aggregate.sum(part), "count": aggregate.count(part)}


@rpc
def sum_of_half(data: pd.DataFrame, column: Column, seed: int):
    """The sum of a random half, for cross-validation."""
    chosen = np.random.default_rng(seed).random(len(data)) < 0.5
    return aggregate.sum(data.loc[chosen, column])


@rpc
def sum_where_sql(data: duckdb.DuckDBPyRelation, column: str, condition: str):
    part = data.filter(condition).select(column)
    return [aggregate.sum(part)[column], aggregate.count(part)[column]]


@rpc
def sum_of_power(data: pd.DataFrame, column: Column, power: int):
    return aggregate.sum(data[column].astype(float) ** power)


@rpc
def count_above(data: pd.DataFrame, column: Column, limit: float):
    """A step of a bisection."""
    return aggregate.count(data.loc[data[column] > limit, column])


@rpc
def mean_of_fold(data: pd.DataFrame, column: Column, folds: int, fold: int):
    """The training mean of one fold of a cross-validation."""
    return aggregate.mean(data.loc[np.arange(len(data)) % folds != fold, column])


@rpc
def winsorized_mean(data: pd.DataFrame, column: Column, limit: float):
    return aggregate.mean(data[column].clip(upper=limit))


@rpc
def power_sums(data: pd.DataFrame, column: Column, order: int):
    """Moments up to an order."""
    return [aggregate.sum(data[column].astype(float) ** power) for power in range(order + 1)]


@rpc
def all_and_without_one(data: pd.DataFrame, column: Column):
    """The mean, and the mean without the largest value."""
    values = data[column]
    return {
        "n": aggregate.count(values),
        "all": aggregate.mean(values),
        "without": aggregate.mean(values.drop(values.idxmax())),
    }


@rpc
def jackknife(data: pd.DataFrame, column: Column):
    """Estimates without one row each, for a standard error."""
    values = data[column]
    estimates = [aggregate.mean(values.drop(i)) for i in values.index[:50]]
    return {"n": aggregate.count(values), "mean": aggregate.mean(values), "estimates": estimates}


@rpc
def cumulative_sums(data: pd.DataFrame, column: Column, by: Column):
    """A concentration curve: sums of the first rows in the order of another column."""
    values = data.sort_values(by)[column]
    return [aggregate.sum(values.head(n)) for n in range(1, len(values) + 1)]


@rpc
def sum_of_expression(data: pd.DataFrame, expression: str):
    """The sum of an expression of the columns, as the researcher writes it."""
    return aggregate.sum(data.eval(expression, engine="python"))


@rpc
def sums_at_limits(data: pd.DataFrame, column: Column, limits: list[float]):
    """Counts and sums above each limit, for a choice of the limit."""
    parts = [data.loc[data[column] > limit, column] for limit in limits]
    return [[aggregate.count(part), aggregate.sum(part)] for part in parts]


@rpc
def complete_cases(data: pd.DataFrame, column: Column, other: Column):
    """Sums over all rows, and over the rows that are complete."""
    values, complete = data[column], data[[column, other]].dropna()[column]
    return {
        name: [aggregate.count(part), aggregate.sum(part)] for name, part in (("all", values), ("complete", complete))
    }


@rpc
def with_and_without_level(data: pd.DataFrame, column: Column, by: Column, level: str):
    """The mean, and the mean without one level, as a sensitivity analysis."""
    parts = {"all": data[column], "rest": data.loc[data[by] != level, column]}
    return {name: [aggregate.count(part), aggregate.mean(part)] for name, part in parts.items()}


@rpc
def overlapping_groups(data: pd.DataFrame, column: Column, by: Column, limits: list[float]):
    """Sums of nested age groups."""
    parts = {f"{limit:g}": data.loc[data[by] >= limit, column] for limit in limits}
    return {name: [aggregate.count(part), aggregate.sum(part)] for name, part in parts.items()}


@rpc
def training_and_all(data: pd.DataFrame, predictors: list[Column], held_out: int = 1):
    """Cross products of the training rows and of all rows."""
    x = data[predictors]
    return {"all": aggregate.cross_product(x), "training": aggregate.cross_product(x[held_out:])}
