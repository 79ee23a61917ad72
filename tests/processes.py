"""Look at processes that a test has started, directly or not."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

LIMIT = 300.0
"""Seconds until a test gives up a wait. On an idle machine each wait ends within a few seconds."""


def wait_until(condition: Callable[[], object], limit: float = LIMIT) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.02)


def read_pids(file: Path) -> list[int]:
    """Wait until a function has written ids of processes to a file, and return them."""
    wait_until(file.exists)
    return [int(pid) for pid in file.read_text(encoding="utf-8").split()]


def find_processes(tag: str) -> list[int]:
    """Return the ids of processes that have *tag* as an argument."""
    pids = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if tag in file.read_text(encoding="utf-8", errors="replace").split("\0"):
                pids.append(int(file.parent.name))
    return pids


def wait_for_family(tag: str) -> list[int]:
    """Wait for a process that has *tag* as an argument, and return the ids of its parent and of itself."""
    wait_until(lambda: find_processes(tag))
    child = find_processes(tag)[0]
    fields = Path(f"/proc/{child}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return [int(fields[1]), child]


def is_handling(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(caught >> (number - 1) & 1)


def is_alive(pid: int) -> bool:
    """Whether a process runs or is stopped. A dead process may remain in the table until its parent waits for it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def read_start(pid: int) -> str:
    """Return the time at which a process started; empty for a process that does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until_dead(pids: Iterable[int], limit: float = LIMIT) -> None:
    """Wait until no process is alive; kill those that are left, so that a failed test leaves nothing behind."""
    # A process id can be used again, so a process is identified by its start, too.
    starts = {pid: read_start(pid) for pid in pids if is_alive(pid)}

    def list_alive() -> list[int]:
        return [pid for pid, start in starts.items() if is_alive(pid) and read_start(pid) == start]

    try:
        wait_until(lambda: not list_alive(), limit)
    finally:
        for pid in list_alive():
            os.kill(pid, signal.SIGKILL)
