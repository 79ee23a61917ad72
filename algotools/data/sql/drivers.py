"""Ways to have Arrow batches of a query: ADBC, or row by row through SQLAlchemy."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from algotools.data.sql import place, postgresql
from algotools.data.sql.statement import select

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult
    from sqlalchemy.engine import URL

ROWS = 2**16
"""Of how many a batch is made."""


class Driver(Protocol):
    """A connection to PostgreSQL or SQLite."""

    failure: type[Exception]
    """What it raises when the database refuses a query."""

    def described(self, query: str) -> list[tuple[str, postgresql.Type]]:
        """The columns of a query that gives no rows; their types count if they are PostgreSQL's."""

    def row(self, query: str) -> list[Any]:
        """The only row of a query."""

    def batches(self, query: str, schema: Any) -> Iterator[Any]:
        """The rows of a query, as what they are to be."""


class Rows:
    """A connection of SQLAlchemy's."""

    def __init__(self, connection: Connection) -> None:
        from sqlalchemy.exc import DBAPIError

        self._connection = connection
        self.failure: type[Exception] = DBAPIError

    def described(self, query: str) -> list[tuple[str, postgresql.Type]]:
        """See ``Driver``."""
        with self._connection.exec_driver_sql(query) as result:
            return [(column[0], postgresql.of_number(column[1])) for column in result.cursor.description]

    def row(self, query: str) -> list[Any]:
        """See ``Driver``."""
        return list(self._connection.exec_driver_sql(query).one())

    def batches(self, query: str, schema: Any) -> Iterator[Any]:
        """See ``Driver``; the server keeps what is not read yet."""
        for part in rows(self._connection, query).partitions(ROWS):
            columns = zip(*part, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def rows(connection: Connection, query: str) -> CursorResult[Any]:
    """The rows of a query, some at a time, until the connection is closed."""
    return connection.exec_driver_sql(query, execution_options={"stream_results": True, "max_row_buffer": ROWS})


class Adbc:
    """A connection of ADBC's; its own interface to Python would load pandas."""

    def __init__(self, opened: Any, begin: str | None, closing: ExitStack) -> None:
        from adbc_driver_manager import AdbcConnection, Error

        self.failure: type[Exception] = Error
        self._closing = closing
        self._connection = closing.enter_context(AdbcConnection(closing.enter_context(opened)))
        self._connection.set_autocommit(False)
        if begin is not None:
            self._statement(begin).execute_update()

    def described(self, query: str) -> list[tuple[str, postgresql.Type]]:
        """See ``Driver``."""
        return [(field.name, postgresql.of_field(field)) for field in self._read(query).schema]

    def row(self, query: str) -> list[Any]:
        """See ``Driver``."""
        return list(self._read(query).read_all().to_pylist()[0].values())

    def batches(self, query: str, schema: Any, **options: int) -> Iterator[Any]:
        """See ``Driver``."""
        for batch in self._read(query, **options):
            arrays = [_as(array, field.type) for array, field in zip(batch.columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _statement(self, query: str) -> Any:
        from adbc_driver_manager import AdbcStatement

        statement = self._closing.enter_context(AdbcStatement(self._connection))
        statement.set_sql_query(query)
        return statement

    def _read(self, query: str, **options: int) -> Any:
        statement = self._statement(query)
        statement.set_options(**options)
        reader = pa.RecordBatchReader.from_stream(statement.execute_query()[0])
        self._closing.callback(reader.close)
        return reader


class AdbcOfSqlite(Adbc):
    """ADBC's driver of SQLite, which looks at the first rows and takes a column without values there as integers."""

    def batches(self, query: str, schema: Any, **_options: int) -> Iterator[Any]:
        """See ``Driver``; a row with a value in every column comes first, and is left out."""
        first = f"SELECT {', '.join(_FIRST[field.type] for field in schema)}"  # no text of anybody's
        whole = f"{first} UNION ALL {select(query)}"
        batches = super().batches(whole, schema, **{"adbc.sqlite.query.batch_rows": ROWS})
        yield next(batches).slice(1)
        yield from batches


_FIRST: Mapping[Any, str] = {
    pa.int64(): "0", pa.float64(): "0.0", pa.string(): "''", pa.binary(): "x'00'", pa.null(): "NULL",
}  # fmt: skip


def adbc(url: URL, closing: ExitStack) -> Adbc | None:
    """A connection through ADBC; None if the image has no driver of it, or it would not be the same database."""
    try:
        if url.get_backend_name() == "postgresql":
            driver = importlib.import_module("adbc_driver_postgresql")
            return Adbc(driver.connect(place.conninfo(url)), "SET TRANSACTION READ ONLY", closing)
        if url.drivername in ("sqlite", "sqlite+pysqlite") and dict(url.query) == place.READONLY:
            driver = importlib.import_module("adbc_driver_sqlite")
            return AdbcOfSqlite(driver.connect(f"{url.database}?mode=ro"), None, closing)
    except ModuleNotFoundError:
        pass
    return None


def _as(array: Any, kind: Any) -> Any:
    return pa.nulls(len(array)) if kind == pa.null() else array.cast(kind)
