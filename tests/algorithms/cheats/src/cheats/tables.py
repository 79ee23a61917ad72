"""Tables of counts and of statistics with small cells."""

import numpy as np
import pandas as pd
import polars as pl

from algotools import Column, rpc


@rpc
def crosstab(data: pd.DataFrame, row: Column, column: Column):
    return pd.crosstab(data[row], data[column])


@rpc
def crosstab_with_margins(data: pd.DataFrame, row: Column, column: Column, minimum: int = 3):
    """Small cells are hidden, but the margins are those of the whole table."""
    table = pd.crosstab(data[row], data[column])
    shown = table.where((table >= minimum) | (table == 0))
    return {"cells": shown, "rows": table.sum(axis=1), "columns": table.sum(axis=0)}


@rpc
def three_way_table(data: pd.DataFrame, by: list[Column]):
    return [[*key, int(n)] for key, n in data.groupby(by).size().items()]


@rpc
def table_of_means(data: pd.DataFrame, row: Column, column: Column, value: Column):
    return data.pivot_table(value, row, column, aggfunc="mean")


@rpc
def fine_histogram(data: pd.DataFrame, column: Column, low: float, high: float, bins: int = 100):
    counts, _ = np.histogram(data[column].dropna(), bins, (low, high))
    return counts.tolist()


@rpc
def density(data: pd.DataFrame, column: Column, low: float, high: float, points: int, width: float):
    """A kernel density estimate at equally spaced points."""
    grid = np.linspace(low, high, points)
    values = data[column].dropna().to_numpy()
    return np.exp(-(((grid[:, None] - values) / width) ** 2) / 2).mean(axis=1) / (width * np.sqrt(2 * np.pi))


@rpc
def proportions_table(data: pd.DataFrame, row: Column, column: Column):
    """Proportions of each row, and the number of rows."""
    table = pd.crosstab(data[row], data[column], normalize="all")
    return {"n": len(data), "table": table.to_dict("index")}


@rpc
def row_percentages(data: pd.DataFrame, row: Column, column: Column):
    """Small counts are hidden, but the percentages are not."""
    table = pd.crosstab(data[row], data[column])
    shares = table.div(table.sum(axis=1), axis=0).round(6)
    return {"n": table.sum(axis=1).where(lambda n: n >= 3).to_dict(), "percent": shares.to_dict("index")}


@rpc
def age_pyramid(data: pd.DataFrame, age: Column, sex: Column):
    """Patients by year of age."""
    return data.groupby([sex, age]).size().unstack(fill_value=0).to_dict("split")


@rpc
def missing_patterns(data: pd.DataFrame):
    """Which columns are missing together."""
    patterns = data.isna().apply(lambda row: "+".join(row.index[row]), axis=1)
    return patterns.value_counts().to_dict()


@rpc
def joint_histogram(data: pd.DataFrame, x: Column, y: Column, edges_x: list[float], edges_y: list[float]):
    rows = data[[x, y]].dropna()
    return np.histogram2d(rows[x], rows[y], [np.array(edges_x), np.array(edges_y)])[0]


@rpc
def distribution_function(data: pd.DataFrame, column: Column):
    """The empirical distribution function: its steps."""
    shares = data[column].value_counts(normalize=True).sort_index().cumsum()
    return {"n": len(data), "at": shares.index, "share": shares.to_numpy()}


@rpc
def sparse_cells(data: pl.DataFrame, row: Column, column: Column):
    """The cells that are not zero."""
    return data.group_by(row, column).len().sort(row, column).rows()


@rpc
def odds_ratios(data: pd.DataFrame, exposure: Column, outcome: Column):
    """One 2 x 2 table for each level of the exposure."""
    result = {}
    for level in data[exposure].unique():
        exposed, event = data[exposure] == level, data[outcome] == 1
        a, b = int((exposed & event).sum()), int((exposed & ~event).sum())
        result[level] = [a, b, int(event.sum()) - a, int((~event).sum()) - b]
    return result


@rpc
def totals_and_rest(data: pd.DataFrame, column: Column, minimum: int = 3):
    """Frequent levels, and the total of all levels."""
    counts = data[column].value_counts()
    return {"levels": counts[counts >= minimum].to_dict(), "total": len(data)}


@rpc
def rounded_with_residuals(data: pd.DataFrame, row: Column, column: Column, base: int = 5):
    """Rounded counts, and the rounding error, so that a master can correct its totals."""
    table = pd.crosstab(data[row], data[column])
    rounded = (table / base).round() * base
    return {"rounded": rounded.to_dict("index"), "error": (table - rounded).to_dict("index")}


@rpc
def expected_and_chi(data: pd.DataFrame, row: Column, column: Column):
    """The contributions to chi-square of each cell, with the expected counts."""
    table = pd.crosstab(data[row], data[column])
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.to_numpy().sum()
    signed = (table - expected) / np.sqrt(expected)
    return {
        "levels": list(table.index),
        "columns": list(table.columns),
        "expected": expected,
        "signed": signed.to_numpy(),
    }


@rpc
def correlation_by_group(data: pd.DataFrame, by: Column, x: Column, y: Column):
    """Correlation within each group; a group of two has a correlation of 1 or -1."""
    return {level: part[x].corr(part[y]) for level, part in data.groupby(by) if len(part) > 1}
