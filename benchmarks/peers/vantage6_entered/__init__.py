"""The peer's counterpart of ``algorithms/entered``: its wrapper calls any function of the module."""

import time
from pathlib import Path


def entered(file: str) -> None:
    """Write the moment to a file; CLOCK_MONOTONIC is the same in every process of the machine."""
    moment = time.monotonic_ns()
    Path(file).write_text(str(moment), encoding="ascii")
