"""Memory limit of a run, where no container sets one: Linux counts the bytes that a process allocates (RLIMIT_DATA).

An allocation beyond the limit fails with a ``MemoryError`` in Python. So the error can name the function, which is not
possible after the kernel has killed the process.
"""

from __future__ import annotations

import sys
from pathlib import Path

from algotools.errors import OutOfMemory

RESERVE = 32 << 20
"""Bytes above the limit for reporting that the limit was reached."""


def can_limit_memory() -> bool:
    """Return whether this operating system can limit the memory of a process; Linux can."""
    return sys.platform == "linux"


def limit_memory(size: int) -> None:
    """Let this process, and every process that it starts, allocate at most *size* bytes more than it has now."""
    import resource  # here, because not every operating system has it

    limit = _read_allocated_bytes() + size
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit + RESERVE))


def build_memory_error(location: str, detail: str) -> OutOfMemory:
    """Return the error for a ``MemoryError`` that was raised at *location*, and free the reserve for reporting it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # Raising the soft limit to the hard one makes room for the traceback, the message and its encoding.
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    limited = soft != resource.RLIM_INFINITY
    amount = "more memory than its run may use" if limited else "more memory than is available"
    return OutOfMemory(f"{location} needs {amount}", detail=detail)


def _read_allocated_bytes() -> int:
    """Return the bytes of this process that count against the limit."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
