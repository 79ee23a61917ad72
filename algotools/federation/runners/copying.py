"""Whether this process can be copied: libraries whose threads do not survive that would hang the copy."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_POLARS = re.compile(r"polars-\d+")
"""What Polars calls the threads that it works with; it starts them when it first works, not when it is imported."""


def cannot_survive_a_copy() -> str | None:
    """The library with threads in this process that a copy of it would wait for without end; None if there is none."""
    if "polars" not in sys.modules:
        return None
    try:
        names = [path.read_text(encoding="utf-8").strip() for path in Path("/proc/self/task").glob("*/comm")]
    except OSError:  # a thread that has just ended
        return "polars"
    return "polars" if not names or any(map(_POLARS.fullmatch, names)) else None
