"""``duckdb.DuckDBPyRelation``: a query of the requested columns, on a connection that belongs to the run.

DuckDB can also process tables that do not fit into memory.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import duckdb

from algotools.data._csv_head import FALSE, LATE, TRUE, Kind
from algotools.data._sql import SAME_NAMES
from algotools.data.forms import Delimited, find_uniform_parts, inspect_csv
from algotools.data.names import parse_index_names, quote_name, select_names
from algotools.data.reading import (
    Loaded,
    NeedsPandas,
    Unreadable,
    add_check,
    find_parquet,
    is_memory_error,
    name_errors,
)
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd


def read_csv(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Open a CSV file. The first rows decide the types, because a query cannot change them later."""
    return read_csv_with(connect(stack), database, columns, stack)


def read_csv_with(connection: Any, database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Read a CSV file on a connection."""
    with name_errors(database, "csv"):
        file = inspect_csv(database, columns, _SUPPORTED, _COMPRESSIONS, accepts_long_rows="if empty")
        # DuckDB can pad short rows, or read quoted newlines, but not both in one file.
        traits = file.traits
        if traits.has_mixed_line_ends or (file.has_short_rows and traits.has_quoted_newlines):
            raise NeedsPandas
        # The columns are read as texts and converted afterwards. DuckDB's reader converts too much: with the type
        # BIGINT it reads ``1.5`` as 2 and ``1_000`` as 1000, without a message.
        relation = connection.read_csv(
            _escape_path(file.path, stack),
            auto_detect=False,
            header=False,
            columns=dict.fromkeys(file.names, "VARCHAR"),
            delimiter=file.dialect.sep,
            quotechar=file.dialect.quotechar,
            escapechar=file.dialect.quotechar,
            skiprows=file.skipped_lines,
            na_values=file.dialect.missing,  # in quotes, too
            compression=file.compression or "none",
            null_padding=not file.traits.has_quoted_newlines,
        )
        if file.kinds:
            relation = relation.project(", ".join(_convert(file, name) for name in file.kinds))
        add_check(stack, lambda: _check_rows(relation, database))
        return Loaded(relation, file.names)


def _check_rows(relation: Any, database: Database) -> None:
    """Read all rows of a CSV file.

    Raises:
        DatabaseUnreadable: a row cannot be read with the types of the first rows.
    """
    with name_errors(database, "csv"):
        try:
            relation.aggregate(", ".join(f"count({quote_name(name)})" for name in relation.columns)).fetchall()
        except duckdb.Error as error:
            if is_memory_error(error):
                raise
            raise Unreadable(LATE, error) from None


def _convert(file: Delimited, name: str) -> str:
    """Return an expression of SQL: a column of texts, converted to its type."""
    text, kind, decimal = quote_name(name), file.kinds[name], file.dialect.decimal
    if kind is Kind.TEXT:
        return text
    if kind is Kind.BOOLEAN:
        true, false = (", ".join(map(_quote, texts)) for texts in (TRUE, FALSE))
        cases, value, is_wrong = f"WHEN {text} IN ({true}) THEN true", "false", f"{text} NOT IN ({false})"
    else:
        number = text if decimal == "." else f"replace({text}, {_quote(decimal)}, '.')"
        is_wrong = " OR ".join(f"contains({text}, {_quote(mark)})" for mark in "_." if mark == "_" or decimal != ".")
        cases, value = "", f"{number}::DOUBLE"
        if missing := file.dialect.missing_numbers:
            cases = f"WHEN {value} IN ({', '.join(map(repr, missing))}) THEN NULL"
        if kind is Kind.INTEGER:
            is_wrong += f" OR {text}::DOUBLE <> {text}::BIGINT"
            value = f"{text}::BIGINT"
    error = f"error({_quote(LATE)})"
    return f"CASE WHEN {text} IS NULL THEN NULL {cases} WHEN {is_wrong} THEN {error} ELSE {value} END AS {text}"


def _quote(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def read_parquet(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Read a Parquet file or a partitioned folder."""
    return read_parquet_with(connect(stack), database, columns, stack)


def read_parquet_with(connection: Any, database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Read a Parquet file or a partitioned folder on a connection."""
    with name_errors(database, "parquet"):
        path = find_parquet(database)
        files, index, has_partitions = [path], frozenset[str](), False
        if path.is_dir():
            files, index, has_partitions = find_uniform_parts(path)
        first = _quote(_escape_path(files[0], stack))  # as a parameter, it would make DuckDB 1 import pandas
        if not path.is_dir():
            query = f"SELECT decode(value) FROM parquet_kv_metadata({first}) WHERE decode(key) = 'pandas'"  # noqa: S608 - quoted
            index = parse_index_names(next((row[0] for row in connection.execute(query).fetchall()), None))
        relation = connection.read_parquet(
            [_escape_path(file, stack) for file in files],
            hive_partitioning=has_partitions,
            union_by_name=len(files) > 1,
        )
        if any(_RENAMED.search(name) for name in relation.columns):
            query = f"SELECT lower(name) FROM parquet_schema({first})"  # noqa: S608 - quoted
            names = [row[0] for row in connection.execute(query).fetchall()]
            if any(name.lower() not in names for name in relation.columns if _RENAMED.search(name)):
                raise Unreadable(SAME_NAMES)
        return _select(relation, [name for name in relation.columns if name not in index], columns)


_RENAMED = re.compile(r"_\d+$")
"""The end of a name that DuckDB may have invented, because it ignores the case of names."""


def read_sql(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Open a query. A DuckDB file runs the query itself; from any other database all rows are read."""
    from algotools.data._sql import find_duckdb_file, open_duckdb_relation
    from algotools.data.forms import arrow

    if find_duckdb_file(database) is not None:
        relation, names = open_duckdb_relation(database, columns, stack)
        return Loaded(relation, names)
    loaded = arrow.read_sql(database, columns, stack)
    with name_errors(database, "sql"):
        _check_case(loaded.value.column_names)  # type: ignore[attr-defined]  # an Arrow table
        return loaded._replace(value=connect(stack).from_arrow(loaded.value))


def convert_frame(frame: pd.DataFrame, stack: ExitStack) -> Any:
    """Use a frame as a table, without its index and without a copy."""
    return convert_frame_with(connect(stack), frame)


def convert_frame_with(connection: Any, frame: pd.DataFrame) -> Any:
    """Use a frame as a table of a connection. A frame without columns gets row numbers: DuckDB needs a column.

    Raises:
        Unreadable: two names differ only in case.
    """
    _check_case(list(map(str, frame.columns)))
    return connection.from_df(frame if frame.shape[1] else frame.assign(row=range(len(frame))))


def convert_arrow(table: Any, stack: ExitStack) -> Any:
    """Use an Arrow table as a table of the run's connection."""
    return connect(stack).from_arrow(table)


def rename_columns(relation: Any, renames: Mapping[str, str]) -> Any:
    """Return the relation with other names of columns: old name -> new name."""
    expressions = [f"{quote_name(name)} AS {quote_name(renames.get(name, name))}" for name in relation.columns]
    return relation.project(", ".join(expressions))


def _check_case(names: list[str]) -> None:
    """Refuse an empty name, and names that differ only in case: DuckDB would rename a column."""
    if "" in names:
        raise Unreadable("a column has an empty name, which DuckDB does not support; give it a name")
    if len({name.lower() for name in names}) < len(names):
        raise Unreadable(SAME_NAMES)


def connect(stack: ExitStack) -> Any:
    """Return the run's connection, which all tables of the run share. Data beyond the memory go to a temporary folder.

    DuckDB cannot join tables of different connections.
    """
    if (open_connection := _CONNECTIONS.get(stack)) is not None:
        return open_connection
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="algotools-"))
    connection = duckdb.connect(config={**_CONFIGURATION, "temp_directory": folder})
    stack.callback(connection.close)
    _CONNECTIONS[stack] = connection
    return connection


_CONNECTIONS: WeakKeyDictionary[ExitStack, Any] = WeakKeyDictionary()
"""Exit stack of a run -> the run's connection."""


_CONFIGURATION = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
"""A node has no internet access, so a run must not wait for the download of an extension."""

_SUPPORTED = frozenset({"decimal", "dtype", "na_values", "parse_dates", "quotechar", "sep", "skiprows"})
_COMPRESSIONS = frozenset({"gzip", "zstd"})


def _select(relation: Any, names: list[str], columns: Collection[str] | None) -> Loaded:
    selected_names = select_names(names, columns)
    return Loaded(relation.project(", ".join(map(quote_name, selected_names))) if selected_names else relation, names)


def _escape_path(path: Path, stack: ExitStack) -> str:
    """Return the path for DuckDB, which expands ``*``, ``?`` and ``[``. Link to a path with these characters.

    Raises:
        NeedsPandas: DuckDB 1 would not find the file. It looks for the file with the rights of the real user, which the
            sandbox on a machine's root takes away.
    """
    if not os.access(path, os.F_OK):
        raise NeedsPandas
    if not set("*?[") & set(str(path)):
        return str(path)
    link = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="algotools-"))) / "database"
    link.symlink_to(path.absolute())
    return str(link)
