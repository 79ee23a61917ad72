"""``ibis.Table``: an expression of the asked columns, which runs where the data are.

For files that is DuckDB, in this process; for SQL the database itself.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import ibis

from algotools.data import Loaded
from algotools.data.forms import duckdb
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd


def csv(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A CSV file, in DuckDB."""
    connection = duckdb.connected(closing)
    return _expression(duckdb.csv_on(connection, database, columns, closing), connection)


def parquet(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A file or a partitioned folder of Parquet, in DuckDB."""
    connection = duckdb.connected(closing)
    return _expression(duckdb.parquet_on(connection, database, columns, closing), connection)


def sql(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A query, in the database itself."""
    from algotools.data.sql.ibis import table

    expression, names = table(database, columns, closing)
    return Loaded(expression, [*names])


def of_pandas(frame: pd.DataFrame, closing: ExitStack) -> Any:
    """A frame without its index, in DuckDB."""
    connection = duckdb.connected(closing)
    return _expression(Loaded(duckdb.of_pandas_on(connection, frame), None), connection).value


def _expression(loaded: Loaded, connection: Any) -> Loaded:
    """DuckDB's relation as Ibis sees it."""
    relation: Any = loaded.value
    relation.create_view("data")
    return Loaded(ibis.duckdb.from_connection(connection).table("data"), loaded.columns)
