"""CSV files of which pandas' parser gets only the asked columns.

Most of the time that ``pandas.read_csv`` takes for a few columns of many goes into finding where the other columns
end. Arrow finds that out faster, in a thread of its own; pandas' parser then makes values of the asked columns' texts,
as nobody else makes the same. What the two might not understand alike is left to pandas alone.
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
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from algotools.data.compressed import kind_of
from algotools.data.options import Dialect

_FIELDS = frozenset({"sep", "decimal", "thousands", "encoding", "quotechar", "na_values", "parse_dates", "date_format"})
"""What a file may differ in from a plain one: what else there is, Arrow does not know, or not as pandas does."""

_ENCODINGS = frozenset({"utf-8", "iso8859-1", "iso8859-15"})
"""Encodings in which what separates values are the bytes that ASCII has for it, and no part of another character.

And in which no byte is wrong, or pandas would look only at those of the asked columns.
"""

_BLOCK = 1 << 18
"""Bytes that Arrow looks at at once, and holds 32 times; a row must fit."""

_AHEAD = 2
"""Blocks that are ready before pandas wants them."""

_FILLER = "\x1f"
"""What columns are called that are not there."""


class Narrow(NamedTuple):
    """Some columns of a file."""

    path: Path
    dialect: Dialect
    names: Sequence[object]
    """What pandas calls the columns of the file."""
    asked: Sequence[int]
    """Which of them to read: their positions, in rising order."""


class _Unlike(Exception):
    """pandas might understand the file otherwise."""


def fits(file: Narrow) -> bool:
    """Whether it is worth trying, and nothing is known yet that speaks against it."""
    return (
        0 < 2 * len(file.asked) <= len(file.names)
        and file.dialect.told <= _FIELDS
        and file.dialect.encoding in _ENCODINGS
        and kind_of(file.path) is None
        and not any("\0" in str(name) or str(name).startswith(_FILLER) for name in file.names)
    )


def read(file: Narrow, words: dict[str, Any]) -> pd.DataFrame | None:
    """What ``pandas.read_csv`` gives for these columns; None if it must be asked itself.

    ``words`` are what pandas is told of a file.
    """
    words = {word: told for word, told in words.items() if word != "encoding"}
    try:
        with contextlib.closing(_Rows(file)) as rows:
            frame: pd.DataFrame = pd.read_csv(cast("Any", rows), usecols=range(1, len(file.asked) + 1), **words)
            rows.check()
    except MemoryError:
        raise
    except Exception:  # pandas itself says better what is wrong with the file, if anything is
        return None
    return frame


class _Rows:
    """A file, as far as pandas' parser is concerned: rows of the asked columns, made when it wants them.

    Each row begins and ends with an empty value, so that none is blank, and spaces before a value are not those before
    a row, which pandas leaves out. They are in UTF-8, unless a byte is wrong: then pandas will find it.
    """

    def __init__(self, file: Narrow) -> None:
        self._file = file
        self._sep = file.dialect.sep.encode()
        self._quote = file.dialect.quotechar.encode()
        self._asked = [f"f{position}" for position in file.asked]
        self._batches = self._read()
        self._thread = ThreadPoolExecutor(1)
        self._ahead: deque[Future[Any]] = deque()
        self._begun = False
        for _ in range(_AHEAD):
            self._ask()

    def __iter__(self) -> Iterator[bytes]:
        """What pandas tells a file by; its parser reads."""
        raise NotImplementedError

    def read(self, _size: int = -1) -> bytes:
        """The next rows, or nothing at the end; how many at a time does not matter to the parser."""
        if not self._begun:
            self._begun = True
            return self._header()
        batch = self._ahead.popleft().result()
        self._ask()
        text = b"" if batch is None else self._text(batch)
        encoding = self._file.dialect.encoding
        return text if encoding == "utf-8" else text.decode(encoding).encode()

    def check(self) -> None:
        """Make sure that all of it was read."""
        if self._ahead.popleft().result() is not None:
            raise _Unlike

    def close(self) -> None:
        """Stop reading."""
        self._thread.shutdown(cancel_futures=True)
        self._batches.close()

    def _ask(self) -> None:
        self._ahead.append(self._thread.submit(next, self._batches, None))

    def _read(self) -> Any:
        """The asked columns, block by block, as bytes, without the first row."""
        last, beyond = f"f{len(self._file.names) - 1}", f"f{len(self._file.names)}"
        included = list(dict.fromkeys(["f0", *self._asked, last]))
        # A path: Arrow's threads may still read when all is over, which Python's own files do not survive.
        # The system's memory: what Arrow's own allocator keeps for later, nobody will need.
        with pyarrow.csv.open_csv(
            str(self._file.path),
            read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=True, block_size=_BLOCK, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._file.dialect.sep,
                quote_char=self._file.dialect.quotechar or False,
                newlines_in_values=True,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=[*included, beyond],
                include_missing_columns=True,
                column_types=dict.fromkeys(included, pa.binary()),
                strings_can_be_null=False,
            ),
            memory_pool=pa.system_memory_pool(),
        ) as batches:
            if batches.schema.field(beyond).type != pa.null():
                raise _Unlike
            end, gaps, first = b"", False, True
            for batch in batches:
                gaps |= _examine(batch.column("f0"))
                if first:
                    self._compare(batch)
                yield batch.slice(1) if first else batch
                first = False
                end = batch.column(last)[-1].as_py() if len(batch) else end
        if (self._quote and _ends_open(self._file.path, end, self._sep)) or (
            gaps and _returns(self._file.path, self._sep)
        ):
            raise _Unlike

    def _compare(self, batch: Any) -> None:
        """See to it that the first row names the columns as pandas has read it."""
        for position, column in zip(self._file.asked, self._asked, strict=True):
            told = codecs.decode(batch.column(column)[0].as_py(), self._file.dialect.encoding)
            if not str(self._file.names[position]).startswith(told):  # some it calls otherwise, as there may be two
                raise _Unlike

    def _header(self) -> bytes:
        """A first row of as many columns as the file has.

        By their number pandas chooses how many rows it looks at before it chooses a type for them.
        """
        quote = self._file.dialect.quotechar
        names = [_FILLER, *(str(self._file.names[position]) for position in self._file.asked)]
        names += [f"{_FILLER}{position}" for position in range(len(names), max(len(names) + 1, len(self._file.names)))]
        told = (quote + (name.replace(quote, 2 * quote) if quote else name) + quote for name in names)
        return (self._file.dialect.sep.join(told) + "\n").encode()

    def _text(self, batch: Any) -> bytes:
        values = [self._quoted(batch.column(name)) for name in self._asked]
        rows = _join(b"", *values, b"\n", self._sep)
        _, ends, data = rows.buffers()
        if data is None:
            return b""
        start, *_, end = np.frombuffer(ends, np.int32)[[rows.offset, rows.offset + len(rows)]].tolist()
        return cast("bytes", data.slice(start, end - start).to_pybytes())

    def _quoted(self, values: Any) -> Any:
        """The values of a column; in quotes if one of them needs to be."""
        if not self._quote or not _holds(values, self._quote, self._sep, b"\n", b"\r"):
            return values
        return _join(
            self._quote, pyarrow.compute.replace_substring(values, self._quote, 2 * self._quote), self._quote, b""
        )


def _join(*values: Any) -> Any:
    return pyarrow.compute.binary_join_element_wise(*values, memory_pool=pa.system_memory_pool())


def _holds(values: Any, *marks: bytes) -> bool:
    """Whether one of these is anywhere in a column."""
    data = values.buffers()[2]
    return data is not None and any(mark in data.to_pybytes() for mark in marks)


def _examine(first: Any) -> bool:
    """Look at the first value of each row: whether one of them is empty.

    Raises:
        _Unlike: one begins with a space or tab: those before a row's first quote pandas leaves out, and Arrow does not.
    """
    _, buffer, data = first.buffers()
    ends = np.frombuffer(buffer, np.int32)[first.offset : first.offset + len(first) + 1]
    if _holds(first, b" ", b"\t"):
        begin = np.frombuffer(data, np.uint8)[np.minimum(ends[:-1], data.size - 1)]
        if ((begin == ord(" ")) | (begin == ord("\t"))).any():
            raise _Unlike
    return bool((ends[1:] == ends[:-1]).any())


def _ends_open(path: Path, end: bytes, sep: bytes) -> bool:
    """Whether the file might end within quotes, and so within its last value, which only pandas minds."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(-min(file.tell(), len(end) + 1), os.SEEK_END)
        tail = file.read()
    if tail.endswith((b"\n", b"\r")):
        return end.endswith((b"\n", b"\r"))
    return tail != sep + end


def _returns(path: Path, sep: bytes) -> bool:
    """Whether a separator comes after a carriage return: pandas leaves it out where the line before is empty."""
    with path.open("rb") as file:
        before = b""
        while block := file.read(_BLOCK):
            if sep in block[:1] and before == b"\r":
                return True
            if b"\r" in block and b"\r" + sep in block:
                return True
            before = block[-1:]
    return False
