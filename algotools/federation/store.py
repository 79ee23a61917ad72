"""The server in small: tasks and runs, kept in memory, safe for many threads."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from algotools.contract.platform import FINAL, Organization, Run, Task
from algotools.errors import Failure
from algotools.report import failure_line
from algotools.task import Identity

ROOT = Organization(1, "root")
"""The organization that owns the server; it is in no collaboration."""

Listen = Callable[[Run, str], object]
"""Is told each new line of a run's log."""


class Store:
    """Implements ``Platform`` for the proxy's routes."""

    collaboration_id = 1

    def __init__(
        self, collaboration: str, members: Sequence[str], submit: Callable[[Run], object], listen: Listen
    ) -> None:
        self.collaboration = collaboration
        self._members = {id_: Organization(id_, name) for id_, name in enumerate(members, start=2)}
        self._submit = submit
        self._listen = listen
        self._changed = threading.Condition()
        self._tasks: dict[int, Task] = {}
        self._runs: dict[int, Run] = {}
        self._children: dict[int, list[Task]] = {}
        self._waiting: dict[int, int | None] = {}
        self.offline: Collection[int] = ()
        """The nodes that are dead, by their ids."""

    def organizations(self) -> Sequence[Organization]:
        """See ``Platform``."""
        return list(self._members.values())

    def organization(self, organization_id: int) -> Organization:
        """A member of the collaboration; ``LookupError`` if there is none of that id."""
        if organization_id not in self._members:
            raise LookupError(f"organization {organization_id} is not in the collaboration")
        return self._members[organization_id]

    def node_id(self, organization_id: int) -> int:
        """The node of an organization: every member has one, numbered from 1."""
        return organization_id - 1

    def node_name(self, node_id: int) -> str:
        """See ``Platform``."""
        return f"{self.organization(node_id + 1).name} - {self.collaboration} Node"

    def node_status(self, node_id: int) -> Literal["online", "offline"]:
        """See ``Platform``."""
        return "offline" if node_id in self.offline else "online"

    def task(self, task_id: int) -> Task | None:
        """See ``Platform``."""
        return self._tasks.get(task_id)

    def tasks(self) -> list[Task]:
        """All tasks, in the order of their ids."""
        with self._changed:
            return list(self._tasks.values())

    def run(self, run_id: int) -> Run | None:
        """See ``Platform``."""
        return self._runs.get(run_id)

    def children(self, task_id: int) -> Sequence[Task]:
        """See ``Platform``."""
        return self._children.get(task_id, [])

    def required_by(self, task_id: int) -> Sequence[Task]:
        """See ``Platform``."""
        return [task for task in self._tasks.values() if task_id in task.depends_on]

    def create_subtask(
        self, caller: Identity, name: str, description: str, inputs: Mapping[int, bytes], method: str = ""
    ) -> Task:
        """See ``Platform``."""
        parent = self._tasks[caller.task_id]
        initiator = caller.organization_id
        called: dict[str, Any] = {"method": method, "role": "rpc", "session_id": parent.session_id}
        return self.create(name, description, parent.image, parent.databases, inputs, parent, initiator, **called)

    def create(
        self,
        name: str,
        description: str,
        image: str,
        databases: str | list[Any],
        inputs: Mapping[int, bytes],
        parent: Task | None = None,
        initiator: int = ROOT.id,
        only: int | None = None,
        **more: Any,
    ) -> Task:
        """A task with a run for each organization, in the order given; ``LookupError`` if one is not a member.

        With ``only``, the node of that one organization fetches its run; the others' turn has not come yet. ``more``
        are the fields of a task that only v5 has. What it depends on must be completed first; else its runs fail.
        """
        for organization_id in inputs:
            self.organization(organization_id)
        with self._changed:
            if parent is not None and parent.complete:  # killed since the master asked, for instance
                raise LookupError(f"task {parent.id} has ended")
            task_id = len(self._tasks) + 1
            runs = [
                Run(
                    id=len(self._runs) + position,
                    task_id=task_id,
                    organization_id=organization_id,
                    node_id=self.node_id(organization_id),
                    input=data,
                    assigned_at=now(),
                )
                for position, (organization_id, data) in enumerate(inputs.items(), start=1)
            ]
            task = Task(
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
                **more,
            )
            self._tasks[task_id] = task
            self._runs |= {run.id: run for run in runs}
            if parent:
                self._children.setdefault(parent.id, []).append(task)
            self._waiting[task_id] = only
        self._begin(task)
        return task

    def _begin(self, task: Task) -> None:
        """Let the nodes have a task's runs, unless it waits for another; if that has failed, so has this one."""
        with self._changed:
            before = [self._tasks[id_] for id_ in task.depends_on]
            if task.id not in self._waiting or not all(other.complete for other in before):
                return
            only = self._waiting.pop(task.id)
        if any(other.status != "completed" for other in before):
            for run in task.runs:
                self.said(run, "error > a task that this one depends on has failed")
                self.ended(run, "depended on failed task")
            return
        for run in task.runs:
            if only in (None, run.organization_id):
                self._submit(run)

    def fetched(self, run: Run) -> None:
        """A node has taken a run, and makes ready what its function needs."""
        with self._changed:
            if run.status not in FINAL:
                run.status = "initializing"

    def started(self, run: Run) -> None:
        """A node has begun with a run."""
        with self._changed:
            if run.status not in FINAL:
                run.status, run.started_at = "active", now()

    def said(self, run: Run, line: str) -> None:
        """A line more for a run's log; nobody hears what comes after its end."""
        with self._changed:
            if run.status in FINAL:
                return
            run.log += f"{line}\n"
        self._listen(run, line)

    def ended(
        self, run: Run, status: str, output: bytes = b"", detail: str = "", failure: Failure | None = None
    ) -> None:
        """A run has come to its end: all at once, so that nobody sees half of it. The first end counts.

        ``failure`` is what its log then ends with; its detail comes after the others.
        """
        line = failure_line(failure) if failure else ""
        with self._changed:
            if run.status in FINAL:
                return
            run.log += f"{line}\n" if line else ""
            run.output, run.detail = output, detail + (failure.detail if failure else "")
            run.status, run.finished_at = status, now()
            self._changed.notify_all()
            waiting = [self._tasks[id_] for id_ in self._waiting if run.task_id in self._tasks[id_].depends_on]
        if line:
            self._listen(run, line)
        for task in waiting:
            self._begin(task)

    def wait(self, runs: Iterable[Run], timeout: float | None = None) -> bool:
        """Wait until runs have ended; false if they have not after so many seconds."""
        left = list(runs)

        def ended() -> bool:
            while left and left[-1].finished_at:  # what has ended is not looked at again, whoever ends next
                left.pop()
            return not left

        with self._changed:
            return self._changed.wait_for(ended, timeout)

    def family(self, task: Task) -> list[Task]:
        """A task, its subtasks, and so on."""
        with self._changed:
            found = [task]
            for member in found:
                found += self._children.get(member.id, [])
            return found

    def pending(self) -> list[Run]:
        """The runs that no node has fetched."""
        with self._changed:
            return [run for run in self._runs.values() if run.status == "pending"]

    def unfinished(self) -> list[Run]:
        """The runs that have not ended."""
        with self._changed:
            return [run for run in self._runs.values() if run.status not in FINAL]


def now() -> str:
    """The time in UTC, as the server writes it."""
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).isoformat()
