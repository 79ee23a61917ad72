"""``client.session`` and ``client.dataframe``: what v5 has instead of databases in a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from algotools.contract import Contract, Request, v5_http
from algotools.errors import FederationError
from algotools.federation.client.calls import called
from algotools.federation.client.selection import PAGES_OF_TWENTY, Item, Keys, Listed, Selection, like, one, several
from algotools.federation.client.view import View
from algotools.federation.posting import Posting
from algotools.task import Step

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Sessions:
    """``client.session`` (v5)."""

    def __init__(self, view: View, posting: Posting) -> None:
        self._view = view
        self._sessions = posting.sessions

    def create(self, scope: str = "collaboration", name: str | None = None, collaboration: int | None = None) -> Item:
        """A new session, in which tables are made that tasks then work on.

        Args:
            scope: who may use it; on this machine everybody does.
            name: a name for people.
            collaboration: id of the collaboration; by default the one that there is.

        Raises:
            FederationError: the contract has no sessions, the name is taken, or there is no such collaboration.
        """
        check_sessions(self._view.contract)
        self._view.check_collaboration(collaboration)
        return self._shown(self._sessions.create(name, scope).id)

    def get(self, id_: int, **keys: Unpack[Keys]) -> Item:
        """One session.

        Args:
            id_: its id.
            **keys: ``field="name"`` or ``fields=["id", "name"]`` keeps these keys.

        Raises:
            FederationError: there is none of that id, or no such field.
        """
        return one(self._shown(id_), keys, self.get)

    def list(self, *, name: str | None = None, scope: str | None = None, **selection: Unpack[Selection]) -> Listed:
        """The sessions.

        Args:
            name: only those whose name is like this, with ``%`` for any text and ``_`` for one character.
            scope: only those of this scope.
            **selection: see ``client.collaboration.list``; as on the platform, a page has 20 items if nothing is said.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list where ``selection`` keeps or filters something.

        Raises:
            FederationError: there is no such field.
        """
        found = [s.id for s in self._sessions.sessions() if like(name, s.name) and scope in (None, s.scope)]
        return several(found, self._shown, "session", {**PAGES_OF_TWENTY, **selection}, self.list)

    def _shown(self, id_: int) -> Item:
        tables = self._sessions.dataframes(id_)
        return v5_http.session(self._sessions.session(id_), tables, self._sessions.made_by(tables))


class Dataframes:
    """``client.dataframe`` (v5): the tables of sessions."""

    def __init__(self, view: View, posting: Posting) -> None:
        self._view = view
        self._posting = posting
        self._sessions = posting.sessions

    def create(
        self,
        label: str,
        image: str = "",
        method: str = "read_csv",
        arguments: Mapping[str, object] | None = None,
        session: int | None = None,
        name: str | None = None,
    ) -> Item:
        """Have every node extract a table from a database.

        Args:
            label: the database's.
            image: as for a task.
            method: a function for the step ``data_extraction``; ``read_csv``, ``read_parquet``, ``read_excel``,
                ``read_sql_database`` and ``read_sparql_database`` are in every image made with algotools.
            arguments: its arguments by name.
            session: id of the session; else a new one.
            name: the table's; else one that is made up.

        Returns:
            The table. ``client.dataframe.get(table["id"])["ready"]`` tells when all nodes have made their part.

        Raises:
            FederationError: the contract has no sessions, there is no such session, or the name cannot be.
        """
        request = self._request(method, arguments, "data_extraction")
        home = self._sessions.create().id if session is None else session
        table = self._sessions.add(home, name, label)
        self._posting.make(table, request, image)
        return self._shown(table.id)

    def preprocess(
        self, id_: int, image: str = "", method: str = "", arguments: Mapping[str, object] | None = None
    ) -> Item:
        """Have every node make its part of a table anew, of what it is now.

        Args:
            id_: id of the table.
            image: as for a task.
            method: a function for the step ``preprocessing``.
            arguments: its arguments by name.

        Raises:
            FederationError: there is no such table.
        """
        table = self._sessions.dataframe(id_)
        request = self._request(method, arguments, "preprocessing")
        self._posting.make(table, request, image)
        return self._shown(id_)

    def get(self, id_: int, **keys: Unpack[Keys]) -> Item:
        """One table: ``ready``, and the ``columns`` that each node's part has.

        Args:
            id_: its id.
            **keys: ``field="ready"`` or ``fields=["id", "columns"]`` keeps these keys.

        Raises:
            FederationError: there is none of that id, or no such field.
        """
        return one(self._shown(id_), keys, self.get)

    def list(self, session: int, **selection: Unpack[Selection]) -> Listed:
        """The tables of a session.

        Args:
            session: its id.
            **selection: see ``client.collaboration.list``.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list where ``selection`` keeps or filters something.

        Raises:
            FederationError: there is no such session, or no such field.
        """
        found = [table.id for table in self._sessions.dataframes(session)]
        return several(found, self._shown, f"session/{session}/dataframe", selection, self.list)

    def _shown(self, id_: int) -> Item:
        table = self._sessions.dataframe(id_)
        return v5_http.dataframe(table, self._sessions.made_by([table]), self._view.store)

    def _request(self, method: str, arguments: Mapping[str, object] | None, step: Step) -> Request:
        check_sessions(self._view.contract)
        return self._view.contract.request(called(method, arguments, "federated_compute"), step)


def check_sessions(contract: Contract) -> None:
    """Refuse what only v5 has.

    Raises:
        FederationError: the contract has no sessions.
    """
    if not contract.has_sessions:
        raise FederationError(f"{contract.name} has no sessions; make the federation with contract='v5'")
