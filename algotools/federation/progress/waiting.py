"""Wait for a call from Python, and show its progress if the call takes longer than a moment."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from algotools.federation._store import Store
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.federation.progress._lines import LineView, is_terminal
from algotools.federation.progress._overview import Overview, TaskSource

DELAY = 1.0
"""Seconds after which the progress is shown. A call that takes less time shows nothing."""

_showing = threading.Lock()
"""Held by the call that shows its progress: two tables on one terminal would overwrite each other."""


class CountView(LineView):
    """Write a line that counts the runs, when the numbers have changed, at most every few seconds."""

    shortest_gap = 5.0
    """Seconds between two lines."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._written = ""
        self._next = 0.0

    def receive_line(self, run: RunRecord, line: str) -> None:
        """Ignore the logs, which ``listen=`` of the federation receives."""

    def update(self) -> None:
        """Write a line if it is due."""
        now = time.monotonic()
        if self._overview is None or now < self._next:
            return
        text = "; ".join(self._overview.describe_counts(now - self.started))
        numbers = text.rpartition("; ")[0]
        if numbers != self._written:
            self._written, self._next = numbers, now + self.shortest_gap
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def close(self) -> None:
        """Do nothing, because the results follow."""


def choose_view(requested: bool | None) -> LineView | None:
    """Return the view of a call from Python; None if nothing is shown.

    A notebook gets a table that is updated, a terminal a live table on standard error. Otherwise lines are written,
    but only if the progress is requested.
    """
    from algotools.federation.progress.notebook import NotebookView, is_notebook

    if requested is False:
        return None
    if is_notebook():
        return NotebookView()
    if sys.stderr is not None and is_terminal(sys.stderr, os.environ):
        from algotools.federation.progress.table import TableView  # rich is imported only when it is needed

        return TableView(sys.stderr, transient=True)
    return CountView(sys.stderr) if requested and sys.stderr is not None else None


class Watch:
    """Waits for the runs of tasks, and shows their progress.

    Args:
        source: the federation.
        store: the store of its tasks.
        requested: see ``choose_view``.
    """

    def __init__(self, source: TaskSource, store: Store, requested: bool | None) -> None:
        self._source = source
        self._store = store
        self._requested = requested

    def wait(self, task: TaskRecord, runs: Sequence[RunRecord], timeout: float | None) -> None:
        """Wait until the runs of a task have finished, or until ``timeout`` seconds have passed."""
        started = time.monotonic()
        end = None if timeout is None else started + timeout
        if self._store.wait(runs, DELAY if timeout is None else min(DELAY, timeout)):
            return
        with self.show(task, runs, started) as (update, interval):
            while not self._store.wait(runs, _limit(interval(), end)) and not _is_over(end):
                update()

    @contextmanager
    def show(
        self, task: TaskRecord, runs: Sequence[RunRecord], started: float
    ) -> Iterator[tuple[Callable[[], object], Callable[[], float]]]:
        """Show a task; yield a function that updates the view, and one that returns the seconds until the update.

        ``started`` is the time at which the task began, on the monotonic clock.
        """
        if not _showing.acquire(blocking=False):
            yield (lambda: None), (lambda: 60.0)
            return
        try:
            view = choose_view(self._requested)
            if view is None:
                yield (lambda: None), (lambda: 60.0)
                return
            view.started = started
            overview = Overview(self._source, task, runs)
            for run in (run for member in (task, *overview.list_subtasks()) for run in member.runs):
                for line in run.log.splitlines():
                    view.receive_line(run, line)
            view.follow(overview)
            self._store.listeners.append(view.receive_line)
            try:
                view.update()
                yield view.update, (lambda: view.interval)
            finally:
                self._store.listeners.remove(view.receive_line)
                view.close()
        finally:
            _showing.release()


def _limit(seconds: float, end: float | None) -> float:
    return seconds if end is None else max(0.0, min(seconds, end - time.monotonic()))


def _is_over(end: float | None) -> bool:
    return end is not None and time.monotonic() >= end
