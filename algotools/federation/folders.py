"""Where a federation has its files: on disk what it keeps, in memory (where the system offers that) those of runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from algotools.federation import owner

MEMORY = Path("/dev/shm")  # noqa: S108 - folders of our own are made in it
PLENTY = 1 << 30
"""Bytes that must be free there: the answers of runs are among their files until the server has them."""

NAME = "algotools-"


class Folders(NamedTuple):
    """Both are one, where there is no room in memory."""

    kept: Path
    runs: Path
    """A thousand runs make some thousand files, which a disk takes longer for than all that is done with them."""

    @classmethod
    def make(cls, *, in_memory: bool) -> Folders:
        """New ones; those are removed whose process has been killed."""
        kept = _new(Path(tempfile.gettempdir()))
        chosen = os.environ.get("TMPDIR")  # who names a place for such files means it
        if in_memory and not chosen and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= PLENTY:
            return cls(kept, _new(MEMORY))
        return cls(kept, kept)

    def remove(self) -> None:
        """Both of them, and what is in them."""
        for folder in self:
            shutil.rmtree(folder, ignore_errors=True)


def _new(place: Path) -> Path:
    for left in place.glob(f"{NAME}*"):
        if owner.is_gone_by_name(left.name.removeprefix(NAME).rpartition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{NAME}{owner.in_a_name()}-", dir=place))
