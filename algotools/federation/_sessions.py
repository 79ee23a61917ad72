"""The sessions of v5 and their tables: the server's records, and the files in the folders of the nodes.

On v5 only tasks of the step ``data_extraction`` read databases. Such a task makes a *table* (a dataframe) at every
node. The table stays there, in the folder of its *session*. Later tasks of the session preprocess the table or compute
with it. The server knows each table's id, name and columns, but not its rows.

The local federation adds a shortcut. If a task names a database by its label, as on v3 and v4, each node extracts the
table itself right before the task. Such a table has a ``source``. No task made it, so there is nothing to wait for.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from algotools import data
from algotools.errors import DatabaseUnreadable, FederationError, UnknownLabel
from algotools.federation._store import Store, now
from algotools.federation.configuration import Member
from algotools.federation.contract.rest import DataframeRecord, RunRecord, SessionRecord, TaskRecord
from algotools.federation.contract.v5 import SESSION_FILE, get_action
from algotools.runtime.contract import v5
from algotools.task import Database


class RequestedTables(NamedTuple):
    """The tables that a task requests."""

    session_id: int
    entries: list[Any]
    """The tables in the format of the task's record and token: a list for each argument."""
    depends_on: tuple[int, ...]
    """Ids of the tasks that make these tables."""


