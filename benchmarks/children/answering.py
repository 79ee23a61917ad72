"""What each contestant of ``federation.py`` is asked and tells; imports nothing but Python, for it is timed with them.

First argument: a file with JSON, ``asked``. Second: a file that gets JSON, what came out and when.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ASKED: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
TOLD: dict[str, Any] = {}
LONG = 60_000
"""Milliseconds: what takes longer is not asked twice."""


def ask(task: Callable[[], float]) -> None:
    """Do a task twice, or ``once``; note the answer, when it was there, and the milliseconds of either time."""
    started = time.monotonic_ns()
    TOLD["answer"] = task()
    TOLD["answered_ns"] = time.monotonic_ns()
    TOLD["task_ms"] = (TOLD["answered_ns"] - started) / 1e6
    if TOLD["task_ms"] < LONG and not ASKED.get("once"):
        again = time.monotonic_ns()
        if task() != TOLD["answer"]:
            raise SystemExit("asked again, it answers something else")
        TOLD["again_ms"] = (time.monotonic_ns() - again) / 1e6
    TOLD["main_mb"] = _peak()
    if "frames" in ASKED:
        TOLD["written_mb"] = _written()
    Path(sys.argv[2]).write_text(json.dumps(TOLD), encoding="utf-8")


def frames() -> list[Any]:
    """The frames that are asked for, of random numbers; before any is made, it is noted when that was."""
    import numpy as np
    import pandas as pd

    nodes, rows, columns = ASKED["frames"]
    time.sleep(ASKED["settle"])
    TOLD["empty_ns"] = time.monotonic_ns()
    numbers = np.random.default_rng(0)
    names = [f"column_{position}" for position in range(columns)]
    made = [pd.DataFrame(numbers.normal(size=(rows, columns)), columns=names) for _ in range(nodes)]
    TOLD["data_mb"] = sum(int(frame.memory_usage(index=False).sum()) for frame in made) / 1e6
    return made


def _peak() -> float | None:
    """The most that this process itself has had in memory, its share of what others have too included (VmHWM)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


def _written() -> float:
    """What lies in this process's folder for temporary files: on a disk, it is no memory."""
    found = [Path(at, name) for at, _, names in os.walk(os.environ["TMPDIR"]) for name in names]
    return sum(path.lstat().st_size for path in found) / 1e6
