"""Why a run failed, where the last line of its log is none that algotools wrote: its status, and what the log tells."""

from __future__ import annotations

import re

from algotools.errors import Failure

EXIT_CODE = 1
"""For all that algotools has no code for."""

_LEVEL = re.compile(r"\[?(error|warn|info|debug) *(?:>|\] -) *(.*)")
"""How a line of vantage6's begins, of its wrappers (``error > ``) and of the rest of it (``[error] - ``)."""

_NOTHING = ("", "None")
"""What vantage6's wrappers write after ``error >`` where they mean to show a traceback."""


def untold(status: str, log: str, detail: str = "") -> Failure:
    """The failure of a run that ended in ``status``; the whole log is for the owner of the node."""
    line = telling_line(log)
    message = f"{status}: {line}" if line else f"{status}; the run's log does not say why"
    return Failure(EXIT_CODE, message, "\n".join(text.rstrip("\n") for text in (log, detail) if text.strip()))


def telling_line(log: str) -> str:
    """The line of a log that says most about a failure: the last error, else the last warning, else the last line.

    A wrapper's errors come before the exception's own last line, for that may be of any other thing that went wrong
    on the way out.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = [found.groups() for line in lines if (found := _LEVEL.match(line)) and found[2].strip() not in _NOTHING]
    for level in ("error", "warn"):
        if texts := [text.strip() for kind, text in told if kind == level]:
            return texts[-1]
    others = [line for line in lines if not _LEVEL.match(line)]
    return others[-1] if others else ""
