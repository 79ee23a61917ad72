"""The DataFrames of a federation: in the memory of this process, and in files for runs that cannot see that memory.

Each frame has a path, like a database that is a file, but writing the file may take longer than the run itself. So the
frame is registered under the path in ``algotools.data.FRAMES_IN_MEMORY``. Inline runs are in this process, and runs of
the process runner are forks of it if possible: both see the registered frame, and ``algotools.data.frame`` reads it.
For all other runs (containers, other interpreters) the node calls ``ensure_file``, which writes the file.
Nothing here imports pandas before the first frame.
"""

from __future__ import annotations

import functools
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from algotools.data import FRAMES_IN_MEMORY, FrameInMemory
from algotools.payload import encode_rich

if TYPE_CHECKING:
    import pandas as pd

_writing = threading.Lock()


def add_frame(frame: pd.DataFrame, path: Path) -> None:
    """Register a frame as the content of the database at a path.

    pandas 3 copies on write, so a shallow copy is enough: changes by the caller or by a function do not reach it. With
    an older pandas such changes would reach every later run, so the frame is written to the file at once.
    """
    import pandas as pd

    if int(pd.__version__.partition(".")[0]) >= 3:
        FRAMES_IN_MEMORY[path] = FrameInMemory(frame.copy(deep=False), functools.partial(ensure_file, path))
    else:
        write_frame(frame, path)


def ensure_file(path: Path) -> None:
    """Write the file of a registered frame unless it exists, for readers that cannot see the memory."""
    with _writing:
        if path in FRAMES_IN_MEMORY and not path.exists():
            write_frame(FRAMES_IN_MEMORY[path].frame, path)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write the file that ``algotools.data.frame`` reads. A reader never sees an incomplete file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    incomplete = path.with_name(f".{path.name}-{os.getpid()}")
    columns = [encode_rich(_select_column(frame, position)) for position in range(frame.shape[1])]
    incomplete.write_bytes(msgspec.msgpack.encode([encode_rich(frame.columns), encode_rich(frame.index), columns]))
    incomplete.replace(path)


def _select_column(frame: pd.DataFrame, position: int) -> object:
    """Return a column without its label and index."""
    import pandas as pd

    array = frame.iloc[:, position].array
    return pd.Series(array, dtype=array.dtype, copy=False)


def has_frames(folder: Path) -> bool:
    """Whether a registered frame has a path in a folder."""
    return any(folder in path.parents for path in list(FRAMES_IN_MEMORY))


def remove_frames(folder: Path) -> None:
    """Release the registered frames with a path in a folder."""
    for path in list(FRAMES_IN_MEMORY):
        if folder in path.parents:
            FRAMES_IN_MEMORY.pop(path, None)
