"""Find rows of a CSV file that have more fields than its header.

Such a row often has an unquoted separator in a text: ``7,Doe, Jane,51``. Its later values are in the wrong columns.
pandas refuses the file if all columns are requested. If only some columns are requested, pandas and Polars read the
wrong values without a message. So the separators of all rows are counted, whichever columns are requested.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from algotools.data._csv_format import ASCII_BASED, Dialect, open_decompressed

TOO_LONG = (
    "a row has more fields than the header, so its values may be in the wrong columns; correct the row, for example by "
    "quoting a text that contains the separator"
)
"""The reason for which such a file is refused."""

_BLOCK = 1 << 17
"""Bytes that are inspected at once; they fit into the processor's cache."""


def has_long_rows(path: Path, dialect: Dialect, width: int) -> bool | None:
    """Return whether a row has more than ``width`` fields; None if only pandas splits the rows of this file rightly."""
    if dialect.encoding not in ASCII_BASED or dialect.escapechar or dialect.comment:
        return None
    with open_decompressed(path) or path.open("rb", buffering=0) as stream:
        return _count_fields(stream, dialect, width)


def _count_fields(stream: IO[bytes], dialect: Dialect, width: int) -> bool | None:
    import numpy as np

    separator, quote = ord(dialect.sep), ord(dialect.quotechar) if dialect.quotechar else None
    count = 0  # separators in the row that the block before has begun
    is_open = False  # whether the block before ends within quotes
    skipped_rows = dialect.skiprows
    is_long = False
    while block := stream.read(_BLOCK):
        if b"\r" in block and b"\r" in block.replace(b"\r\n", b"").removesuffix(b"\r"):
            return None  # a carriage return may end a row
        data = np.frombuffer(block, np.uint8)
        separators = data == separator
        newlines = np.flatnonzero(data == ord("\n"))
        if quote is not None and (is_open or dialect.quotechar.encode() in block):
            inside = np.bitwise_xor.accumulate(data == quote) ^ is_open
            is_open = bool(inside[-1])
            separators &= ~inside
            newlines = newlines[~inside[newlines]]
        if not len(newlines):
            count += int(np.count_nonzero(separators))
            continue
        counts = _count_by_row(separators, newlines)
        counts[0] += count
        count = int(counts[-1])
        finished = counts[:-1]
        is_long = is_long or bool((finished[skipped_rows:] >= width).any())
        skipped_rows = max(0, skipped_rows - len(finished))
    return is_long or (not skipped_rows and count >= width)


def _count_by_row(separators: Any, newlines: Any) -> Any:
    """Return the number of separators before the first newline, between each two newlines, and after the last one."""
    import numpy as np

    places = np.flatnonzero(separators)
    return np.diff(places.searchsorted(newlines), prepend=0, append=len(places))
