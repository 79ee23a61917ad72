"""The calls of ``client.task``: create, list and kill tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from algotools.errors import FederationError, PickleRefused
from algotools.federation._results import Requested, find_ids, parse_databases
from algotools.federation.client._view import (
    PAGES_OF_TWENTY,
    TASK_STATUSES,
    Item,
    ItemList,
    Keys,
    Selection,
    View,
    check_choice,
    matches,
    select_items,
    select_keys,
)
from algotools.runtime.contract import v5
from algotools.task import Database

if TYPE_CHECKING:
    from typing_extensions import Unpack


class TaskCalls:
    """The calls of ``client.task``."""

    def __init__(self, view: View) -> None:
        self._view = view

    def create(
        self,
        collaboration: int | None = None,
        organizations: Iterable[int] | int = (),
        name: str = "task",
        image: str = "",
        description: str = "",
        input: Mapping[str, object] | None = None,  # noqa: A002 - the platform's own name
        data_format: str = "json",
        database: str | None = None,
        input_: Mapping[str, object] | None = None,
        databases: Sequence[Any] | str | int | None = None,
        method: str | None = None,
        arguments: Mapping[str, object] | None = None,
        session: int | None = None,
        action: str | None = None,
    ) -> Item:
        """Send a task to organizations of a collaboration.

        The arguments of all generations work on every generation: ``input`` and ``database`` (v3 and the manual),
        ``input_`` and ``databases`` (v4), ``method``, ``arguments``, ``session`` and ``action`` (v5).

        Args:
            collaboration: id of the collaboration; default: the only one.
            organizations: ids of the organizations that run the task. Results have this order.
            name: a name for people.
            image: the algorithm's image, as in ``images`` of federation.yaml; default: the federation's own algorithm.
            description: a text for people.
            input: ``method``, ``args`` and ``kwargs`` of the call, and ``master``: whether the method is a
                master (True) or an rpc (False).
            data_format: the format of the input. Only "json" is allowed; pickled input is refused.
            database: label of the database, as the nodes' owners configured it; default: ``default``.
            input_: the name of ``input`` on v4. As on v4, there is then no default database.
            databases: on v4, a label, or a list of mappings with ``label`` and optionally ``query`` or
                ``sheet_name``. On v5, the tables of a session: a list of ``{"dataframe_id": 1}``, or of lists of these
                for an argument that takes several tables.
            method: the method to call, instead of ``input``, as on v5.
            arguments: the arguments of the method by name.
            session: id of the session, as on v5; default: that of the tables, or a new session.
            action: whether the method is a master (``central_compute``) or an rpc (``federated_compute``); default:
                the role in the algorithm.

        Returns:
            The task. ``client.task.get(task["id"])`` returns its current status.

        Raises:
            FederationError: an id is unknown, or an argument has the wrong shape.
            PickleRefused: ``data_format`` requests a pickle.
        """
        if not isinstance(collaboration, (int, type(None))):
            raise FederationError(
                "the first argument is the collaboration, as on v3; pass the others by name: organizations=[2]"
            )
        self._view.check_collaboration(collaboration)
        if data_format != "json":
            error = PickleRefused if data_format in ("legacy", "pickle") else FederationError
            raise error(f"data_format {data_format!r}: the input must be JSON; use data_format='json'")
        if input is not None and input_ is not None:
            raise FederationError("`input` and `input_` are the same argument; pass only one of them")
        content = input if input_ is None else input_
        if method is not None and content is None:
            content = make_call(method, arguments, action)
        if not isinstance(content, Mapping) or (method is not None and content.get("method") != method):
            raise FederationError(
                "`input` must be a mapping with `method` and optionally `args`, `kwargs` and `master`; or pass "
                "`method` and `arguments` instead"
            )
        requested = _merge_databases(database, databases, () if input_ is not None else ("default",))
        ids = [organizations] if isinstance(organizations, int) else list(organizations)
        if not all(isinstance(id_, int) for id_ in ids):
            raise FederationError("organizations must be a list of ids, which are integers: [2, 3]")
        platform = self._view.platform
        task = platform.create_task(
            find_ids(ids, platform.organizations()),
            self._view.contract.make_request(self._view.contract.add_query(content, requested)),
            requested,
            name=name,
            description=description,
            image=image,
            session=session,
        )
        return self._view.show_task(task)

    def get(self, id_: int, include_results: bool = False, **keys: Unpack[Keys]) -> Item:
        """Return a task: ``complete`` is True when all its runs have finished, ``status`` tells how.

        Args:
            id_: id of the task.
            include_results: add the results in the field ``results``, in base64 as on the platform.
                ``client.result.list(task=…)`` returns the values.
            **keys: ``field="status"`` or ``fields=["id", "status"]`` selects these keys.

        Raises:
            FederationError: the task or a field is unknown.
        """
        task = self._view.find_task(id_)
        return select_keys(self._show(include_results=include_results)(task), keys, self.get)

    def list(
        self,
        *,
        name: str | None = None,
        status: str | None = None,
        collaboration: int | None = None,
        image: str | None = None,
        description: str | None = None,
        database: str | None = None,
        parent: int | None = None,
        job: int | None = None,
        run: int | None = None,
        result: int | None = None,
        initiator: int | None = None,
        initiating_org: int | None = None,
        user_created: bool | None = None,
        session: int | None = None,
        dataframe: int | None = None,
        include_results: bool = False,
        **selection: Unpack[Selection],
    ) -> ItemList:
        """Return the tasks, including subtasks, the newest first.

        Args:
            name: only those whose name matches this pattern: ``%`` is any text, ``_`` one character.
            status: only tasks with this status.
            collaboration: only tasks of this collaboration.
            image: only tasks whose image matches this pattern.
            description: only tasks whose description matches this pattern.
            database: only tasks that request the database with this label (v5: the table with this name).
            parent: only the subtasks of this task.
            job: only the tasks of this job: a task, its subtasks, their subtasks, and so on. On v3 also ``run``.
            run: on v4 and v5 the id of a run: only the task of this run. On v3 the same as ``job``.
            result: the id of a result: only the task of this result (v3).
            initiator: only tasks that this organization has created.
            initiating_org: the name of ``initiator`` on v4.
            user_created: True: only tasks of researchers; False: only subtasks.
            session: only tasks of this session (v5).
            dataframe: only tasks that created this table (v5).
            include_results: as for ``get``.
            **selection: ``field="name"`` or ``fields=["id", "name"]`` selects these keys, ``filter_=("status",
                "completed")`` or ``filters=[…]`` the items with these values. ``page`` and ``per_page`` select a page
                (default: 1 and 20, as on the platform; None: all). ``include_metadata=False`` returns a plain list.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list.

        Raises:
            FederationError: a collaboration, status, task, run or field is unknown.
        """
        view = self._view
        view.check_collaboration(collaboration)
        check_choice(status, TASK_STATUSES[view.contract.name], "status")
        if parent is not None:
            view.find_task(parent)
        jobs, contained = ((job, run), (result,)) if view.is_v3 else ((job,), (run, result))
        within = {view.find_run(id_).task_id for id_ in contained if id_ is not None}
        records = [
            task
            for task in reversed(view.store.tasks())
            if all(id_ in (None, task.job_id) for id_ in jobs)
            and within <= {task.id}
            and parent in (None, task.parent_id)
            and initiator in (None, task.init_organization_id)
            and initiating_org in (None, task.init_organization_id)
            and user_created in (None, task.parent_id is None)
            and session in (None, task.session_id)
            and dataframe in (None, (task.dataframe or {}).get("id"))
            and matches(name, task.name)
            and matches(image, task.image)
            and matches(description, task.description)
            and (database is None or any(matches(database, label) for label in _list_labels(task.databases)))
            and (status is None or view.show_task(task)["status"] == status)
        ]
        show = self._show(include_results=include_results)
        return select_items(records, show, "task", {**PAGES_OF_TWENTY, **selection}, self.list)

    def kill(self, id_: int) -> Item:
        """Cancel a task and its subtasks.

        Active and pending runs get the status ``killed by user``. Finished runs stay unchanged.

        Args:
            id_: id of the task.

        Returns:
            ``{"msg": …}`` with the outcome.

        Raises:
            FederationError: the task is unknown.
        """
        task = self._view.find_task(id_)
        if all(member.complete for member in self._view.store.list_task_tree(task)):
            return {"msg": f"task {id_} has already finished: {self._view.show_task(task)['status']}"}
        self._view.platform.kill(task)
        return {"msg": f"task {id_} is killed"}

    def _show(self, *, include_results: bool) -> Any:
        return self._view.show_task_with_results if include_results else self._view.show_task


def _merge_databases(
    label: str | None, databases: Sequence[Any] | str | int | None, default: Sequence[str]
) -> list[Requested]:
    """Return the databases that a task requests with one of the two arguments."""
    if label is not None and databases is not None:
        raise FederationError("`database` names one database, `databases` several; pass only one of them")
    if databases is not None:
        return parse_databases(databases)
    return [Database(name) for name in (default if label is None else [label])]


def _list_labels(databases: str | list[Any]) -> list[str]:
    """Return the labels of the databases that a task requests, from the format of any generation."""
    if isinstance(databases, str):
        return [databases]
    flat = [item for group in databases for item in (group if isinstance(group, list) else [group])]
    return [str(item.get("label") or item.get("dataframe_name")) for item in flat]


def make_call(method: str, arguments: Mapping[str, object] | None, action: str | None) -> Item:
    """Return a call in the format of an input.

    Raises:
        FederationError: the action is unknown.
    """
    roles = {name: role for name, (role, step) in v5.ACTIONS.items() if step == "compute"}
    if action is not None and action not in roles:
        raise FederationError(f"unknown action {action!r} (choose from {', '.join(roles)})")
    master = {} if action is None else {"master": roles[action] == "master"}
    return {"method": method, "kwargs": dict(arguments or {}), **master}
