"""Ways to run a prepared task at a local node; all take the one road, and give the same answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from algotools.report import Console


class Runner(Protocol):
    """Runs an algorithm in an environment that a contract prepared."""

    places: int
    """How many runs can go on at the same time."""

    def run(self, environment: Mapping[str, str], console: Console, timeout: float | None) -> int:
        """Run to the end, each line of the log as it comes; gives the exit code, negative for a signal."""

    def close(self) -> None:
        """End whatever is still running."""
