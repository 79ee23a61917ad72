"""Ways to run a prepared task at a local node. All use the same dispatch, so their results are the same."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from algotools.disclosure import is_policy_variable
from algotools.federation.contract import NodeContract, PreparedRun
from algotools.runtime.dispatch.checking import CheckedCall, CheckReply
from algotools.runtime.logs import Console
from algotools.task import Task


class Cancellation:
    """Cancel a run through the callbacks that its runner registered, and find the line where the run is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []
        self._position_lock = threading.Lock()
        self._read_position: Callable[[], str] | None = None
        self.is_requested = False

    def request(self) -> None:
        """Cancel the run now, or as soon as a callback is registered."""
        with self._lock:
            self.is_requested = True
            for callback in self._callbacks:
                callback()

    @contextlib.contextmanager
    def register(self, callback: Callable[[], object]) -> Iterator[None]:
        """Cancel the run through ``callback`` while the context is open.

        The callback may be called more than once. It must not block, because it is called under the lock.
        """
        # A cancellation may arrive while the runner is still starting its process, when there is nothing to kill.
        # `is_requested` keeps that request, and the callback is then called here.
        with self._lock:
            self._callbacks.append(callback)
            if self.is_requested:
                callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)

    @contextlib.contextmanager
    def offer_position(self, read: Callable[[], str]) -> Iterator[None]:
        """Let ``find_position`` call ``read`` while the context is open; ``read`` may block for a moment."""
        self._read_position = read
        try:
            yield
        finally:
            with self._position_lock:  # wait for a call of `read`
                self._read_position = None

    def find_position(self) -> str:
        """Return " at FILE, line N": the line of the author's code where the run is; empty if it is unknown."""
        with self._position_lock:
            return self._read_position() if self._read_position is not None else ""


class Job(NamedTuple):
    """A task that a node has prepared: its files are written, and it can be run."""

    task: Task
    """The task, with paths of this machine."""
    environment: dict[str, str]
    """The environment variables that the node prepared, with the same paths."""
    prepare: Callable[[Task], PreparedRun]
    """Prepares another task; runners of images prepare this task again, with the paths inside the container."""
    contract: NodeContract
    cancellation: Cancellation

    def make_worker_environment(self) -> dict[str, str]:
        """Return the environment variables without the policy, which only the supervisor may have."""
        return {name: text for name, text in self.environment.items() if not is_policy_variable(name)}

    def make_temporary_folder(self) -> None:
        """Create the job's temporary folder, because a run in another process cannot always create it."""
        if self.task.temporary_folder is not None:
            self.task.temporary_folder.mkdir(parents=True, exist_ok=True)


class Runner(Protocol):
    """Runs an algorithm on tasks that a node prepared."""

    slots: int
    """The number of runs that can be active at the same time."""

    @property
    def has_gate(self) -> bool:
        """Whether the node's policy applies to runs: vantage6's own tools have no disclosure gate."""

    @property
    def sees_frames(self) -> bool:
        """Whether runs can read the frames in this process's memory; otherwise the frames must be in files."""

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """Run a job to completion and return its exit code, negative for a signal.

        Each line of the log goes to ``console`` as soon as it is complete. The result is then in the task's output
        file, and the details for the node's owner in the file that the task's variables name.
        """

    def check(self, call: CheckedCall | None, timeout: float) -> CheckReply | None:
        """Check a call without data, before its runs; without a call, report the roles of the methods.

        Return None if nothing can be checked, or not within *timeout* seconds. Then the runs report mistakes.
        """

    def start(self) -> None:
        """Prepare for the next run, in the calling thread. Called when no run is active."""

    def stop(self) -> None:
        """Release the threads and processes that only active runs need. Called when the last run has finished."""

    def close(self) -> None:
        """Cancel all active runs and release everything."""
