"""The SQLite file of a history: its schema, its permissions, and the errors of a file that cannot be used.

Several processes may write at the same time, and each of them may be killed at any time. So every change is one
transaction, which SQLite completes or rolls back. The journal is SQLite's oldest kind, a file that exists only during a
transaction: a history on a network drive works, and one file can be copied or deleted. No connection stays open,
because the runners fork processes, and a connection must not be used in two of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

FILE_NAME = "history.sqlite3"

SCHEMA_VERSION = 2
"""Increased when the tables change. A file with a higher version is not touched."""

APPLICATION_ID = 0x616C6774
"""Distinguishes a history from other SQLite files: "algt"."""

LOCK_TIMEOUT = 10.0
"""Seconds to wait for another process that writes."""

WAY_OUT = "delete the file, or move it away, to start a new history"
"""What the user can do about a damaged file."""

SCHEMA = """
CREATE TABLE tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    question TEXT NOT NULL,
    conditions TEXT NOT NULL,
    status TEXT NOT NULL,
    owner TEXT NOT NULL,
    entry BLOB NOT NULL,
    record BLOB
);
CREATE INDEX tasks_by_question ON tasks (question, number);
CREATE TABLE file_hashes (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    hash TEXT NOT NULL
) WITHOUT ROWID;
"""

UPGRADE = "DROP TABLE files;\n" + SCHEMA[SCHEMA.index("CREATE TABLE file_hashes") :]
"""The statements that make a file of version 1 a file of this version. The table of version 1 was a cache."""


class HistoryProblem(Exception):
    """The history cannot be read or written; the text names the file and the reason."""


@contextlib.contextmanager
def open_database(path: Path, *, create: bool = True) -> Iterator[sqlite3.Connection]:
    """Open the file for one transaction, which is committed at the end, or rolled back after an exception.

    Raises:
        HistoryProblem: the file is damaged, locked, not a history, or cannot be read or written.
    """
    import sqlite3  # here, because a federation without a history does not need it

    try:
        if create:
            _prepare_file(path)
        # A reader also needs to write: it rolls back the transaction of a process that was killed.
        mode = "rw" if create or os.access(path, os.W_OK) else "ro"
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=LOCK_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _begin(connection, path, create=create)
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()  # rolls back what is not committed
    except (sqlite3.Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        # A file that is damaged is a plain DatabaseError; its subclasses are a locked file, a full disk and the like.
        hint = f"; {WAY_OUT}" if type(error) is sqlite3.DatabaseError else ""
        raise HistoryProblem(
            f"the history {str(path)!r} cannot be {'written' if create else 'read'} ({reason}){hint}"
        ) from None


def _prepare_file(path: Path) -> None:
    """Make the file and its folder, readable only for this user, because results are data of nodes."""
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _begin(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    connection.execute("PRAGMA secure_delete = ON")  # a removed result does not stay in the file
    connection.execute("BEGIN IMMEDIATE" if create else "BEGIN")
    ((version,),) = connection.execute("PRAGMA user_version")
    ((application,),) = connection.execute("PRAGMA application_id")
    ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master")
    if create and version == 0 and tables == 0:
        _change_tables(connection, SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    elif version == 0 and tables == 0:
        raise HistoryProblem(f"the history {str(path)!r} is empty; delete the file")
    elif application != APPLICATION_ID:
        raise HistoryProblem(f"{str(path)!r} is not a history of algotools; move the file away, or name another")
    elif version > SCHEMA_VERSION:
        raise HistoryProblem(
            f"the history {str(path)!r} was written by a newer version of algotools (schema {version}); install that "
            "version"
        )
    elif create and version < SCHEMA_VERSION:
        _change_tables(connection, UPGRADE)


def _change_tables(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
