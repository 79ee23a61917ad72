"""Log lines with the progress of a running task, for output that is not a terminal."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import TextIO

from algotools.disclosure import LEDGER_LINE
from algotools.federation.contract.rest import RunRecord
from algotools.federation.progress._overview import Overview
from algotools.runtime.logs import escape_unprintable, read_failure, read_progress

PROGRESS_INTERVAL = 5.0
"""Minimal time between two progress lines of a run, in seconds."""


class LineView:
    """Write log lines with organization and task, and for each run at most one progress line per interval.

    ``receive_line`` is called in the threads of the runs, all other methods in the main thread.
    """

    interval = 0.25
    """Seconds until ``update`` should be called again."""

    def __init__(self, stream: TextIO) -> None:
        self.started = time.monotonic()
        """The time from which the view counts, on the monotonic clock."""
        self._stream = stream
        self._lock = threading.RLock()
        self._overview: Overview | None = None
        self._progress: dict[int, tuple[RunRecord, str]] = {}  # run -> latest line that is not written yet
        self._shown_at: dict[int, float] = {}
        self._failed: set[int] = set()
        """The ids of the runs whose failure is known."""
        self._reasons: set[str] = set()
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
        """Write the progress lines that are due, and the reasons of failures that are new since the last update.

        A reason that many runs share is written once: the details at the end name all of them.
        """
        with self._lock:
            self._write_progress()
            if (overview := self._overview) is None:
                return
            for task in (overview.task, *overview.list_subtasks()):
                for run in task.runs:
                    if run.id not in self._failed and (failure := overview.get_failure(run)):
                        self._failed.add(run.id)
                        reason = f"{run.status}: [{failure.exit_code}] {failure.message}"
                        if reason not in self._reasons:
                            self._reasons.add(reason)
                            self._write(run, reason)

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
    text = line
    if "\x1b" in line:
        from rich.text import Text  # imported here, because few lines have control sequences

        text = Text.from_ansi(line).plain
    return f"organization {run.organization_id}, task {run.task_id}: {escape_unprintable(text.expandtabs())}"
