"""SQL queries as streams of Arrow batches, for all forms that consist of batches.

An Arrow stream declares its types before the first row, but many databases do not describe the types of a query. The
source of the types depends on the database:

* PostgreSQL describes the types. The query casts the columns that Arrow could not represent.
* SQLite has types per value, not per column. A first query collects the types that occur in each column.
* DuckDB and Spark create Arrow batches themselves.
* From any other database, rows are read until each column has had a value. These rows decide the types.

PostgreSQL and SQLite are read through ADBC if the image has its drivers, otherwise row by row through SQLAlchemy, which
takes ten times as long and returns the same types.
"""

from __future__ import annotations

import datetime as dt
import importlib
import itertools
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from algotools.data import _spark, _sql
from algotools.data._spark_uri import is_spark
from algotools.data._sql import check_unique, choose_columns, has_renamed_columns, select
from algotools.data._sql_errors import name_sql_errors
from algotools.data._sql_types import (
    TEXT,
    SqlType,
    find_sqlite_type,
    find_type_by_field,
    find_type_by_number,
    list_sqlite_types,
    name_postgresql_type,
)
from algotools.data.names import quote_name
from algotools.data.reading import NeedsPandas, Unreadable, remember_errors
from algotools.task import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult
    from sqlalchemy.engine import URL

# --- The stream. ---


def open_stream(database: Database, columns: Collection[str] | None, stack: ExitStack) -> tuple[Any, list[str]]:
    """Return a ``pyarrow.RecordBatchReader`` of the requested columns, and the names of all columns.

    Rows are requested when the first batch is read, except rows that decide the types. ``stack`` closes the
    connection.

    Raises:
        NeedsPandas: the query cannot be an inner query, so pandas must read the rows.
        DatabaseUnreadable: the database cannot be reached.
        InputError: neither the task nor the owner specifies a query.
    """
    if _sql.find_duckdb_file(database) is not None:
        return _open_duckdb_stream(database, columns, stack)
    with name_sql_errors(database):
        if is_spark(database.uri):
            schema, batches, names = _spark.read_stream(database, columns, stack)
        else:
            schema, batches, names = _open_stream_of_url(database, columns, stack)
        checked_batches = remember_errors(_name_batch_errors(batches, database), stack)
        return pa.RecordBatchReader.from_batches(schema, checked_batches), names


def _open_stream_of_url(database: Database, columns: Collection[str] | None, stack: ExitStack) -> _Stream:
    """Connect by SQLAlchemy's URI, and return the stream."""
    url = _sql.parse_url(database)
    query = _sql.choose_query(database, url.get_dialect()().identifier_preparer.quote)
    kind = url.get_backend_name()
    if kind not in ("postgresql", "sqlite"):
        return _read_any(_sql.connect(url, stack), query, columns)
    driver: _Driver = open_adbc(url, stack) or _SqlAlchemyDriver(_sql.connect(url, stack))
    return (_read_sqlite if kind == "sqlite" else _read_postgresql)(driver, query, columns)


def _open_duckdb_stream(database: Database, columns: Collection[str] | None, stack: ExitStack) -> tuple[Any, list[str]]:
    """Return DuckDB's batches. Decimals and huge integers become floats, as in pandas."""
    with ExitStack() as opened:
        relation, names = _sql.open_duckdb_relation(database, columns, opened)
        if "INTERVAL" in map(str, relation.types):  # Arrow's intervals have months, those of Polars and pandas have not
            raise NeedsPandas
        stack.enter_context(opened.pop_all())
    with name_sql_errors(database):
        expressions = [
            f"CAST({quote_name(name)} AS DOUBLE) AS {quote_name(name)}"
            if str(kind).startswith(("DECIMAL", "HUGEINT", "UHUGEINT"))
            else quote_name(name)
            for name, kind in zip(relation.columns, relation.types, strict=True)
        ]
        return pa.RecordBatchReader.from_stream(relation.project(", ".join(expressions))), names


_Stream = tuple[Any, Iterator[Any], list[str]]
"""Schema, batches, and the names of all columns."""


def _read_postgresql(driver: _Driver, query: str, columns: Collection[str] | None) -> _Stream:
    """Read a query of PostgreSQL. The server casts each column to its type in Arrow."""
    description = _describe(driver, query)
    names, types = [name for name, _ in description], dict(description)
    selected_names = check_unique(choose_columns(names, columns))
    # ADBC describes money as an integer of cents.
    integers = [name for name in selected_names if types[name].arrow == pa.int64()]
    if integers:
        kinds = driver.read_row(f"SELECT {', '.join(name_postgresql_type(query, name) for name in integers)}")
        types |= {name: TEXT for name, kind in zip(integers, kinds, strict=True) if kind == "money"}
    return *_read_as(driver, query, {name: types[name] for name in selected_names}), names


