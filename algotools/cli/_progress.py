"""The progress of a running task: an overview of its runs, and log lines if there is no terminal.

On a terminal, ``_table`` draws the overview as a live table; ``_run`` selects the view.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TextIO

from rich.text import Text

from algotools.disclosure import LEDGER_LINE
from algotools.errors import Failure
from algotools.federation import Federation
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.runtime.logs import escape_unprintable, read_failure, read_progress

PROGRESS_INTERVAL = 5.0
"""Minimal time between two progress lines of a run, in seconds."""


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
    """The runs of a task and its subtasks, with the names of organizations and methods."""

    def __init__(self, federation: Federation, task: TaskRecord) -> None:
        self.federation = federation
        self.task = task
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

    def take_snapshot(self) -> Snapshot:
        """Return the current state of all runs."""
        by_master: dict[int, list[TaskRecord]] = {}
        for task in self.list_subtasks():
            by_master.setdefault(task.init_organization_id, []).append(task)
        all_rounds = {master: _split_into_rounds(tasks) for master, tasks in by_master.items()}
        latest = {master: [run for task in rounds[-1] for run in task.runs] for master, rounds in all_rounds.items()}
        past_tasks = (task for rounds in all_rounds.values() for tasks in rounds[:-1] for task in tasks)
        earlier = Counter(run.status for task in past_tasks for run in task.runs)
        return Snapshot(self.task.runs, latest, max(map(len, all_rounds.values()), default=0), earlier)


class LineView:
    """Write log lines with organization and task, and for each run at most one progress line per interval.

    ``receive_line`` is called in the threads of the runs, all other methods in the main thread.
    """

    interval = 0.25
    """Seconds until ``update`` should be called again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._overview: Overview | None = None
        self._progress: dict[int, tuple[RunRecord, str]] = {}  # run -> latest line that is not written yet
        self._shown_at: dict[int, float] = {}
        self._failures: set[int] = set()
        self._closed = False

    def receive_line(self, run: RunRecord, line: str) -> None:
        """Write a new line of a run's log. Failures are written by ``update``, after the run has finished."""
        with self._lock:
            if self._closed:
                return
            if read_progress(line) is not None:
                self._progress[run.id] = (run, line)
                self._write_progress()
            elif is_shown(line):
                self._write(run, line)

    def follow(self, overview: Overview) -> None:
        """Start showing a task."""
        self._overview = overview

    def update(self) -> None:
        """Write the progress lines that are due, and the failures since the last update."""
        with self._lock:
            self._write_progress()
            if (overview := self._overview) is None:
                return
            for task in (overview.task, *overview.list_subtasks()):
                for run in task.runs:
                    if run.id not in self._failures and (failure := overview.get_failure(run)):
                        self._failures.add(run.id)
                        self._write(run, f"{run.status}: [{failure.exit_code}] {failure.message}")

    def close(self) -> None:
        """Write the last progress line of each run. Later lines of runs are dropped."""
        with self._lock:
            self._write_progress(immediately=True)
            self._closed = True

    def _write_progress(self, *, immediately: bool = False) -> None:
        now = time.monotonic()
        for id_, (run, line) in list(self._progress.items()):
            if immediately or run.finished_at or now - self._shown_at.get(id_, -math.inf) >= PROGRESS_INTERVAL:
                del self._progress[id_]
                self._shown_at[id_] = now
                self._write(run, line)

    def _write(self, run: RunRecord, line: str) -> None:
        self._stream.write(f"{add_label(run, line)}\n")
        self._stream.flush()


def is_terminal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a stream is an interactive terminal that can move its cursor and print the characters of the table.

    A debugger in ``PYTHONBREAKPOINT`` needs the terminal for itself. For Python's own debugger the table is removed
    when the debugger calls ``input``.
    """
    is_interactive = stream.isatty() and not environ.get("CI") and not environ.get("PYTHONBREAKPOINT")
    can_move_cursor = environ.get("TERM", "").lower() not in ("dumb", "unknown", "")
    return is_interactive and can_move_cursor and stream.encoding.lower().startswith("utf")


def is_shown(line: str) -> bool:
    """Return whether a line of a run's log is shown at once: not a failure, and not the head of a ledger."""
    return read_failure(line) is None and not line.startswith(f"info > {LEDGER_LINE} ")


def add_label(run: RunRecord, line: str) -> str:
    """Prefix a log line with organization and task, and remove control sequences."""
    text = Text.from_ansi(line).plain if "\x1b" in line else line
    return f"organization {run.organization_id}, task {run.task_id}: {escape_unprintable(text.expandtabs())}"


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
    try:
        content = json.loads(data[data.find(b"{") :])
        return str(content.get("method", ""))
    except (ValueError, AttributeError, RecursionError):
        return ""
