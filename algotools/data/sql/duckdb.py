"""Files of DuckDB, which need its package: queries run in it, and nothing else can be read or written by one."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from algotools.data import Loaded
from algotools.data.reading import Unfit, loaded
from algotools.data.sql import place
from algotools.data.sql.problems import naming
from algotools.data.sql.statement import picked, query_of, quoted, single
from algotools.task import Database

if TYPE_CHECKING:
    import duckdb


def is_file(database: Database) -> bool:
    """Whether the database is one."""
    return place.duckdb_file(database) is not None


def relation(
    database: Database, columns: Collection[str] | None, closing: ExitStack
) -> tuple[duckdb.DuckDBPyRelation, list[str]]:
    """The asked columns, of which nothing is read yet, and the names of all columns; ``closing`` ends the connection.

    Raises:
        DatabaseUnreadable: it is no file of DuckDB's, or refuses the query.
        InputError: there is no query.
    """
    with naming(database):
        whole, names = asked_of(database, connection(database, closing))
        return _narrow(whole, single(picked(names, columns))), names


def stream(database: Database, columns: Collection[str] | None, closing: ExitStack) -> tuple[Any, list[str]]:
    """The same as a ``pyarrow.RecordBatchReader``, with what pandas has as floats as such."""
    import pyarrow as pa

    found, names = relation(database, columns, closing)
    with naming(database):
        made = [
            f"CAST({quoted(name)} AS DOUBLE) AS {quoted(name)}" if _is_wide(kind) else quoted(name)
            for name, kind in zip(found.columns, found.types, strict=True)
        ]
        return pa.RecordBatchReader.from_stream(found.project(", ".join(made))), names


def frame(database: Database, columns: Collection[str] | None) -> Loaded:
    """What DuckDB itself makes a DataFrame of, or the asked columns of it."""
    with naming(database), ExitStack() as closing:
        whole, names = asked_of(database, connection(database, closing))
        asked = picked(names, columns)
        table = (whole if len(set(asked)) < len(asked) else _narrow(whole, asked)).df()
        return Loaded(loaded(table, columns).value, [*names])


def connection(database: Database, closing: ExitStack) -> duckdb.DuckDBPyConnection:
    """The file, opened for reading only; what does not fit into memory goes to a temporary folder."""
    import duckdb

    path = place.duckdb_file(database)
    if path is None:
        raise Unfit("it is no file of DuckDB")
    with path.open("rb"):  # which says what is wrong better than DuckDB does
        pass
    temporary = closing.enter_context(tempfile.TemporaryDirectory(prefix="algotools-"))
    opened = duckdb.connect(str(path), read_only=True, config={**_CONFIGURATION, "temp_directory": temporary})
    closing.callback(opened.close)
    return opened


_CONFIGURATION: dict[str, Any] = {
    "autoinstall_known_extensions": False,  # a node has no internet to fetch them from
    "autoload_known_extensions": False,
    "enable_external_access": False,  # a task's query reads no other file, nor writes one
    "python_enable_replacements": False,  # and knows no variable of ours
}


def asked_of(database: Database, opened: duckdb.DuckDBPyConnection) -> tuple[duckdb.DuckDBPyRelation, list[str]]:
    """The query, of which nothing is read yet, and the names of its columns."""
    query = query_of(database, quoted)
    if len(opened.extract_statements(query)) != 1:
        raise Unfit("the task's query is not one statement")
    found: duckdb.DuckDBPyRelation | None = opened.sql(query)
    if found is None:
        raise Unfit("the task's query gives no table")
    return found, found.columns


def _narrow(whole: duckdb.DuckDBPyRelation, asked: list[str]) -> duckdb.DuckDBPyRelation:
    return whole if asked == whole.columns else whole.project(", ".join(map(quoted, asked)))


def _is_wide(kind: object) -> bool:
    return str(kind).startswith(("DECIMAL", "HUGEINT", "UHUGEINT"))
