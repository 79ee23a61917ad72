"""The calls of ``client.run`` and ``client.result``: the runs of a task at its organizations, and their results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from algotools.federation.client._view import (
    RUN_STATUSES,
    Item,
    ItemList,
    Keys,
    Selection,
    View,
    check_choice,
    select_items,
    select_keys,
)
from algotools.federation.contract.rest import RunRecord

if TYPE_CHECKING:
    from typing_extensions import Unpack

Period = tuple[str, str]
"""The start and the end of a period, such as ``2024-05-31`` or ``2024-05-31T12:00:00``, in UTC."""


class Filters(TypedDict, total=False):
    """Conditions for runs."""

    organization: int | None
    node: int | None
    state: Literal["open"] | None
    status: str | None
    assigned: Period | None
    started: Period | None
    finished: Period | None


class RunCalls:
    """The calls of ``client.run``: statuses and logs."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, id_: int, include_task: bool = False, **keys: Unpack[Keys]) -> Item:
        """Return a run: its ``status``, its ``log`` and, as text, its ``input`` (v5: ``arguments``).

        Args:
            id_: the id.
            include_task: add the task in the field ``task``.
            **keys: ``field="log"`` or ``fields=["id", "status"]`` selects these keys.

        Raises:
            FederationError: the id or a field is unknown.
        """
        return select_keys(self._view.show_run(self._view.find_run(id_), include_task=include_task), keys, self.get)

    def list(
        self,
        *,
        task: int | None = None,
        organization: int | None = None,
        state: Literal["open"] | None = None,
        status: str | None = None,
        node: int | None = None,
        include_task: bool = False,
        started: Period | None = None,
        assigned: Period | None = None,
        finished: Period | None = None,
        **selection: Unpack[Selection],
    ) -> ItemList:
        """Return runs, the newest first.

        Args:
            task: only runs of this task.
            organization: only runs of this organization.
            state: ``open``: only runs that have not finished.
            status: only runs with this status. The platform's own client cannot filter by it.
            node: only runs of this node.
            include_task: add the task to each item, in the field ``task``.
            started: only runs that started in this period.
            assigned: only runs that were created in this period.
            finished: only runs that finished in this period.
            **selection: ``field="log"`` or ``fields=["id", "status"]`` selects these keys, ``filter_=("status",
                "crashed")`` or ``filters=[…]`` the items with these values; ``page``, ``per_page``.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list if ``selection`` selects keys or items. A failed run
            is included like every other run, and its ``log`` has the reason.

        Raises:
            FederationError: the task, the status or a field is unknown.
        """
        filters: Filters = {"organization": organization, "node": node, "state": state, "status": status}
        filters |= {"started": started, "assigned": assigned, "finished": finished}
        runs = filter_runs(reversed(list_runs(task, self._view)), filters)
        return select_items(
            runs, lambda run: self._view.show_run(run, include_task=include_task), "run", selection, self.list
        )

    def from_task(self, task_id: int, include_task: bool = False, **selection: Unpack[Selection]) -> ItemList:
        """Return the runs of a task, the newest first.

        Args:
            task_id: id of the task.
            include_task: add the task to each item, in the field ``task``.
            **selection: see ``list``.

        Returns:
            The same as ``list``.

        Raises:
            FederationError: the task or a field is unknown.
        """
        return self.list(task=task_id, include_task=include_task, **selection)


