"""Which runs go on at the same time. A run that waits for its subtasks takes nobody's place."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from algotools.contract.platform import Run


class Schedule:
    """Runs queue for one of ``places``; each gets a thread when it has one."""

    def __init__(self, places: int, execute: Callable[[Run], object]) -> None:
        self._places = places
        self._execute = execute
        self._lock = threading.Lock()
        self._queue: deque[Run] = deque()
        self._taken: set[int] = set()
        self._closed = False

    def submit(self, run: Run) -> None:
        """Queue a run."""
        with self._lock:
            self._queue.append(run)
        self._start()

    def give_way(self, run_id: int) -> None:
        """A run has created a subtask and will wait for it: its place is free for others."""
        with self._lock:
            self._taken.discard(run_id)
        self._start()

    def close(self) -> list[Run]:
        """Start nothing more; gives the runs that never began."""
        with self._lock:
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
            return left

    def _start(self) -> None:
        while True:
            with self._lock:
                if self._closed or not self._queue or len(self._taken) >= self._places:
                    return
                run = self._queue.popleft()
                self._taken.add(run.id)
            threading.Thread(target=self._go, args=(run,), name=f"run {run.id}", daemon=True).start()

    def _go(self, run: Run) -> None:
        try:
            self._execute(run)
        finally:
            self.give_way(run.id)
