"""What a query gives as a stream of Arrow batches.

PostgreSQL and SQLite through ADBC where the image has its drivers, else row by row through SQLAlchemy: ten times as
long, and the same types. DuckDB by itself. Of any other database the first rows decide on the types.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa

from algotools.data.reading import NotAlike, Unfit
from algotools.data.sql import duckdb, place, sqlite
from algotools.data.sql.drivers import ROWS, Driver, Rows, adbc, rows
from algotools.data.sql.problems import naming
from algotools.data.sql.statement import picked, query_of, quoted, renamed, select, single
from algotools.task import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection


def open(  # noqa: A001  # reads well as `arrow.open`
    database: Database, columns: Collection[str] | None, closing: ExitStack
) -> tuple[Any, list[str]]:
    """A ``pyarrow.RecordBatchReader`` of the asked columns, and the names of all columns.

    The rows are asked for when the first batch is read. ``closing`` ends the connection.

    Raises:
        NotAlike: it is no query that can be put into another, so its rows must be read as pandas does.
        DatabaseUnreadable: the database cannot be reached.
        InputError: there is no query.
    """
    if duckdb.is_file(database):
        return duckdb.stream(database, columns, closing)
    with naming(database):
        url = place.url_of(database)
        query = query_of(database, url.get_dialect()().identifier_preparer.quote)
        kind = url.get_backend_name()
        if kind not in ("postgresql", "sqlite"):
            schema, batches, names = _told_by_rows(place.connected(url, closing), query, columns)
        else:
            driver: Driver = adbc(url, closing) or Rows(place.connected(url, closing))
            schema, batches, names = (_of_sqlite if kind == "sqlite" else _of_postgresql)(driver, query, columns)
        return pa.RecordBatchReader.from_batches(schema, _named(batches, database)), names


_Found = tuple[Any, Iterator[Any], list[str]]
"""Schema, batches, and the names of all columns."""


def _of_postgresql(driver: Driver, query: str, columns: Collection[str] | None) -> _Found:
    """The server is asked for a column as what it is to be."""
    found = _described(driver, query)
    names, types = [name for name, _ in found], dict(found)
    asked = single(picked(names, columns))
    narrow = select(query, [f"{types[name].made.format(quoted(name))} AS {quoted(name)}" for name in asked])
    schema = pa.schema([(name, types[name].arrow) for name in asked])
    return schema, driver.batches(narrow, schema), names


def _of_sqlite(driver: Driver, query: str, columns: Collection[str] | None) -> _Found:
    """Once through all values for their types, and then for themselves."""
    names = [name for name, _ in _described(driver, query)]
    if renamed(names):
        raise NotAlike
    asked = picked(names, columns)
    found = driver.row(select(query, map(sqlite.kinds, asked)))
    types = dict(zip(asked, map(sqlite.of_kinds, found), strict=True))
    narrow = select(query, [f"{made.format(quoted(name))} AS {quoted(name)}" for name, (_, made) in types.items()])
    schema = pa.schema([(name, arrow) for name, (arrow, _) in types.items()])
    return schema, driver.batches(narrow, schema), names


def _described(driver: Driver, query: str) -> list[tuple[str, Any]]:
    try:
        return driver.described(select(query, rest=" LIMIT 0"))
    except driver.failure as error:  # if it is the query's own fault, that will show
        raise NotAlike from error


def _told_by_rows(connection: Connection, query: str, columns: Collection[str] | None) -> _Found:
    """As many rows are read ahead as it takes to know the type of every column."""
    result = rows(connection, query)
    names = [str(name) for name in result.keys()]  # noqa: SIM118  # it is no mapping
    asked = single(picked(names, columns))
    places = [names.index(name) for name in asked]
    seen: list[list[Any]] = []
    types: list[Any] = [pa.null()] * len(asked)
    rest = ([[row[place] for row in part] for place in places] for part in result.partitions(ROWS))
    while pa.null() in types and (part := next(rest, None)) is not None:
        seen.append(part)
        types = [_type(values) if kind == pa.null() else kind for values, kind in zip(part, types, strict=True)]
    schema = pa.schema([*zip(asked, types, strict=True)])
    return schema, (_batch(part, schema) for part in itertools.chain(seen, rest)), names


def _type(values: list[Any]) -> Any:
    kind = pa.array(map(_plain, values)).type
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _plain(value: Any) -> Any:
    """What Arrow has no type for, or one that other forms have not."""
    if isinstance(value, Decimal):
        return float(value)
    return str(value) if isinstance(value, UUID) else value


def _batch(part: list[list[Any]], schema: Any) -> Any:
    return pa.RecordBatch.from_arrays([*map(_array, part, schema)], schema=schema)


def _array(values: list[Any], field: Any) -> Any:
    try:
        return pa.array(map(_plain, values), field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise Unfit(
            f"column {field.name!r} has values of another type than in its first rows ({field.type}); give it one type "
            "in the query, with CAST",
            error,
        ) from None


def _named(batches: Iterator[Any], database: Database) -> Iterator[Any]:
    """The batches; what goes wrong with one of them is named."""
    with naming(database):
        yield from batches
