"""How a task and the subtasks of its masters stand: counts, and the runs that matter most."""

from __future__ import annotations

import datetime
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from algotools.contract.platform import Run, Task
from algotools.errors import Failure
from algotools.federation import Federation
from algotools.report import read_progress

UNDER_WAY = ("active", "initializing", "pending")
"""The states of a run that has not ended, the busiest first."""

KINDS = {"completed": "completed", "active": "active", "initializing": "active", "pending": "pending"}
"""What runs are counted as, by their states; in any other they have failed."""


class Standing(NamedTuple):
    """How things are at one moment."""

    own: Sequence[Run]
    """The task's own runs."""
    asked: Sequence[Run]
    """The runs that masters among them wait for: those of their latest rounds."""
    masters: Mapping[int, int]
    """Their tasks -> the organization whose master asked."""
    number: int
    """Which round that is; of several masters, the latest."""
    earlier: Counter[str]
    """Status -> runs of the rounds before."""


class Overview:
    """Looks at a task again and again while it is run.

    Args:
        running: where it is run.
        task: the task that was sent.
        progress: run -> the last line of its log that tells how far it has come.
    """

    def __init__(self, running: Federation, task: Task, progress: Mapping[int, str]) -> None:
        self._running = running
        self._task = task
        self._progress = progress
        self._names = running.organizations()
        self._methods: dict[int, str] = {}
        self._failures: dict[int, Failure | None] = {}

    def look(self) -> Standing:
        """How things are now."""
        of_masters: dict[int, list[Task]] = {}
        for task in list(self._running.subtasks(self._task.id)):
            of_masters.setdefault(task.init_organization_id, []).append(task)
        rounds = [_rounds(tasks) for tasks in of_masters.values()]
        latest = [task for found in rounds for task in found[-1]]
        asked = [run for task in latest for run in task.runs]
        masters = {task.id: task.init_organization_id for task in latest}
        earlier = Counter(run.status for found in rounds for past in found[:-1] for task in past for run in task.runs)
        return Standing(self._task.runs, asked, masters, max(map(len, rounds), default=0), earlier)

    def summaries(self, now: Standing) -> list[str]:
        """The counts in words: of the task's own runs, and of those that its masters wait for."""
        lines = [f"{self.method(now.own[0])}: {counted(Counter(run.status for run in now.own))}"]
        if now.asked:
            methods = {self.method(run): None for run in {run.task_id: run for run in now.asked}.values()}
            which = ", ".join(methods) + (f", round {now.number}" if now.number > 1 else "")
            lines.append(f"{which}: {counted(Counter(run.status for run in now.asked))}")
        if now.earlier:
            lines.append(f"rounds before: {counted(now.earlier, whole=False)}")
        return lines

    def method(self, run: Run) -> str:
        """What a run calls; v3 and v4 tell it in the input alone, and a pickled input is not opened."""
        if run.task_id not in self._methods:
            task = self._running.task(run.task_id)
            self._methods[run.task_id] = task.method or _method_in(run.input) or task.name
        return self._methods[run.task_id]

    def organization(self, run: Run) -> str:
        """The name and id of a run's organization."""
        return named(run.organization_id, self._names)

    def failure(self, run: Run) -> Failure | None:
        """Why a run failed; None if it did not."""
        if run.id in self._failures:
            return self._failures[run.id]
        failure = self._running.failure(run)
        if run.finished_at:
            self._failures[run.id] = failure
        return failure

    def progress(self, run: Run) -> tuple[float, str] | None:
        """How far a run says it has come."""
        return read_progress(self._progress.get(run.id, ""))


def named(organization_id: int, names: Mapping[int, str]) -> str:
    """An organization as people read it."""
    return f"{names[organization_id]} ({organization_id})"


def failed(run: Run) -> bool:
    """Whether a run has ended otherwise than well."""
    return run.status != "completed" and run.status not in UNDER_WAY


def counted(statuses: Counter[str], *, whole: bool = True) -> str:
    """How many runs there are of each kind, in words; ``whole`` says of how many.

    >>> counted(Counter(["completed", "crashed", "active", "pending", "completed"]))
    '2 of 5 completed, 1 failed, 1 active, 1 pending'
    """
    found = Counter[str]()
    for status, number in statuses.items():
        found[KINDS.get(status, "failed")] += number
    of = f" of {found.total()}" if whole else ""
    others = (f"{found[kind]} {kind}" for kind in ("failed", "active", "pending") if found[kind])
    return ", ".join([f"{found['completed']}{of} completed", *others])


def fitting(now: Standing, room: int) -> list[Run]:
    """The runs to show in so many lines.

    All of them if they fit, what a master waits for below it. Else the task's own runs in at most a quarter of the
    lines, and those that masters wait for in the rest; of both those that matter most: failures first, but not in more
    than half of the lines, then what has been going on the longest, then what ended last.
    """
    if len(now.own) + len(now.asked) <= room:
        below: dict[int, list[Run]] = {}
        for run in now.asked:
            below.setdefault(now.masters[run.task_id], []).append(run)
        return [run for own in now.own for run in (own, *below.get(own.organization_id, ()))]
    if not now.asked:
        return _first(now.own, room)
    own = _first(now.own, max(1, room // 4))
    return [*own, *_first(now.asked, room - len(own))][:room]


def seconds(run: Run) -> float | None:
    """For how long a run has been going on, or went on; None if it has not begun."""
    if run.started_at is None:
        return None
    if run.finished_at is None:
        end = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    else:
        end = datetime.datetime.fromisoformat(run.finished_at)
    return max(0.0, (end - datetime.datetime.fromisoformat(run.started_at)).total_seconds())


def _first(runs: Sequence[Run], room: int) -> list[Run]:
    """The runs that matter most, in that order."""
    if len(runs) <= room:
        return list(runs)
    failures = [run for run in runs if failed(run)][: math.ceil(room / 2)]
    going = [run for status in UNDER_WAY[:2] for run in _oldest(runs, status)]
    done = sorted((run for run in runs if run.status == "completed"), key=lambda run: str(run.finished_at))
    waiting = (run for run in runs if run.status == "pending")
    return [*failures, *going, *reversed(done), *waiting][:room]


def _oldest(runs: Iterable[Run], status: str) -> list[Run]:
    return sorted((run for run in runs if run.status == status), key=lambda run: run.started_at or "")


def _rounds(subtasks: Iterable[Task]) -> list[list[Task]]:
    """A master's subtasks; those of a round go on at the same time, and the next one begins when all have ended."""
    found: list[list[Task]] = []
    for task in subtasks:
        if not found or all(str(before.finished_at or "~") <= task.created_at for before in found[-1]):
            found.append([])
        found[-1].append(task)
    return found


def _method_in(data: bytes) -> str:
    try:
        content = json.loads(data[data.find(b"{") :])
        return str(content.get("method", ""))
    except (ValueError, AttributeError, RecursionError):
        return ""
