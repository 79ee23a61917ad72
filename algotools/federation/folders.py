"""The folders of a federation, and the identity of the process that owns them.

The federation's own files are on disk. The files of runs are in memory if the system offers that. A killed process
cannot remove its folders and containers, so their names and labels identify it, and the next federation removes them.
A process id alone is not enough for that, because the system reuses ids: the process's start time belongs to it.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
import zlib
from pathlib import Path
from typing import NamedTuple

MEMORY = Path("/dev/shm")  # noqa: S108 - only our own folders are made in it
MIN_FREE_BYTES = 1 << 30
"""Bytes that must be free in ``MEMORY``, because results of runs are stored there until the server has read them."""

PREFIX = "algotools-"
_ATTEMPTS = 25
"""Attempts to remove a folder."""


class Folders(NamedTuple):
    """The two folders of a federation; they are the same folder if the files of runs are not in memory."""

    base: Path
    """Everything that lasts as long as the federation: tables, temporary folders of jobs, the API's socket."""
    runs: Path
    """The files of runs, in memory because a thousand runs have several thousand files, which are slow on a disk."""

    @classmethod
    def make(cls, *, in_memory: bool) -> Folders:
        """Make new folders, and remove the folders of killed processes."""
        base = make_folder(Path(tempfile.gettempdir()))
        in_memory = in_memory and not os.environ.get("TMPDIR")  # a user who sets TMPDIR wants temporary files there
        if in_memory and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MIN_FREE_BYTES:
            return cls(base, make_folder(MEMORY))
        return cls(base, base)

    def remove(self) -> None:
        """Remove both folders with their files."""
        for folder in self:
            for _ in range(_ATTEMPTS):  # a run that is stopping can still create a file in a folder that is removed
                shutil.rmtree(folder, ignore_errors=True)
                if not folder.exists():
                    break
                time.sleep(0.02)


def make_folder(parent: Path) -> Path:
    """Make a folder that is removed later if this process is killed, and remove the folders of killed processes."""
    for folder in parent.glob(f"{PREFIX}*"):
        if _has_exited(folder.name.removeprefix(PREFIX).rpartition("-")[0]):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=make_prefix(), dir=parent))


def make_prefix() -> str:
    """Return the start of a folder's name; the next federation removes such a folder if this process was killed."""
    return f"{PREFIX}{_make_short_name()}-"


def identify_process() -> str:
    """Return host, process id and start time of this process, for the labels of containers."""
    return f"{socket.gethostname()}/{os.getpid()}/{_read_start_time(os.getpid())}"


def has_exited(owner: str) -> bool:
    """Whether a process of this machine, named by ``identify_process``, has exited."""
    host, _, process = owner.partition("/")
    pid, _, start_time = process.partition("/")
    if host != socket.gethostname() or not pid.isdigit():
        return False  # a process of another machine, which shares the engine with us
    return _read_start_time(int(pid)) != start_time


def _make_short_name() -> str:
    """Return an identity of this process for folder names, because the path of a Unix socket has at most 107 bytes."""
    return f"{_hash_host_name()}-{os.getpid()}-{_read_start_time(os.getpid())}"


def _has_exited(name: str) -> bool:
    """Whether the process that ``_make_short_name`` identified has exited."""
    host, _, process = name.partition("-")
    pid, _, start_time = process.partition("-")
    return host == _hash_host_name() and pid.isdigit() and _read_start_time(int(pid)) != start_time


def _hash_host_name() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _read_start_time(pid: int) -> str:
    """Return the start time of a process in ticks since boot; empty if the process does not exist.

    Without ``/proc`` the start time is unknown, and every existing process has the text "running".
    """
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
