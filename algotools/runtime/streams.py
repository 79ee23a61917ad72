"""The standard streams of a container's process.

A module of its own, because an image's entry point needs it before it imports anything that takes time.
"""

from __future__ import annotations

import contextlib
import os
import sys


def is_open(descriptor: int) -> bool:
    """Return whether a descriptor of this process is open."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def open_closed_streams() -> None:
    """Open the standard streams that are closed; otherwise other files of this process would get their descriptors."""
    for descriptor in range(3):
        if not is_open(descriptor):
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - open until the exit
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def flush_streams() -> None:
    """Write the buffers of the standard streams if possible."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
