"""A node's database -> what a function asked for.

A *form* is what the author annotated (a pandas DataFrame, the database itself); a *source* is a type of
database. There is one module a source, imported when a function needs it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from algotools.data.held import HELD
from algotools.errors import UnsupportedDatabase
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
    ("_duckdb", "DuckDBPyRelation"): "duckdb",  # where it says it is, in DuckDB 1.4 and 1.5
    ("ibis", "Table"): "ibis",
    ("pathlib", "Path"): "path",
    ("algotools", "Database"): "database",
}
"""Package and class of an annotation -> the form that it asks for.

It is a module of ``forms``, ``pandas``, which the sources themselves give, or one of ``UNREAD``.
"""

UNREAD = frozenset({"database", "path"})
"""The forms in which nothing is read, and no column known."""

SOURCES = {kind: f"algotools.data.{kind}" for kind in ("csv", "excel", "frame", "omop", "parquet", "sparql", "sql")}
"""Type of a database -> the module that reads it."""

ENDINGS = {
    ".csv": "csv", ".frame": "frame", ".parquet": "parquet", ".xlsx": "excel", ".xls": "excel",
    ".sqlite": "sql", ".db": "sql", ".duckdb": "sql",
}  # fmt: skip
"""How a file's name ends -> its type, where the node does not say."""


class Loaded(NamedTuple):
    """What was read, and the columns that the database has, read or not; None if that was not looked at."""

    value: object
    columns: list[object] | None


class Source(Protocol):
    """What a module under this folder offers."""

    def read(self, database: Database, columns: Collection[str] | None) -> Loaded:
        """Those of the asked columns (None: all) that the database has, in its own order.

        Raises:
            DatabaseUnreadable: the database is missing, broken, or may not be read.
        """


def form_of(annotation: object) -> str | None:
    """The form that an annotation asks for; None if it is no form of data."""
    if not isinstance(annotation, type):
        return None
    return FORMS.get((annotation.__module__.partition(".")[0], annotation.__name__))


def type_of(database: Database) -> str:
    """The type of a database: what the node says, else what its URI tells, else csv."""
    if database.type:
        return database.type.lower()
    scheme, separator, _ = database.uri.partition("://")
    if separator and scheme != "file":
        return "sql"
    kind = ENDINGS.get(PurePosixPath(database.uri).suffix.lower())
    return kind or ("parquet" if _is_partitioned(database.uri) else "csv")


def _is_partitioned(uri: str) -> bool:
    """Whether it is a folder with a table in parts."""
    with contextlib.suppress(OSError):
        return uri != "" and Path(uri).is_dir() and next(Path(uri).rglob("*.parquet"), None) is not None
    return False


def load(database: Database, form: str, columns: Collection[str] | None, closing: ExitStack | None = None) -> Loaded:
    """Give a database in the form that a function asks for.

    ``closing`` is closed when the function has returned: a lazy form is read until then.

    Raises:
        UnsupportedDatabase: this version does not read such a database.
        InputError, UnknownColumn: the task asks for preprocessing that cannot be done.
        DatabaseUnreadable: see ``Source.read``.
    """
    if form in UNREAD:
        place(database)
        return Loaded(database if form == "database" else _path(database), None)
    kind = type_of(database)
    if kind not in SOURCES:
        raise UnsupportedDatabase(
            f"database {database.label!r} is of type {kind!r}, which cannot be read as a table; "
            f"types that can: {', '.join(sorted(SOURCES))}; or annotate the parameter `Path` or `Database` and read it "
            "yourself"
        )
    if kind == "omop":  # which is SQL, of whichever form
        database, kind = importlib.import_module(SOURCES[kind]).as_sql(database), "sql"
    if form == "pandas":
        return _as_pandas(database, kind, columns)
    from algotools.data import reading

    closing = ExitStack() if closing is None else closing
    library = _module(form)
    if not database.preprocessing and (own := getattr(library, kind, None)) is not None:
        with contextlib.suppress(reading.NotAlike):
            return cast("Loaded", own(database, columns, closing))
    loaded = _as_pandas(database, kind, columns)
    with reading.reading(database, kind):
        if not cast("pd.DataFrame", loaded.value).columns.is_unique:
            raise reading.Unfit("it has two columns of one name, which only pandas can tell apart; give each its own")
        return loaded._replace(value=library.of_pandas(loaded.value, closing))


def _as_pandas(database: Database, kind: str, columns: Collection[str] | None) -> Loaded:
    source = cast("Source", importlib.import_module(SOURCES[kind]))
    return _preprocessed(source, database, columns) if database.preprocessing else source.read(database, columns)


def _module(form: str) -> Any:
    try:
        return importlib.import_module(f"algotools.data.forms.{form}")
    except ModuleNotFoundError as error:
        raise UnsupportedDatabase(
            f"the image lacks the package {error.name}, which data in the form {form!r} need; put it into the "
            "algorithm's dependencies"
        ) from error


def _path(database: Database) -> Path:
    from algotools.data.reading import path_of, reading

    if (path := path_of(database.uri)) is None:
        raise UnsupportedDatabase(
            f"database {database.label!r} is no file or folder, so it has no path; annotate the parameter `Database`, "
            "which has its URI"
        )
    if not os.path.exists(path):
        with reading(database, "folder"):
            raise FileNotFoundError(path)
    return Path(path)


def place(database: Database) -> None:
    """See to it that a frame that is held is in its file, too, for who cannot see it here."""
    if (path := Path(database.uri)) in HELD:
        importlib.import_module(SOURCES["frame"]).place(path)


def _preprocessed(source: Source, database: Database, columns: Collection[str] | None) -> Loaded:
    """What is left after the steps that a v4 task asks for, which may work on columns that nobody else needs."""
    from algotools.data import preprocessing, reading  # here: few tasks ask for it

    steps = preprocessing.steps(database)
    needed = None if columns is None else {*columns, *(name for step in steps for name in step.columns)}
    whole = source.read(database, needed)
    frame = preprocessing.apply(steps, cast("pd.DataFrame", whole.value), database)
    return whole._replace(value=reading.loaded(frame, columns).value)