class Sessions:
    """The server's records of sessions and tables, in memory."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.RLock()
        self._sessions: dict[int, SessionRecord] = {}
        self._dataframes: dict[int, DataframeRecord] = {}

    def create(self, name: str | None = None, scope: str = "collaboration") -> SessionRecord:
        """Create a session.

        Raises:
            FederationError: another session has this name.
        """
        with self._lock:
            id_ = len(self._sessions) + 1
            name = name or f"session_{id_}"
            if any(session.name == name for session in self._sessions.values()):
                raise FederationError(f"a session {name!r} exists already; choose another name")
            self._sessions[id_] = SessionRecord(id=id_, name=name, scope=scope, created_at=now())
            return self._sessions[id_]

    def session(self, id_: int) -> SessionRecord:
        """Return a session by its id.

        Raises:
            FederationError: the id is unknown.
        """
        if id_ not in self._sessions:
            raise FederationError(f"unknown session {id_} (existing sessions: {_join_ids(self._sessions)})")
        return self._sessions[id_]

    def sessions(self) -> Sequence[SessionRecord]:
        """Return all sessions."""
        return list(self._sessions.values())

    def add(self, session_id: int, name: str | None, label: str, source: Database | None = None) -> DataframeRecord:
        """Add the record of a table that a task will make, or that nodes extract themselves from ``source``.

        Raises:
            FederationError: the name is not a valid file name, or another table has this name.
        """
        session = self.session(session_id)
        with self._lock:
            id_ = len(self._dataframes) + 1
            name = name or f"df_{id_}"
            if not name.isprintable() or set(name) & set(",;/\\") or name.startswith("."):
                raise FederationError(f"a table cannot be called {name!r}: use letters, digits, dashes and underscores")
            if f"{name}{v5.TABLE}" == SESSION_FILE:
                raise FederationError(f"a table cannot be called {name!r}: every session has a file of this name")
            tables = self._dataframes.values()
            if source is None and any(table.name == name and table.source is None for table in tables):
                raise FederationError(f"a table {name!r} exists already; table names are unique in a collaboration")
            self._dataframes[id_] = DataframeRecord(
                id=id_, session_id=session.id, name=name, label=label, source=source
            )
            return self._dataframes[id_]

    def dataframe(self, id_: int) -> DataframeRecord:
        """Return a table by its id.

        Raises:
            FederationError: the id is unknown.
        """
        if id_ not in self._dataframes:
            raise FederationError(f"unknown dataframe {id_} (existing dataframes: {_join_ids(self._dataframes)})")
        return self._dataframes[id_]

    def find_table(self, name: str) -> DataframeRecord | None:
        """Return the table with this name that a task makes; None if no task makes such a table."""
        return next((t for t in list(self._dataframes.values()) if t.name == name and t.source is None), None)

    def dataframes(self, session_id: int) -> Sequence[DataframeRecord]:
        """Return the tables of a session."""
        self.session(session_id)
        return [table for table in self._dataframes.values() if table.session_id == session_id]

    def find_tasks(self, tables: Iterable[DataframeRecord]) -> dict[int, TaskRecord]:
        """Return the tasks that extracted or preprocessed these tables, by their ids."""
        return {id_: task for table in tables for id_ in table.tasks if (task := self.store.task(id_)) is not None}

    def select_by_ids(self, groups: Iterable[Iterable[int]], session_id: int | None = None) -> RequestedTables:
        """Return the tables for a task that names them by their ids, in a group for each argument.

        Raises:
            FederationError: a table is unknown, or the tables belong to different sessions.
        """
        tables = [[self.dataframe(id_) for id_ in group] for group in groups]
        sessions = {table.session_id for group in tables for table in group}
        if session_id is not None:
            sessions.add(session_id)
        if len(sessions) != 1:
            raise FederationError("a task uses the tables of one session; name a session, or tables of one session")
        [id_] = sessions
        self.session(id_).last_used_at = now()
        entries = [[_make_entry(table) for table in group] for group in tables]
        last_tasks = [table.tasks[-1] for group in tables for table in group if table.tasks]
        return RequestedTables(id_, entries, tuple(dict.fromkeys(last_tasks)))

    def select_by_labels(self, requested: Sequence[Database], session_id: int | None = None) -> RequestedTables:
        """Return the tables for a task that names databases by label.

        A label may also be the name of a table that a task makes. For other labels each node extracts a table itself.
        Databases of one group form one argument. If the caller names no session, it is the session of the first named
        table, otherwise a new session.
        """
        by_name = {database.label: self.find_table(database.label) for database in requested}
        named_tables = list(filter(None, by_name.values()))
        session_id = session_id or (named_tables[0].session_id if named_tables else self.create().id)
        arguments: dict[object, list[int]] = {}
        for number, database in enumerate(requested):
            source = msgspec.structs.replace(database, group=None)
            table = by_name.get(database.label) or self._find_or_add_source_table(session_id, source)
            argument = ("alone", number) if database.group is None else ("group", database.group)
            arguments.setdefault(argument, []).append(table.id)
        return self.select_by_ids(arguments.values(), session_id)

    def _find_or_add_source_table(self, session_id: int, source: Database) -> DataframeRecord:
        """Return the table that nodes extract themselves; a session has a separate one for each query and sheet."""
        with self._lock:
            tables = self.dataframes(session_id)
            if match := next((table for table in tables if table.source == source and not table.tasks), None):
                return match
            names = (f"{source.label}_{n}" if n > 1 else source.label for n in itertools.count(1))
            used_names = {table.name for table in tables}
            return self.add(
                session_id, next(name for name in names if name not in used_names), source.label, source=source
            )

    def set_columns(self, dataframe_id: int, node_id: int, columns: Sequence[tuple[str, str]]) -> None:
        """Record the columns (name and type) of a table that a node has stored."""
        table = self.dataframe(dataframe_id)
        with self._lock:
            table.columns = [column for column in table.columns if column["node_id"] != node_id]
            table.columns += [{"node_id": node_id, "name": name, "dtype": dtype} for name, dtype in columns]


def _read_groups(entries: Any) -> list[list[Mapping[str, object]]]:
    """Return the groups of tables in a task's record; see ``RequestedTables.entries``."""
    return [list(group) for group in entries] if isinstance(entries, list) else []


def _make_entry(table: DataframeRecord) -> dict[str, object]:
    return {"label": None, "type": "dataframe", "dataframe_id": table.id, "dataframe_name": table.name}


def _join_ids(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids)) or "none"


