"""What is told of a task while it is run: on standard error, as suits it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TextIO

from algotools.cli.lines import Lines
from algotools.contract.platform import Run, Task
from algotools.federation import Federation


class View(Protocol):
    """What is told while a task is run."""

    pause: float
    """Seconds until it wants to look again."""

    def hear(self, run: Run, line: str) -> None:
        """A line more of a run's log; in the run's own thread."""

    def follow(self, running: Federation, task: Task) -> None:
        """This is the task."""

    def look(self) -> None:
        """See how things are by now."""

    def close(self) -> None:
        """The task is over, or given up."""


@contextmanager
def view() -> Iterator[View]:
    """What suits standard error. Within, what anything prints gets to it without spoiling the table."""
    found: View = Lines(sys.stderr)
    if is_terminal(sys.stderr, os.environ):
        from algotools.cli.table import Table  # where there is none, what it needs is not waited for

        found = Table(sys.stderr)
    try:
        yield found
    finally:
        found.close()


def is_terminal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether somebody looks at it, on a terminal that can move its cursor and has the signs that we draw with.

    A debugger of one's own (``PYTHONBREAKPOINT``) wants the terminal for itself; Python's tells us when.
    """
    watched = stream.isatty() and not environ.get("CI") and not environ.get("PYTHONBREAKPOINT")
    able = environ.get("TERM", "").lower() not in ("dumb", "unknown", "")
    return watched and able and stream.encoding.lower().startswith("utf")
