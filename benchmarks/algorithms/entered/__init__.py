"""A function that tells when it was entered: all that comes before is the wrapper's own."""

import time
from pathlib import Path

from algotools import rpc


@rpc
def entered(file: str) -> None:
    """Write the moment to a file; CLOCK_MONOTONIC is the same in every process of the machine."""
    moment = time.monotonic_ns()
    Path(file).write_text(str(moment), encoding="ascii")
