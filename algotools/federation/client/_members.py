"""The calls of ``client.collaboration``, ``client.organization`` and ``client.node``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from algotools.errors import FederationError
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

if TYPE_CHECKING:
    from typing_extensions import Unpack


class CollaborationCalls:
    """The calls of ``client.collaboration``. The local federation has a single collaboration."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, id_: int, **keys: Unpack[Keys]) -> Item:
        """Return a collaboration.

        Args:
            id_: the id.
            **keys: see ``list``.

        Raises:
            FederationError: the id is unknown.
        """
        self._view.check_collaboration(id_)
        return select_keys(self._view.show_collaboration(), keys, self.get)

    def list(
        self,
        *,
        scope: Literal["organization", "global"] = "organization",
        name: str | None = None,
        encrypted: bool | None = None,
        organization: int | None = None,
        **selection: Unpack[Selection],
    ) -> ItemList:
        """Return the collaborations, with id, name and references to their organizations.

        Args:
            scope: those of the researcher's organization, or all. Here both are the same.
            name: only those whose name matches this pattern: ``%`` is any text, ``_`` one character.
            encrypted: only collaborations that are encrypted, or are not. Here none is encrypted.
            organization: only collaborations with this member.
            **selection: ``field="name"`` or ``fields=["id", "name"]`` selects these keys, ``filter_=("id", 1)`` or
                ``filters=[…]`` the items with these values. ``page`` and ``per_page`` select a page.

        Returns:
            ``{"data": [...], "links": {...}}``; a plain list on v3 with the scope ``organization``, and if
            ``selection`` selects keys or items.

        Raises:
            FederationError: a field is unknown.
        """
        if self._view.is_v3 and scope == "organization":
            selection["include_metadata"] = False
        members = {member.id for member in self._view.store.organizations()}
        is_match = matches(name, self._view.store.collaboration) and not encrypted and organization in {None, *members}
        records = [self._view] if is_match else []
        return select_items(
            records, View.show_collaboration, "collaboration", {**PAGES_OF_TWENTY, **selection}, self.list
        )


class OrganizationCalls:
    """The calls of ``client.organization``."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, id_: int | None = None, **keys: Unpack[Keys]) -> Item:
        """Return an organization.

        Args:
            id_: its id; default: the researcher's organization, ``root``.
            **keys: ``field="name"`` or ``fields=["id", "name"]`` selects these keys.

        Raises:
            FederationError: the id is unknown.
        """
        records = {record.id: record for record in self._view.list_organizations()}
        record = records.get(1 if id_ is None else id_)
        if record is None:
            choices = ", ".join(f"{organization.id} ({organization.name})" for organization in records.values())
            raise FederationError(f"unknown organization {id_} (choose from {choices})")
        return select_keys(self._view.show_organization(record), keys, self.get)

    def list(
        self, *, name: str | None = None, collaboration: int | None = None, **selection: Unpack[Selection]
    ) -> ItemList:
        """Return the organizations of the server, including ``root``.

        Args:
            name: only those whose name matches this pattern: ``%`` is any text, ``_`` one character.
            collaboration: only the members of this collaboration; default: that of ``client.setup_collaboration``, if
                it was called.
            **selection: see ``client.collaboration.list``.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list if ``selection`` selects keys or items.

        Raises:
            FederationError: the collaboration or a field is unknown.
        """
        within = self._view.default_collaboration if collaboration is None else collaboration
        self._view.check_collaboration(within)
        records = self._view.list_organizations() if within is None else self._view.store.organizations()
        chosen = [record for record in records if matches(name, record.name)]
        return select_items(chosen, self._view.show_organization, "organization", selection, self.list)


class NodeCalls:
    """The calls of ``client.node``. Every member of the collaboration has a node."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, id_: int, **keys: Unpack[Keys]) -> Item:
        """Return a node.

        Args:
            id_: the id.
            **keys: ``field="name"`` or ``fields=["id", "name"]`` selects these keys.

        Raises:
            FederationError: the id is unknown.
        """
        members = self._view.store.organizations()
        for record in members:
            if self._view.store.node_id(record.id) == id_:
                return select_keys(self._view.show_node(record), keys, self.get)
        raise FederationError(f"unknown node {id_} (existing nodes: 1 to {len(members)})")

    def list(
        self,
        *,
        name: str | None = None,
        organization: int | None = None,
        collaboration: int | None = None,
        is_online: bool | None = None,
        **selection: Unpack[Selection],
    ) -> ItemList:
        """Return the nodes, with id, name, organization, collaboration and ``status``: ``online`` or ``offline``.

        Args:
            name: only those whose name matches this pattern: ``%`` is any text, ``_`` one character.
            organization: only the node of this organization.
            collaboration: only nodes of this collaboration.
            is_online: only nodes that are online, or offline.
            **selection: see ``client.collaboration.list``; a page has 20 items by default, as on the platform.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list if ``selection`` selects keys or items.

        Raises:
            FederationError: the collaboration or a field is unknown.
        """
        self._view.check_collaboration(collaboration)
        store = self._view.store
        chosen = [
            record
            for record in store.organizations()
            if organization in (None, record.id)
            and (name is None or matches(name, store.node_name(store.node_id(record.id))))
            and is_online in (None, store.node_status(store.node_id(record.id)) == "online")
        ]
        return select_items(chosen, self._view.show_node, "node", {**PAGES_OF_TWENTY, **selection}, self.list)
