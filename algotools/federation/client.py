"""The researcher's client, as the platform's manual shows it, over the local federation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from algotools.client import not_members
from algotools.contract import Contract, v3_http
from algotools.contract.platform import Run, Task
from algotools.errors import FederationError, PickleRefused
from algotools.federation.store import ROOT, Store
from algotools.task import Database

if TYPE_CHECKING:
    from algotools.federation import Federation

Item = dict[str, Any]


def _keep(item: Item, fields: Sequence[str] | None) -> Item:
    """An item with the asked fields only."""
    if fields is None:
        return item
    if unknown := [field for field in fields if field not in item]:
        raise FederationError(f"no field {', '.join(unknown)}; there are: {', '.join(item)}")
    return {field: item[field] for field in fields}


class _Collaborations:
    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, *, fields: Sequence[str] | None = None) -> list[Item]:
        """The collaborations, each with id, name and its organizations.

        Args:
            fields: keep only these keys of each item.
        """
        return [_keep(v3_http.collaboration(self._store), fields)]

    def get(self, id_: int) -> Item:
        """One collaboration."""
        _check_collaboration(id_, self._store)
        return self.list()[0]


class _Organizations:
    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, *, fields: Sequence[str] | None = None) -> Item | list[Item]:
        """The organizations that the server knows, ``root`` among them.

        Args:
            fields: keep only these keys of each item; the answer is then a plain list.
        """
        items = [v3_http.organization(o) for o in (ROOT, *self._store.organizations())]
        return {"data": items, "links": {}} if fields is None else [_keep(item, fields) for item in items]

    def get(self, id_: int) -> Item:
        """One organization."""
        for item in (ROOT, *self._store.organizations()):
            if item.id == id_:
                return v3_http.organization(item)
        raise FederationError(f"there is no organization {id_}")


class _Tasks:
    def __init__(self, federation: Federation, store: Store, contract: Contract) -> None:
        self._federation = federation
        self._store = store
        self._contract = contract

    def create(
        self,
        collaboration: int,
        organizations: Sequence[int] | int,
        name: str = "task",
        image: str = "",
        description: str = "",
        input: Mapping[str, object] | None = None,  # noqa: A002 - the platform's own name
        data_format: str = "json",
        database: str = "default",
        databases: Sequence[Mapping[str, object]] | None = None,
    ) -> Item:
        """Send a task to organizations of a collaboration.

        Args:
            collaboration: id of the collaboration.
            organizations: ids of the organizations that are to run it; results come in this order.
            name: a name for people.
            image: the algorithm's image, as ``images`` of federation.yaml names it; else the federation's own
                algorithm runs.
            description: a text for people.
            input: ``method``, ``args`` and ``kwargs`` of the call, and ``master``: whether the method is a
                master (True) or an rpc (False).
            data_format: how the input travels; only "json", for pickled input is refused.
            database: label of the database to use, as the nodes' owners configured it.
            databases: several databases, as on v4: each a mapping with ``label`` and, where the database takes
                one, ``query`` or ``sheet_name``.

        Returns:
            The task. ``client.task.get(task["id"])`` tells how it is doing.

        Raises:
            FederationError: an id is unknown, or an argument has the wrong shape.
            PickleRefused: ``data_format`` asks for pickling.
        """
        _check_collaboration(collaboration, self._store)
        if data_format != "json":
            refused = PickleRefused if data_format in ("legacy", "pickle") else FederationError
            raise refused(f"data_format {data_format!r}: the input travels as JSON only; use data_format='json'")
        if not isinstance(input, Mapping):
            raise FederationError(
                "`input` must be a mapping with `method`, and `args`, `kwargs` and `master` as needed"
            )
        asked = [Database(database)] if databases is None else [_database(item) for item in databases]
        return v3_http.task(
            self.post(organizations, self._contract.input(input), asked, name, image, description), self._store
        )

    def post(
        self,
        organizations: Iterable[int] | int,
        data: bytes,
        databases: list[Database],
        name: str = "task",
        image: str = "",
        description: str = "",
    ) -> Task:
        """Send a task whose input is encoded already."""
        asked = [organizations] if isinstance(organizations, int) else list(organizations)
        if not all(isinstance(id_, int) for id_ in asked):
            raise FederationError("organizations are named by their ids, which are integers: [2, 3]")
        known = {o.id: o.name for o in self._store.organizations()}
        if not asked or len(set(asked)) < len(asked):
            raise FederationError("name each organization once, and at least one")
        if strangers := not_members(asked, known):
            raise FederationError(strangers)
        self._federation.check_open()
        words = self._contract.databases(databases)
        return self._store.create(name, description, image, words, dict.fromkeys(asked, data))

    def get(self, id_: int, include_results: bool = False) -> Item:
        """A task: ``complete`` tells whether all its runs have ended, ``status`` how.

        Args:
            id_: id of the task.
            include_results: put the runs themselves, with their results, in ``results``.
        """
        task = self._federation.task(id_)
        item = v3_http.task(task, self._store)
        if include_results:
            item["results"] = [result(run, self._store, self._contract) for run in task.runs]
        return item


class _Results:
    def __init__(self, federation: Federation, store: Store, contract: Contract) -> None:
        self._federation = federation
        self._store = store
        self._contract = contract

    def list(self, *, task: int) -> Item:
        """The runs of a task in the order of its organizations, each with its decoded ``result``.

        A run that failed has None there; its ``status`` and ``log`` tell why.
        """
        runs = self._federation.task(task).runs
        return {"data": [result(run, self._store, self._contract) for run in runs], "links": {}}


class Client:
    """What a researcher has in hand: ``collaboration``, ``organization``, ``task`` and ``result``."""

    def __init__(self, federation: Federation, store: Store, contract: Contract) -> None:
        self.collaboration = _Collaborations(store)
        self.organization = _Organizations(store)
        self.task = _Tasks(federation, store, contract)
        self.result = _Results(federation, store, contract)


def result(run: Run, store: Store, contract: Contract) -> Item:
    """A run as the platform's client shows it."""
    return {
        **v3_http.linked_result(run, store),
        "input": run.input,
        "log": run.log,
        "result": contract.answer(run.output),
    }


def _check_collaboration(id_: int, store: Store) -> None:
    if id_ != store.collaboration_id:
        raise FederationError(
            f"there is no collaboration {id_}; there is {store.collaboration_id} ({store.collaboration})"
        )


def _database(item: Mapping[str, object]) -> Database:
    known = {"label", "query", "sheet_name", "preprocessing"}
    if not isinstance(item.get("label"), str) or item.keys() - known:
        raise FederationError(f"a database is a mapping with `label` and maybe {', '.join(sorted(known - {'label'}))}")
    steps = item.get("preprocessing")
    query, sheet = (None if item.get(key) is None else str(item[key]) for key in ("query", "sheet_name"))
    steps = None if steps is None else json.dumps(steps)
    return Database(str(item["label"]), query=query, sheet_name=sheet, preprocessing=steps)
