"""Time the tasks of each contestant of ``federation.py``. Only the standard library is imported, because imports count.

The first argument is a JSON file with the parameters of the measurement, the second a JSON file for the results.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARAMETERS: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
RESULTS: dict[str, Any] = {}
LONG = 60_000
"""Milliseconds. A longer task runs only once."""


def measure_task(task: Callable[[], float]) -> None:
    """Run a task twice, or once if ``once`` is set, and write its result and times to the file of results."""
    started = time.monotonic_ns()
    RESULTS["answer"] = task()
    RESULTS["answered_ns"] = time.monotonic_ns()
    RESULTS["task_ms"] = (RESULTS["answered_ns"] - started) / 1e6
    if RESULTS["task_ms"] < LONG and not PARAMETERS.get("once"):
        restarted = time.monotonic_ns()
        if task() != RESULTS["answer"]:
            raise SystemExit("the second result differs from the first")
        RESULTS["again_ms"] = (time.monotonic_ns() - restarted) / 1e6
    RESULTS["main_mb"] = _read_peak_memory()
    if "frames" in PARAMETERS:
        RESULTS["written_mb"] = _measure_temporary_files()
    Path(sys.argv[2]).write_text(json.dumps(RESULTS), encoding="utf-8")


def make_frames() -> list[Any]:
    """Create the requested frames of random numbers, and store the time before the first frame is created."""
    import numpy as np
    import pandas as pd

    nodes, rows, columns = PARAMETERS["frames"]
    time.sleep(PARAMETERS["settle"])
    RESULTS["empty_ns"] = time.monotonic_ns()
    numbers = np.random.default_rng(0)
    names = [f"column_{position}" for position in range(columns)]
    frames = [pd.DataFrame(numbers.normal(size=(rows, columns)), columns=names) for _ in range(nodes)]
    RESULTS["data_mb"] = sum(int(frame.memory_usage(index=False).sum()) for frame in frames) / 1e6
    return frames


def _read_peak_memory() -> float | None:
    """Return the peak memory of this process in MB, including memory that it shares (VmHWM)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


def _measure_temporary_files() -> float:
    """Return the size of the files in the temporary folder of this process, in MB."""
    paths = [Path(folder, name) for folder, _, names in os.walk(os.environ["TMPDIR"]) for name in names]
    return sum(path.lstat().st_size for path in paths) / 1e6
