"""The queue of runs: how many execute at the same time, and which run is next.

A master waits for the runs of its subtasks, which wait in the same queue. If waiting masters kept their slots, a few
masters could take all slots, and their subtasks would never start. So a run frees its slot as soon as it creates a
subtask. It does not get the slot back: when its subtask is complete, it continues at once beside the runs that have
slots. Its thread stays alive meanwhile, which is why slots and threads are counted separately.

The order of the queue limits how many masters wait at the same time. With 100 tasks in order of arrival, all 100
masters would start before the first subtask, and no task would be complete until the end. So the runs of the oldest
task without a parent come first, and of these the runs of the deepest subtasks: they finish what has already started.
A new master starts only if no subtask needs the slot.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from algotools.federation.contract.rest import RunRecord

WAIT_TIMEOUT = 60.0
"""Seconds that ``wait_until_idle`` waits for the threads of finished runs, which only have to release resources."""

STOPPED_WAIT_TIMEOUT = 0.5
"""The same while a stopped run executes: Python cannot stop a function that runs in a thread of this process."""

STOPPED_STATUSES = ("killed by user", "depended on failed task")
"""The statuses that a run may get before its function has returned."""


class Priority(NamedTuple):
    """The position of a run in the queue. The smallest priority is next."""

    root_id: int
    """Id of the task without a parent that the run belongs to. Ids increase with time."""
    negative_depth: int
    """0 for a task without a parent, -1 for its subtasks, and so on."""


class _QueuedRun(NamedTuple):
    priority: Priority
    number: int
    """Runs of one priority start in the order of arrival. No two numbers are equal, so runs are never compared."""
    run: RunRecord


class Schedule:
    """A queue of runs with a limited number of slots; each run gets a thread when it gets a slot.

    Args:
        slots: how many runs may execute at the same time.
        execute: executes a run until it finishes.
        on_idle: called when no run executes and none is queued, in the thread of the last run.
    """

    def __init__(self, slots: int, execute: Callable[[RunRecord], object], on_idle: Callable[[], object]) -> None:
        self._slots = slots
        self._execute = execute
        self._on_idle = on_idle
        self._lock = threading.Lock()
        self._queue: list[_QueuedRun] = []  # a heap
        self._numbers = itertools.count()
        self._with_slot: set[int] = set()
        self._executing: dict[int, RunRecord] = {}
        self._threads: set[threading.Thread] = set()
        self._timers: dict[int, threading.Timer] = {}
        """Id of a run that is queued later -> the timer that queues the run."""
        self._submitted = 0
        self._closed = False

    @property
    def is_busy(self) -> bool:
        """Whether a run executes or is queued."""
        with self._lock:
            return bool(self._executing or self._queue or self._timers)

    def submit(self, run: RunRecord, priority: Priority, delay: float = 0.0) -> None:
        """Queue a run, at once or after *delay* seconds."""
        with self._lock:
            if self._closed:
                return
            self._submitted += 1
            if delay > 0:
                self._timers[run.id] = timer = threading.Timer(delay, self._enqueue, (run, priority))
                timer.daemon = True
                timer.start()
                return
        self._enqueue(run, priority)

    def _enqueue(self, run: RunRecord, priority: Priority) -> None:
        with self._lock:
            self._timers.pop(run.id, None)
            if not self._closed:
                heapq.heappush(self._queue, _QueuedRun(priority, next(self._numbers), run))
        self._start_threads()
        if not self.is_busy:  # the run was killed in the meantime, and no thread will report that the queue is empty
            self._on_idle()

    def free_slot(self, run_id: int) -> None:
        """Let another run have the slot of a run that waits or was cancelled; its thread continues without a slot."""
        with self._lock:
            self._with_slot.discard(run_id)
        self._start_threads()

    def wait_until_idle(self) -> None:
        """Wait until the threads of all runs have ended, or until a run is submitted, or until a time limit."""
        submitted, started = self._submitted, time.monotonic()
        while (thread := self._find_other_thread()) is not None and submitted == self._submitted:
            with self._lock:
                stopped = any(run.status in STOPPED_STATUSES for run in self._executing.values())
            if time.monotonic() - started > (STOPPED_WAIT_TIMEOUT if stopped else WAIT_TIMEOUT):
                return
            thread.join(0.05)

    def close(self) -> None:
        """Empty the queue, and start no more runs."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    def _start_threads(self) -> None:
        while (run := self._take_next()) is not None:
            thread = threading.Thread(target=self._execute_runs, args=(run,), name=f"run {run.id}", daemon=True)
            thread.start()
            with self._lock:
                self._threads = {running for running in self._threads if running.is_alive()} | {thread}

    def _find_other_thread(self) -> threading.Thread | None:
        """Return a living thread of a run; not the caller's own, for a function may itself use this federation."""
        with self._lock:
            threads = (thread for thread in self._threads if thread.is_alive())
            return next((thread for thread in threads if thread is not threading.current_thread()), None)

    def _take_next(self) -> RunRecord | None:
        """Return the next unfinished run and give it a slot; None without a free slot or a queued run."""
        with self._lock:
            while self._queue and len(self._with_slot) < self._slots:
                run = heapq.heappop(self._queue).run
                if not run.finished_at:  # otherwise it was killed in the queue
                    self._with_slot.add(run.id)
                    self._executing[run.id] = run
                    return run
            return None

    def _execute_runs(self, run: RunRecord) -> None:
        """Execute a run, and then the next runs of the queue in the same thread, which saves starting a thread."""
        next_run: RunRecord | None = run
        while next_run is not None:
            try:
                self._execute(next_run)
            finally:
                with self._lock:
                    self._with_slot.discard(next_run.id)
                    del self._executing[next_run.id]
                next_run = self._take_next()
        if not self.is_busy:
            self._on_idle()
