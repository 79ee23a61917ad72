"""Ways to run a prepared task at a local node; all take the one road, and give the same answers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from algotools.contract.base import Contract, Prepared
from algotools.report import Console
from algotools.task import Task


class Ending:
    """The wish that a run ends before it does so by itself: somebody asks, and what can end it has said how."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ways: list[Callable[[], object]] = []
        self.asked = False

    def ask(self) -> None:
        """End the run, now or as soon as there is a way to."""
        with self._lock:
            self.asked = True
            for way in self._ways:
                way()

    @contextlib.contextmanager
    def by(self, way: Callable[[], object]) -> Iterator[None]:
        """Within, the run can be ended by ``way``, which must bear to be called more than once and never wait."""
        with self._lock:
            self._ways.append(way)
            if self.asked:
                way()
        try:
            yield
        finally:
            with self._lock:
                self._ways.remove(way)


class Job(NamedTuple):
    """A task that a node has prepared: its files are written, and wait to be run."""

    task: Task
    """With paths as they are on this machine."""
    environment: dict[str, str]
    """What the node hands the algorithm, with the same paths."""
    prepare: Callable[[Task], Prepared]
    """What it would hand it for another task: this one, with the paths that a container sees."""
    contract: Contract
    ending: Ending

    def make_room(self) -> None:
        """Make the job's temporary folder, for runs that cannot do so themselves."""
        if self.task.temporary_folder is not None:
            self.task.temporary_folder.mkdir(parents=True, exist_ok=True)


class Runner(Protocol):
    """Runs an algorithm on tasks that a node prepared."""

    places: int
    """How many runs can go on at the same time."""

    @property
    def sees_frames(self) -> bool:
        """Whether its runs see the frames that this process holds; else these must be in files."""

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """Run to the end, each line of the log as it comes; gives the exit code, negative for a signal.

        The answer is then in the task's output file, and what is for the owner where the task's variables say.
        """

    def wake(self) -> None:
        """Something is about to run: get ready for it, in the thread that asks."""

    def rest(self) -> None:
        """Nothing runs just now: give back the threads and processes that only runs need."""

    def close(self) -> None:
        """End whatever is still running."""