def _read_sqlite(driver: _Driver, query: str, columns: Collection[str] | None) -> _Stream:
    """Read a query of SQLite twice: first for the types of the values, because columns of SQLite have no fixed type."""
    names = [name for name, _ in _describe(driver, query)]
    if has_renamed_columns(names):
        raise NeedsPandas
    selected_names = check_unique(choose_columns(names, columns))
    kinds = driver.read_row(select(query, map(list_sqlite_types, selected_names)))
    return *_read_as(driver, query, dict(zip(selected_names, map(find_sqlite_type, kinds), strict=True))), names


def _read_as(driver: _Driver, query: str, types: Mapping[str, SqlType]) -> tuple[Any, Iterator[Any]]:
    """Return the schema and the batches of the columns, which the database casts to the types."""
    expressions = [
        f"{column.conversion.format(quote_name(name))} AS {quote_name(name)}" for name, column in types.items()
    ]
    schema = pa.schema([(name, column.arrow) for name, column in types.items()])
    return schema, driver.read_batches(select(query, expressions), schema)


def _describe(driver: _Driver, query: str) -> list[tuple[str, Any]]:
    try:
        return driver.describe(select(query, suffix=" LIMIT 0"))
    except driver.failure as error:  # if the query itself is wrong, pandas raises a better error
        raise NeedsPandas from error


def _read_any(connection: Connection, query: str, columns: Collection[str] | None) -> _Stream:
    """Read a query of any other database; the first values decide the types.

    The first batch decides the type of a column. If a column has no value in the first batch, the second batch decides,
    and so on: otherwise a column that begins with missing values would have the type null, and the first value would be
    an error. The batches that were read for the types are kept and are the first of the stream. A later value of
    another type is an error, because a stream cannot change its types.
    """
    result = _stream_rows(connection, query)
    names = [str(name) for name in result.keys()]  # noqa: SIM118  # not a mapping
    selected_names = check_unique(choose_columns(names, columns))
    positions = [names.index(name) for name in selected_names]
    batches_read: list[list[Any]] = []
    types: list[Any] = [pa.null()] * len(selected_names)
    batches = ([[row[position] for row in part] for position in positions] for part in result.partitions(ROWS))
    while pa.null() in types and (batch := next(batches, None)) is not None:
        batches_read.append(batch)
        types = [_infer_type(values) if kind == pa.null() else kind for values, kind in zip(batch, types, strict=True)]
    schema = pa.schema([*zip(selected_names, types, strict=True)])
    return schema, (_make_batch(batch, schema) for batch in itertools.chain(batches_read, batches)), names


def _infer_type(values: list[Any]) -> Any:
    try:
        kind = pa.array(map(_simplify, values)).type
    except OverflowError:
        return pa.uint64()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise Unreadable(
            "a column has values of several types, which only pandas supports; convert them in the query, with CAST",
            error,
        ) from None
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _simplify(value: Any) -> Any:
    """Convert a value that Arrow or another form cannot represent."""
    if isinstance(value, Decimal):
        return float(value)
    return str(value) if isinstance(value, UUID) else value


def _make_batch(columns: list[list[Any]], schema: Any) -> Any:
    return pa.RecordBatch.from_arrays([*map(_make_array, columns, schema)], schema=schema)


