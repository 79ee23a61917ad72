"""The researcher's client, as the platform's manual shows it, over the local federation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from algotools.client import not_members
from algotools.contract import Contract, Request, v3_http, v5, v5_http
from algotools.contract.platform import Run, Task
from algotools.errors import FederationError, PickleRefused
from algotools.federation.posting import Asked, Posting, Texts
from algotools.federation.sessions import Sessions
from algotools.federation.store import ROOT, Store
from algotools.task import Database, Step

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
    def __init__(self, federation: Federation, store: Store, contract: Contract, posting: Posting) -> None:
        self._federation = federation
        self._store = store
        self._contract = contract
        self._posting = posting

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
        databases: Sequence[Any] | None = None,
        method: str | None = None,
        arguments: Mapping[str, object] | None = None,
        session: int | None = None,
        action: str | None = None,
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
                one, ``query`` or ``sheet_name``; or a session's tables, as on v5: each ``{"dataframe_id": 1}``, or a
                list of such for an argument that takes several.
            method: what to call, instead of ``input``, as on v5.
            arguments: its arguments by name.
            session: id of the session, as on v5; else that of the tables, or one of the task's own.
            action: whether the method is a master (``central_compute``) or an rpc (``federated_compute``); else the
                algorithm tells.

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
        if method is not None and input is None:
            input = called(method, arguments, action)  # noqa: A001 - the platform's own name
        if not isinstance(input, Mapping) or (method is not None and input.get("method") != method):
            raise FederationError(
                "`input` must be a mapping with `method`, and `args`, `kwargs` and `master` as needed; or give "
                "`method` and `arguments` instead"
            )
        asked: list[Asked] = [Database(database)] if databases is None else [_asked(item) for item in databases]
        request = self._contract.request(input)
        task = self.post(organizations, request, asked, name, image, description, session)
        return v3_http.task(task, self._store)

    def post(
        self,
        organizations: Iterable[int] | int,
        request: Request | bytes,
        databases: Sequence[Asked],
        name: str = "task",
        image: str = "",
        description: str = "",
        session: int | None = None,
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
        posted = Request(request) if isinstance(request, bytes) else request
        texts = Texts(name, description, image)
        return self._posting.send(asked, posted, databases, texts, session=session)

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


class _Sessions:
    def __init__(self, sessions: Sessions, contract: Contract) -> None:
        self._sessions = sessions
        self._contract = contract

    def create(self, scope: str = "collaboration", name: str | None = None, collaboration: int = 1) -> Item:
        """A new session, in which tables are made that tasks then work on (v5).

        Args:
            scope: who may use it; on this machine everybody does.
            name: a name for people.
            collaboration: id of the collaboration.
        """
        _check_sessions(self._contract)
        _check_collaboration(collaboration, self._sessions.store)
        return self.get(self._sessions.create(name, scope).id)

    def get(self, id_: int) -> Item:
        """One session."""
        tables = self._sessions.dataframes(id_)
        return v5_http.session(self._sessions.session(id_), tables, self._sessions.made_by(tables))

    def list(self) -> Item:
        """All sessions."""
        return {"data": [self.get(session.id) for session in self._sessions.sessions()], "links": {}}


class _Dataframes:
    def __init__(self, posting: Posting, store: Store, contract: Contract) -> None:
        self._posting = posting
        self._sessions = posting.sessions
        self._store = store
        self._contract = contract

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
            method: a function for the step ``data_extraction``; ``read_csv``, ``read_parquet``, ``read_excel`` and
                ``read_sql_database`` are in every image made with algotools.
            arguments: its arguments by name.
            session: id of the session; else a new one.
            name: the table's; else one that is made up.

        Returns:
            The table. ``client.dataframe.get(table["id"])["ready"]`` tells when all nodes have made their part.
        """
        request = self._request(method, arguments, "data_extraction")
        home = self._sessions.create().id if session is None else session
        table = self._sessions.add(home, name, label)
        self._posting.make(table, request, image)
        return self.get(table.id)

    def preprocess(
        self, id_: int, image: str = "", method: str = "", arguments: Mapping[str, object] | None = None
    ) -> Item:
        """Have every node make its part of a table anew, of what it is now.

        Args:
            id_: id of the table.
            image: as for a task.
            method: a function for the step ``preprocessing``.
            arguments: its arguments by name.
        """
        table = self._sessions.dataframe(id_)
        request = self._request(method, arguments, "preprocessing")
        self._posting.make(table, request, image)
        return self.get(id_)

    def get(self, id_: int) -> Item:
        """One table: ``ready``, and the ``columns`` that each node's part has."""
        table = self._sessions.dataframe(id_)
        return v5_http.dataframe(table, self._sessions.made_by([table]), self._store)

    def list(self, session: int) -> Item:
        """The tables of a session."""
        return {"data": [self.get(table.id) for table in self._sessions.dataframes(session)], "links": {}}

    def _request(self, method: str, arguments: Mapping[str, object] | None, step: Step) -> Request:
        _check_sessions(self._contract)
        return self._contract.request(called(method, arguments, "federated_compute"), step)


