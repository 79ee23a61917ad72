"""Descriptive statistics."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl

from algotools import Column, aggregate, rpc

MINIMUM = 10
"""Fewest records of a group that the function selects itself."""


@rpc
def summary(data: pd.DataFrame, columns: list[Column]):
    """Count, sum and sum of squares of each column."""
    return {
        column: {
            "n": aggregate.count(data[column]),
            "sum": aggregate.sum(data[column]),
            "squares": aggregate.sum(data[column] ** 2),
        }
        for column in columns
    }


@rpc
def summary_of_polars(data: pl.DataFrame, column: Column):
    values = data[column]
    squares = aggregate.sum(values.cast(pl.Float64) ** 2)
    return {"n": aggregate.count(values), "sum": aggregate.sum(values), "squares": squares}


@rpc
def summary_of_duckdb(data: duckdb.DuckDBPyRelation, column: Column):
    values = data.select(f'"{column}"')
    return [aggregate.count(values)[column], aggregate.sum(values)[column]]


@rpc
def group_sums(data: pd.DataFrame, column: Column, by: Column):
    """Sums of the groups that have enough records."""
    counts, sums = (aggregate.by_group(data, column, by, statistic) for statistic in ("count", "sum"))
    return {str(level): {"n": counts[level], "sum": sums[level]} for level in counts if counts[level] is not None}


@rpc
def crosstab_suppressed(data: pd.DataFrame, row: Column, column: Column, levels: list[str], columns: list[str]):
    """A table of the researcher's levels. Small cells are hidden, and there are no margins."""
    table = aggregate.table(data[row], data[column])
    return [[table.get(level, {}).get(other) for other in columns] for level in levels]


@rpc
def crosstab_whole(data: pd.DataFrame, row: Column, column: Column, rows: list[float], columns: list[float]):
    """A table of large cells. Rare levels are merged by the limits that the researcher chooses."""
    a = pd.Series(np.searchsorted(rows, data[row], side="right"), index=data.index)
    return [
        aggregate.histogram(data.loc[a == i, column], [-np.inf, *np.array(columns) - 1e-9, np.inf])
        for i in range(len(rows) + 1)
    ]


@rpc
def histogram(data: pd.DataFrame, column: Column, edges: list[float]):
    """Counts of bins; bins with few records are hidden."""
    return aggregate.histogram(data[column], edges)


@rpc
def labelled_histogram(data: pd.DataFrame, column: Column, edges: list[float]):
    """Counts by interval, as text."""
    return aggregate.table(pd.cut(data[column], edges, right=False).astype(str))


@rpc
def levels(data: pd.DataFrame, column: Column):
    """The levels of a category that enough records have."""
    return aggregate.levels(data[column])


@rpc
def counts(data: pd.DataFrame, columns: list[Column]):
    return {"rows": len(data), "present": {column: aggregate.count(data[column]) for column in columns}}


@rpc
def schema(data: pd.DataFrame):
    """Names and types of the columns."""
    return {column: str(dtype) for column, dtype in data.dtypes.items()}


@rpc
def missing(data: pd.DataFrame, columns: list[Column]):
    """The number of missing values; few missing values count as none."""
    numbers = {}
    for column in columns:
        is_missing = data[column].isna()
        numbers[column] = aggregate.sum(is_missing if is_missing.sum() >= MINIMUM else is_missing & False)
    return numbers


@rpc
def selection(data: pd.DataFrame, column: Column, by: Column, low: float, high: float):
    """The sum over a selection; an empty selection is allowed."""
    values = data.loc[data[by].between(low, high), column].dropna()
    if 0 < len(values) < MINIMUM:
        return {"n": None, "sum": None}
    return {"n": aggregate.count(values), "sum": aggregate.sum(values)}


@rpc
def t_test_sums(data: pd.DataFrame, column: Column, group: Column, level: str):
    """Count, sum and sum of squares of two groups."""
    values, chosen = data[column], data[group] == level
    if min(chosen.sum(), (~chosen).sum()) < MINIMUM:
        return None
    return [
        [aggregate.count(part), aggregate.sum(part), aggregate.sum(part**2)]
        for part in (values[chosen], values[~chosen])
    ]


@rpc
def bisection_step(data: pd.DataFrame, column: Column, limit: float):
    """Rows up to a limit and all rows, for a federated median; few rows on a side count as none."""
    values = data[column].dropna()
    below = values[values <= limit]
    if len(below) < MINIMUM:
        below = values[:0]
    elif len(values) - len(below) < MINIMUM:
        below = values
    return {"below": aggregate.count(below), "n": aggregate.count(values)}


@rpc
def moments(data: pd.DataFrame, column: Column):
    """The mean and the central moments up to the fourth, and the count."""
    return [aggregate.count(data[column]), *aggregate.moments(data[column], 4)]


@rpc
def proportions(data: pd.DataFrame, column: Column, levels: list[str]):
    """The proportion of each of the researcher's levels, to two digits."""
    counts = aggregate.table(data[column])
    shown = {level: counts.get(level) for level in levels}
    return {
        level: None if count is None else aggregate.derive(round(count / len(data), 2), count)
        for level, count in shown.items()
    }


@rpc
def person_means(data: pd.DataFrame, person: Column, column: Column):
    """Sums over persons of the mean of each person, and the number of persons."""
    means = data.groupby(person)[column].mean()
    return {"persons": aggregate.count(means), "sum": aggregate.sum(means), "squares": aggregate.sum(means**2)}
