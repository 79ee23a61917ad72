"""Read a node's database in the form that a function requests.

A *form* is the type that the author annotated (a pandas DataFrame, the database itself). A *source* is a type of
database. Each source has a module in this folder, each form has a module in ``forms``. A module is imported when a task
needs it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from algotools.data import _options
from algotools.data.names import RequestedNames, find_renames, select_columns
from algotools.data.reading import (
    PARQUET_SUFFIXES,
    Loaded,
    NeedsPandas,
    Unreadable,
    find_path,
    name_errors,
    refuse_pipe,
)
from algotools.errors import InputError, UnsupportedDatabase
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd

FORMS = {
    ("pandas", "DataFrame"): "pandas",
    ("polars", "DataFrame"): "polars",
    ("polars", "LazyFrame"): "lazy",
    ("pyarrow", "Table"): "arrow",
    ("pyarrow", "RecordBatchReader"): "batches",
    ("duckdb", "DuckDBPyRelation"): "duckdb",
    ("_duckdb", "DuckDBPyRelation"): "duckdb",  # the class's package in DuckDB 1.4 and 1.5
    ("ibis", "Table"): "ibis",
    ("pathlib", "Path"): "path",
    ("algotools", "Database"): "database",
}
"""Package and class of an annotation -> the form that it requests.

A form is a module of ``forms``, ``pandas``, which the sources themselves return, or one of ``UNREAD``.
"""

UNREAD = frozenset({"database", "path"})
"""The forms that read nothing, so that the names of the columns are unknown."""

SOURCES = {kind: f"algotools.data.{kind}" for kind in ("csv", "excel", "frame", "omop", "parquet", "sparql", "sql")}
"""Type of a database -> its module with ``Source.read``. The module of ``omop`` converts to type ``sql``."""

_QUERYABLE = frozenset({"omop", "sparql", "sql"})
"""The types of databases that answer queries."""

_SUFFIXES = {
    ".csv": "csv", ".frame": "frame", ".parquet": "parquet", ".parq": "parquet", ".pq": "parquet", ".xlsx": "excel",
    ".xlsm": "excel", ".xls": "excel", ".xlsb": "excel", ".ods": "excel", ".sqlite": "sql", ".db": "sql",
    ".duckdb": "sql", ".feather": "feather", ".arrow": "feather",
}  # fmt: skip
"""Suffix of a file's name -> the default type. Some types and files are only refused, but never taken for CSV."""


class FrameInMemory(NamedTuple):
    """A DataFrame of the local federation that is in memory instead of in a file."""

    frame: pd.DataFrame
    write_file: Callable[[], object]
    """Writes the file for a function that requests a path."""


FRAMES_IN_MEMORY: dict[Path, FrameInMemory] = {}
"""Path of the ``.frame`` file -> the frame, in the federation's process and its copies; empty at a node.

The dictionary is here and not in ``frame``, because a lookup must not import pandas.
"""


class Source(Protocol):
    """Interface of a source's module."""

    def read(self, database: Database, columns: Collection[str] | None) -> Loaded:
        """Return the requested columns (None: all) as a DataFrame, in the order of the database.

        Columns that the database does not have are left out.

        Raises:
            DatabaseUnreadable: the database is missing or broken, or permission is denied.
        """


def find_form(annotation: object) -> str | None:
    """Return the form that an annotation requests; None if the annotation is not a form of data."""
    if not isinstance(annotation, type):
        return None
    return FORMS.get((annotation.__module__.partition(".")[0], annotation.__name__))


def detect_type(database: Database) -> str:
    """Return the type of a database: as configured by the node, otherwise derived from the URI, otherwise csv."""
    if database.type:
        return database.type.lower()
    scheme, separator, _ = database.uri.partition("://")
    if separator and scheme != "file":
        return "sql"
    kind = _SUFFIXES.get(PurePosixPath(database.uri).suffix.lower())
    return kind or ("parquet" if _is_partitioned(database.uri) else "csv")


def _is_partitioned(uri: str) -> bool:
    """Whether the URI is a folder with Parquet files."""
    with contextlib.suppress(OSError):
        files = Path(uri).rglob("*") if uri and Path(uri).is_dir() else ()
        return any(file.suffix.lower() in PARQUET_SUFFIXES for file in files)
    return False


def load(
    database: Database,
    form: str,
    columns: Collection[str] | None,
    stack: ExitStack | None = None,
    names: Collection[str] = (),
) -> Loaded:
    """Return a database in the form that a function requests.

    A requested column is found by the normal form of its name, and has the requested name in the table; see ``names``.
    ``names`` are names that the function uses although it reads all columns.

    The caller closes ``stack`` after the function has returned, because a lazy form is read until then.

    Raises:
        UnsupportedDatabase: algotools cannot read this type of database in this form.
        InputError, UnknownColumn: the task requests a query or preprocessing that is not possible.
        DatabaseUnreadable: see ``Source.read``.
    """
    if form in UNREAD and (in_memory := FRAMES_IN_MEMORY.get(Path(database.uri))) is not None:
        in_memory.write_file()
    if form == "database":  # its function can use the query
        return Loaded(database, None)
    kind = detect_type(database)
    _check_query(database, kind)
    if form == "path":
        return Loaded(_require_path(database), None)
    if kind not in SOURCES:
        raise UnsupportedDatabase(
            f"database {database.label!r} has a type that cannot be read as a table (readable types: "
            f"{', '.join(sorted(SOURCES))}); annotate the parameter with `Path` or `Database` and read the "
            "database in the function",
            detail=f"its type is {kind!r}",
        )
    with name_errors(database, kind):
        refuse_pipe(database.uri)
        _options.check_names(database, kind)
    if kind == "omop":
        database, kind = importlib.import_module(SOURCES[kind]).convert_to_sql(database), "sql"
    stack = ExitStack() if stack is None else stack
    loaded = _load_table(database, kind, form, None if columns is None else RequestedNames(columns), stack)
    with name_errors(database, kind):
        renames = find_renames(loaded.columns or (), {*(columns or ()), *names})
    if not renames:
        return loaded
    if form == "pandas":
        table: object = cast("pd.DataFrame", loaded.value).rename(columns=renames)
    else:
        table = _import_form(form).rename_columns(loaded.value, renames)
    return Loaded(table, [renames.get(str(name), name) for name in loaded.columns or ()])


