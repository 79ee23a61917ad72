"""A DataFrame that somebody gave the local federation: held in memory, and in a file where a run cannot see that.

The file has the labels, the index and each column by itself in our own rich encoding, dtypes included; so of a wide
frame only the columns that are asked for are read.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
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
    columns = [encode_rich(_alone(frame, position)) for position in range(frame.shape[1])]
    part.write_bytes(msgspec.msgpack.encode([encode_rich(frame.columns), encode_rich(frame.index), columns]))
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
            with path.open("rb") as file:
                return _read(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), columns)
        except ProxyError as error:  # which speaks of another node's answer
            raise ValueError(f"{error} {error.detail}") from None


def _read(data: mmap.mmap, asked: Collection[str] | None) -> Loaded:
    """The frame, or the asked columns of it; the others are never touched."""
    packed = msgspec.msgpack.decode(data, type=tuple[memoryview, memoryview, list[memoryview]])
    labels: Any = decode_rich(bytes(packed[0]))
    index: Any = decode_rich(bytes(packed[1]))
    wanted = [position for position, name in enumerate(labels) if asked is None or name in asked]
    arrays: dict[int, Any] = {position: _array(packed[2][position]) for position in wanted}
    # A dtype that is named is kept; without it pandas looks into columns of objects for a better one.
    columns = {position: pd.Series(array, index, array.dtype, copy=False) for position, array in arrays.items()}
    frame = pd.DataFrame(columns, index=index, copy=False)
    frame.columns = labels[wanted]
    return Loaded(frame, list(labels))


def _array(packed: memoryview) -> Any:
    column: Any = decode_rich(bytes(packed))
    return column.array


def _alone(frame: pd.DataFrame, position: int) -> object:
    """A column without its label and index."""
    array = frame.iloc[:, position].array
    return pd.Series(array, dtype=array.dtype, copy=False)


def _copies_on_write() -> bool:
    return int(pd.__version__.partition(".")[0]) >= 3
