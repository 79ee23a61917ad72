"""``duckdb.DuckDBPyRelation``: a query of the asked columns, on a connection of its own; DuckDB works out of core."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import duckdb

from algotools.data import Loaded
from algotools.data.delimited import look
from algotools.data.files import parquet_path, picked, without_index
from algotools.data.reading import reading
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd


def csv(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A CSV file; DuckDB looks at its first 20,480 rows to choose the types."""
    return csv_on(connected(closing), database, columns, closing)


def csv_on(connection: Any, database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """The same on a connection that is there."""
    with reading(database, "csv"):
        file = look(database, _UNDERSTOOD, _COMPRESSIONS)
        dialect = file.dialect
        relation = connection.read_csv(
            _literal(file.path, closing),
            header=True,
            delimiter=dialect.sep,
            quotechar=dialect.quotechar,
            escapechar=dialect.quotechar,
            skiprows=dialect.skiprows,
            na_values=file.missing,
            compression=file.compression or "none",
            dtype=dict.fromkeys(set(dialect.parse_dates) & set(file.names), "TIMESTAMP"),
            # DuckDB before 2 imports pandas when it is told the decimal mark.
            **({} if dialect.decimal == "." else {"decimal": dialect.decimal}),
            **({} if dialect.comment is None else {"comment": dialect.comment}),
            **({} if dialect.thousands is None else {"thousands": dialect.thousands}),
        )
        return _picked(relation, relation.columns, columns)


def parquet(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A file or a partitioned folder of Parquet."""
    return parquet_on(connected(closing), database, columns, closing)


def parquet_on(connection: Any, database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """The same on a connection that is there."""
    with reading(database, "parquet"):
        path = parquet_path(database)
        parts = f"{_literal(path, closing)}/**/*.parquet" if path.is_dir() else _literal(path, closing)
        relation = connection.read_parquet(parts, hive_partitioning=path.is_dir(), union_by_name=path.is_dir())
        return _picked(relation, without_index(relation.columns), columns)


def sql(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A query of a DuckDB database runs in it; the rows of any other are read up, for DuckDB to work on."""
    from algotools.data.forms import arrow
    from algotools.data.sql import duckdb as files

    if files.is_file(database):
        relation, names = files.relation(database, columns, closing)
        return Loaded(relation, [*names])
    loaded = arrow.sql(database, columns, closing)
    with reading(database, "sql"):
        return loaded._replace(value=connected(closing).from_arrow(loaded.value))


def of_pandas(frame: pd.DataFrame, closing: ExitStack) -> Any:
    """A frame without its index; it is read where it is."""
    return of_pandas_on(connected(closing), frame)


def of_pandas_on(connection: Any, frame: pd.DataFrame) -> Any:
    """The same on a connection that is there. DuckDB has no table without a column: then the rows are numbered."""
    return connection.from_df(frame if frame.shape[1] else frame.assign(row=range(len(frame))))


def connected(closing: ExitStack) -> Any:
    """The run's connection, to no database yet; what does not fit into memory goes to a temporary folder.

    It is one for all tables of a run, for DuckDB joins no two of different connections.
    """
    if (there := _CONNECTIONS.get(closing)) is not None:
        return there
    folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="algotools-"))
    connection = duckdb.connect(config={**_CONFIGURATION, "temp_directory": folder})
    closing.callback(connection.close)
    _CONNECTIONS[closing] = connection
    return connection


_CONNECTIONS: WeakKeyDictionary[ExitStack, Any] = WeakKeyDictionary()
"""What is closed at the end of a run -> the run's connection."""


_CONFIGURATION = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
"""A node has no internet to fetch extensions from, and nobody should wait for it."""

_UNDERSTOOD = frozenset({"comment", "decimal", "na_values", "parse_dates", "quotechar", "sep", "skiprows", "thousands"})
_COMPRESSIONS = frozenset({"gzip", "zstd"})


def _picked(relation: Any, names: list[str], columns: Collection[str] | None) -> Loaded:
    asked = picked(names, columns)
    return Loaded(relation.select(*map(duckdb.ColumnExpression, asked)) if asked else relation, [*names])


def _literal(path: Path, closing: ExitStack) -> str:
    """A path as DuckDB takes it: one with what it reads as a pattern gets another name."""
    if not set("*?[") & set(str(path)):
        return str(path)
    link = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="algotools-"))) / "database"
    link.symlink_to(path.absolute())
    return str(link)
