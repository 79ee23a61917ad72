"""The pandas form of a query, through SQLAlchemy."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pandas as pd

from algotools.data import Loaded
from algotools.data.reading import loaded
from algotools.data.sql import place
from algotools.data.sql.problems import naming
from algotools.data.sql.statement import WRAPPED, picked, query_of, quoted, renamed, select
from algotools.task import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection


def frame(database: Database, columns: Collection[str] | None) -> Loaded:
    """What ``pandas.read_sql_query`` gives, or the asked columns of it."""
    with naming(database), ExitStack() as closing:
        url = place.url_of(database)
        query = query_of(database, url.get_dialect()().identifier_preparer.quote)
        connection = place.connected(url, closing)
        names = None if columns is None else names_of(connection, query)
        if columns is None or names is None:
            return loaded(pd.read_sql_query(query, connection), columns)
        asked = picked(names, columns)
        if len(set(asked)) < len(asked):
            return loaded(pd.read_sql_query(query, connection), columns)
        narrow = pd.read_sql_query(select(query, map(quoted, asked)), connection)
        return Loaded(loaded(narrow, columns).value, [*names])


def names_of(connection: Connection, query: str) -> list[str] | None:
    """The names of all columns; None of a query that cannot be part of another, or would be another there."""
    from sqlalchemy.exc import DBAPIError

    if connection.dialect.name not in WRAPPED:
        return None
    try:
        names = list(connection.exec_driver_sql(select(query, rest=" LIMIT 0")).keys())
    except DBAPIError:  # if it is the query's own fault, that will show
        connection.rollback()
        return None
    return None if connection.dialect.name == "sqlite" and renamed(names) else names
