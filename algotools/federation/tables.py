"""A node's folders of sessions: tables as Parquet, and what became of them, as v5's nodes have them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import msgspec

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

    def folder(self, session_id: int) -> Path:
        """The folder of a session, made at its first use."""
        folder = self._folder / f"session-{session_id}"
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
        session = self.folder(int(task.session_id or 0))
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
        session = self.folder(int(task.session_id or 0))
        path = session / f"{made['name']}{v5.TABLE}"
        self._write(path, output)
        self._sessions.received(int(str(made["id"])), run.node_id, parquet.columns_of(path))
        self._note(session, v5.action(task.role, task.step), path, str(made["name"]))

    def _ensure(self, table: Dataframe, path: Path) -> None:
        """The table is there, if it is one that a node extracts by itself."""
        with self._lock:
            if path.exists():
                return
            if table.source is None:
                raise UnknownLabel(f"this node has no table {table.name!r} in the session")
            source = self._source(table.label, table.source)
            frame = data.load(source, "pandas", None).value
            self._write(path, parquet.encode(frame))
            self._note(path.parent, "data_extraction", path, table.name)

    def _source(self, label: str, asked: Database | None = None) -> Database:
        """A database of the node, with the query or the sheet that is asked for."""
        known = self._member.databases
        if label not in known:
            raise UnknownLabel(f"this node has no database {label!r}; it has: {', '.join(sorted(known)) or 'none'}")
        found = known[label]
        kind = data.type_of(found)
        query, sheet = (asked.query, asked.sheet_name) if asked else (None, None)
        return msgspec.structs.replace(found, type=kind, query=query, sheet_name=sheet)

    def _write(self, path: Path, content: bytes) -> None:
        """A table, whole or not at all."""
        part = path.with_name(f".{path.name}")
        part.write_bytes(content)
        try:
            parquet.columns_of(part)
        except DatabaseUnreadable as error:
            part.unlink()
            raise DatabaseUnreadable(
                f"table {path.stem!r}: what the function gave is no readable parquet file", detail=error.detail
            ) from None
        os.replace(part, path)

    def _note(self, session: Path, action: str, path: Path, name: str) -> None:
        row = {"action": action, "file": path.name, "timestamp": now(), "message": "", "dataframe": name}
        with self._lock:
            self._write_state(session, [row])

    def _write_state(self, session: Path, more: list[dict[str, str]]) -> None:
        """The session's file, which says what has been done in it."""
        import pandas as pd  # here: nodes without sessions need none

        path = session / v5.SESSION_FILE
        rows = pd.DataFrame(more, columns=["action", "file", "timestamp", "message", "dataframe"], dtype=str)
        if path.exists():
            before: Any = parquet.read(Database("session", str(path), "parquet"), None).value
            rows = pd.concat([before, rows], ignore_index=True)
        path.write_bytes(parquet.encode(rows))
