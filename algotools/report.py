"""The lines of a run's log, which the researcher reads: written here, and read back here.

Everything in it passes through a console: a function that takes one finished line. The worker's console
hands lines to the supervisor, the supervisor's writes them to standard error.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from algotools.errors import Failure

Console = Callable[[str], None]

_FAILURE = "algotools.failure "
_PROGRESS = re.compile(r"progress > ([0-9]{1,3})%(?: (.*))?")
_LONGEST = 2000


def to_standard_error(line: str) -> None:
    """Write a line to standard error at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


_console: ContextVar[Console] = ContextVar("console", default=to_standard_error)


@contextmanager
def to(console: Console) -> Iterator[None]:
    """Within, ``log`` and ``progress`` write to this console."""
    token = _console.set(console)
    try:
        yield
    finally:
        _console.reset(token)


def log(text: str) -> None:
    """Say something that everybody may read: the researcher, the server, the node's owner.

    A node stores and sends its logs unencrypted, so name no value from the data here. ``print`` is for the
    owner of the node alone.
    """
    _console.get()(line("info", text))


def progress(fraction: float, text: str = "") -> None:
    """Say how far the function has come, from 0 to 1, for everybody to read."""
    known = min(1.0, max(0.0, fraction))  # in this order, NaN is none of the way
    _console.get()(line("progress", f"{known:.0%} {text}".rstrip()))


def read_progress(line: str) -> tuple[float, str] | None:
    """The fraction, to the percent, and the text that ``progress`` said; None if the line says something else."""
    found = _PROGRESS.fullmatch(line)
    return (min(int(found[1]) / 100, 1.0), found[2] or "") if found else None


def line(level: str, text: str) -> str:
    """One line of a log; what would end the line or steer a terminal is made visible instead."""
    return f"{level} > {visible(text[:_LONGEST])}"


def failure_line(failure: Failure) -> str:
    """The last line of a failed run's log: for people and for a master alike."""
    told = {"code": failure.exit_code, "message": failure.message[:_LONGEST]}
    return _FAILURE + visible(json.dumps(told, ensure_ascii=False), json.dumps)


def visible(text: str, quoted: Callable[[str], str] = repr) -> str:
    """A text in which whatever would end the line or steer a terminal is written out instead."""
    return "".join(c if c.isprintable() else quoted(c)[1:-1] for c in text)


def read_failure(log: str) -> Failure | None:
    """Why a run failed, from its log; None if the log does not say."""
    last = log.rstrip().rpartition("\n")[2]
    _, marker, text = last.partition(_FAILURE)
    try:
        found = json.loads(text) if marker else None
        return Failure(int(found["code"]), str(found["message"])) if found else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
