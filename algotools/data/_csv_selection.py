"""Few columns of a large CSV file: Arrow splits the rows, pandas parses the values.

If few columns of a wide file are requested, ``pandas.read_csv`` spends most of its time on the other columns, because
it must find where each value ends. In a large file Arrow splits the rows instead, faster and in a second thread.
pandas' parser then gets the texts of the requested columns, because no other library derives exactly the same types and
values.

The trap: Arrow and pandas disagree on unusual files, such as files with spaces before a quote, too many fields in a
row, or a quote that is never closed. The values must not depend on the size of the file. So this module recognises such
a file, discards the rows, and lets pandas read the whole file.
"""

from __future__ import annotations

import codecs
import contextlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from algotools.data._csv_format import Dialect, detect_compression

_SUPPORTED = frozenset(
    {"sep", "decimal", "thousands", "encoding", "quotechar", "na_values", "parse_dates", "date_format"}
)
"""Options of a file that Arrow interprets as pandas does, or that only matter to pandas' parser."""

_ENCODINGS = frozenset({"utf-8", "iso8859-1", "iso8859-15"})
"""Encodings in which Arrow can split rows by bytes: an ASCII byte is never a part of another character.

An invalid byte in a column that is not requested must not matter. In UTF-8 it does not, because pandas decodes the
requested columns only. The other two encodings have no invalid bytes. In cp1252 pandas would refuse the whole file.
"""

_BLOCK = 1 << 18
"""Bytes that Arrow reads at once. Arrow keeps 32 blocks in memory. A row must fit into a block."""

_PREFETCHED = 2
"""Number of blocks that the thread reads before pandas requests them."""

_FILLER = "\x1f"
"""First character of the names of invented columns, which the file does not have."""


class ColumnSelection(NamedTuple):
    """The requested columns of a file."""

    path: Path
    dialect: Dialect
    names: Sequence[object]
    """Names of all columns, as pandas reads them: unique, with a number appended to repeated names."""
    positions: Sequence[int]
    """Positions of the requested columns, in ascending order."""


class _Ambiguous(Exception):
    """Arrow and pandas might interpret the file differently, so pandas must read the whole file."""


def is_worthwhile(file: ColumnSelection) -> bool:
    """Whether at most half of the columns are requested and Arrow can split the rows of the file."""
    return (
        0 < 2 * len(file.positions) <= len(file.names)
        and file.dialect.differences <= _SUPPORTED
        and file.dialect.encoding in _ENCODINGS
        and detect_compression(file.path) is None
        and not any("\0" in str(name) or str(name).startswith(_FILLER) for name in file.names)
    )


def read_selection(file: ColumnSelection, options: dict[str, Any]) -> pd.DataFrame | None:
    """Return the frame that ``pandas.read_csv`` reads for these columns; None if pandas must read the file."""
    options = {name: option for name, option in options.items() if name != "encoding"}
    try:
        with contextlib.closing(_Rows(file)) as rows:
            frame: pd.DataFrame = pd.read_csv(cast("Any", rows), usecols=range(1, len(file.positions) + 1), **options)
            rows.check()
    except MemoryError:
        raise
    except Exception:  # if the file itself is wrong, pandas reports a better error
        return None
    return frame


