"""The sessions of a collaboration, and the tables that tasks work on in them: what v5 has instead of databases."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from algotools.contract import v5
from algotools.contract.platform import Dataframe, Session, Task
from algotools.errors import FederationError
from algotools.federation.store import Store, now
from algotools.task import Database


class Tables(NamedTuple):
    """The tables that a task asks for."""

    session_id: int
    words: list[Any]
    """As the task's record and its token name them: a list for each argument."""
    depends_on: tuple[int, ...]
    """The tasks that make these tables."""


class Sessions:
    """Kept in memory; a task that names databases gets a session of its own, with a table of each."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.RLock()
        self._sessions: dict[int, Session] = {}
        self._dataframes: dict[int, Dataframe] = {}

    def create(self, name: str | None = None, scope: str = "collaboration") -> Session:
        """A new session.

        Raises:
            FederationError: the name is taken.
        """
        with self._lock:
            id_ = len(self._sessions) + 1
            name = name or f"session_{id_}"
            if any(session.name == name for session in self._sessions.values()):
                raise FederationError(f"there is a session {name!r} already")
            self._sessions[id_] = Session(id=id_, name=name, scope=scope, created_at=now())
            return self._sessions[id_]

    def session(self, id_: int) -> Session:
        """A session by its id.

        Raises:
            FederationError: there is none.
        """
        if id_ not in self._sessions:
            raise FederationError(f"there is no session {id_}; there are: {_listed(self._sessions)}")
        return self._sessions[id_]

    def sessions(self) -> Sequence[Session]:
        """All of them."""
        return list(self._sessions.values())

    def add(self, session_id: int, name: str | None, label: str, source: Database | None = None) -> Dataframe:
        """A table that a task is going to make; or that nodes extract themselves from the database ``source``.

        Raises:
            FederationError: the name cannot be that of a file, or is taken.
        """
        session = self.session(session_id)
        with self._lock:
            id_ = len(self._dataframes) + 1
            name = name or f"df_{id_}"
            if not name.isprintable() or set(name) & set(",;/\\") or name.startswith("."):
                raise FederationError(f"a table cannot be called {name!r}: use letters, digits, dashes and underscores")
            if f"{name}{v5.TABLE}" == v5.SESSION_FILE:
                raise FederationError(
                    f"a table cannot be called {name!r}: a session has a file of that name for itself"
                )
            others = self._dataframes.values()
            if source is None and any(other.name == name and other.source is None for other in others):
                raise FederationError(f"there is a table {name!r} already; in a collaboration names are unique")
            self._dataframes[id_] = Dataframe(id=id_, session_id=session.id, name=name, label=label, source=source)
            return self._dataframes[id_]

    def dataframe(self, id_: int) -> Dataframe:
        """A table by its id.

        Raises:
            FederationError: there is none.
        """
        if id_ not in self._dataframes:
            raise FederationError(f"there is no dataframe {id_}; there are: {_listed(self._dataframes)}")
        return self._dataframes[id_]

    def dataframes(self, session_id: int) -> Sequence[Dataframe]:
        """The tables of a session."""
        self.session(session_id)
        return [table for table in self._dataframes.values() if table.session_id == session_id]

    def made_by(self, tables: Iterable[Dataframe]) -> dict[int, Task]:
        """The tasks that made tables what they are, by their ids."""
        return {id_: task for table in tables for id_ in table.tasks if (task := self.store.task(id_)) is not None}

    def by_ids(self, groups: Iterable[Iterable[int]], session_id: int | None = None) -> Tables:
        """What a task asks for that names tables by their ids, a group for each argument.

        Raises:
            FederationError: there is no such table, or they are of different sessions.
        """
        found = [[self.dataframe(id_) for id_ in group] for group in groups]
        sessions = {table.session_id for group in found for table in group}
        if session_id is not None:
            sessions.add(session_id)
        if len(sessions) != 1:
            raise FederationError("a task works on the tables of one session; name one, or its tables")
        [id_] = sessions
        self.session(id_).last_used_at = now()
        words = [[_words(table) for table in group] for group in found]
        makers = [table.tasks[-1] for group in found for table in group if table.tasks]
        return Tables(id_, words, tuple(dict.fromkeys(makers)))

    def by_labels(self, requested: Sequence[Database], session_id: int | None = None) -> Tables:
        """What a task asks for that names databases: tables of these names, else such as nodes extract as they are."""
        made = {table.name: table for table in self._dataframes.values() if table.source is None}
        named = [made[database.label] for database in requested if database.label in made]
        home = session_id or (named[0].session_id if named else self.create().id)
        ids = [made[d.label].id if d.label in made else self._as_it_is(home, d).id for d in requested]
        return self.by_ids([[id_] for id_ in ids], home)

    def _as_it_is(self, session_id: int, source: Database) -> Dataframe:
        """The table that nodes extract themselves: in a session one of its own for each query and each sheet."""
        with self._lock:
            there = self.dataframes(session_id)
            if found := next((table for table in there if table.source == source and not table.tasks), None):
                return found
            names = (f"{source.label}_{n}" if n > 1 else source.label for n in itertools.count(1))
            taken = {table.name for table in there}
            return self.add(session_id, next(name for name in names if name not in taken), source.label, source=source)

    def received(self, dataframe_id: int, node_id: int, columns: Sequence[tuple[str, str]]) -> None:
        """A node has made its part of a table."""
        table = self.dataframe(dataframe_id)
        with self._lock:
            table.columns = [column for column in table.columns if column["node_id"] != node_id]
            table.columns += [{"node_id": node_id, "name": name, "dtype": dtype} for name, dtype in columns]


def named(words: Any) -> list[list[Mapping[str, object]]]:
    """The groups of tables in a task's record."""
    return [list(group) for group in words] if isinstance(words, list) else []


def _words(table: Dataframe) -> dict[str, object]:
    return {"label": None, "type": "dataframe", "dataframe_id": table.id, "dataframe_name": table.name}


def _listed(known: Iterable[int]) -> str:
    return ", ".join(map(str, known)) or "none"
