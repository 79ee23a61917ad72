"""The rows that a node stores between the rounds of a fit."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from algotools import RunInfo, UserError

FitName = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
"""A random name for one fit, so that fits do not share a file. The pattern excludes paths to other folders."""


class NoStoredRows(UserError):
    text = "this node has no rows for this fit: it was not prepared, or has finished"


def store_rows(info: RunInfo, fit: str, rows: np.ndarray) -> None:
    """Write all rows atomically into a file that only the node's user can read."""
    path = _path(info, fit)
    draft = path.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        np.save(file, rows, allow_pickle=False)
    draft.replace(path)


def load_rows(info: RunInfo, fit: str) -> np.ndarray:
    """Return the stored rows."""
    try:
        return np.load(_path(info, fit), allow_pickle=False)
    except FileNotFoundError:
        raise NoStoredRows from None


def remove_rows(info: RunInfo, fit: str) -> bool:
    """Remove the stored rows; return whether they existed."""
    path = _path(info, fit)
    existed = path.exists()
    for file in (path, path.with_suffix(".draft")):
        file.unlink(missing_ok=True)
    return existed


def _path(info: RunInfo, fit: str) -> Path:
    return info.temporary_folder / f"newton-{fit}.npy"
