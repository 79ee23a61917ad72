"""What all sources share: what to say when a database cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from algotools.errors import AlgotoolsError, DatabaseUnreadable
from algotools.task import Database


class Unfit(Exception):
    """Why a database cannot be read, in words that quote nothing of it; ``detail`` is for the owner."""

    def __init__(self, why: str, detail: object = "") -> None:
        super().__init__(why)
        self.detail = detail


@contextmanager
def reading(database: Database, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong within into an error that names the database and quotes nothing of it."""
    try:
        yield
    except AlgotoolsError:
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


def local(uri: str) -> Path:
    """The path that a URI of a file means."""
    scheme, separator, path = uri.partition("://")
    return Path(unquote(path) if scheme == "file" else uri) if separator else Path(uri)
