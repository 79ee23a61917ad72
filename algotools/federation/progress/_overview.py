"""The runs of a task and of its subtasks: their state, and which of them to show."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

from algotools.errors import Failure
from algotools.federation._completeness import Completeness
from algotools.federation.contract import decode_input
from algotools.federation.contract.rest import RunRecord, TaskRecord

_CATEGORIES = {"completed": "completed", "active": "active", "initializing": "active", "pending": "pending"}
"""State of a run -> category for counting; all other states are failures."""


class TaskSource(Protocol):
    """The object that has the tasks: a ``Federation``, or a task of the history."""

    def organizations(self) -> Mapping[int, str]:
        """Return id and name of each organization."""

    def task(self, task_id: int) -> TaskRecord:
        """Return a task and its runs."""

    def subtasks(self, task_id: int) -> Sequence[TaskRecord]:
        """Return the tasks that runs of a task created."""

    def failure(self, run: RunRecord) -> Failure | None:
        """Return the reason why a run failed; None if the run did not fail."""

    def answer(self, run: RunRecord) -> object:
        """Return the decoded result of a run."""

    def completeness(self, task_id: int, run: RunRecord | None = None) -> Completeness:
        """Return the organizations that contributed to a task, or to the result of one of its runs."""


class Snapshot(NamedTuple):
    """The runs of a task and of its masters' subtasks at one moment."""

    task_runs: Sequence[RunRecord]
    """The runs of the task itself."""
    subtask_runs: Mapping[int, Sequence[RunRecord]]
    """Organization of a master -> the runs of the master's latest round."""
    round_number: int
    """The number of the latest round; if there are several masters, the highest number."""
    earlier_rounds: Counter[str]
    """State -> number of runs in all earlier rounds."""


class Overview:
    """The runs of a task and its subtasks, with the names of organizations and methods.

    Args:
        federation: the object that has the task.
        task: the task.
        runs: the runs of the task that the caller waits for; default: those that nodes fetch.
    """

    def __init__(self, federation: TaskSource, task: TaskRecord, runs: Sequence[RunRecord] | None = None) -> None:
        self.federation = federation
        self.task = task
        self.runs = task.fetched_runs if runs is None else runs
        self.names = federation.organizations()
        self._methods: dict[int, str] = {}
        self._failures: dict[int, Failure | None] = {}

    def list_subtasks(self) -> list[TaskRecord]:
        """Return the tasks that the masters of the task have created so far."""
        return list(self.federation.subtasks(self.task.id))

    def get_failure(self, run: RunRecord) -> Failure | None:
        """Return why a run failed; None if the run did not fail."""
        if run.id in self._failures:
            return self._failures[run.id]
        failure = self.federation.failure(run)
        if run.finished_at:
            self._failures[run.id] = failure
        return failure

    @cached_property
    def completeness(self) -> Completeness:
        """The organizations whose data are in the results, and those that are missing. The task must be finished."""
        return self.federation.completeness(self.task.id)

    def measure(self, run: RunRecord) -> Completeness:
        """Return the completeness of the result of one run."""
        return self.federation.completeness(self.task.id, run)

    def format_organization(self, run: RunRecord) -> str:
        """Return the name and id of a run's organization."""
        return f"{self.names[run.organization_id]} ({run.organization_id})"

    def get_method(self, run: RunRecord) -> str:
        """Return the method that a run calls.

        On v3 and v4 only the input contains the method. A pickled input is not opened; the name of the task is used.
        """
        if run.task_id not in self._methods:
            task = self.federation.task(run.task_id)
            self._methods[run.task_id] = task.method or _read_method(run.input) or task.name
        return self._methods[run.task_id]

    def describe_counts(self, elapsed: float, snapshot: Snapshot | None = None) -> list[str]:
        """Return lines that count the runs of the task, the latest round of its masters, and the earlier rounds.

        ``elapsed`` is in seconds.
        """
        task_runs, by_master, round_number, earlier_rounds = snapshot or self.take_snapshot()
        subtask_runs = [run for runs in by_master.values() for run in runs]
        method = self.get_method(task_runs[0])
        lines = [f"{method}: {format_counts(Counter(run.status for run in task_runs))}; {format_duration(elapsed)}"]
        if subtask_runs:
            methods = dict.fromkeys(map(self.get_method, {run.task_id: run for run in subtask_runs}.values()))
            label = ", ".join(methods) + (f", round {round_number}" if round_number > 1 else "")
            lines.append(f"{label}: {format_counts(Counter(run.status for run in subtask_runs))}")
        if earlier_rounds:
            lines.append(f"earlier rounds: {format_counts(earlier_rounds, with_total=False)}")
        return lines

    def take_snapshot(self) -> Snapshot:
        """Return the current state of all runs."""
        by_master: dict[int, list[TaskRecord]] = {}
        for task in self.list_subtasks():
            by_master.setdefault(task.init_organization_id, []).append(task)
        all_rounds = {master: _split_into_rounds(tasks) for master, tasks in by_master.items()}
        latest = {master: [run for task in rounds[-1] for run in task.runs] for master, rounds in all_rounds.items()}
        past_tasks = (task for rounds in all_rounds.values() for tasks in rounds[:-1] for task in tasks)
        earlier = Counter(run.status for task in past_tasks for run in task.runs)
        return Snapshot(self.runs, latest, max(map(len, all_rounds.values()), default=0), earlier)


