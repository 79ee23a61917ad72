"""What all sources share: what to say when a database cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from algotools.data import Loaded
from algotools.errors import AlgotoolsError, DatabaseUnreadable
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd


class Unfit(Exception):
    """Why a database cannot be read, in words that quote nothing of it; ``detail`` is for the owner."""

    def __init__(self, why: str, detail: object = "") -> None:
        super().__init__(why)
        self.detail = detail


class NotAlike(Exception):
    """A library would read this database in another sense than pandas does, or not at all."""


@contextmanager
def reading(database: Database, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong within into an error that names the database and quotes nothing of it."""
    try:
        yield
    except (AlgotoolsError, NotAlike):
        raise
    except Unfit as unfit:
        raise _unreadable(database, str(unfit), unfit.detail) from None
    except FileNotFoundError as error:
        raise _unreadable(database, "its file does not exist", error) from None
    except PermissionError as error:
        raise _unreadable(database, "its file may not be read (permission denied)", error) from None
    except IsADirectoryError as error:
        raise _unreadable(database, f"it is a folder, not a {kind} file", error) from None
    except MemoryError:
        raise
    except Exception as error:  # whatever a reader of foreign bytes may raise
        why = "it is empty" if type(error).__name__ == "EmptyDataError" else f"it is not a readable {kind} file"
        raise _unreadable(database, f"{why} ({type(error).__name__})", error) from None


def _unreadable(database: Database, why: str, error: object) -> DatabaseUnreadable:
    return DatabaseUnreadable(f"database {database.label!r}: {why}", detail=f"{database.uri}: {error}")


def path_of(uri: str) -> str | None:
    """The path that a database's URI is; None for one that is no file.

    ``sqlite:///x.db`` is a file here, ``sqlite:////data/x.db`` one by its whole path, which DuckDB's always is.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri or None
    if scheme == "file":
        return unquote(rest.removeprefix("localhost"))
    path = rest.partition("?")[0]
    match scheme.partition("+")[0]:
        case "sqlite":
            path = path.removeprefix("/")
            return None if path.startswith((":", "file:")) else path or None
        case "duckdb":
            return path or None
    return None


def local(uri: str) -> Path:
    """The path of a database that must be a file or a folder."""
    return Path(path_of(uri) or uri)


def loaded(frame: pd.DataFrame, columns: Collection[str] | None) -> Loaded:
    """The asked columns (None: all) of a frame that had to be read whole."""
    asked = frame if columns is None else frame.loc[:, [name in columns for name in frame.columns]]
    return Loaded(asked, list(frame.columns))
