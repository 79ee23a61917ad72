"""Parquet, through pyarrow and pandas: files of a node's, and the tables of v5's sessions."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from algotools.data import Loaded
from algotools.data.files import parquet_path, picked
from algotools.data.reading import reading
from algotools.errors import NotSerializable
from algotools.payload import path as places
from algotools.payload import tables
from algotools.task import Database


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """The file or folder as ``pandas.read_parquet`` gives it, or the asked columns of it: see ``Source.read``."""
    with reading(database, "parquet"):
        path = parquet_path(database)
        files = pq.ParquetDataset(path)
        remarks = files.schema.pandas_metadata or {}
        index = {level for level in remarks.get("index_columns", ()) if isinstance(level, str)}
        names = [name for name in files.schema.names if name not in index]
        asked = None if columns is None else picked(names, columns)
        return Loaded(pd.read_parquet(path, columns=asked), names)


def encode(table: object) -> bytes:
    """A table of any library as the bytes of a Parquet file; pandas' as ``pandas`` and v5's own wrapper write it.

    Raises:
        NotSerializable: it is neither, or a column of it has no type; names the column, and quotes nothing of it.
    """
    table = _arrow(table) if isinstance(table, pd.DataFrame) else _made(table)
    if not isinstance(table, pa.Table):
        raise NotSerializable(
            "a function that makes a table must return one, of pandas, Polars, Arrow, DuckDB or Ibis, not a value of "
            f"type {type(table).__qualname__}"
        )
    sink = io.BytesIO()
    try:
        pq.write_table(table, sink)
    except pa.ArrowException as error:
        raise NotSerializable(
            f"the table has a type that Parquet does not ({type(error).__name__})", detail=str(error)
        ) from None
    return sink.getvalue()


def columns_of(path: Path) -> list[tuple[str, str]]:
    """Name and type, in Arrow's words, of each column of a file: what a v5 node tells its server of a table.

    Raises:
        DatabaseUnreadable: it is no Parquet file.
    """
    with reading(Database(path.stem, str(path)), "parquet"):
        return [(field.name, str(field.type)) for field in pq.read_table(path).schema]  # all of it can be read


def _made(table: Any) -> object:
    """Arrow's table of one of another library's, worked out if it is a lazy one; anything else as it is."""
    package = type(table).__module__.partition(".")[0]
    if package == "polars":
        collected = tables.collected(table)
        return collected.to_arrow() if hasattr(collected, "to_arrow") else collected
    if package in tables.ENGINES:
        try:
            table = tables.worked_out(table, ())
        except places.Unfit as unfit:
            raise unfit.error() from None
    return pa.Table.from_batches(tables.batches(table), table.schema) if hasattr(table, "read_all") else table


def _arrow(frame: pd.DataFrame) -> Any:
    try:
        return pa.Table.from_pandas(frame)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        where = next((f"column {_shown(frame, i)}" for i in range(frame.shape[1]) if not _fits(frame.iloc[:, i])), "it")
        raise NotSerializable(
            f"the table cannot be written: {where} has values of several kinds, or of one that Parquet does not have; "
            "give a column one type, and each a name of its own",
            detail=str(error),
        ) from None


def _fits(column: pd.Series[Any]) -> bool:
    try:
        pa.Array.from_pandas(column)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return False
    return True


def _shown(frame: pd.DataFrame, position: int) -> str:
    """A column's name; its place where what it is called might be a value."""
    label = frame.columns[position]
    return repr(label) if isinstance(label, str) else str(position)
