"""``client.result`` and ``client.run``: what a task's organizations answered, and how each is doing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from algotools.contract.platform import Run
from algotools.federation.client.selection import Item, Keys, Listed, Selection, one, one_of, several
from algotools.federation.client.view import RUN_STATUSES, View

if TYPE_CHECKING:
    from typing_extensions import Unpack

Between = tuple[str, str]
"""The first and the last moment, as ``2024-05-31`` or ``2024-05-31T12:00:00``, in UTC."""


class Filters(TypedDict, total=False):
    """Which runs are meant."""

    organization: int | None
    node: int | None
    state: Literal["open"] | None
    status: str | None
    assigned: Between | None
    started: Between | None
    finished: Between | None


class Runs:
    """``client.run``: statuses and logs."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, id_: int, include_task: bool = False, **keys: Unpack[Keys]) -> Item:
        """One run: its ``status``, its ``log`` and, as text, the ``input`` (v5: ``arguments``) that it was given.

        Args:
            id_: its id.
            include_task: put the task itself in ``task``.
            **keys: ``field="log"`` or ``fields=["id", "status"]`` keeps these keys.

        Raises:
            FederationError: there is none of that id, or no such field.
        """
        return one(self._view.run(self._view.find_run(id_), include_task=include_task), keys, self.get)

    def list(
        self,
        *,
        task: int | None = None,
        organization: int | None = None,
        state: Literal["open"] | None = None,
        status: str | None = None,
        node: int | None = None,
        include_task: bool = False,
        started: Between | None = None,
        assigned: Between | None = None,
        finished: Between | None = None,
        **selection: Unpack[Selection],
    ) -> Listed:
        """Runs, the newest first.

        Args:
            task: only those of this task.
            organization: only those of this organization.
            state: ``open``: only such as have not ended.
            status: only such as are in this status; the platform's own client cannot tell them apart by that.
            node: only those of this node.
            include_task: put the task itself in each item's ``task``.
            started: only such as began between these two moments.
            assigned: only such as were created between these.
            finished: only such as ended between these.
            **selection: ``field="log"`` or ``fields=["id", "status"]`` keeps these keys, ``filter_=("status",
                "crashed")`` or ``filters=[…]`` the items with these values; ``page``, ``per_page``.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list where ``selection`` keeps or filters something. A run
            that failed is there like every other, and its ``log`` tells why.

        Raises:
            FederationError: there is no such task, status or field.
        """
        filters: Filters = {"organization": organization, "node": node, "state": state, "status": status}
        filters |= {"started": started, "assigned": assigned, "finished": finished}
        found = chosen(reversed(runs_of(task, self._view)), filters)
        return several(found, lambda run: self._view.run(run, include_task=include_task), "run", selection, self.list)

    def from_task(self, task_id: int, include_task: bool = False, **selection: Unpack[Selection]) -> Listed:
        """The runs of a task, the newest first.

        Args:
            task_id: id of the task.
            include_task: put the task itself in each item's ``task``.
            **selection: see ``list``.

        Returns:
            As ``list``.

        Raises:
            FederationError: there is no such task, or no such field.
        """
        return self.list(task=task_id, include_task=include_task, **selection)


class Results:
    """``client.result``."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, id_: int, include_task: bool = False, **keys: Unpack[Keys]) -> Any:
        """One result.

        Args:
            id_: its id.
            include_task: put the task itself in ``task`` (v3).
            **keys: ``field="result"`` or ``fields=["id", "result"]`` keeps these keys (v3).

        Returns:
            On v3 an item as ``list`` has it. On v4 and v5 the result alone, as JSON text; None where there is none.

        Raises:
            FederationError: there is none of that id, or no such field.
        """
        run = self._view.find_run(id_)
        if self._view.is_v3:
            return one(self._view.decoded_result(run, include_task=include_task), keys, self.get)
        return self._view.text_result(run)["result"]

    def list(
        self,
        *,
        task: int | None = None,
        organization: int | None = None,
        state: Literal["open"] | None = None,
        node: int | None = None,
        include_task: bool = False,
        started: Between | None = None,
        assigned: Between | None = None,
        finished: Between | None = None,
        **selection: Unpack[Selection],
    ) -> Listed:
        """The results of a task in the order of its organizations, each with the decoded value in ``result``.

        This is the manual's call. Only v3's client has it, so on every contract its items are v3's.

        Args:
            task: id of the task; by default the results of all tasks, those of the newest first.
            organization: only those of this organization.
            state: ``open``: only of runs that have not ended.
            node: only those of this node.
            include_task: put the task itself in each item's ``task``.
            started: only of runs that began between these two moments.
            assigned: only of runs that were created between these.
            finished: only of runs that ended between these.
            **selection: ``field="result"`` or ``fields=["id", "result"]`` keeps these keys, ``filter_=("status",
                "completed")`` or ``filters=[…]`` the items with these values; ``page``, ``per_page``, and
                ``include_metadata=False`` for a plain list.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list. A run that failed, or has not ended, has None in
            ``result``; its ``status`` and ``log`` tell why.

        Raises:
            FederationError: there is no such task, or no such field.
        """
        filters: Filters = {"organization": organization, "node": node, "state": state}
        filters |= {"started": started, "assigned": assigned, "finished": finished}
        found = chosen(runs_of(task, self._view), filters)
        return several(
            found, lambda run: self._view.decoded_result(run, include_task=include_task), "result", selection, self.list
        )

    def from_task(self, task_id: int, include_task: bool = False, **selection: Unpack[Selection]) -> Listed:
        """The results of a task, as the contract's own client gives them.

        Args:
            task_id: id of the task.
            include_task: put the task itself in each item's ``task`` (v3).
            **selection: see ``list``.

        Returns:
            On v3 a plain list of items as ``list`` has them. On v4 and v5 ``{"data": [...], "links": {...}}``, the
            newest run first, with JSON as text in each item's ``result``, to be read with ``json.loads``. No run is
            missing: one that failed, or has not ended, has None there.

        Raises:
            FederationError: there is no such task, or no such field.
        """
        if self._view.is_v3:
            selection["include_metadata"] = False
            return self.list(task=task_id, include_task=include_task, **selection)
        runs = self._view.find_task(task_id).runs
        return several(runs[::-1], self._view.text_result, "result", selection, self.from_task)


def runs_of(task: int | None, view: View) -> list[Run]:
    """The runs of a task, or those of all tasks."""
    tasks = view.store.tasks() if task is None else [view.find_task(task)]
    return [run for record in tasks for run in record.runs]


def chosen(runs: Iterable[Run], filters: Filters) -> list[Run]:
    """The runs that are meant, in their order.

    Raises:
        FederationError: no run can be in such a status or state.
    """
    one_of(filters.get("state"), ("open",), "state")
    one_of(filters.get("status"), RUN_STATUSES, "status")
    return [
        run
        for run in runs
        if filters.get("organization") in (None, run.organization_id)
        and filters.get("node") in (None, run.node_id)
        and filters.get("status") in (None, run.status)
        and (filters.get("state") is None or run.finished_at is None)
        and _between(run.assigned_at, filters.get("assigned"))
        and _between(run.started_at, filters.get("started"))
        and _between(run.finished_at, filters.get("finished"))
    ]


def _between(moment: str | None, limits: Between | None) -> bool:
    return limits is None or (moment is not None and limits[0] <= moment <= limits[1])
