"""What the child process says, line by line, of an algorithm that it examines."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from algotools.check.finding import Finding


class Told(msgspec.Struct, omit_defaults=True):
    """One line from the child."""

    finding: Finding | None = None
    algorithm: str | None = None
    """The algorithm's module, once it is known."""
    unknown: str | None = None
    """Why WHAT names nothing."""
    functions: int | None = None
    """How many functions the algorithm has, once it has been imported."""
    files: int | None = None
    """How many files its package has."""
    fault: str | None = None
    """A fault of our own, with its traceback."""
    done: bool = False
    """The last line of a child that ends in order."""


Tell = Callable[[Told], object]
"""Says it."""
