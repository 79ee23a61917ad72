"""The calls of ``client.session`` and ``client.dataframe``. On v5 a task uses tables of a session, not databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from algotools.errors import FederationError
from algotools.federation.client._tasks import make_call
from algotools.federation.client._view import (
    PAGES_OF_TWENTY,
    Item,
    ItemList,
    Keys,
    Selection,
    View,
    matches,
    select_items,
    select_keys,
)
from algotools.federation.contract import NodeContract, Request, v5
from algotools.task import Step

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SessionCalls:
    """The calls of ``client.session`` (v5)."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._sessions = view.platform.sessions

    def create(self, scope: str = "collaboration", name: str | None = None, collaboration: int | None = None) -> Item:
        """Create a session, for tables that tasks use.

        Args:
            scope: who may use the session. It is stored, but not enforced here.
            name: a name for people.
            collaboration: id of the collaboration; default: the only one.

        Raises:
            FederationError: the generation has no sessions, the name is taken, or the collaboration is unknown.
        """
        check_sessions(self._view.contract)
        self._view.check_collaboration(collaboration)
        return self._show(self._sessions.create(name, scope).id)

    def get(self, id_: int, **keys: Unpack[Keys]) -> Item:
        """Return a session.

        Args:
            id_: the id.
            **keys: ``field="name"`` or ``fields=["id", "name"]`` selects these keys.

        Raises:
            FederationError: the id or a field is unknown.
        """
        return select_keys(self._show(id_), keys, self.get)

    def list(self, *, name: str | None = None, scope: str | None = None, **selection: Unpack[Selection]) -> ItemList:
        """Return the sessions.

        Args:
            name: only those whose name matches this pattern: ``%`` is any text, ``_`` one character.
            scope: only sessions with this scope.
            **selection: see ``client.collaboration.list``; a page has 20 items by default, as on the platform.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list if ``selection`` selects keys or items.

        Raises:
            FederationError: a field is unknown.
        """
        ids = [s.id for s in self._sessions.sessions() if matches(name, s.name) and scope in (None, s.scope)]
        return select_items(ids, self._show, "session", {**PAGES_OF_TWENTY, **selection}, self.list)

    def _show(self, id_: int) -> Item:
        tables = self._sessions.dataframes(id_)
        return v5.CONTRACT.show_session(self._sessions.session(id_), tables, self._sessions.find_tasks(tables))


class DataframeCalls:
    """The calls of ``client.dataframe`` (v5): the tables of sessions."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._sessions = view.platform.sessions

    def create(
        self,
        label: str,
        image: str = "",
        method: str = "read_csv",
        arguments: Mapping[str, object] | None = None,
        session: int | None = None,
        name: str | None = None,
    ) -> Item:
        """Let every node extract a table from a database.

        Args:
            label: the label of the database.
            image: the algorithm's image, as for a task.
            method: a function for the step ``data_extraction``. Every image made with algotools has ``read_csv``,
                ``read_parquet``, ``read_excel``, ``read_sql_database`` and ``read_sparql_database``.
            arguments: the function's arguments by name.
            session: id of the session; default: a new session.
            name: the name of the table; default: a generated name.

        Returns:
            The table. ``client.dataframe.get(table["id"])["ready"]`` is True when all nodes have created their part.

        Raises:
            FederationError: the generation has no sessions, the session is unknown, or the name is invalid.
        """
        request = self._request(method, arguments, "data_extraction")
        session_id = self._sessions.create().id if session is None else session
        table = self._sessions.add(session_id, name, label)
        self._view.platform.create_table(table, request, image)
        return self._show(table.id)

    def preprocess(
        self, id_: int, image: str = "", method: str = "", arguments: Mapping[str, object] | None = None
    ) -> Item:
        """Let every node compute its part of a table again, from the current content.

        Args:
            id_: id of the table.
            image: the algorithm's image, as for a task.
            method: a function for the step ``preprocessing``.
            arguments: the function's arguments by name.

        Raises:
            FederationError: the table is unknown.
        """
        table = self._sessions.dataframe(id_)
        request = self._request(method, arguments, "preprocessing")
        self._view.platform.create_table(table, request, image)
        return self._show(id_)

    def get(self, id_: int, **keys: Unpack[Keys]) -> Item:
        """Return a table, with ``ready`` and the ``columns`` of each node's part.

        Args:
            id_: the id.
            **keys: ``field="ready"`` or ``fields=["id", "columns"]`` selects these keys.

        Raises:
            FederationError: the id or a field is unknown.
        """
        return select_keys(self._show(id_), keys, self.get)

    def list(self, session: int, **selection: Unpack[Selection]) -> ItemList:
        """Return the tables of a session.

        Args:
            session: id of the session.
            **selection: see ``client.collaboration.list``.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list if ``selection`` selects keys or items.

        Raises:
            FederationError: the session or a field is unknown.
        """
        ids = [table.id for table in self._sessions.dataframes(session)]
        return select_items(ids, self._show, f"session/{session}/dataframe", selection, self.list)

    def _show(self, id_: int) -> Item:
        table = self._sessions.dataframe(id_)
        return v5.CONTRACT.show_dataframe(table, self._sessions.find_tasks([table]), self._view.store)

    def _request(self, method: str, arguments: Mapping[str, object] | None, step: Step) -> Request:
        check_sessions(self._view.contract)
        return self._view.contract.make_request(make_call(method, arguments, "federated_compute"), step)


def check_sessions(contract: NodeContract) -> None:
    """Check that the generation has sessions.

    Raises:
        FederationError: the generation has no sessions.
    """
    if not contract.has_sessions:
        raise FederationError(f"{contract.name} has no sessions; create the Federation with contract='v5'")
