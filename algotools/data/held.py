"""The frames that this process holds for the local federation, and copies of it have with it.

By itself, because who holds none need not load pandas to know.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

HELD: dict[Path, pd.DataFrame] = {}
"""Path of the file in which a frame would be -> the frame."""


def holds(folder: Path) -> bool:
    """Whether there is a frame whose file would be in a folder."""
    return any(folder in path.parents for path in list(HELD))


def release(folder: Path) -> None:
    """Hold nothing any longer whose file would be in a folder."""
    for path in list(HELD):
        if folder in path.parents:
            HELD.pop(path, None)
