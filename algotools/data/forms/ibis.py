"""``ibis.Table``: an expression of the asked columns, which runs where the data are.

For files that is DuckDB, in this process; for SQL the database itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import ibis

from algotools.data import Loaded
from algotools.data.forms import duckdb
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd


def csv(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A CSV file, in DuckDB."""
    connection = duckdb.connected(closing)
    return _expression(duckdb.csv_on(connection, database, columns, closing), connection, closing)


def parquet(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A file or a partitioned folder of Parquet, in DuckDB."""
    connection = duckdb.connected(closing)
    return _expression(duckdb.parquet_on(connection, database, columns, closing), connection, closing)


def sql(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A query, in the database itself."""
    from algotools.data.sql.ibis import table

    expression, names = table(database, columns, closing)
    return Loaded(expression, [*names])


def of_pandas(frame: pd.DataFrame, closing: ExitStack) -> Any:
    """A frame without its index, in DuckDB."""
    connection = duckdb.connected(closing)
    return _expression(Loaded(duckdb.of_pandas_on(connection, frame), None), connection, closing).value


def _expression(loaded: Loaded, connection: Any, closing: ExitStack) -> Loaded:
    """DuckDB's relation as Ibis sees it."""
    relation: Any = loaded.value
    if (backend := _BACKENDS.get(closing)) is None:
        backend = _BACKENDS[closing] = ibis.duckdb.from_connection(connection)
    name = f"data_{next(_NUMBERS)}"
    relation.create_view(name)
    return Loaded(backend.table(name), loaded.columns)


_NUMBERS = itertools.count()
_BACKENDS: WeakKeyDictionary[ExitStack, Any] = WeakKeyDictionary()
"""What is closed at the end of a run -> Ibis' way to the run's DuckDB: Ibis joins no two tables of different ones."""
