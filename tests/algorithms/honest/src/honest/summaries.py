"""Descriptive statistics."""

import duckdb
import numpy as np
import pandas as pd
import polars as pl

from algotools import Column, rpc

MINIMUM = 10
"""Fewest records of a group, a level or a cell."""


@rpc
def summary(data: pd.DataFrame, columns: list[Column]):
    """Count, sum and sum of squares of each column."""
    result = {}
    for column in columns:
        values = data[column].dropna()
        result[column] = {"n": values.size, "sum": values.sum(), "squares": (values**2).sum()}
    return result


@rpc
def summary_of_polars(data: pl.DataFrame, column: Column):
    values = data[column].drop_nulls()
    return {"n": len(values), "sum": values.sum(), "squares": (values.cast(float) ** 2).sum()}


@rpc
def summary_of_duckdb(data: duckdb.DuckDBPyRelation, column: Column):
    n, total = data.aggregate(f'count("{column}"), sum("{column}")').fetchall()[0]
    return [n, float(total or 0)]


@rpc
def group_sums(data: pd.DataFrame, column: Column, by: Column):
    """Sums of the groups that have enough records."""
    result = {}
    for level, part in data[[column, by]].dropna().groupby(by)[column]:
        if len(part) >= MINIMUM:
            result[str(level)] = {"n": len(part), "sum": part.sum()}
    return result


@rpc
def crosstab_suppressed(data: pd.DataFrame, row: Column, column: Column, levels: list[str], columns: list[str]):
    """A table of the researcher's levels. Small cells are hidden, and there are no margins."""
    counts = pd.crosstab(data[row], data[column]).reindex(index=levels, columns=columns, fill_value=0)
    return [[int(n) if n >= MINIMUM else None for n in line] for line in counts.to_numpy()]


@rpc
def crosstab_whole(data: pd.DataFrame, row: Column, column: Column, rows: list[float], columns: list[float]):
    """A table of large cells. Rare levels are merged by the limits that the researcher chooses."""
    a = np.searchsorted(rows, data[row], side="right")
    b = np.searchsorted(columns, data[column], side="right")
    table = np.zeros((len(rows) + 1, len(columns) + 1), dtype=int)
    np.add.at(table, (a, b), 1)
    return table if table.min() >= MINIMUM else None


@rpc
def histogram(data: pd.DataFrame, column: Column, edges: list[float]):
    """Counts of bins; bins with few records are empty."""
    counts, _ = np.histogram(data[column].dropna(), edges)
    return np.where(counts >= MINIMUM, counts, 0).tolist()


@rpc
def labelled_histogram(data: pd.DataFrame, column: Column, edges: list[float]):
    """Counts by interval, as text."""
    intervals = pd.cut(data[column].dropna(), edges, right=False)
    counts = intervals.value_counts(sort=False)
    return {str(interval): int(n) for interval, n in counts.items() if n >= MINIMUM}


@rpc
def levels(data: pd.DataFrame, column: Column):
    """The levels of a category that enough records have."""
    counts = data[column].value_counts()
    return sorted(counts.index[counts >= MINIMUM].tolist())


@rpc
def counts(data: pd.DataFrame, columns: list[Column]):
    return {"rows": len(data), "present": {column: int(data[column].count()) for column in columns}}


@rpc
def schema(data: pd.DataFrame):
    """Names and types of the columns."""
    return {column: str(dtype) for column, dtype in data.dtypes.items()}


@rpc
def missing(data: pd.DataFrame, columns: list[Column]):
    """The share of missing values, in steps of 5 %; few missing values count as none."""
    shares = {}
    for column in columns:
        n = int(data[column].isna().sum())
        shares[column] = round(20 * n / len(data)) / 20 if n >= MINIMUM else 0
    return shares


@rpc
def selection(data: pd.DataFrame, column: Column, by: Column, low: float, high: float):
    """The sum over a selection; an empty selection is allowed."""
    values = data.loc[data[by].between(low, high), column].dropna()
    if 0 < len(values) < MINIMUM:
        return {"n": None, "sum": None}
    return {"n": len(values), "sum": float(values.sum())}


@rpc
def t_test_sums(data: pd.DataFrame, column: Column, group: Column, level: str):
    """Count, sum and sum of squares of two groups."""
    values, chosen = data[column], data[group] == level
    if min(chosen.sum(), (~chosen).sum()) < MINIMUM:
        return None
    return [[part.count(), part.sum(), (part**2).sum()] for part in (values[chosen], values[~chosen])]


@rpc
def bisection_step(data: pd.DataFrame, column: Column, limit: float):
    """Rows up to a limit and above it, for a federated median; few rows on a side count as none."""
    values = data[column].dropna()
    below = int((values <= limit).sum())
    if below < MINIMUM:
        below = 0
    elif len(values) - below < MINIMUM:
        below = len(values)
    return {"below": below, "n": len(values)}


@rpc
def moments(data: pd.DataFrame, column: Column):
    """The first four power sums."""
    values = data[column].dropna().to_numpy(float)
    return [len(values), *(float((values**power).sum()) for power in (1, 2, 3, 4))]


@rpc
def proportions(data: pd.DataFrame, column: Column, levels: list[str]):
    """The proportion of each of the researcher's levels, to two digits."""
    n = len(data)
    found = {level: int((data[column] == level).sum()) for level in levels}
    return {level: round(count / n, 2) if count >= MINIMUM else None for level, count in found.items()}


@rpc
def person_means(data: pd.DataFrame, person: Column, column: Column):
    """Sums over persons of the mean of each person, and the number of persons."""
    means = data.groupby(person)[column].mean()
    return {"persons": len(means), "sum": means.sum(), "squares": (means**2).sum()}
