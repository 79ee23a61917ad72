"""The processes that the author's code has started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

_ROUNDS = 100
"""Rounds of killing the worker's descendants, which may start processes faster than they are killed."""
_ROUND = 0.01
"""Seconds between two rounds."""


def kill_descendants(session: int) -> None:
    """Kill all descendants of this process, and the members of a session, and wait for those that are children."""
    for _ in range(_ROUNDS):
        processes = [process.pid for process in _list_processes(session) if process.is_alive]
        killed = [pid for pid in processes if _try_kill(pid)]
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not killed:
            break
        time.sleep(_ROUND)


def _try_kill(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


class _Process(NamedTuple):
    """A line of ``/proc/PID/stat``; see proc(5)."""

    pid: int
    is_alive: bool
    parent: int
    session: int


def _list_processes(session: int) -> list[_Process]:
    """Return the descendants of this process, and the members of a session."""
    processes = list(_read_processes())
    family = {os.getpid()}
    while grown := {process.pid for process in processes if process.parent in family} - family:
        family |= grown
    return [p for p in processes if p.pid != os.getpid() and (p.pid in family or p.session == session)]


def _read_processes() -> Iterator[_Process]:
    try:
        names = [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:  # not Linux
        return
    for name in names:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
            # The name of the program is in parentheses, and may contain any byte.
            state, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
            yield _Process(int(name), state not in (b"Z", b"X"), int(parent), int(session))
