"""The calls of ``aggregate`` in the author's code: errors name the line of the call."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from algotools.disclosure.reductions.conversion import RowsRefused
from algotools.disclosure.source_lines import describe_line
from algotools.errors import TotalRefused

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_PACKAGE = __name__.rpartition(".")[0]


def explain_refusals(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return a reduction that raises ``TotalRefused`` with the author's line for a value that cannot be reduced."""

    @functools.wraps(function)
    def reduce(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except RowsRefused as refused:
            raise refuse(function.__name__, refused.explain_without_total()) from None

    return reduce


def refuse(operation: str, reason: str) -> TotalRefused:
    """Return the error for a value; *reason* follows the words "the value of aggregate.sum in line 5"."""
    return TotalRefused(f"the value of aggregate.{operation} in {_find_place()} {reason}")


def _find_place() -> str:
    """Return the line of the author's code that calls a reduction, for a message."""
    frame = sys._getframe()  # noqa: SLF001 - the whole stack
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        frame = frame.f_back
    return describe_line(frame)
