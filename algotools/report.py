"""The lines of a run's log, which the researcher reads: written here, and read back here.

Everything in it passes through a console: a function that takes one finished line. The worker's console
hands lines to the supervisor, the supervisor's writes them to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from algotools.errors import Failure

Console = Callable[[str], None]

_FAILURE = "algotools.failure "
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
    _console.get()(line("progress", f"{min(max(fraction, 0.0), 1.0):.0%} {text}".rstrip()))


def line(level: str, text: str) -> str:
    """One line of a log; what would end the line or steer a terminal is made visible instead."""
    return f"{level} > {_visible(text[:_LONGEST], repr)}"


def failure_line(failure: Failure) -> str:
    """The last line of a failed run's log: for people and for a master alike."""
    told = {"code": failure.exit_code, "message": failure.message[:_LONGEST]}
    return _FAILURE + _visible(json.dumps(told, ensure_ascii=False), json.dumps)


def _visible(text: str, quoted: Callable[[str], str]) -> str:
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
