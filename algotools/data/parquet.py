"""Parquet files, through pyarrow and pandas: databases of a node, and the tables of v5's sessions."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from algotools.data._parquet_parts import inspect_parts, open_parts
from algotools.data.names import find_index_names, select_names
from algotools.data.reading import Loaded, find_parquet, name_errors
from algotools.errors import NotSerializable
from algotools.payload.values import ENGINES, BadValue, collect_lazy, compute_table, name_type, read_batches
from algotools.task import Database


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """Return the requested columns of a file or folder, as ``pandas.read_parquet`` reads them; see ``Source.read``."""
    with name_errors(database, "parquet"):
        path = find_parquet(database)
        if path.is_dir():
            parts = inspect_parts(path)
            folder = open_parts(parts, as_categories=True)
            names = [name for name in folder.schema.names if name not in parts.index_names]
            selected_names = None if columns is None else [*select_names(names, columns), *parts.index_names]
            return _restore_names(folder.to_table(columns=selected_names).to_pandas(), names, columns)
        schema = pq.read_schema(path)
        index = find_index_names(schema)
        names = [name for name in schema.names if name not in index]
        frame = pd.read_parquet(path, columns=None if columns is None else select_names(names, columns))
        return _restore_names(frame, names, columns)


def _restore_names(frame: pd.DataFrame, names: list[str], columns: Collection[str] | None) -> Loaded:
    """Return a frame with the file's texts as names, as a task writes them.

    pandas converts the texts to the numbers, dates or levels that they were. Levels stay if all columns are requested.
    """
    if columns is None and frame.columns.nlevels > 1:
        return Loaded(frame, list(frame.columns))
    if not all(isinstance(label, str) for label in frame.columns):
        frame = frame.set_axis(select_names(names, columns), axis="columns")
    return Loaded(frame, names)


def encode(table: object) -> bytes:
    """Return a table of any library as the bytes of a Parquet file.

    A DataFrame is written as pandas and v5's wrapper write it.

    Raises:
        NotSerializable: the value is not a table, or a column has no single type. The message names the column and
            quotes no value.
    """
    table = _from_pandas(table) if isinstance(table, pd.DataFrame) else _from_library(table)
    if not isinstance(table, pa.Table):
        raise NotSerializable(
            "the function must return a table of pandas, Polars, Arrow, DuckDB or Ibis, not a value of type "
            f"{name_type(type(table))}"
        )
    sink = io.BytesIO()
    try:
        pq.write_table(table, sink)
    except pa.ArrowException as error:
        raise NotSerializable(
            f"the table has a type that Parquet does not support ({type(error).__name__})", detail=str(error)
        ) from None
    return sink.getvalue()


def list_columns(path: Path) -> list[tuple[str, str]]:
    """Return the name and the Arrow type of each column of a file. A v5 node reports them to its server.

    Raises:
        DatabaseUnreadable: the file is not a Parquet file.
    """
    with name_errors(Database(path.stem, str(path)), "parquet"):
        # The footer alone would be enough, but `read_table` also checks that the whole file can be read.
        return [(field.name, str(field.type)) for field in pq.read_table(path).schema]


def _from_library(table: Any) -> object:
    """Convert another library's table to an Arrow table; return any other value unchanged. Compute lazy tables."""
    package = type(table).__module__.partition(".")[0]
    if package == "polars":
        frame = collect_lazy(table)
        return frame.to_arrow() if hasattr(frame, "to_arrow") else frame
    if package in ENGINES:
        try:
            table = compute_table(table, ())
        except BadValue as problem:
            raise problem.to_error() from None
    return pa.Table.from_batches(read_batches(table), table.schema) if hasattr(table, "read_all") else table


def _from_pandas(frame: pd.DataFrame) -> Any:
    try:
        return pa.Table.from_pandas(frame)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        # The name of a column may be unknown to the researcher, so it is only for the owner.
        labels = frame.columns.tolist()  # Python's own numbers instead of NumPy's
        names = [repr(label) for i, label in enumerate(labels) if not _has_type(frame.iloc[:, i])]
        subject = "a column" if names else "the table"
        raise NotSerializable(
            f"the table cannot be written: {subject} has values of several types, or of a type that Parquet does not "
            "support; give each column one type and a unique name (the owner's log names the columns)",
            detail=f"columns: {', '.join(names) or 'all'}\n{error}",
        ) from None


def _has_type(column: pd.Series[Any]) -> bool:
    try:
        pa.Array.from_pandas(column)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return False
    return True
