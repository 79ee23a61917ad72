"""``ibis.Table``: an expression of the requested columns, which is computed where the data are.

DuckDB computes expressions of files in this process. A SQL database computes its own expressions, so that only the
result leaves the database. PostgreSQL, SQLite and DuckDB are opened read-only. Spark has a backend of its own
(``_spark_backend``). Ibis opens any other database by the same URI.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import ibis
import sqlglot
import sqlglot.errors
import sqlglot.expressions

from algotools.data import _sql
from algotools.data._spark_uri import is_spark
from algotools.data._sql_errors import missing_driver_message, name_sql_errors
from algotools.data._sql_types import list_sqlite_types
from algotools.data.forms import duckdb
from algotools.data.names import quote_name
from algotools.data.reading import Loaded, NeedsPandas, Unreadable
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy.engine import URL

# --- Files, in DuckDB. ---


def read_csv(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Open a CSV file."""
    connection = duckdb.connect(stack)
    return _make_expression(duckdb.read_csv_with(connection, database, columns, stack), connection, stack)


def read_parquet(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Open a Parquet file or a partitioned folder."""
    connection = duckdb.connect(stack)
    return _make_expression(duckdb.read_parquet_with(connection, database, columns, stack), connection, stack)


def convert_frame(frame: pd.DataFrame, stack: ExitStack) -> Any:
    """Use a frame as a table, without its index."""
    connection = duckdb.connect(stack)
    return _make_expression(Loaded(duckdb.convert_frame_with(connection, frame), None), connection, stack).value


def convert_arrow(table: Any, stack: ExitStack) -> Any:
    """Use an Arrow table as a table of the run's DuckDB."""
    return _make_expression(Loaded(duckdb.convert_arrow(table, stack), None), duckdb.connect(stack), stack).value


def rename_columns(table: Any, renames: Mapping[str, str]) -> Any:
    """Return the table with other names of columns: old name -> new name."""
    return table.rename({new: old for old, new in renames.items() if old in table.columns})


def _make_expression(loaded: Loaded, connection: Any, stack: ExitStack) -> Loaded:
    """Convert a relation of DuckDB to an expression of Ibis."""
    relation: Any = loaded.value
    if (backend := _BACKENDS.get(stack)) is None:
        backend = _BACKENDS[stack] = ibis.duckdb.from_connection(connection)
    name = f"data_{next(_NUMBERS)}"
    relation.create_view(name)
    return Loaded(backend.table(name), loaded.columns)


_NUMBERS = itertools.count()
_BACKENDS: WeakKeyDictionary[ExitStack, Any] = WeakKeyDictionary()
"""Exit stack of a run -> Ibis' backend for the run's DuckDB. Ibis cannot join tables of different backends."""


# --- SQL, in the database itself. ---


def read_sql(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Open a query.

    Raises:
        NeedsPandas: the query cannot be an inner query.
        DatabaseUnreadable: the database cannot be reached, or refuses the query.
        InputError: neither the task nor the owner specifies a query.
    """
    with name_sql_errors(database):
        if is_spark(database.uri):
            from algotools.data.forms import _spark_backend  # here: it imports pyspark

            return _spark_backend.open_table(database, columns, stack)
        if _sql.find_duckdb_file(database) is not None:
            table = _query_duckdb(database, stack)
        else:
            url = _sql.parse_url(database)
            if (open_table := _QUERIES.get(url.get_backend_name())) is not None:
                query = _sql.choose_query(database, url.get_dialect()().identifier_preparer.quote)
                table = open_table(url, query, columns, stack)
            else:
                table = _query_any(url, database, stack)
        names = list(table.columns)
        selected_names = _sql.choose_columns(names, columns)
        return Loaded(table if selected_names == names else table.select(selected_names), names)


def _query_duckdb(database: Database, stack: ExitStack) -> Any:
    connection = _sql.open_duckdb(database, stack)
    relation = _sql.query_duckdb(database, connection)
    backend = ibis.duckdb.from_connection(connection)
    schema = _make_schema(backend, relation.columns, map(str, relation.types))
    return backend.sql(_sql.choose_query(database, quote_name), schema=schema)


def _query_postgresql(url: URL, query: str, _columns: Collection[str] | None, stack: ExitStack) -> Any:
    """Open a query with its types. Without the types Ibis would create a view, but the connection is read-only."""
    import psycopg

    def open_connection(opened: ExitStack) -> tuple[psycopg.Connection, Any]:
        session = psycopg.connect(_sql.make_conninfo(url), prepare_threshold=0)
        connection = opened.enter_context(contextlib.closing(session))
        connection.read_only = True
        return connection, ibis.postgres.from_connection(connection)

    connection, backend = _sql.open_in_time(url, stack, open_connection)
    try:
        with connection.transaction():
            description = connection.execute(_sql.select(query, suffix=" LIMIT 0").encode()).description or []
            numbers = [column.type_code for column in description]
            types = [row[0] for row in connection.execute(_TYPES, [numbers])]
    except psycopg.Error as error:  # if the query itself is wrong, pandas raises a better error
        raise NeedsPandas from error
    names = _sql.check_unique([column.name for column in description])
    casts = [_CASTS.get(kind) or ("" if kind in _KNOWN or kind.endswith("[]") else "text") for kind in types]
    for position, column in enumerate(description):
        if types[position] == "numeric" and column.precision is not None:
            types[position], casts[position] = f"numeric({column.precision}, {column.scale or 0})", ""
    if any(casts):
        columns = zip(map(quote_name, names), casts, strict=True)
        query = _sql.select(query, (f"{name}::{cast} AS {name}" if cast else name for name, cast in columns))
        types = [cast or kind for kind, cast in zip(types, casts, strict=True)]
    return backend.sql(query, schema=_make_schema(backend, names, types))


_CASTS = {"numeric": "double precision", "oid": "bigint"}
"""Type of PostgreSQL -> the type of the column for Ibis. Arrow has no decimals without a precision."""

_KNOWN = frozenset({
    "bigint", "boolean", "bytea", "character", "character varying", "date", "double precision", "enum", "integer",
    "interval", "json", "jsonb", "name", "real", "smallint", "text", "time without time zone",
    "timestamp with time zone", "timestamp without time zone",
})  # fmt: skip
"""Types of PostgreSQL that Ibis reads. Columns of other types are cast to text, as in the other forms."""


_TYPES = """
    SELECT CASE WHEN typtype = 'e' THEN 'enum' ELSE format_type(number, NULL) END
    FROM unnest(%s::oid[]) WITH ORDINALITY AS requested (number, ordinal) JOIN pg_type ON pg_type.oid = number
    ORDER BY ordinal
"""


def _query_sqlite(url: URL, query: str, columns: Collection[str] | None, stack: ExitStack) -> Any:
    uri = url.database or ":memory:"
    if dict(url.query) == _sql.READONLY:
        uri += "?mode=ro"
    connection = stack.enter_context(contextlib.closing(sqlite3.connect(uri, uri=True)))
    backend = ibis.sqlite.from_connection(connection)
    schema = dict(backend.sql(query).schema())
    if _sql.has_renamed_columns(schema):
        raise NeedsPandas
    # The types are per value. Ibis knows the declared types, and those of the first row.
    names = _sql.choose_columns(list(schema), columns)
    expressions = [*map(list_sqlite_types, names), *map(_detect_rounding, names)]
    row = connection.execute(_sql.select(query, expressions)).fetchone()
    if any(row[len(names) :]):
        raise NeedsPandas
    for name, kind in zip(names, row, strict=False):
        schema[name] = _reconcile(schema[name], frozenset((kind or "null").split(",")) - {"null"})
    return backend.sql(query, schema=schema)


def _detect_rounding(name: str) -> str:
    """Return an expression: whether Ibis would round an integer, because it reads missing integers as floats."""
    column = quote_name(name)
    integer = f"CASE typeof({column}) WHEN 'integer' THEN {column} END"
    return f"count({column}) < count(*) AND (max({integer}) >= {2**53} OR min({integer}) <= -{2**53})"


def _reconcile(declared: Any, kinds: frozenset[str]) -> Any:
    """Return the declared type of a column of SQLite if it fits the types of the values, otherwise one that fits.

    Raises:
        NeedsPandas: no type fits.
    """
    fits = {
        "integer": declared.is_numeric() or declared.is_boolean(),
        "real": declared.is_floating() or declared.is_decimal(),
        "text": not (declared.is_numeric() or declared.is_boolean() or declared.is_binary() or declared.is_unknown()),
        "blob": declared.is_binary(),
    }
    if all(fits[kind] for kind in kinds):
        return declared
    match sorted(kinds):
        case ["integer"]:
            return ibis.dtype("int64")
        case ["real"] | ["integer", "real"]:
            return ibis.dtype("float64")
        case ["text"]:
            return ibis.dtype("string")
        case ["blob"]:
            return ibis.dtype("binary")
    raise NeedsPandas


def _query_any(url: URL, database: Database, stack: ExitStack) -> Any:
    """Open a query by Ibis' URI, which is SQLAlchemy's without a driver.

    Ibis reads the types of a query in a way of each engine. Some ways execute the query as a statement or paste it into
    one. So the query is parsed, must be a single query, and is written again from its syntax tree.
    """
    name = url.get_backend_name()
    address = url.set(drivername=name).render_as_string(hide_password=False)
    if name not in {entry_point.name for entry_point in entry_points(group="ibis.backends")}:
        raise Unreadable("Ibis has no engine for the scheme of its URI; annotate the parameter with another form", name)

    def open_connection(opened: ExitStack) -> Any:
        try:
            backend = ibis.connect(address)
        except ImportError as error:
            reason = missing_driver_message("ibis-framework with the extra for the scheme of the URI")
            raise Unreadable(reason, f"{name}: {error}") from None
        opened.callback(backend.disconnect)
        return backend

    backend = _sql.open_in_time(url, stack, open_connection)
    if (dialect := backend.dialect) is None:
        raise Unreadable("it is an engine without SQL, so it has no query")
    query = _sql.choose_query(database, lambda name: str(sqlglot.to_identifier(name, quoted=True).sql(dialect)))
    return backend.sql(_write_again(query, dialect))


def _write_again(query: str, dialect: Any) -> str:
    """Return a query as the inner query of another, written from its syntax tree, without comments.

    Raises:
        Unreadable: the text is not a single query that only reads.
    """
    try:
        statements = [statement for statement in sqlglot.parse(query, read=dialect) if statement is not None]
    except sqlglot.errors.SqlglotError as error:
        raise Unreadable("the task's query cannot be parsed; write it in the SQL of the database", error) from None
    if len(statements) != 1:
        raise Unreadable("the task's query is not a single statement")
    if not isinstance(statements[0], sqlglot.exp.Query) or next(statements[0].find_all(*_WRITING), None) is not None:
        raise Unreadable("the task's query does not only read; write a SELECT")
    return str(sqlglot.select("*").from_(statements[0].subquery("t")).sql(dialect, comments=False))


_WRITING = (sqlglot.exp.DDL, sqlglot.exp.DML, sqlglot.exp.Command, sqlglot.exp.Copy, sqlglot.exp.Drop, sqlglot.exp.Into)
"""Nodes of a statement that writes, also within a query, such as ``WITH x AS (DELETE …)``."""


def _make_schema(backend: Any, names: list[str], types: Iterable[str]) -> dict[str, Any]:
    """Return Ibis' types for names of database types."""
    mapper = backend.compiler.type_mapper
    return {name: mapper.from_string(kind) for name, kind in zip(_sql.check_unique(names), types, strict=True)}


_QUERIES: Mapping[str, Callable[[URL, str, Collection[str] | None, ExitStack], Any]] = {
    "postgresql": _query_postgresql,
    "sqlite": _query_sqlite,
}
