"""Run a command, and sample the memory of the command and all its descendants. Prints JSON.

Arguments: a file for the output, the sampling interval in seconds (0: no samples), the timeout in seconds, the command.

A sample is the sum of the PSS of the processes (``/proc/…/smaps_rollup``), which counts shared memory once. This
process is a subreaper: orphaned processes become its children, so that no process is missed, and no process remains.
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
GRACE_PERIOD = 5.0
"""Seconds after the exit of the command until its remaining descendants are killed."""


def list_descendants() -> list[int]:
    """Return the ids of all descendants of this process."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = Path("/proc", entry, "stat").read_text(encoding="utf-8", errors="replace")
                children.setdefault(int(fields.rpartition(")")[2].split()[1]), []).append(int(entry))
    pids = list(children.get(os.getpid(), []))
    for pid in pids:  # the list grows during the loop
        pids += children.get(pid, [])
    return pids


def measure_memory() -> float:
    """Return the PSS of all descendants in MB."""
    total = 0
    for pid in list_descendants():
        with contextlib.suppress(OSError):  # the process has exited meanwhile
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total * 1024 / 1e6


def reap_children() -> dict[int, int]:
    """Collect the children that have exited, and return their status by id."""
    statuses = {}
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            statuses[child[0]] = child[1]
    return statuses


def stop_descendants() -> None:
    """Wait for the remaining descendants of the command, and kill them after the grace period."""
    deadline = time.monotonic() + GRACE_PERIOD
    while remaining := list_descendants():
        if time.monotonic() > deadline:
            for pid in remaining:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        reap_children()


def main() -> None:
    """Run the command, and print the samples."""
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
            samples.append((time.monotonic_ns(), measure_memory()))
        time.sleep(interval or 0.005)
        status = reap_children().get(pid)
    finished = time.monotonic_ns()
    if status is None:
        os.kill(pid, signal.SIGKILL)
    if linux:
        stop_descendants()
    print(json.dumps({
        "started_ns": started,
        "ended_ns": finished,
        "exit_code": None if status is None else os.waitstatus_to_exitcode(status),
        "samples": samples,
    }))  # fmt: skip


main()
