"""Who is to remove what a federation leaves on the machine: a process, by a name that no later one has."""

from __future__ import annotations

import os
import socket
import zlib
from pathlib import Path


def this_process() -> str:
    """Host, number and start of this process."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether a process of this machine has ended, so that what it owned is anybody's to remove."""
    host, _, process = owner.partition("/")
    pid, _, started = process.partition("/")
    if host != socket.gethostname() or not pid.isdigit():
        return False  # another machine's, on an engine that we share
    return _started(int(pid)) != started


def in_a_name() -> str:
    """This process, short enough for the name of a folder with a socket in it."""
    return f"{_host()}-{os.getpid()}-{_started(os.getpid())}"


def is_gone_by_name(name: str) -> bool:
    """The same as ``is_gone``, by what ``in_a_name`` gave."""
    host, _, process = name.partition("-")
    pid, _, started = process.partition("-")
    return host == _host() and pid.isdigit() and _started(int(pid)) != started


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _started(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, ValueError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "running" if not Path("/proc/self/stat").exists() else ""
