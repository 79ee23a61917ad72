"""Paths and errors, as all sources and forms use them.

An error message names the database and quotes nothing from it. Only the node's owner sees the details.
"""

from __future__ import annotations

import functools
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from algotools.errors import AlgotoolsError, DatabaseUnreadable, list_causes
from algotools.task import Database

_Batch = TypeVar("_Batch")


class Loaded(NamedTuple):
    """The data, and the names of all columns of the database; None if the names are unknown."""

    value: object
    columns: Sequence[object] | None


# --- Errors. ---


class Unreadable(Exception):
    """The reason why a database cannot be read. It quotes nothing from the database; ``detail`` is for the owner."""

    def __init__(self, reason: str, detail: object = "") -> None:
        super().__init__(reason)
        self.detail = detail


class NeedsPandas(Exception):
    """Signal that pandas must read a database, because another library would read it differently or not at all."""


@contextmanager
def name_errors(database: Database, kind: str) -> Iterator[None]:
    """Convert errors of the block to a ``DatabaseUnreadable``, which names the database and quotes nothing from it."""
    try:
        yield
    except (AlgotoolsError, NeedsPandas):
        raise
    except Unreadable as problem:
        raise _make_error(database, str(problem), problem.detail) from None
    except FileNotFoundError as error:
        raise _make_error(database, "its file does not exist", error) from None
    except PermissionError as error:
        raise _make_error(database, "its file may not be read (permission denied)", error) from None
    except IsADirectoryError as error:
        raise _make_error(database, f"it is a folder, not a {kind} file", error) from None
    except MemoryError:
        raise
    except Exception as error:  # libraries raise any class of error for bytes that they cannot parse
        if is_memory_error(error):
            raise MemoryError from error
        reason = "it is empty" if type(error).__name__ == "EmptyDataError" else f"it is not a readable {kind} file"
        raise _make_error(database, f"{reason} ({type(error).__name__})", error) from None


def _make_error(database: Database, reason: str, error: object) -> DatabaseUnreadable:
    return DatabaseUnreadable(f"database {database.label!r}: {reason}", detail=describe_error(database, error))


def describe_error(database: Database, error: object) -> str:
    """Return the detail of an error for the owner, who sees the URI. A connection string can contain a password."""
    if "://" not in database.uri and not is_path(database.uri):
        return f"its URI is not shown: it names no file, and can contain a password ({type(error).__name__})"
    return f"{database.uri}: {error}"


def is_path(text: str) -> bool:
    """Return whether a text is a path; false for a URI, ``Driver=…;PWD=…``, ``host=… password=…`` or ``jdbc:…``."""
    looks_like_path = not text.lower().startswith("jdbc:") and {*"=;@"}.isdisjoint(text)
    return "://" not in text and (looks_like_path or os.path.lexists(Path(text).expanduser()))


def is_memory_error(error: BaseException) -> bool:
    """Return whether memory ran out, for which each library has an error of its own, or a text only."""
    if isinstance(error, MemoryError) or type(error).__name__ in _MEMORY_ERRORS:
        return True
    library = type(error).__module__.partition(".")[0]
    return library in _LIBRARIES and _MEMORY_TEXT.search(str(error)) is not None


_MEMORY_ERRORS = frozenset({"OutOfMemoryException", "OutOfMemoryError", "ArrowMemoryError"})
_LIBRARIES = frozenset({"pandas", "polars", "pyarrow", "pyo3_runtime", "duckdb", "_duckdb", "numpy"})
_MEMORY_TEXT = re.compile(
    r"out of memory|memory allocation|(cannot|could not|failed to|unable to) allocate|malloc of size", re.IGNORECASE
)

# --- Errors of a lazy form, which reads the data while the function runs. ---


def add_check(stack: ExitStack, check: Callable[[], object]) -> None:
    """Register a function that raises an error if the data of a run cannot be read in the form that was requested.

    The check may read all rows: it is called only after the author's function has failed in a library.
    """
    _CHECKS.setdefault(stack, []).append(check)


_CHECKS: WeakKeyDictionary[ExitStack, list[Callable[[], object]]] = WeakKeyDictionary()
"""Exit stack of a run -> its checks."""


def check_again(stack: ExitStack, failure: BaseException | None) -> None:
    """Find out whether the data are the cause of a failure of the author's function.

    Raises:
        DatabaseUnreadable: they are.
    """
    libraries = {*_LIBRARIES, "ibis"}
    is_of_library = any(type(cause).__module__.partition(".")[0] in libraries for cause in list_causes(failure))
    for check in _CHECKS.get(stack, ()) if is_of_library else ():
        check()


def remember_errors(batches: Iterator[_Batch], stack: ExitStack) -> Iterator[_Batch]:
    """Yield the batches. If reading one fails, ``check_again`` raises the error: a library may convert it to another.

    Raises:
        DatabaseUnreadable: a batch cannot be read.
    """
    try:
        yield from batches
    except DatabaseUnreadable as error:
        # The check must not refer to the error, whose traceback refers to the stack: both would stay in memory.
        add_check(stack, functools.partial(_raise, str(error), error.detail))
        raise


def _raise(message: str, detail: str) -> None:
    raise DatabaseUnreadable(message, detail=detail)


# --- Paths. ---


def find_path(uri: str) -> str | None:
    """Return the path in a database's URI; None if the URI does not name a file.

    ``sqlite:///x.db`` is relative to the working directory and ``sqlite:////data/x.db`` is absolute. DuckDB's URIs are
    always absolute.
    """
    scheme, separator, remainder = uri.partition("://")
    if not separator:
        return uri or None
    if scheme == "file":
        return unquote(remainder.removeprefix("localhost"))
    path = remainder.partition("?")[0]
    match scheme.partition("+")[0]:
        case "sqlite":
            path = path.removeprefix("/")
            return None if path.startswith((":", "file:")) else path or None
        case "duckdb":
            return path or None
    return None


def require_path(uri: str) -> Path:
    """Return the path of a database that is a file or a folder."""
    return Path(find_path(uri) or uri)


def refuse_pipe(uri: str) -> None:
    """Refuse a database that is not a file or a folder: reading a pipe or a device may wait forever.

    Raises:
        Unreadable: the path names a pipe, a socket or a device.
    """
    if path := find_path(uri):
        with suppress(OSError, ValueError):  # reported when the database is opened
            mode = Path(path).stat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise Unreadable("it is a pipe or a device, which cannot be read twice; save its content to a file")


def find_parquet(database: Database) -> Path:
    """Return the Parquet file, or the folder with the parts of a table.

    Raises:
        Unreadable: the file is empty.
    """
    path = require_path(database.uri)
    if path.is_dir():
        return path  # `list_parts` checks that it has parts
    if not path.stat().st_size:
        raise Unreadable("it is empty")
    with path.open("rb"):  # raises clearer errors than the libraries do
        return path


def list_parts(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder and its subfolders, without hidden and temporary ones, in order.

    Raises:
        Unreadable: there is no such file.
    """
    parts = [
        path
        for path in sorted(folder.rglob("*"))
        if not any(name.startswith((".", "_")) for name in path.relative_to(folder).parts)
        and path.is_file()
        and (path.suffix.lower() in PARQUET_SUFFIXES or _begins_as_parquet(path))
    ]
    if not parts:
        raise Unreadable("it is a folder without a parquet file")
    return parts


PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")


def _begins_as_parquet(path: Path) -> bool:
    """Whether a file with another suffix is a Parquet file: some programs write parts without a suffix."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"