def _load_table(database: Database, kind: str, form: str, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Return the requested columns of a table, with the names of the database."""
    if form == "pandas":
        return _load_pandas(database, kind, columns)
    library = _import_form(form)
    # A library's own reader is faster than the way through pandas. The reader raises NeedsPandas if the library would
    # understand this database differently. The steps of a task's preprocessing work on DataFrames only.
    if not database.preprocessing and (read_natively := getattr(library, f"read_{kind}", None)) is not None:
        with contextlib.suppress(NeedsPandas):
            return cast("Loaded", read_natively(database, columns, stack))
    loaded = _load_pandas(database, kind, columns)
    with name_errors(database, kind):
        if not cast("pd.DataFrame", loaded.value).columns.is_unique:
            raise Unreadable("it has two columns with the same name, which only pandas supports; rename one of them")
        frame = cast("pd.DataFrame", loaded.value)
        _check_values(frame)
        if sparse := {name: dtype.subtype for name, dtype in frame.dtypes.items() if str(dtype).startswith("Sparse[")}:
            frame = frame.astype(sparse)  # DuckDB has no sparse columns
        return loaded._replace(value=library.convert_frame(frame, stack))


def _check_values(frame: pd.DataFrame) -> None:
    """Refuse columns of Python objects that a library would change: DuckDB and Arrow round integers of over 64 bits.

    A column of objects of one type, such as lists, is for the library, and so is a column of integers and floats.

    Raises:
        Unreadable: a column has such values.
    """
    for position in range(frame.shape[1]):
        column = frame.iloc[:, position]
        if str(column.dtype).startswith(("period[", "interval[", "complex")):
            raise Unreadable(
                f"a column has the type {column.dtype}, which only pandas supports; convert it to numbers or texts"
            )
        if column.dtype != "object":
            continue
        values = column.dropna()
        if any(isinstance(value, int) and not -(2**63) <= value < 2**64 for value in values):
            raise Unreadable("a column has integers of more than 64 bits, which only pandas supports; read it as text")
        types = {float if type(value) is int else type(value) for value in values}
        if len(types) > 1:
            raise Unreadable("a column has values of several types, which only pandas supports; give it one type")


def _check_query(database: Database, kind: str) -> None:
    """Refuse a query or a sheet for a type of database that would ignore it.

    A node may set the variable of a query although the task has none: then the query is empty, or the text ``None``.
    """
    if kind not in SOURCES:
        return
    if _is_given(database.query) and kind not in _QUERYABLE:
        raise InputError(
            f"the task has a query for database {database.label!r} of type {kind!r}, but only types "
            f"{', '.join(sorted(_QUERYABLE))} have queries; remove the query, or request another database"
        )
    if _is_given(database.sheet_name) and kind != "excel":
        raise InputError(
            f"the task names a sheet of database {database.label!r} of type {kind!r}, but only databases of type excel "
            "have sheets; remove the name of the sheet, or request another database"
        )


def _is_given(text: str | None) -> bool:
    return (text or "").strip() not in ("", "None")


def _load_pandas(database: Database, kind: str, columns: Collection[str] | None) -> Loaded:
    source = cast("Source", importlib.import_module(SOURCES[kind]))
    if not database.preprocessing:
        return source.read(database, columns)
    from algotools.data import _preprocessing  # here: few tasks request it

    steps = _preprocessing.read_steps(database)
    # The steps may use columns that the function does not request.
    step_columns = {name for step in steps for name in step.columns}
    loaded = source.read(database, None if columns is None else RequestedNames({*columns, *step_columns}))
    frame = cast("pd.DataFrame", loaded.value)
    with name_errors(database, kind):
        renames = find_renames(list(frame.columns), step_columns)
    frame = _preprocessing.apply_steps(steps, frame.rename(columns=renames), database)
    restored = {new: old for old, new in renames.items()}
    return loaded._replace(value=select_columns(frame.rename(columns=restored), columns).value)


def _import_form(form: str) -> Any:
    try:
        return importlib.import_module(f"algotools.data.forms.{form}")
    except ModuleNotFoundError as error:
        raise UnsupportedDatabase(
            f"the image lacks the package {error.name}, which the data form {form!r} needs; add the package to the "
            "algorithm's dependencies"
        ) from error


def _require_path(database: Database) -> Path:
    """Return the path of a file or folder that exists."""
    if (path := find_path(database.uri)) is None:
        raise UnsupportedDatabase(
            f"database {database.label!r} is not a file or folder, so it has no path; annotate the parameter with "
            "`Database` to get the URI"
        )
    if not os.path.exists(path):
        with name_errors(database, "folder"):
            raise FileNotFoundError(path)
    return Path(path)