class SessionFolders:
    """The session folders of one node, with the files of their tables."""

    def __init__(self, member: Member, folder: Path, sessions: Sessions) -> None:
        self._member = member
        self._folder = folder
        self._sessions = sessions
        self._lock = threading.RLock()
        self._states: dict[Path, list[dict[str, str]]] = {}

    def ensure_folder(self, task: TaskRecord) -> Path:
        """Return the folder of a task's session; create the folder if it does not exist."""
        folder = self._folder / f"session-{task.session_id}"
        with self._lock:
            if not folder.exists():
                (folder / v5.JOB_FOLDER).mkdir(parents=True)
                self._write_state(folder, [])
        return folder

    def find_databases(self, task: TaskRecord) -> tuple[Database, ...]:
        """Return the database that a task extracts from, or the tables of its session that it requests.

        Raises:
            UnknownLabel: this node has no such database or table.
            DatabaseUnreadable, UnsupportedDatabase: a table cannot be extracted from a database.
        """
        if task.step == "data_extraction":
            source = self._find_source(str((task.dataframe or {})["db_label"]))
            return (msgspec.structs.replace(source, label=v5.SOURCE, query=None, sheet_name=None),)
        session = self.ensure_folder(task)
        tables = []
        for number, group in enumerate(_read_groups(task.databases)):
            for entry in group:
                table = self._sessions.dataframe(int(str(entry["dataframe_id"])))
                path = session / f"{table.name}{v5.TABLE}"
                self._extract_if_missing(table, path)
                tables.append(Database(table.name, str(path), "parquet", group=number if len(group) > 1 else None))
        return tuple(tables)

    def store_table(self, task: TaskRecord, run: RunRecord, output: bytes) -> None:
        """Store a run's output as the table that its task makes.

        Raises:
            DatabaseUnreadable: the output is not a parquet file.
        """
        dataframe = task.dataframe or {}
        path = self.ensure_folder(task) / f"{dataframe['name']}{v5.TABLE}"
        from algotools.data import parquet  # here and below, because nodes of v3 and v4 need neither pandas nor Arrow

        part = _write_part(path, output)
        try:
            columns = parquet.list_columns(part)
        except DatabaseUnreadable as error:
            part.unlink()
            raise DatabaseUnreadable(
                f"table {path.stem!r}: the function did not return a readable parquet file", detail=error.detail
            ) from None
        os.replace(part, path)
        self._sessions.set_columns(int(str(dataframe["id"])), run.node_id, columns)
        self._log_action(get_action(task.role, task.step), path)

    def _extract_if_missing(self, table: DataframeRecord, path: Path) -> None:
        """Extract a table with a ``source`` at its first use; a missing table without a ``source`` is an error."""
        from algotools.data import parquet

        with self._lock:
            if path.exists():
                return
            if table.source is None:
                raise UnknownLabel(f"this node has no table {table.name!r} in the session")
            source = self._find_source(table.label, table.source)
            frame = data.load(source, "pandas", None).value
            os.replace(_write_part(path, parquet.encode(frame)), path)
            self._log_action("data_extraction", path)

    def _find_source(self, label: str, requested: Database | None = None) -> Database:
        """Return a database of the node, with the requested query or sheet."""
        databases = self._member.databases
        if label not in databases:
            raise UnknownLabel(f"this node has no database {label!r}; it has: {', '.join(sorted(databases)) or 'none'}")
        query, sheet = (requested.query, requested.sheet_name) if requested else (None, None)
        return msgspec.structs.replace(databases[label], query=query, sheet_name=sheet)

    def _log_action(self, action_name: str, table: Path) -> None:
        """Append an action on a table to the session's file."""
        row = {"action": action_name, "file": table.name, "timestamp": now(), "message": "", "dataframe": table.stem}
        with self._lock:
            self._write_state(table.parent, [row])

    def _write_state(self, session: Path, new_rows: list[dict[str, str]]) -> None:
        """Write the session's file, as real nodes do: a parquet table with a row for each action in the session."""
        import pandas as pd

        from algotools.data import parquet

        rows = self._states.setdefault(session, [])
        rows += new_rows
        columns = ["action", "file", "timestamp", "message", "dataframe"]
        (session / SESSION_FILE).write_bytes(parquet.encode(pd.DataFrame(rows, columns=columns, dtype=str)))


def _write_part(path: Path, content: bytes) -> Path:
    """Write the content of a table beside its path; the caller then renames the file, so that no run reads half of it.

    A preprocessing task replaces the table that it reads. If the new content is invalid, the old table stays.
    """
    part = path.with_name(f".{path.name}")
    part.write_bytes(content)
    return part
