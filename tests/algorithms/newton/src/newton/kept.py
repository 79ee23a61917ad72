"""What a node keeps between the rounds of a fit."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from algotools import RunInfo, UserError

FitName = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
"""Chosen by the master for one fit, so that no two share a file; it cannot name a file elsewhere."""


class NoFolder(UserError):
    text = "this node lends no temporary folder, which rounds need to keep their rows in"


class NothingKept(UserError):
    text = "this node has kept no rows for this fit: it has not been prepared here, or is over"


def keep(info: RunInfo, fit: str, rows: np.ndarray) -> None:
    """Write rows: readable for the node's own user alone, and whole or not at all."""
    path = _path(info, fit)
    draft = path.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        np.save(file, rows, allow_pickle=False)
    draft.replace(path)


def kept(info: RunInfo, fit: str) -> np.ndarray:
    """The rows that were kept."""
    try:
        return np.load(_path(info, fit), allow_pickle=False)
    except FileNotFoundError:
        raise NothingKept from None


def remove(info: RunInfo, fit: str) -> bool:
    """Remove what was kept; whether there was anything."""
    path = _path(info, fit)
    there = path.exists()
    for file in (path, path.with_suffix(".draft")):
        file.unlink(missing_ok=True)
    return there


def _path(info: RunInfo, fit: str) -> Path:
    if info.temporary_folder is None:
        raise NoFolder
    return info.temporary_folder / f"newton-{fit}.npy"
