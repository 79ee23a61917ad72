"""The counterpart of ``algorithms/entered`` for vantage6, whose wrapper calls any function of a module."""

import time
from pathlib import Path


def entered(file: str) -> None:
    """Write the current time to a file. All processes of a machine have the same CLOCK_MONOTONIC."""
    moment = time.monotonic_ns()
    Path(file).write_text(str(moment), encoding="ascii")
