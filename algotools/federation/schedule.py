"""Which runs go on at the same time. A run that waits for its subtasks takes nobody's place."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from algotools.contract.platform import Run

PATIENCE = 0.5
"""Seconds for which the end of threads is waited for whose runs have ended."""


class Schedule:
    """Runs queue for one of ``places``; each gets a thread when it has one.

    Args:
        places: how many runs may go on at once.
        execute: runs one to its end.
        rest: called when nothing goes on any longer, in the thread that came last.
    """

    def __init__(self, places: int, execute: Callable[[Run], object], rest: Callable[[], object]) -> None:
        self._places = places
        self._execute = execute
        self._rest = rest
        self._lock = threading.Lock()
        self._queue: deque[Run] = deque()
        self._taken: set[int] = set()
        self._going = 0
        self._closed = False
        self._quiet = threading.Event()
        self._quiet.set()

    @property
    def busy(self) -> bool:
        """Whether a run goes on, or is about to."""
        with self._lock:
            return bool(self._going or self._queue)

    def submit(self, run: Run) -> None:
        """Queue a run."""
        with self._lock:
            if not self._closed:
                self._queue.append(run)
                self._quiet.clear()
        self._start()

    def give_way(self, run_id: int) -> None:
        """A run has created a subtask and will wait for it: its place is free for others."""
        with self._lock:
            self._taken.discard(run_id)
        self._start()

    def settle(self) -> None:
        """All runs have ended: wait until their threads have, too, but not long; a killed function may go on."""
        self._quiet.wait(PATIENCE)

    def close(self) -> None:
        """Start nothing more."""
        with self._lock:
            self._closed = True
            self._queue.clear()

    def _start(self) -> None:
        while (run := self._next()) is not None:
            threading.Thread(target=self._go, args=(run,), name=f"run {run.id}", daemon=True).start()

    def _next(self) -> Run | None:
        """The next run for which there is a place; it is taken then. What has ended in the queue is left out."""
        with self._lock:
            while self._queue and len(self._taken) < self._places:
                run = self._queue.popleft()
                if not run.finished_at:
                    self._taken.add(run.id)
                    self._going += 1
                    return run
            return None

    def _go(self, run: Run) -> None:
        """Execute a run, and in the same thread those that are next."""
        following: Run | None = run
        while following is not None:
            try:
                self._execute(following)
            finally:
                with self._lock:
                    self._taken.discard(following.id)
                    self._going -= 1
                following = self._next()
        if not self.busy:
            self._rest()
            with self._lock:
                if not (self._going or self._queue):
                    self._quiet.set()