class _Rows:
    """File-like object with the rows of the requested columns, generated when pandas' parser reads them.

    Each row begins and ends with an empty value. Otherwise pandas would skip a row as a blank line if its only value is
    empty, and would drop spaces at the start of a row. The text is in UTF-8. Invalid bytes are passed on, so that
    pandas reports them.
    """

    def __init__(self, file: ColumnSelection) -> None:
        import pyarrow.compute  # here: small files do not need Arrow
        import pyarrow.csv  # noqa: F401

        self._file = file
        self._sep = file.dialect.sep.encode()
        self._quote = file.dialect.quotechar.encode()
        self._columns = [f"f{position}" for position in file.positions]
        self._batches = self._read_batches()
        self._thread = ThreadPoolExecutor(1)
        self._prefetched: deque[Future[Any]] = deque()
        self._header_sent = False
        for _ in range(_PREFETCHED):
            self._prefetch()

    def __iter__(self) -> Iterator[bytes]:
        """Make the object a file for pandas, which requires this method. The parser calls ``read`` only."""
        raise NotImplementedError

    def read(self, _size: int = -1) -> bytes:
        """Return the next rows; empty at the end. The parser accepts any number of bytes."""
        if not self._header_sent:
            self._header_sent = True
            return self._make_header()
        batch = self._prefetched.popleft().result()
        self._prefetch()
        text = b"" if batch is None else self._format_rows(batch)
        encoding = self._file.dialect.encoding
        return text if encoding == "utf-8" else text.decode(encoding).encode()

    def check(self) -> None:
        """Check that pandas has read all rows; raise _Ambiguous otherwise."""
        if self._prefetched.popleft().result() is not None:
            raise _Ambiguous

    def close(self) -> None:
        """Stop reading."""
        self._thread.shutdown(cancel_futures=True)
        self._batches.close()

    def _prefetch(self) -> None:
        self._prefetched.append(self._thread.submit(next, self._batches, None))

    def _read_batches(self) -> Any:
        """Yield the requested columns as batches of bytes, without the header row."""
        import pyarrow as pa
        import pyarrow.csv

        # Arrow names the columns f0, f1, …. The first and the last column are always read, because their values show
        # some disagreements. The column after the last does not exist for pandas. If it has a type, Arrow has found
        # more columns. If a row has more fields than the first row, Arrow raises an error.
        last, beyond = f"f{len(self._file.names) - 1}", f"f{len(self._file.names)}"
        checked_columns = list(dict.fromkeys(["f0", *self._columns, last]))
        # Arrow gets a path instead of an open file. If reading stops early, Arrow's threads continue for a while, and
        # they would crash on a Python file that is closed. Memory comes from the system's allocator, because Arrow's
        # allocator would keep the freed memory for later, and the run does not need it again.
        with pyarrow.csv.open_csv(
            str(self._file.path),
            read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=True, block_size=_BLOCK, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._file.dialect.sep,
                quote_char=self._file.dialect.quotechar or False,
                newlines_in_values=True,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=[*checked_columns, beyond],
                include_missing_columns=True,
                column_types=dict.fromkeys(checked_columns, pa.binary()),
                strings_can_be_null=False,
            ),
            memory_pool=pa.system_memory_pool(),
        ) as batches:
            if batches.schema.field(beyond).type != pa.null():
                raise _Ambiguous
            last_value, has_gaps, is_first = b"", False, True
            for batch in batches:
                has_gaps |= _check_row_starts(batch.column("f0"))
                if is_first:
                    self._check_names(batch)
                yield batch.slice(1) if is_first else batch
                is_first = False
                last_value = batch.column(last)[-1].as_py() if len(batch) else last_value
        # Two disagreements are visible at the end only: a quote that is never closed, and rows that begin with an empty
        # value after a carriage return.
        path = self._file.path
        if self._quote and _may_end_in_quotes(path, last_value, self._sep):
            raise _Ambiguous
        if has_gaps and _has_separator_after_return(path, self._sep):
            raise _Ambiguous

    def _check_names(self, batch: Any) -> None:
        """Check that the first row contains the names that pandas has read; raise _Ambiguous otherwise."""
        for position, column in zip(self._file.positions, self._columns, strict=True):
            name = codecs.decode(batch.column(column)[0].as_py(), self._file.dialect.encoding)
            if not str(self._file.names[position]).startswith(name):  # pandas appends a number to a repeated name
                raise _Ambiguous

    def _make_header(self) -> bytes:
        """Return a header with as many columns as the file has.

        pandas parses a file in chunks and derives a type per chunk. The number of rows in a chunk depends on the number
        of columns. With fewer columns, a column of mixed types would change its type at another row than in the file.
        """
        quote = self._file.dialect.quotechar
        names = [_FILLER, *(str(self._file.names[position]) for position in self._file.positions)]
        names += [f"{_FILLER}{position}" for position in range(len(names), max(len(names) + 1, len(self._file.names)))]
        cells = (quote + (name.replace(quote, 2 * quote) if quote else name) + quote for name in names)
        return (self._file.dialect.sep.join(cells) + "\n").encode()

    def _format_rows(self, batch: Any) -> bytes:
        values = [self._quote_values(batch.column(name)) for name in self._columns]
        rows = _join(b"", *values, b"\n", self._sep)
        _, ends, data = rows.buffers()
        if data is None:
            return b""
        start, *_, end = np.frombuffer(ends, np.int32)[[rows.offset, rows.offset + len(rows)]].tolist()
        return cast("bytes", data.slice(start, end - start).to_pybytes())

    def _quote_values(self, values: Any) -> Any:
        """Return the values of a column. If a value needs quotes, all values get quotes."""
        import pyarrow.compute

        if not self._quote or not _contains_any(values, self._quote, self._sep, b"\n", b"\r"):
            return values
        return _join(
            self._quote, pyarrow.compute.replace_substring(values, self._quote, 2 * self._quote), self._quote, b""
        )


def _join(*values: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute

    return pyarrow.compute.binary_join_element_wise(*values, memory_pool=pa.system_memory_pool())


def _contains_any(values: Any, *marks: bytes) -> bool:
    """Whether a value of the column contains one of the marks."""
    data = values.buffers()[2]
    return data is not None and any(mark in data.to_pybytes() for mark in marks)


def _check_row_starts(first: Any) -> bool:
    """Return whether the first value of a row is empty.

    Raises:
        _Ambiguous: a row begins with a space or a tab. pandas ignores them before a quote, Arrow does not.
    """
    _, buffer, data = first.buffers()
    ends = np.frombuffer(buffer, np.int32)[first.offset : first.offset + len(first) + 1]
    if _contains_any(first, b" ", b"\t"):
        starts = np.frombuffer(data, np.uint8)[np.minimum(ends[:-1], data.size - 1)]
        if ((starts == ord(" ")) | (starts == ord("\t"))).any():
            raise _Ambiguous
    return bool((ends[1:] == ends[:-1]).any())


def _may_end_in_quotes(path: Path, last_value: bytes, sep: bytes) -> bool:
    """Whether the file might end within quotes, which is an error for pandas only.

    A newline at the end of the file belongs to the last value only if its quote is open. Without a newline, the last
    value has no quote if the file ends with the separator and the value.
    """
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(-min(file.tell(), len(last_value) + 1), os.SEEK_END)
        tail = file.read()
    if tail.endswith((b"\n", b"\r")):
        return last_value.endswith((b"\n", b"\r"))
    return tail != sep + last_value


def _has_separator_after_return(path: Path, sep: bytes) -> bool:
    """Whether a separator follows a carriage return. pandas drops this separator if the line before is empty."""
    with path.open("rb") as file:
        previous = b""
        while block := file.read(_BLOCK):
            if sep in block[:1] and previous == b"\r":
                return True
            if b"\r" in block and b"\r" + sep in block:
                return True
            previous = block[-1:]
    return False
