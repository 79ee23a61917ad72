"""Run a command to its end, and watch the memory of all processes that come of it; prints JSON.

Arguments: a file for its output, seconds between two looks (0 looks never), seconds that it may take, the command.

A look adds up the PSS of the processes (``/proc/…/smaps_rollup``): what several share counts once, by parts. Processes
whose parent has ended become this one's children (a subreaper), so none is overlooked, and none is left at the end.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

SUBREAPER = 36
LEFT = 5.0
"""Seconds that what a command leaves behind gets to end by itself."""


def descendants() -> list[int]:
    """The processes that come of this one."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = Path("/proc", entry, "stat").read_text(encoding="utf-8", errors="replace")
                children.setdefault(int(fields.rpartition(")")[2].split()[1]), []).append(int(entry))
    found = list(children.get(os.getpid(), []))
    for pid in found:  # which grows meanwhile
        found += children.get(pid, [])
    return found


def memory() -> float:
    """Megabytes of PSS of all of them."""
    total = 0
    for pid in descendants():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total * 1024 / 1e6


def reap() -> dict[int, int]:
    """The children that have ended, with how."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = found[1]
    return ended


def clear() -> None:
    """End what the command has left, if it does not end by itself."""
    deadline = time.monotonic() + LEFT
    while left := descendants():
        if time.monotonic() > deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        reap()


def main() -> None:
    """Watch it."""
    log, (interval, limit), command = sys.argv[1], map(float, sys.argv[2:4]), sys.argv[4:]
    linux = sys.platform == "linux"
    if linux:
        ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0)
    output = [
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    samples: list[tuple[int, float]] = []
    started = time.monotonic_ns()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=output)
    status, parent = None, os.getppid()
    while status is None and os.getppid() == parent and time.monotonic_ns() - started < limit * 1e9:
        if interval and linux:
            samples.append((time.monotonic_ns(), memory()))
        time.sleep(interval or 0.005)
        status = reap().get(pid)
    ended = time.monotonic_ns()
    if status is None:
        os.kill(pid, signal.SIGKILL)
    if linux:
        clear()
    print(json.dumps({
        "started_ns": started,
        "ended_ns": ended,
        "exit_code": None if status is None else os.waitstatus_to_exitcode(status),
        "samples": samples,
    }))  # fmt: skip


main()
