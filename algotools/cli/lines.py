"""What is told of a task while it is run, where there is no terminal: a line at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import TextIO

from rich.text import Text

from algotools.cli.overview import Overview, failed
from algotools.contract.platform import Run, Task
from algotools.federation import Federation
from algotools.report import read_failure, read_progress, visible

BETWEEN = 5.0
"""Seconds between two lines that tell the progress of one run."""


class Lines:
    """A line for each line of a log, with who says it; of progress no more than one in a while."""

    pause = 0.25

    def __init__(self, stream: TextIO, overview: Overview | None = None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._told: dict[int, float] = {}
        self._held: dict[int, tuple[Run, str]] = {}
        self._overview = overview
        self._failures: set[int] = set()
        self._closed = False

    def hear(self, run: Run, line: str) -> None:
        """See ``View``; why a run failed is told when it has ended."""
        with self._lock:
            if self._closed:
                return
            if read_progress(line) is not None:
                self._held[run.id] = (run, line)
                self._tell(self._due())
            elif read_failure(line) is None:
                self._write(run, line)

    def follow(self, running: Federation, task: Task) -> None:
        """See ``View``."""
        self._overview = Overview(running, task, {})

    def look(self) -> None:
        """Tell what has been held back for long enough, and who has failed while others go on."""
        with self._lock:
            self._tell(self._due())
            if self._overview is None:
                return
            now = self._overview.look()
            for run in (*now.own, *now.asked):
                if run.id not in self._failures and failed(run) and (why := self._overview.failure(run)):
                    self._failures.add(run.id)
                    self._write(run, f"{run.status}: [{why.exit_code}] {why.message}")

    def close(self) -> None:
        """Tell what has been held back, and then nothing more, whatever still runs and says something."""
        with self._lock:
            self._tell(list(self._held))
            self._closed = True

    def _due(self) -> list[int]:
        now = time.monotonic()
        return [
            id_
            for id_, (run, _) in self._held.items()
            if run.finished_at or now - self._told.get(id_, -BETWEEN) >= BETWEEN
        ]

    def _tell(self, runs: Iterable[int]) -> None:
        for id_ in runs:
            self._write(*self._held.pop(id_))
            self._told[id_] = time.monotonic()

    def _write(self, run: Run, line: str) -> None:
        self._stream.write(f"{said(run, line)}\n")
        self._stream.flush()


def said(run: Run, line: str) -> str:
    """A line of a log with whose it is; nothing in it steers a terminal, whoever wrote it."""
    text = Text.from_ansi(line).plain if "\x1b" in line else line
    return f"organization {run.organization_id}, task {run.task_id}: {visible(text.expandtabs())}"
