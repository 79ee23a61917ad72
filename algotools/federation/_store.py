"""The federation's server: tasks and runs in memory, shared by many threads.

One condition, ``_changed``, guards all records: a thread that changes a record holds its lock, and a finished run
notifies all waiting threads. The lock is released before the callbacks ``submit`` and ``listen`` are called, because
they take other locks or run the caller's code.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from algotools.errors import Failure
from algotools.federation.contract.rest import OrganizationRecord, RunRecord, TaskRecord
from algotools.runtime.contract import FINAL_STATUSES
from algotools.runtime.logs import format_failure
from algotools.task import Identity

ROOT = OrganizationRecord(1, "root")
"""The organization that owns the server. It is not a member of the collaboration."""

Listen = Callable[[RunRecord, str], object]
"""Called with a run and each new line of its log."""


class Store:
    """Tasks, runs and members of one collaboration; the ``Platform`` of the proxy's routes.

    ``members`` get the ids 2, 3, … in order. ``submit`` is called with each run that a node may fetch.
    """

    collaboration_id = 1

    def __init__(
        self, collaboration: str, members: Sequence[str], submit: Callable[[RunRecord], object], listen: Listen
    ) -> None:
        self.collaboration = collaboration
        self._members = {id_: OrganizationRecord(id_, name) for id_, name in enumerate(members, start=2)}
        self._submit = submit
        self.listeners: list[Listen] = [listen]
        """Called with each new line of a log; a view of the progress adds itself while it is shown."""
        self._changed = threading.Condition()
        self._tasks: dict[int, TaskRecord] = {}
        self._runs: dict[int, RunRecord] = {}
        self._children: dict[int, list[TaskRecord]] = {}
        self._unsubmitted: set[int] = set()
        """Ids of the tasks whose runs are not submitted yet."""
        self.read_run_ids: set[int] = set()
        """Ids of the runs whose results were sent to a master."""
        self.offline_node_ids: Collection[int] = ()
        """Ids of the dead nodes."""
        self.lost_run_ids: set[int] = set()
        """Ids of the runs whose results a node has lost, and which therefore never finish."""

    def organizations(self) -> Sequence[OrganizationRecord]:
        """Return the members of the collaboration."""
        return list(self._members.values())

    def organization(self, organization_id: int) -> OrganizationRecord:
        """Return a member of the collaboration; raise ``LookupError`` if no member has this id."""
        if organization_id not in self._members:
            raise LookupError(f"organization {organization_id} is not in the collaboration")
        return self._members[organization_id]

    def node_id(self, organization_id: int) -> int:
        """Return the id of an organization's node: every member has one node, numbered from 1."""
        return organization_id - 1

    def node_name(self, node_id: int) -> str:
        """Return the name of a node, in the server's format."""
        return f"{self.organization(node_id + 1).name} - {self.collaboration} Node"

    def node_status(self, node_id: int) -> Literal["online", "offline"]:
        """Return the status of a node: ``offline`` for a dead node, otherwise ``online``."""
        return "offline" if node_id in self.offline_node_ids else "online"

    def task(self, task_id: int) -> TaskRecord | None:
        """Return a task by its id; None if the id is unknown."""
        return self._tasks.get(task_id)

    def tasks(self) -> list[TaskRecord]:
        """Return all tasks, in the order of their ids."""
        with self._changed:
            return list(self._tasks.values())

    def run(self, run_id: int) -> RunRecord | None:
        """Return a run by its id; None if the id is unknown."""
        return self._runs.get(run_id)

    def children(self, task_id: int) -> Sequence[TaskRecord]:
        """Return the subtasks of a task."""
        return self._children.get(task_id, [])

    def required_by(self, task_id: int) -> Sequence[TaskRecord]:
        """Return the tasks that depend on a task."""
        return [task for task in self._tasks.values() if task_id in task.depends_on]

    def create_subtask(
        self,
        caller: Identity,
        name: str,
        description: str,
        inputs: Mapping[int, bytes],
        method: str = "",
        image: str | None = None,
    ) -> TaskRecord:
        """See ``Platform``."""
        parent = self._tasks[caller.task_id]
        initiator = caller.organization_id
        fields: dict[str, Any] = {"method": method, "role": "rpc", "session_id": parent.session_id}
        image = parent.image if image is None else image
        return self.create(name, description, image, parent.databases, inputs, parent, initiator, **fields)

    def create(
        self,
        name: str,
        description: str,
        image: str,
        databases: str | list[Any],
        inputs: Mapping[int, bytes],
        parent: TaskRecord | None = None,
        initiator: int = ROOT.id,
        **fields: Any,
    ) -> TaskRecord:
        """Create a task with a run for each organization, in the order of ``inputs``.

        The runs start when the tasks in the field ``depends_on`` are completed. If one of these fails, the runs fail.
        ``fields`` are further fields of the task's record. With ``only_organization``, the other runs stay ``pending``.

        Raises:
            LookupError: an organization is not a member, or the parent has finished.
        """
        for organization_id in inputs:
            self.organization(organization_id)
        with self._changed:
            if parent is not None and parent.complete:  # for instance, it was killed since the master's request
                raise LookupError(f"task {parent.id} has finished")
            task_id = len(self._tasks) + 1
            runs = [
                RunRecord(
                    id=len(self._runs) + position,
                    task_id=task_id,
                    organization_id=organization_id,
                    node_id=self.node_id(organization_id),
                    input=data,
                    assigned_at=now(),
                )
                for position, (organization_id, data) in enumerate(inputs.items(), start=1)
            ]
            task = TaskRecord(
                id=task_id,
                job_id=parent.job_id if parent else task_id,
                parent_id=parent.id if parent else None,
                name=name,
                description=description,
                image=image,
                init_organization_id=initiator,
                databases=databases,
                created_at=now(),
                runs=runs,
                **fields,
            )
            self._tasks[task_id] = task
            self._runs |= {run.id: run for run in runs}
            if parent:
                self._children.setdefault(parent.id, []).append(task)
            self._unsubmitted.add(task_id)
        self._submit_runs(task)
        return task

    def _submit_runs(self, task: TaskRecord) -> None:
        """Submit a task's runs, unless a task that it depends on is unfinished; if such a task failed, fail the runs.

        Several threads may arrive here with the same task: its creator, and each thread that finishes a dependency.
        Removing the task from ``_unsubmitted`` under the lock decides which of them submits the runs.
        """
        with self._changed:
            dependencies = [self._tasks[id_] for id_ in task.depends_on]
            if task.id not in self._unsubmitted or not all(dependency.complete for dependency in dependencies):
                return
            self._unsubmitted.discard(task.id)
        if any(dependency.status != "completed" for dependency in dependencies):
            for run in task.runs:
                self.log(run, "error > a task that this one depends on has failed")
                self.finish(run, "depended on failed task")
            return
        for run in task.fetched_runs:
            self._submit(run)

    def mark_fetched(self, run: RunRecord) -> None:
        """Record that a node has fetched a run and prepares it."""
        with self._changed:
            if run.status not in FINAL_STATUSES:
                run.status = "initializing"

    def mark_started(self, run: RunRecord) -> None:
        """Record that a run's function has started."""
        with self._changed:
            if run.status not in FINAL_STATUSES:
                run.status, run.started_at = "active", now()

    def log(self, run: RunRecord, line: str) -> None:
        """Append a line to a run's log; after the run has finished, the line is dropped."""
        with self._changed:
            if run.status in FINAL_STATUSES:
                return
            run.log += f"{line}\n"
        self._notify_listeners(run, line)

    def finish(
        self, run: RunRecord, status: str, output: bytes = b"", detail: str = "", failure: Failure | None = None
    ) -> None:
        """Record the final status of a run and everything that belongs to it, in one step.

        A run is finished once: later calls change nothing. So a killed run keeps its status when its process reports
        an exit code, and a node can finish every run with "unknown error" as the last resort. ``failure`` becomes the
        last line of the log, and its detail is appended to ``detail``, which is for the node's owner.
        """
        line = format_failure(failure) if failure else ""
        with self._changed:
            if run.status in FINAL_STATUSES:
                return
            run.log += f"{line}\n" if line else ""
            run.output, run.detail = output, detail + (failure.detail if failure else "")
            run.status, run.finished_at = status, now()
            self._changed.notify_all()
            dependents = [self._tasks[id_] for id_ in self._unsubmitted if run.task_id in self._tasks[id_].depends_on]
        if line:
            self._notify_listeners(run, line)
        for task in dependents:
            self._submit_runs(task)

    def _notify_listeners(self, run: RunRecord, line: str) -> None:
        for listen in tuple(self.listeners):
            listen(run, line)

    def wait(self, runs: Iterable[RunRecord], timeout: float | None = None) -> bool:
        """Wait until runs have finished; return false if that takes longer than ``timeout`` seconds."""
        unfinished = list(runs)

        # Every finished run of the federation wakes every waiting thread. If each of them checked all of its runs each
        # time, waiting for n runs would cost n² checks. So a thread checks only until the first unfinished run, and
        # never checks a finished run again: n checks plus one for each wake-up.
        def all_finished() -> bool:
            while unfinished and unfinished[-1].finished_at:
                unfinished.pop()
            return not unfinished

        with self._changed:
            return self._changed.wait_for(all_finished, timeout)

    def count_ancestors(self, task: TaskRecord) -> int:
        """Return how many tasks are above a task: 0 for a task of the researcher, 1 for its subtasks, and so on."""
        number = 0
        while task.parent_id is not None:
            task = self._tasks[task.parent_id]
            number += 1
        return number

    def list_task_tree(self, task: TaskRecord) -> list[TaskRecord]:
        """Return a task, its subtasks, their subtasks, and so on."""
        with self._changed:
            tasks = [task]
            for member in tasks:  # the list grows during the loop
                tasks += self._children.get(member.id, [])
            return tasks

    def list_pending_runs(self) -> list[RunRecord]:
        """Return the runs that no node has fetched."""
        with self._changed:
            return [run for run in self._runs.values() if run.status == "pending"]

    def list_unfinished_runs(self) -> list[RunRecord]:
        """Return the runs without a final status."""
        with self._changed:
            return [run for run in self._runs.values() if run.status not in FINAL_STATUSES]


def now() -> str:
    """Return the time in UTC, in the server's format."""
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).isoformat()