class Client:
    """What a researcher has in hand: ``collaboration``, ``organization``, ``task`` and ``result``.

    On v5 there are ``session`` and ``dataframe``, too.
    """

    def __init__(self, federation: Federation, store: Store, contract: Contract, posting: Posting) -> None:
        self.collaboration = _Collaborations(store)
        self.organization = _Organizations(store)
        self.task = _Tasks(federation, store, contract, posting)
        self.result = _Results(federation, store, contract)
        self.session = _Sessions(posting.sessions, contract)
        self.dataframe = _Dataframes(posting, store, contract)


def result(run: Run, store: Store, contract: Contract) -> Item:
    """A run as the platform's client shows it."""
    return {
        **v3_http.result(run, store),
        "input": run.input,
        "log": run.log,
        "result": contract.answer(run.output),
    }


def _check_collaboration(id_: int, store: Store) -> None:
    if id_ != store.collaboration_id:
        raise FederationError(
            f"there is no collaboration {id_}; there is {store.collaboration_id} ({store.collaboration})"
        )


def called(method: str, arguments: Mapping[str, object] | None, action: str | None) -> Item:
    """A call as an input says it.

    Raises:
        FederationError: there is no such action.
    """
    roles = {name: role for name, (role, step) in v5.ACTIONS.items() if step == "compute"}
    if action is not None and action not in roles:
        raise FederationError(f"action {action!r}: a task has one of {', '.join(roles)}")
    master = {} if action is None else {"master": roles[action] == "master"}
    return {"method": method, "kwargs": dict(arguments or {}), **master}


def _check_sessions(contract: Contract) -> None:
    if not contract.has_sessions:
        raise FederationError(f"{contract.name} has no sessions; make the federation with contract='v5'")


def _asked(item: object) -> Asked:
    """What an item of ``databases`` names: a database by label, or tables by id."""
    if isinstance(item, Mapping) and "dataframe_id" not in item:
        return _database(item)
    several = item if isinstance(item, list) else [item]
    ids = [one.get("dataframe_id") if isinstance(one, Mapping) else one for one in several]
    found = [id_ for id_ in ids if isinstance(id_, int)]
    if not ids or len(found) < len(ids):
        raise FederationError('`databases` has items {"label": "default"} or {"dataframe_id": 1}, or lists of these')
    return found


def _database(item: Mapping[str, object]) -> Database:
    known = {"label", "query", "sheet_name", "preprocessing"}
    if not isinstance(item.get("label"), str) or item.keys() - known:
        raise FederationError(f"a database is a mapping with `label` and maybe {', '.join(sorted(known - {'label'}))}")
    steps = item.get("preprocessing")
    query, sheet = (None if item.get(key) is None else str(item[key]) for key in ("query", "sheet_name"))
    steps = None if steps is None else json.dumps(steps)
    return Database(str(item["label"]), query=query, sheet_name=sheet, preprocessing=steps)
