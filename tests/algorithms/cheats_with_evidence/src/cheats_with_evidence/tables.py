"""Tables of counts and of statistics with small cells."""

import numpy as np
import pandas as pd
import polars as pl

from algotools import Column, aggregate, rpc


def count_pairs(data, row, column):
    """Return the counts of a table, outer key: column, inner key: row."""
    return {
        outer: {inner: aggregate.count(part[row][part[row] == inner]) for inner in sorted(data[row].unique())}
        for outer, part in data.groupby(column)
    }


@rpc
def crosstab(data: pd.DataFrame, row: Column, column: Column):
    return aggregate.table(data[column], data[row])


@rpc
def crosstab_with_margins(data: pd.DataFrame, row: Column, column: Column):
    """Small cells are hidden, but the margins are those of the whole table."""
    levels = aggregate.levels(data[row])
    return {
        "cells": aggregate.table(data[column], data[row]),
        "rows": {level: aggregate.count(part) for level, part in data.groupby(row)[row] if level in levels},
        "columns": {level: aggregate.count(part) for level, part in data.groupby(column)[column]},
    }


@rpc
def three_way_table(data: pd.DataFrame, by: list[Column]):
    counts = data.groupby(by).size().reset_index(name="n")
    return aggregate.suppress(counts, records="n").to_numpy().tolist()


@rpc
def table_of_means(data: pd.DataFrame, row: Column, column: Column, value: Column):
    return {
        level: {inner: aggregate.mean(cell) for inner, cell in part.groupby(row)[value]}
        for level, part in data.groupby(column)
    }


@rpc
def fine_histogram(data: pd.DataFrame, column: Column, low: float, high: float, bins: int = 100):
    return aggregate.histogram(data[column], np.linspace(low, high, bins + 1))


@rpc
def density(data: pd.DataFrame, column: Column, low: float, high: float, points: int, width: float):
    """A kernel density estimate at equally spaced points."""
    grid = np.linspace(low, high, points)
    scale = width * np.sqrt(2 * np.pi)
    return [aggregate.mean(np.exp(-(((point - data[column]) / width) ** 2) / 2) / scale) for point in grid]


@rpc
def proportions_table(data: pd.DataFrame, row: Column, column: Column):
    """Proportions of each cell, and the number of rows."""
    n, counts = aggregate.count(data[row]), count_pairs(data, column, row)
    table = {
        level: {inner: aggregate.derive(count / n, count) for inner, count in cells.items()}
        for level, cells in counts.items()
    }
    return {"n": n, "table": table}


@rpc
def row_percentages(data: pd.DataFrame, row: Column, column: Column):
    """Small counts are hidden, but the percentages are not."""
    counts, totals = count_pairs(data, column, row), aggregate.table(data[row])
    sizes = data[row].value_counts()
    percent = {
        level: {inner: aggregate.derive(round(count / sizes[level], 6), count) for inner, count in cells.items()}
        for level, cells in counts.items()
    }
    return {"n": {level: totals.get(level) for level in counts}, "percent": percent}


@rpc
def age_pyramid(data: pd.DataFrame, age: Column, sex: Column):
    """Patients by year of age."""
    counts = {
        level: {int(year): aggregate.count(cell) for year, cell in part.groupby(age)[age]}
        for level, part in data.groupby(sex)
    }
    years = sorted({year for cells in counts.values() for year in cells})
    return {
        "index": list(counts),
        "columns": aggregate.levels(data[age]),
        "data": [[cells.get(year, 0) for year in years] for cells in counts.values()],
    }


@rpc
def missing_patterns(data: pd.DataFrame):
    """Which columns are missing together."""
    patterns = data.isna().apply(lambda row: "+".join(row.index[row]), axis=1)
    return aggregate.table(patterns)


@rpc
def joint_histogram(data: pd.DataFrame, x: Column, y: Column, edges_x: list[float], edges_y: list[float]):
    rows = data[[x, y]].dropna()
    parts = [rows.loc[rows[x].between(a, b, inclusive="left"), y] for a, b in zip(edges_x, edges_x[1:])]
    return [aggregate.histogram(part, edges_y) for part in parts]


@rpc
def distribution_function(data: pd.DataFrame, column: Column):
    """The empirical distribution function: its steps."""
    n = aggregate.count(data[column])
    steps = sorted(data[column].dropna().unique())
    below = [aggregate.count(data.loc[data[column] <= step, column]) for step in steps]
    return {"n": n, "at": steps, "share": [aggregate.derive(count / n, count, n) for count in below]}


@rpc
def sparse_cells(data: pl.DataFrame, row: Column, column: Column):
    """The cells that are not zero."""
    return aggregate.suppress(data.group_by(row, column).agg(n=pl.len()), records="n").rows()


@rpc
def odds_ratios(data: pd.DataFrame, exposure: Column, outcome: Column):
    """One 2 x 2 table for each level of the exposure."""
    result = {}
    for level in data[exposure].unique():
        exposed, event = data[exposure] == level, data[outcome] == 1
        cells = exposed & event, exposed & ~event, ~exposed & event, ~exposed & ~event
        result[level] = [aggregate.sum(cell) for cell in cells]
    return result


@rpc
def totals_and_rest(data: pd.DataFrame, column: Column):
    """Frequent levels, and the total of all levels."""
    counts = aggregate.table(data[column])
    return {
        "levels": {level: n for level, n in counts.items() if n is not None},
        "total": aggregate.count(data[column]),
    }


@rpc
def rounded_with_residuals(data: pd.DataFrame, row: Column, column: Column, base: int = 5):
    """Rounded counts, and the rounding error, so that a master can correct its totals."""
    counts = count_pairs(data, column, row)
    rounded = {
        level: {inner: aggregate.derive(round(n / base) * base, n) for inner, n in cells.items()}
        for level, cells in counts.items()
    }
    errors = {
        level: {inner: aggregate.derive(n - rounded[level][inner], n) for inner, n in cells.items()}
        for level, cells in counts.items()
    }
    return {"rounded": rounded, "error": errors}


@rpc
def expected_and_chi(data: pd.DataFrame, row: Column, column: Column):
    """The contributions to chi-square of each cell, with the expected counts."""
    counts = pd.DataFrame(count_pairs(data, row, column)).fillna(0)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.to_numpy().sum()
    cells = counts.to_numpy().ravel().tolist()
    signed = (counts - expected) / np.sqrt(expected)
    return {
        "levels": list(counts.index),
        "columns": list(counts.columns),
        "expected": aggregate.derive(expected, *cells),
        "signed": aggregate.derive(signed.to_numpy(), *cells),
    }


@rpc
def correlation_by_group(data: pd.DataFrame, by: Column, x: Column, y: Column):
    """Correlation within each group; a group of two has a correlation of 1 or -1."""
    return {
        level: aggregate.declare(part[x].corr(part[y]), records=len(part), parameters=2)
        for level, part in data.groupby(by)
        if len(part) > 1
    }
