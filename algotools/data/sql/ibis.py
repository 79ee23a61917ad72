"""A query as an expression of Ibis', which runs in the database: only what the function executes leaves it.

PostgreSQL, SQLite and DuckDB for reading only; any other database as Ibis reaches it by the same URI, cluster engines
among them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import ibis

from algotools.data.reading import NotAlike
from algotools.data.sql import duckdb, place
from algotools.data.sql.problems import naming
from algotools.data.sql.statement import picked, query_of, quoted, renamed, select, single
from algotools.task import Database

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def table(database: Database, columns: Collection[str] | None, closing: ExitStack) -> tuple[Any, list[str]]:
    """An ``ibis.Table`` of the asked columns, and the names of all columns; ``closing`` ends the connection.

    Raises:
        NotAlike: it is no query that can be put into another.
        DatabaseUnreadable: the database cannot be reached, or refuses the query.
        InputError: there is no query.
    """
    with naming(database):
        if duckdb.is_file(database):
            found = _duckdb(database, closing)
        else:
            url = place.url_of(database)
            query = query_of(database, url.get_dialect()().identifier_preparer.quote)
            found = _WAYS.get(url.get_backend_name(), _any)(url, query, closing)
        names = list(found.columns)
        asked = picked(names, columns)
        return (found if asked == names else found.select(asked)), names


def _duckdb(database: Database, closing: ExitStack) -> Any:
    connection = duckdb.connection(database, closing)
    relation, names = duckdb.asked_of(database, connection)
    backend = ibis.duckdb.from_connection(connection)
    return backend.sql(query_of(database, quoted), schema=_schema(backend, names, map(str, relation.types)))


def _postgresql(url: URL, query: str, closing: ExitStack) -> Any:
    """Ibis would make a view to learn the types, which takes the right to write; so it is told."""
    import psycopg

    connection = closing.enter_context(contextlib.closing(psycopg.connect(place.conninfo(url), prepare_threshold=0)))
    connection.read_only = True
    backend = ibis.postgres.from_connection(connection)
    try:
        with connection.transaction():
            described = connection.execute(select(query, rest=" LIMIT 0").encode()).description or []
            numbers = [column.type_code for column in described]
            types = [row[0] for row in connection.execute(_TYPES, [numbers])]
    except psycopg.Error as error:  # if it is the query's own fault, that will show
        raise NotAlike from error
    return backend.sql(query, schema=_schema(backend, [column.name for column in described], types))


_TYPES = """
    SELECT CASE WHEN typtype = 'e' THEN 'enum' ELSE format_type(number, NULL) END
    FROM unnest(%s::oid[]) WITH ORDINALITY AS asked (number, place) JOIN pg_type ON pg_type.oid = number
    ORDER BY place
"""


def _sqlite(url: URL, query: str, closing: ExitStack) -> Any:
    uri = url.database or ":memory:"
    if dict(url.query) == place.READONLY:
        uri += "?mode=ro"
    connection = closing.enter_context(contextlib.closing(sqlite3.connect(uri, uri=True)))
    found = ibis.sqlite.from_connection(connection).sql(query)
    if renamed(found.columns):
        raise NotAlike
    return found


def _any(url: URL, query: str, closing: ExitStack) -> Any:
    """Ibis' URIs are SQLAlchemy's without a driver."""
    backend = ibis.connect(url.set(drivername=url.get_backend_name()).render_as_string(hide_password=False))
    closing.callback(backend.disconnect)
    return backend.sql(query)


def _schema(backend: Any, names: list[str], types: Iterable[str]) -> dict[str, Any]:
    """Ibis' types by the database's own names of them."""
    known = backend.compiler.type_mapper
    return {name: known.from_string(kind) for name, kind in zip(single(names), types, strict=True)}


_WAYS: Mapping[str, Callable[[URL, str, ExitStack], Any]] = {"postgresql": _postgresql, "sqlite": _sqlite}
