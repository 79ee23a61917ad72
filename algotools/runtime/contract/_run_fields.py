"""Fields of a run that the generations' connections read: its duration, its log, and the reason of a failure."""

from __future__ import annotations

import ast
import datetime
import re

from algotools.runtime.client.connection import Item

_LOG_HINTS = {
    "Marked as failed because sibling run": "not started, because another organization's run had failed",
    "Node does not allow sharing algorithm logs": "its node does not share logs",
}
"""Text that the platform itself writes into a run's log -> the reason of the failure."""


def find_hint(log: str) -> str:
    """Return the reason of a failure that the platform itself has written into a log; an empty text without one."""
    return next((hint for text, hint in _LOG_HINTS.items() if text in log), "")


def measure_duration(item: Item) -> float | None:
    """Return the seconds from the start of a run to its end; None if it has not finished, or without these times."""
    start, end = item.get("started_at"), item.get("finished_at")
    try:
        times = [datetime.datetime.fromisoformat(str(text).removesuffix("+00:00")) for text in (start, end)]
        return max(0.0, (times[1] - times[0]).total_seconds())
    except (ValueError, TypeError):  # not a time, or only one of the two has an offset
        return None


_HEADING = re.compile(r"LOGS of POD .*? \(created by job .*?\)\s*")


def clean_log(log: str) -> str:
    """Return a run's log as its container wrote it; after several attempts, the log of the last.

    5.0's nodes put a heading before the log of each attempt. 5.0.3 stores the ``repr`` of a bytes object.
    """
    text = _HEADING.split(log)[-1].strip()
    if text[:2] not in ("b'", 'b"'):
        return text
    try:
        data = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return data.decode(errors="replace") if isinstance(data, bytes) else text
