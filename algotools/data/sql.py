"""SQL databases, through pandas and SQLAlchemy; DuckDB files through DuckDB, and Spark through Arrow."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pandas as pd

from algotools.data._spark_uri import is_spark
from algotools.data._sql import (
    WRAPPABLE,
    choose_columns,
    choose_query,
    connect,
    find_duckdb_file,
    has_renamed_columns,
    open_duckdb,
    parse_url,
    query_duckdb,
    select,
    select_duckdb,
)
from algotools.data._sql_errors import name_sql_errors
from algotools.data.names import quote_name, select_columns
from algotools.data.reading import Loaded
from algotools.task import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """Return the requested columns of the query, as ``pandas.read_sql_query`` reads them; see ``Source.read``.

    Raises:
        InputError: neither the task nor the owner specifies a query.
    """
    with name_sql_errors(database), ExitStack() as stack:
        if find_duckdb_file(database) is not None:
            return _read_duckdb(database, columns, stack)
        if is_spark(database.uri):
            from algotools.data import _spark  # here: it imports Arrow

            return _spark.read_frame(database, columns)
        url = parse_url(database)
        query = choose_query(database, url.get_dialect()().identifier_preparer.quote)
        connection = connect(url, stack)
        names = None if columns is None else _read_names(connection, query)
        selected_names = None if names is None else choose_columns(names, columns)
        if names is None or selected_names is None or len(set(selected_names)) < len(selected_names):
            return select_columns(_read_frame(query, connection), columns)
        frame = _read_frame(select(query, map(quote_name, selected_names)), connection)
        return Loaded(select_columns(frame, columns).value, names)


def _read_frame(query: str, connection: Connection) -> pd.DataFrame:
    """Return the frame of pandas, with the exact values of large integers.

    A column of integers with a missing value has the dtype float64 in pandas, which rounds integers above 2**53.
    """
    frame = pd.read_sql_query(query, connection)
    for position in range(frame.shape[1]):
        column = frame.iloc[:, position]
        if column.dtype != "float64" or not (column.abs() >= 2.0**53).any() or not column.isna().any():
            continue
        values = [row[position] for row in connection.exec_driver_sql(query)]
        is_exact = all(value is None or (type(value) is int and -(2**63) <= value < 2**63) for value in values)
        if is_exact and [*column.isna()] == [value is None for value in values]:
            frame.isetitem(position, pd.array(values, "Int64"))
    return frame


def _read_names(connection: Connection, query: str) -> list[str] | None:
    """Return the names of all columns; None for a query that cannot be an inner query or would change as one."""
    from sqlalchemy.exc import DBAPIError

    if connection.dialect.name not in WRAPPABLE:
        return None
    try:
        names = list(connection.exec_driver_sql(select(query, suffix=" LIMIT 0")).keys())
    except DBAPIError:  # if the query itself is wrong, reading it raises a better error
        connection.rollback()
        return None
    return None if connection.dialect.name == "sqlite" and has_renamed_columns(names) else names


def _read_duckdb(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Return the frame that DuckDB creates."""
    relation = query_duckdb(database, open_duckdb(database, stack))
    selected_names = choose_columns(relation.columns, columns)
    is_unique = len(set(selected_names)) == len(selected_names)
    frame = (select_duckdb(relation, selected_names) if is_unique else relation).df()
    return Loaded(select_columns(frame, columns).value, relation.columns)