def select_runs(snapshot: Snapshot, capacity: int) -> list[RunRecord]:
    """Select the runs to show in ``capacity`` lines.

    If all runs fit, the subtask runs of a master are below the master. Otherwise the runs of the task get at most a
    quarter of the lines, and the subtask runs get the remaining lines.
    """
    subtask_runs = [run for runs in snapshot.subtask_runs.values() for run in runs]
    if len(snapshot.task_runs) + len(subtask_runs) <= capacity:
        by_master = snapshot.subtask_runs
        return [run for master in snapshot.task_runs for run in (master, *by_master.get(master.organization_id, ()))]
    if not subtask_runs:
        return _select_most_important(snapshot.task_runs, capacity)
    task_runs = _select_most_important(snapshot.task_runs, max(1, capacity // 4))
    return [*task_runs, *_select_most_important(subtask_runs, capacity - len(task_runs))][:capacity]


def _select_most_important(runs: Sequence[RunRecord], capacity: int) -> list[RunRecord]:
    """Select failures for at most half of the lines, then the longest active runs, then the latest completed runs."""
    if len(runs) <= capacity:
        return list(runs)
    by_category: dict[str, list[RunRecord]] = {"failed": [], "active": [], "completed": [], "pending": []}
    for run in runs:
        by_category[_CATEGORIES.get(run.status, "failed")].append(run)
    failed, active, completed, pending = by_category.values()
    active.sort(key=lambda run: (run.status == "initializing", run.started_at or ""))
    completed.sort(key=lambda run: str(run.finished_at), reverse=True)
    return [*failed[: math.ceil(capacity / 2)], *active, *completed, *pending][:capacity]


def measure_seconds(run: RunRecord) -> float | None:
    """Return the time from the start of a run until its end or now; None if the run has not started."""
    if run.started_at is None:
        return None
    end = run.finished_at or datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).isoformat()
    took = datetime.datetime.fromisoformat(end) - datetime.datetime.fromisoformat(run.started_at)
    return max(0.0, took.total_seconds())


def format_counts(statuses: Counter[str], *, with_total: bool = True) -> str:
    """Format the number of runs in each category.

    >>> format_counts(Counter(["completed", "crashed", "active", "pending", "completed"]))
    '2 of 5 completed, 1 failed, 1 active, 1 pending'
    """
    numbers = Counter[str]()
    for status, number in statuses.items():
        numbers[_CATEGORIES.get(status, "failed")] += number
    total = f" of {numbers.total()}" if with_total else ""
    parts = [f"{numbers[category]} {category}" for category in ("failed", "active", "pending") if numbers[category]]
    return ", ".join([f"{numbers['completed']}{total} completed", *parts])


def format_duration(seconds: float | None, *, exactly: bool = False) -> str:
    """Format a time in seconds with few characters.

    >>> format_duration(0.26, exactly=True), format_duration(7.9), format_duration(83), format_duration(3671)
    ('0.3 s', '7 s', '1:23', '1:01:11')
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if exactly and seconds < 9.95 else f"{int(seconds)} s"
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes}:{seconds:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _split_into_rounds(subtasks: Iterable[TaskRecord]) -> list[list[TaskRecord]]:
    """Split the subtasks of a master into rounds. A round starts when all subtasks of the previous one are finished."""
    rounds: list[list[TaskRecord]] = []
    for task in subtasks:
        # An unfinished task has no time. "~" sorts after every time.
        if not rounds or all(str(previous.finished_at or "~") <= task.created_at for previous in rounds[-1]):
            rounds.append([])
        rounds[-1].append(task)
    return rounds


def _read_method(data: bytes) -> str:
    return str((decode_input(data) or {}).get("method", ""))
