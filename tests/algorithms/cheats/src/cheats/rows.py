"""Rows and columns of the table, in several shapes."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from algotools import Column, rpc


@rpc
def records(data: pd.DataFrame):
    return data.to_dict("records")


@rpc
def frame(data: pd.DataFrame, columns: list[Column]):
    return data[columns]


@rpc
def head(data: pd.DataFrame, rows: int = 5):
    """A preview of the table."""
    return data.head(rows).to_dict("list")


@rpc
def sorted_column(data: pd.DataFrame, column: Column):
    """The values for a rank test."""
    return {"values": sorted(data[column].dropna())}


@rpc
def values_as_keys(data: pd.DataFrame, column: Column):
    return dict.fromkeys(data[column].dropna().tolist(), True)


@rpc
def counts_of_unique(data: pd.DataFrame, column: Column):
    """How often each value occurs."""
    return data[column].value_counts().to_dict()


@rpc
def indices_of_old(data: pd.DataFrame, column: Column, limit: float):
    return {"index": data.index[data[column] > limit].tolist()}


@rpc
def one_row(data: pd.DataFrame, column: Column, other: list[Column]):
    """The typical case: the row in the middle."""
    middle = data.sort_values(column).iloc[len(data) // 2]
    return middle.to_dict()


@rpc
def sample_of_rows(data: pd.DataFrame, rows: int = 4, seed: int = 0):
    return data.sample(min(rows, len(data)), random_state=seed).to_dict("records")


@rpc
def column_as_array(data: pd.DataFrame, column: Column):
    return data[column].to_numpy()


@rpc
def rows_of_polars(data: pl.DataFrame, column: Column, limit: float):
    return data.filter(pl.col(column) < limit).rows()


@rpc
def lowest_of_lazy_frame(data: pl.LazyFrame, columns: list[Column], by: Column, rows: int = 3):
    """The rows with the lowest values, as columns."""
    return data.sort(by).head(rows).select(columns).collect().to_dict(as_series=False)


@rpc
def slice_of_arrow(data: pa.Table, offset: int = 0, length: int = 3):
    return data.slice(offset, length)


@rpc
def limit_of_duckdb(data: duckdb.DuckDBPyRelation, rows: int = 3):
    return data.limit(rows).fetchall()


@rpc
def page_of_rows(data: pd.DataFrame, page: int, size: int = 10):
    """One page of the table, for a view in a browser."""
    part = data.iloc[page * size : (page + 1) * size]
    return {"columns": list(part.columns), "rows": part.to_numpy().tolist()}


@rpc
def scatter_points(data: pd.DataFrame, x: Column, y: Column, points: int = 50):
    """Points for a plot: every second row at most, to stay short."""
    step = max(2, len(data) // points)
    part = data[[x, y]].dropna().iloc[::step]
    return list(zip(part[x].tolist(), part[y].tolist()))


@rpc
def z_scores(data: pd.DataFrame, column: Column):
    """Standardized values, with the parameters of the standardization."""
    values = data[column].dropna()
    mean, sd = values.mean(), values.std()
    return {"mean": mean, "sd": sd, "scores": ((values - mean) / sd).tolist()}


@rpc
def steps_between(data: pd.DataFrame, column: Column):
    """Differences between consecutive rows, and their start."""
    values = data[column].dropna().to_numpy()
    return {"start": values[0] - values.mean(), "mean": values.mean(), "steps": np.diff(values)}


@rpc
def linked_ids(data: pd.DataFrame, column: Column, candidates: list[int]):
    """Which of the candidates are patients here, for record linkage."""
    known = set(data[column].tolist())
    return [candidate for candidate in candidates if candidate in known]


@rpc
def duplicated_rows(data: pd.DataFrame, columns: list[Column]):
    """Rows with the same values as another row, for the data manager."""
    return data[data.duplicated(columns, keep=False)].to_dict("list")


@rpc
def lines_of_file(data: Path, lines: int = 2):
    """The first lines of the file, to check its format."""
    return data.read_text().splitlines()[: lines + 1]


@rpc
def invalid_rows(data: pd.DataFrame, column: Column, other: Column, low: float, high: float):
    """Rows outside of the plausible range."""
    wrong = data[~data[column].between(low, high)]
    return dict(zip(wrong.index.tolist(), wrong[other].tolist()))