def _make_array(values: list[Any], field: Any) -> Any:
    try:
        return pa.array(map(_simplify, values), field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise Unreadable(
            "a column has values of another type than in its first rows; convert it to one type with CAST in the query",
            f"column {field.name!r}, type in the first rows {field.type}: {error}",
        ) from None


def _name_batch_errors(batches: Iterator[Any], database: Database) -> Iterator[Any]:
    """Yield the batches. Errors while a batch is read are named as in ``name_sql_errors``."""
    with name_sql_errors(database):
        for batch in batches:
            _check_dates(batch)
            yield batch


def _check_dates(batch: Any) -> None:
    """Refuse dates that Python does not have, such as PostgreSQL's infinity: a library would change them.

    Raises:
        Unreadable: a date is outside of the years 1 to 9999.
    """
    for array in batch.columns:
        if array.type == pa.date32():
            numbers, per_day = array.view(pa.int32()), 1
        elif pa.types.is_timestamp(array.type) and array.type.unit == "us":
            numbers, per_day = array.view(pa.int64()), 86_400_000_000
        else:
            continue
        limits = pc.min_max(numbers)
        if limits["min"].is_valid and not (
            _FIRST_DAY * per_day <= limits["min"].as_py() and limits["max"].as_py() < (_LAST_DAY + 1) * per_day
        ):
            raise Unreadable("a date is infinite, or outside of the years 1 to 9999; leave the row out in the query")


_FIRST_DAY, _LAST_DAY = ((day - dt.date(1970, 1, 1)).days for day in (dt.date.min, dt.date.max))


# --- Drivers. ---

ROWS = 2**16
"""Rows of a batch."""


class _Driver(Protocol):
    """A connection to PostgreSQL or SQLite."""

    failure: type[Exception]
    """Class of the driver's errors for a query that the database refuses."""

    def describe(self, query: str) -> list[tuple[str, SqlType]]:
        """Run a query without rows; return the names of the columns, and their types for PostgreSQL."""

    def read_row(self, query: str) -> list[Any]:
        """Return the single row of a query."""

    def read_batches(self, query: str, schema: Any) -> Iterator[Any]:
        """Yield the rows of a query as batches with the types of the schema."""


class _SqlAlchemyDriver:
    """Connection through SQLAlchemy, which reads row by row."""

    def __init__(self, connection: Connection) -> None:
        from sqlalchemy.exc import DBAPIError

        self._connection = connection
        self.failure: type[Exception] = DBAPIError

    def describe(self, query: str) -> list[tuple[str, SqlType]]:
        """See ``_Driver``."""
        with self._connection.exec_driver_sql(query) as result:
            return [(column[0], find_type_by_number(column[1])) for column in result.cursor.description]

    def read_row(self, query: str) -> list[Any]:
        """See ``_Driver``."""
        return list(self._connection.exec_driver_sql(query).one())

    def read_batches(self, query: str, schema: Any) -> Iterator[Any]:
        """See ``_Driver``. Rows that are not read yet stay in the server."""
        for part in _stream_rows(self._connection, query).partitions(ROWS):
            columns = zip(*part, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _stream_rows(connection: Connection, query: str) -> CursorResult[Any]:
    """Return the rows of a query as a stream that ends when the connection is closed."""
    return connection.exec_driver_sql(query, execution_options={"stream_results": True, "max_row_buffer": ROWS})


class _AdbcDriver:
    """Connection through ADBC's low-level interface. ADBC's DB-API would import pandas."""

    def __init__(self, database_handle: Any, begin: str | None, stack: ExitStack) -> None:
        from adbc_driver_manager import AdbcConnection, Error

        self.failure: type[Exception] = Error
        self._stack = stack
        self._connection = stack.enter_context(AdbcConnection(stack.enter_context(database_handle)))
        self._connection.set_autocommit(False)
        if begin is not None:
            self._make_statement(begin).execute_update()

    def describe(self, query: str) -> list[tuple[str, SqlType]]:
        """See ``_Driver``."""
        return [(field.name, find_type_by_field(field)) for field in self._execute(query).schema]

    def read_row(self, query: str) -> list[Any]:
        """See ``_Driver``."""
        return list(self._execute(query).read_all().to_pylist()[0].values())

    def read_batches(self, query: str, schema: Any, **options: int) -> Iterator[Any]:
        """See ``_Driver``."""
        for batch in self._execute(query, **options):
            arrays = [_cast_array(array, field.type) for array, field in zip(batch.columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _make_statement(self, query: str) -> Any:
        from adbc_driver_manager import AdbcStatement

        statement = self._stack.enter_context(AdbcStatement(self._connection))
        statement.set_sql_query(query)
        return statement

    def _execute(self, query: str, **options: int) -> Any:
        statement = self._make_statement(query)
        statement.set_options(**options)
        reader = pa.RecordBatchReader.from_stream(statement.execute_query()[0])
        self._stack.callback(reader.close)
        return reader


class _AdbcSqliteDriver(_AdbcDriver):
    """Connection through ADBC's driver for SQLite.

    The driver derives the types from the first rows, and assumes integers for a column without values there. A later
    text would then be an error. So a row with a constant of the right type in each column is put before the rows.
    """

    def read_batches(self, query: str, schema: Any, **_options: int) -> Iterator[Any]:
        """See ``_Driver``. The first row of constants is dropped."""
        constants = f"SELECT {', '.join(_CONSTANTS[field.type] for field in schema)}"
        union = f"{constants} UNION ALL {select(query)}"
        batches = super().read_batches(union, schema, **{"adbc.sqlite.query.batch_rows": ROWS})
        yield next(batches).slice(1)
        yield from batches


_CONSTANTS: Mapping[Any, str] = {
    pa.int64(): "0", pa.float64(): "0.0", pa.string(): "''", pa.binary(): "x'00'", pa.null(): "NULL",
}  # fmt: skip


def open_adbc(url: URL, stack: ExitStack) -> _AdbcDriver | None:
    """Open a connection through ADBC; return None if the image lacks the driver or ADBC cannot open this URI."""
    try:
        if url.get_backend_name() == "postgresql":
            driver = importlib.import_module("adbc_driver_postgresql")
            conninfo = _sql.make_conninfo(url)
            return _sql.open_in_time(
                url, stack, lambda opened: _AdbcDriver(driver.connect(conninfo), "SET TRANSACTION READ ONLY", opened)
            )
        if url.drivername in ("sqlite", "sqlite+pysqlite") and dict(url.query) == _sql.READONLY:
            driver = importlib.import_module("adbc_driver_sqlite")
            return _AdbcSqliteDriver(driver.connect(f"{url.database}?mode=ro"), None, stack)
    except ModuleNotFoundError:
        pass
    return None


def _cast_array(array: Any, kind: Any) -> Any:
    return pa.nulls(len(array)) if kind == pa.null() else array.cast(kind)
