"""``client.task``: sending tasks, and telling how they do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from algotools.client import not_members
from algotools.contract import Request
from algotools.contract.platform import Task
from algotools.errors import FederationError, PickleRefused
from algotools.federation.client.calls import called
from algotools.federation.client.selection import (
    PAGES_OF_TWENTY,
    Item,
    Keys,
    Listed,
    Selection,
    like,
    one,
    one_of,
    several,
)
from algotools.federation.client.view import TASK_STATUSES, View
from algotools.federation.naming import asked
from algotools.federation.posting import Asked, Posting, Texts
from algotools.task import Database

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Tasks:
    """``client.task``."""

    def __init__(self, view: View, posting: Posting) -> None:
        self._view = view
        self._posting = posting

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

        The spellings of all generations are understood on every contract: ``input`` and ``database`` (v3, the manual),
        ``input_`` and ``databases`` (v4), ``method``, ``arguments``, ``session`` and ``action`` (v5).

        Args:
            collaboration: id of the collaboration; by default the one that there is.
            organizations: ids of the organizations that are to run it; results come in this order.
            name: a name for people.
            image: the algorithm's image, as ``images`` of federation.yaml names it; else the federation's own
                algorithm runs.
            description: a text for people.
            input: ``method``, ``args`` and ``kwargs`` of the call, and ``master``: whether the method is a
                master (True) or an rpc (False).
            data_format: how the input travels; only "json", for pickled input is refused.
            database: label of the database to use, as the nodes' owners configured it; by default ``default``.
            input_: the same as ``input``, as v4 spells it; then, as on v4, a task that names no database gets none.
            databases: several databases, as on v4: each a mapping with ``label`` and, where the database takes
                one, ``query`` or ``sheet_name``, or one label alone; or a session's tables, as on v5: each
                ``{"dataframe_id": 1}``, or a list of such for an argument that takes several.
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
        if not isinstance(collaboration, (int, type(None))):
            raise FederationError("the collaboration comes first, as on v3; else name the arguments: organizations=[2]")
        self._view.check_collaboration(collaboration)
        if data_format != "json":
            refused = PickleRefused if data_format in ("legacy", "pickle") else FederationError
            raise refused(f"data_format {data_format!r}: the input travels as JSON only; use data_format='json'")
        if input is not None and input_ is not None:
            raise FederationError("`input` and `input_` are one and the same; give one of them")
        content = input if input_ is None else input_
        if method is not None and content is None:
            content = called(method, arguments, action)
        if not isinstance(content, Mapping) or (method is not None and content.get("method") != method):
            raise FederationError(
                "`input` must be a mapping with `method`, and `args`, `kwargs` and `master` as needed; or give "
                "`method` and `arguments` instead"
            )
        wanted = _databases(database, databases, () if input_ is not None else ("default",))
        request = self._view.contract.request(content)
        task = self.post(organizations, request, wanted, name, image, description, session)
        return self._view.task(task)

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
        ids = [organizations] if isinstance(organizations, int) else list(organizations)
        if not all(isinstance(id_, int) for id_ in ids):
            raise FederationError("organizations are named by their ids, which are integers: [2, 3]")
        known = {o.id: o.name for o in self._view.store.organizations()}
        if not ids or len(set(ids)) < len(ids):
            raise FederationError("name each organization once, and at least one")
        if strangers := not_members(ids, known):
            raise FederationError(strangers)
        posted = Request(request) if isinstance(request, bytes) else request
        texts = Texts(name, description, image)
        return self._posting.send(ids, posted, databases, texts, session=session)

    def get(self, id_: int, include_results: bool = False, **keys: Unpack[Keys]) -> Item:
        """A task: ``complete`` tells whether all its runs have ended, ``status`` how.

        Args:
            id_: id of the task.
            include_results: put the results themselves in ``results``, in base64 as the platform leaves them there;
                ``client.result.list(task=…)`` has the values.
            **keys: ``field="status"`` or ``fields=["id", "status"]`` keeps these keys.

        Raises:
            FederationError: there is no such task, or no such field.
        """
        task = self._view.find_task(id_)
        return one(self._shown(include_results=include_results)(task), keys, self.get)

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
    ) -> Listed:
        """The tasks, the newest first, subtasks among them.

        Args:
            name: only those whose name is like this, with ``%`` for any text and ``_`` for one character.
            status: only those in this status, as the contract's tasks have it.
            collaboration: only those of this one.
            image: only those whose image is like this.
            description: only those whose description is like this.
            database: only those that ask for the database of this label (v5: the table of this name).
            parent: only the subtasks of this task.
            job: only those that belong together: a task, its subtasks, theirs, and so on. v3 calls it ``run``.
            run: on v4 and v5 the id of a run: only the task that it is of. On v3 as ``job``.
            result: the id of a result: only the task that it is of (v3).
            initiator: only those that this organization has sent.
            initiating_org: the same, as v4 spells it.
            user_created: True for those that researchers have sent, False for subtasks.
            session: only those of this session (v5).
            dataframe: only those that made this table (v5).
            include_results: as for ``get``.
            **selection: ``field="name"`` or ``fields=["id", "name"]`` keeps these keys, ``filter_=("status",
                "completed")`` or ``filters=[…]`` the items with these values; ``page`` and ``per_page``, as on the
                platform 1 and 20 if nothing is said (None for all); ``include_metadata=False`` gives a plain list.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list.

        Raises:
            FederationError: there is no such collaboration, status, task, run or field.
        """
        view = self._view
        view.check_collaboration(collaboration)
        one_of(status, TASK_STATUSES[view.contract.name], "status")
        if parent is not None:
            view.find_task(parent)
        jobs, contained = ((job, run), (result,)) if view.is_v3 else ((job,), (run, result))
        within = {view.find_run(id_).task_id for id_ in contained if id_ is not None}
        records = [
            task
            for task in reversed(view.store.tasks())
            if all(wanted in (None, task.job_id) for wanted in jobs)
            and within <= {task.id}
            and parent in (None, task.parent_id)
            and initiator in (None, task.init_organization_id)
            and initiating_org in (None, task.init_organization_id)
            and user_created in (None, task.parent_id is None)
            and session in (None, task.session_id)
            and dataframe in (None, (task.dataframe or {}).get("id"))
            and like(name, task.name)
            and like(image, task.image)
            and like(description, task.description)
            and (database is None or any(like(database, label) for label in _labels(task.databases)))
            and (status is None or view.task(task)["status"] == status)
        ]
        show = self._shown(include_results=include_results)
        return several(records, show, "task", {**PAGES_OF_TWENTY, **selection}, self.list)

    def kill(self, id_: int) -> Item:
        """End a task, and its subtasks, wherever they run.

        Each of its runs that has not ended does so now, with the status ``killed by user``; the others stay as they
        are.

        Args:
            id_: id of the task.

        Returns:
            ``{"msg": …}``: what was done.

        Raises:
            FederationError: there is no such task.
        """
        task = self._view.find_task(id_)
        if all(member.complete for member in self._view.store.family(task)):
            return {"msg": f"task {id_} has ended already: {self._view.task(task)['status']}"}
        self._view.federation.kill(id_)
        return {"msg": f"task {id_} is killed"}

    def _shown(self, *, include_results: bool) -> Any:
        return self._view.task_with_results if include_results else self._view.task


def _databases(label: str | None, several: Sequence[Any] | str | int | None, default: Sequence[str]) -> list[Asked]:
    """What a task asks for, in either spelling."""
    if label is not None and several is not None:
        raise FederationError("`database` names one database, `databases` several; give one of them")
    if several is not None:
        return asked(several)
    return [Database(name) for name in (default if label is None else [label])]


def _labels(words: str | list[Any]) -> list[str]:
    """The databases that a task asks for, whatever the generation's words."""
    if isinstance(words, str):
        return [words]
    flat = [item for group in words for item in (group if isinstance(group, list) else [group])]
    return [str(item.get("label") or item.get("dataframe_name")) for item in flat]
