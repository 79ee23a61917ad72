"""``client.collaboration``, ``client.organization`` and ``client.node``: who takes part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from algotools.errors import FederationError
from algotools.federation.client.selection import PAGES_OF_TWENTY, Item, Keys, Listed, Selection, like, one, several
from algotools.federation.client.view import View

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Collaborations:
    """``client.collaboration``; here there is one."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, id_: int, **keys: Unpack[Keys]) -> Item:
        """One collaboration.

        Args:
            id_: its id.
            **keys: see ``list``.

        Raises:
            FederationError: there is none of that id.
        """
        self._view.check_collaboration(id_)
        return one(self._view.collaboration(), keys, self.get)

    def list(
        self,
        *,
        scope: Literal["organization", "global"] = "organization",
        name: str | None = None,
        encrypted: bool | None = None,
        organization: int | None = None,
        **selection: Unpack[Selection],
    ) -> Listed:
        """The collaborations, each with id, name and references to its organizations.

        Args:
            scope: those of one's own organization, or all; here they are the same.
            name: only those whose name is like this, with ``%`` for any text and ``_`` for one character.
            encrypted: only such as are, or are not; here none is.
            organization: only those that this organization is a member of.
            **selection: ``field="name"`` or ``fields=["id", "name"]`` keeps these keys, ``filter_=("id", 1)`` or
                ``filters=[…]`` the items with these values; ``page``, ``per_page``.

        Returns:
            ``{"data": [...], "links": {...}}``; on v3 with the scope ``organization``, and wherever ``selection`` keeps
            or filters something, a plain list.

        Raises:
            FederationError: there is no such field.
        """
        if self._view.is_v3 and scope == "organization":
            selection["include_metadata"] = False
        members = {member.id for member in self._view.store.organizations()}
        found = like(name, self._view.store.collaboration) and not encrypted and organization in {None, *members}
        records = [self._view] if found else []
        return several(records, View.collaboration, "collaboration", {**PAGES_OF_TWENTY, **selection}, self.list)


class Organizations:
    """``client.organization``."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, id_: int | None = None, **keys: Unpack[Keys]) -> Item:
        """One organization.

        Args:
            id_: its id; by default one's own, ``root``.
            **keys: ``field="name"`` or ``fields=["id", "name"]`` keeps these keys.

        Raises:
            FederationError: there is none of that id.
        """
        known = {record.id: record for record in self._view.organizations()}
        record = known.get(1 if id_ is None else id_)
        if record is None:
            names = ", ".join(f"{organization.id} ({organization.name})" for organization in known.values())
            raise FederationError(f"there is no organization {id_}; there are: {names}")
        return one(self._view.organization(record), keys, self.get)

    def list(
        self, *, name: str | None = None, collaboration: int | None = None, **selection: Unpack[Selection]
    ) -> Listed:
        """The organizations that the server knows, ``root`` among them.

        Args:
            name: only those whose name is like this, with ``%`` for any text and ``_`` for one character.
            collaboration: only the members of this one; by default that of ``client.setup_collaboration``, if it was
                called.
            **selection: see ``client.collaboration.list``.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list where ``selection`` keeps or filters something.

        Raises:
            FederationError: there is no such collaboration, or no such field.
        """
        within = self._view.default_collaboration if collaboration is None else collaboration
        self._view.check_collaboration(within)
        records = self._view.organizations() if within is None else self._view.store.organizations()
        chosen = [record for record in records if like(name, record.name)]
        return several(chosen, self._view.organization, "organization", selection, self.list)


class Nodes:
    """``client.node``; every member of the collaboration has one."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, id_: int, **keys: Unpack[Keys]) -> Item:
        """One node.

        Args:
            id_: its id.
            **keys: ``field="name"`` or ``fields=["id", "name"]`` keeps these keys.

        Raises:
            FederationError: there is none of that id.
        """
        members = self._view.store.organizations()
        for record in members:
            if self._view.store.node_id(record.id) == id_:
                return one(self._view.node(record), keys, self.get)
        raise FederationError(f"there is no node {id_}; there are 1 to {len(members)}")

    def list(
        self,
        *,
        name: str | None = None,
        organization: int | None = None,
        collaboration: int | None = None,
        is_online: bool | None = None,
        **selection: Unpack[Selection],
    ) -> Listed:
        """The nodes, each with id, name, organization, collaboration and ``status``: ``online`` or ``offline``.

        Args:
            name: only those whose name is like this, with ``%`` for any text and ``_`` for one character.
            organization: only that of this organization.
            collaboration: only those of this one.
            is_online: only such as are there to fetch their runs, or such as are not.
            **selection: see ``client.collaboration.list``; as on the platform, a page has 20 items if nothing is said.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list where ``selection`` keeps or filters something.

        Raises:
            FederationError: there is no such collaboration, or no such field.
        """
        self._view.check_collaboration(collaboration)
        store = self._view.store
        chosen = [
            record
            for record in store.organizations()
            if organization in (None, record.id)
            and (name is None or like(name, store.node_name(store.node_id(record.id))))
            and is_online in (None, store.node_status(store.node_id(record.id)) == "online")
        ]
        return several(chosen, self._view.node, "node", {**PAGES_OF_TWENTY, **selection}, self.list)
