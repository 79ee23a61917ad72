"""A node's folders of sessions: tables as Parquet, and what became of them, as v5's nodes have them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
import pandas as pd

from algotools import data
from algotools.contract import v5
from algotools.contract.platform import Dataframe, Run, Task
from algotools.data import parquet
from algotools.errors import DatabaseUnreadable, UnknownLabel
from algotools.federation.configuration import Member
from algotools.federation.sessions import Sessions, named
from algotools.federation.store import now
from algotools.task import Database


class SessionFolders:
    """Those of one node."""

    def __init__(self, member: Member, folder: Path, sessions: Sessions) -> None:
        self._member = member
        self._folder = folder
        self._sessions = sessions
        self._lock = threading.RLock()
        self._states: dict[Path, list[dict[str, str]]] = {}

    def folder(self, task: Task) -> Path:
        """The folder of a task's session, made at its first use."""
        folder = self._folder / f"session-{task.session_id}"
        with self._lock:
            if not folder.exists():
                (folder / v5.JOBS).mkdir(parents=True)
                self._write_state(folder, [])
        return folder

    def asked(self, task: Task) -> tuple[Database, ...]:
        """What a task gets: the database to extract from, or the tables of its session.

        Raises:
            UnknownLabel: this node has no such database or table.
            DatabaseUnreadable, UnsupportedDatabase: a database is not one that a table can be made of.
        """
        if task.step == "data_extraction":
            source = self._source(str((task.dataframe or {})["db_label"]))
            return (msgspec.structs.replace(source, label=v5.SOURCE, query=None, sheet_name=None),)
        session = self.folder(task)
        tables = []
        for number, group in enumerate(named(task.databases)):
            for words in group:
                table = self._sessions.dataframe(int(str(words["dataframe_id"])))
                path = session / f"{table.name}{v5.TABLE}"
                self._ensure(table, path)
                tables.append(Database(table.name, str(path), "parquet", group=number if len(group) > 1 else None))
        return tuple(tables)

    def keep(self, task: Task, run: Run, output: bytes) -> None:
        """Make a run's output a table of its session.

        Raises:
            DatabaseUnreadable: the output is no table.
        """
        made = task.dataframe or {}
        path = self.folder(task) / f"{made['name']}{v5.TABLE}"
        part = _part(path, output)
        try:
            columns = parquet.columns_of(part)
        except DatabaseUnreadable as error:
            part.unlink()
            raise DatabaseUnreadable(
                f"table {path.stem!r}: what the function gave is no readable parquet file", detail=error.detail
            ) from None
        os.replace(part, path)
        self._sessions.received(int(str(made["id"])), run.node_id, columns)
        self._note(v5.action(task.role, task.step), path)

    def _ensure(self, table: Dataframe, path: Path) -> None:
        """The table is there, if it is one that a node extracts by itself."""
        with self._lock:
            if path.exists():
                return
            if table.source is None:
                raise UnknownLabel(f"this node has no table {table.name!r} in the session")
            source = self._source(table.label, table.source)
            frame = data.load(source, "pandas", None).value
            os.replace(_part(path, parquet.encode(frame)), path)
            self._note("data_extraction", path)

    def _source(self, label: str, asked: Database | None = None) -> Database:
        """A database of the node, with the query or the sheet that is asked for."""
        known = self._member.databases
        if label not in known:
            raise UnknownLabel(f"this node has no database {label!r}; it has: {', '.join(sorted(known)) or 'none'}")
        query, sheet = (asked.query, asked.sheet_name) if asked else (None, None)
        return msgspec.structs.replace(known[label], query=query, sheet_name=sheet)

    def _note(self, action: str, table: Path) -> None:
        """Write down what has been done to a table."""
        row = {"action": action, "file": table.name, "timestamp": now(), "message": "", "dataframe": table.stem}
        with self._lock:
            self._write_state(table.parent, [row])

    def _write_state(self, session: Path, more: list[dict[str, str]]) -> None:
        """The session's file, which says what has been done in it."""
        rows = self._states.setdefault(session, [])
        rows += more
        columns = ["action", "file", "timestamp", "message", "dataframe"]
        (session / v5.SESSION_FILE).write_bytes(parquet.encode(pd.DataFrame(rows, columns=columns, dtype=str)))


def _part(path: Path, content: bytes) -> Path:
    """A table as it is written, before it takes the place of the one before it."""
    part = path.with_name(f".{path.name}")
    part.write_bytes(content)
    return part