class ResultCalls:
    """The calls of ``client.result``."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, id_: int, include_task: bool = False, **keys: Unpack[Keys]) -> Any:
        """Return a result.

        Args:
            id_: the id.
            include_task: add the task in the field ``task`` (v3).
            **keys: ``field="result"`` or ``fields=["id", "result"]`` selects these keys (v3).

        Returns:
            On v3 an item as in ``list``. On v4 and v5 only the result, as JSON text; None if the run has no result.

        Raises:
            FederationError: the id or a field is unknown.
        """
        run = self._view.find_run(id_)
        if self._view.is_v3:
            return select_keys(self._view.show_decoded_result(run, include_task=include_task), keys, self.get)
        return self._view.show_text_result(run)["result"]

    def list(
        self,
        *,
        task: int | None = None,
        organization: int | None = None,
        state: Literal["open"] | None = None,
        node: int | None = None,
        include_task: bool = False,
        started: Period | None = None,
        assigned: Period | None = None,
        finished: Period | None = None,
        **selection: Unpack[Selection],
    ) -> ItemList:
        """Return the results of a task in the order of its organizations, with the decoded value in ``result``.

        This is a call of the manual. Only v3's client has it, so its items have the format of v3 on every generation.

        Args:
            task: id of the task; default: the results of all tasks.
            organization: only runs of this organization.
            state: ``open``: only runs that have not finished.
            node: only runs of this node.
            include_task: add the task to each item, in the field ``task``.
            started: only runs that started in this period.
            assigned: only runs that were created in this period.
            finished: only runs that finished in this period.
            **selection: ``field="result"`` or ``fields=["id", "result"]`` selects these keys, ``filter_=("status",
                "completed")`` or ``filters=[…]`` the items with these values; ``page``, ``per_page``, and
                ``include_metadata=False`` for a plain list.

        Returns:
            ``{"data": [...], "links": {...}}``, or a plain list. ``result`` is None for a run that failed or has not
            finished; the reason is in its ``status`` and ``log``.

        Raises:
            FederationError: the task or a field is unknown.
        """
        filters: Filters = {"organization": organization, "node": node, "state": state}
        filters |= {"started": started, "assigned": assigned, "finished": finished}
        runs = filter_runs(list_runs(task, self._view), filters)
        return select_items(
            runs,
            lambda run: self._view.show_decoded_result(run, include_task=include_task),
            "result",
            selection,
            self.list,
        )

    def from_task(self, task_id: int, include_task: bool = False, **selection: Unpack[Selection]) -> ItemList:
        """Return the results of a task in the format of the generation's own client.

        Args:
            task_id: id of the task.
            include_task: add the task to each item, in the field ``task`` (v3).
            **selection: see ``list``.

        Returns:
            On v3 a plain list of items as in ``list``. On v4 and v5 ``{"data": [...], "links": {...}}``, the newest run
            first. ``result`` of each item is JSON text for ``json.loads``, or None for a run that failed or has not
            finished.

        Raises:
            FederationError: the task or a field is unknown.
        """
        if self._view.is_v3:
            selection["include_metadata"] = False
            return self.list(task=task_id, include_task=include_task, **selection)
        runs = self._view.find_task(task_id).runs
        return select_items(runs[::-1], self._view.show_text_result, "result", selection, self.from_task)


def list_runs(task: int | None, view: View) -> list[RunRecord]:
    """Return the runs of a task; None: of all tasks."""
    tasks = view.store.tasks() if task is None else [view.find_task(task)]
    return [run for record in tasks for run in record.runs]


def filter_runs(runs: Iterable[RunRecord], filters: Filters) -> list[RunRecord]:
    """Return the runs that meet all conditions, in the same order.

    Raises:
        FederationError: the status or the state is unknown.
    """
    check_choice(filters.get("state"), ("open",), "state")
    check_choice(filters.get("status"), RUN_STATUSES, "status")
    return [
        run
        for run in runs
        if filters.get("organization") in (None, run.organization_id)
        and filters.get("node") in (None, run.node_id)
        and filters.get("status") in (None, run.status)
        and (filters.get("state") is None or run.finished_at is None)
        and _is_within(run.assigned_at, filters.get("assigned"))
        and _is_within(run.started_at, filters.get("started"))
        and _is_within(run.finished_at, filters.get("finished"))
    ]


def _is_within(moment: str | None, period: Period | None) -> bool:
    return period is None or (moment is not None and period[0] <= moment <= period[1])
