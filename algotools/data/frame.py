"""A DataFrame that somebody gave the local federation: held in memory, and in a file where a run cannot see that.

The file is in our own rich encoding, dtypes included.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from algotools.data import Loaded
from algotools.data.held import HELD
from algotools.data.reading import loaded, reading
from algotools.errors import ProxyError
from algotools.payload import decode_rich, encode_rich
from algotools.task import Database

_writing = threading.Lock()


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write what ``read`` reads; nobody sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}-{os.getpid()}")
    part.write_bytes(encode_rich(frame))
    part.replace(path)


def hold(frame: pd.DataFrame, path: Path) -> None:
    """Make a frame what ``read`` reads at a path.

    Nothing is copied where pandas copies on write (from 3 on): what anybody changes is theirs alone. Else it is
    written to the file at once.
    """
    if _copies_on_write():
        HELD[path] = frame.copy(deep=False)
    else:
        write(frame, path)


def place(path: Path) -> None:
    """See to it that the file is there, for who cannot see the frame that is held."""
    with _writing:
        if path in HELD and not path.exists():
            write(HELD[path], path)


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """The frame, or the asked columns of it: see ``Source.read``."""
    path = Path(database.uri)
    if (held := HELD.get(path)) is not None:
        return loaded(held.copy(deep=False), columns)
    with reading(database, "frame"):
        try:
            frame = decode_rich(path.read_bytes())
        except ProxyError as error:  # which speaks of another node's answer
            raise ValueError(f"{error} {error.detail}") from None
        if not isinstance(frame, pd.DataFrame):
            raise TypeError("the file holds something else than a DataFrame")
    return loaded(frame, columns)


def _copies_on_write() -> bool:
    return int(pd.__version__.partition(".")[0]) >= 3
