"""DataFrames of the local federation, in memory or in a file.

A run in another process cannot see the federation's memory, so ``federation._frames`` writes a file for it. The file
contains the labels, the index and each column separately, in the rich encoding, which preserves dtypes. Only the
requested columns of a wide frame are read.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import msgspec
import pandas as pd

from algotools.data import FRAMES_IN_MEMORY
from algotools.data.names import format_labels, select_columns
from algotools.data.reading import Loaded, name_errors
from algotools.errors import ProxyError
from algotools.payload import decode_rich
from algotools.task import Database


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """Return the requested columns of the frame; see ``Source.read``."""
    path = Path(database.uri)
    if (in_memory := FRAMES_IN_MEMORY.get(path)) is not None:
        return select_columns(in_memory.frame.copy(deep=False), columns)
    with name_errors(database, "frame"):
        try:
            with path.open("rb") as file:
                return _decode(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), columns)
        except ProxyError as error:  # its message is about the result of another node
            raise ValueError(f"{error} {error.detail}") from None


def _decode(data: mmap.mmap, columns: Collection[str] | None) -> Loaded:
    """Return the requested columns of the frame. The memory pages of other columns are never read."""
    packed = msgspec.msgpack.decode(data, type=tuple[memoryview, memoryview, list[memoryview]])
    labels: Any = format_labels(cast("pd.Index", decode_rich(bytes(packed[0]))))
    index: Any = decode_rich(bytes(packed[1]))
    positions = [position for position, name in enumerate(labels) if columns is None or name in columns]
    arrays = {position: _decode_array(packed[2][position]) for position in positions}
    # Without an explicit dtype, pandas would infer another dtype for a column of objects.
    series = {position: pd.Series(array, index, array.dtype, copy=False) for position, array in arrays.items()}
    frame = pd.DataFrame(series, index=index, copy=False)
    frame.columns = labels[positions]
    return Loaded(frame, list(labels))


def _decode_array(packed: memoryview) -> Any:
    column: Any = decode_rich(bytes(packed))
    return column.array
