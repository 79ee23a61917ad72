"""Sums of large groups that differ by few records, in one result or in several tasks."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl

from algotools import Column, rpc


@rpc
def sum_up_to(data: pd.DataFrame, column: Column, by: Column, limit: float):
    """The sum over the rows up to a limit."""
    part = data.loc[data[by] <= limit, column]
    return {"sum": part.sum(), "count": part.size}


@rpc
def mean_up_to_of_polars(data: pl.DataFrame, column: Column, by: Column, limit: float):
    return data.filter(pl.col(by) <= limit).select(mean=pl.col(column).mean(), n=pl.len()).to_dicts()[0]


@rpc
def sum_without(data: pd.DataFrame, column: Column, by: Column, excluded: list[int]):
    """The sum without some patients, who withdrew their consent."""
    part = data.loc[~data[by].isin(excluded), column]
    return {"sum": part.sum(), "count": part.size}


@rpc
def sum_of_half(data: pd.DataFrame, column: Column, seed: int):
    """The sum of a random half, for cross-validation."""
    chosen = np.random.default_rng(seed).random(len(data)) < 0.5
    return data.loc[chosen, column].sum()


@rpc
def sum_where_sql(data: duckdb.DuckDBPyRelation, column: str, condition: str):
    return data.filter(condition).aggregate(f"sum({column}), count(*)").fetchall()[0]


@rpc
def sum_of_power(data: pd.DataFrame, column: Column, power: int):
    return (data[column].astype(float) ** power).sum()


@rpc
def count_above(data: pd.DataFrame, column: Column, limit: float):
    """A step of a bisection."""
    return int((data[column] > limit).sum())


@rpc
def mean_of_fold(data: pd.DataFrame, column: Column, folds: int, fold: int):
    """The training mean of one fold of a cross-validation."""
    return data.loc[np.arange(len(data)) % folds != fold, column].mean()


@rpc
def winsorized_mean(data: pd.DataFrame, column: Column, limit: float):
    return data[column].clip(upper=limit).mean()


@rpc
def all_and_without_one(data: pd.DataFrame, column: Column):
    """The mean, and the mean without the largest value."""
    values = data[column]
    return {"n": len(values), "all": values.mean(), "without": values.drop(values.idxmax()).mean()}


@rpc
def jackknife(data: pd.DataFrame, column: Column):
    """Estimates without one row each, for a standard error."""
    values = data[column]
    estimates = [values.drop(i).mean() for i in values.index[:50]]
    return {"n": len(values), "mean": values.mean(), "estimates": estimates}


@rpc
def cumulative_sums(data: pd.DataFrame, column: Column, by: Column):
    """A concentration curve: sums of the first rows in the order of another column."""
    return data.sort_values(by)[column].cumsum().tolist()


@rpc
def sum_of_expression(data: pd.DataFrame, expression: str):
    """The sum of an expression of the columns, as the researcher writes it."""
    return float(data.eval(expression, engine="python").sum())


@rpc
def sums_at_limits(data: pd.DataFrame, column: Column, limits: list[float]):
    """Counts and sums above each limit, for a choice of the limit."""
    return [[int((data[column] > limit).sum()), data.loc[data[column] > limit, column].sum()] for limit in limits]


@rpc
def complete_cases(data: pd.DataFrame, column: Column, other: Column):
    """Sums over all rows, and over the rows that are complete."""
    values, complete = data[column], data[[column, other]].dropna()[column]
    return {"all": [values.size, values.sum()], "complete": [complete.size, complete.sum()]}


@rpc
def with_and_without_level(data: pd.DataFrame, column: Column, by: Column, level: str):
    """The mean, and the mean without one level, as a sensitivity analysis."""
    rest = data.loc[data[by] != level, column]
    return {"all": [len(data), data[column].mean()], "rest": [len(rest), rest.mean()]}


@rpc
def overlapping_groups(data: pd.DataFrame, column: Column, by: Column, limits: list[float]):
    """Sums of nested age groups."""
    return {f"{limit:g}": data.loc[data[by] >= limit, column].agg(["size", "sum"]).tolist() for limit in limits}


@rpc
def training_and_all(data: pd.DataFrame, predictors: list[Column], held_out: int = 1):
    """Cross products of the training rows and of all rows."""
    x = data[predictors].to_numpy(float)
    return {"all": x.T @ x, "training": x[held_out:].T @ x[held_out:]}
