"""A run's own limit of memory, where no container sets one: Linux counts what a process allocates (``RLIMIT_DATA``).

What goes past it fails, and is a ``MemoryError`` in Python: unlike a process that is killed, the function can be
told by name.
"""

from __future__ import annotations

import sys
from pathlib import Path

from algotools.errors import OutOfMemory

RESERVE = 32 << 20
"""Bytes past the limit for telling that it was reached."""


def can_limit_memory() -> bool:
    """Whether this operating system counts a process's memory so; Linux does."""
    return sys.platform == "linux"


def set_memory(size: int) -> None:
    """Let this process and those that it starts allocate so many bytes each, besides what it has already."""
    import resource  # here, because not every operating system has it

    limit = _allocated() + size
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit + RESERVE))


def out_of_memory(where: str, detail: str) -> OutOfMemory:
    """The error for a ``MemoryError``; makes use of the reserve."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    limited = soft != resource.RLIM_INFINITY
    why = "more memory than its run may use" if limited else "more memory than there is"
    return OutOfMemory(f"{where} needs {why}", detail=detail)


def _allocated() -> int:
    """The bytes that count against the limit."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
