"""Ways to run a prepared task at a local node; all take the one road, and give the same answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from algotools.contract.base import Contract, Prepared
from algotools.report import Console
from algotools.task import Task


class Job(NamedTuple):
    """A task that a node has prepared: its files are written, and wait to be run."""

    task: Task
    """With paths as they are on this machine."""
    environment: dict[str, str]
    """What the node hands the algorithm, with the same paths."""
    prepare: Callable[[Task], Prepared]
    """What it would hand it for another task: this one, with the paths that a container sees."""
    contract: Contract


class Runner(Protocol):
    """Runs an algorithm on tasks that a node prepared."""

    places: int
    """How many runs can go on at the same time."""

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """Run to the end, each line of the log as it comes; gives the exit code, negative for a signal.

        The answer is then in the task's output file, and what is for the owner where the task's variables say.
        """

    def close(self) -> None:
        """End whatever is still running."""
