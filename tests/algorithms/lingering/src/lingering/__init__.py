"""Functions that never return, and the processes that they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from algotools import rpc


@rpc
def identify_parent() -> int:
    """Return the process id of the worker's parent, the preloaded template."""
    return os.getppid()


@rpc
def linger(file: str) -> None:
    """Start a child, write the ids of parent, own process and child to *file*, and compute forever."""
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    temporary = Path(f"{file}.new")
    temporary.write_text(f"{os.getppid()} {os.getpid()} {child.pid}", encoding="utf-8")
    temporary.rename(file)
    while True:
        pass
