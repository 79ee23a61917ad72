"""A function that stores the time of its call, which is the end of the overhead of the wrapper."""

import time
from pathlib import Path

from algotools import rpc


@rpc
def entered(file: str) -> None:
    """Write the current time to a file. All processes of a machine have the same CLOCK_MONOTONIC."""
    moment = time.monotonic_ns()
    Path(file).write_text(str(moment), encoding="ascii")
