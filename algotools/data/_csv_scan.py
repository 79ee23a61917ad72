"""One pass over the bytes of a whole CSV file, which decides who may read the file.

Each library reads its own dialect of CSV. On most files all agree. The exceptions are rare and can be anywhere in a
file: a quote within a value, an empty line, a line that ends with a carriage return only, a byte that is not in the
encoding. If only the first rows were inspected, a library would misread a later row without a message. So all bytes are
inspected.

A row with more fields than the header is such an exception, too. It often has an unquoted separator in a text: ``7,Doe,
Jane,51``. Its later values are in the wrong columns. pandas refuses the file if all columns are requested. If only some
columns are requested, pandas and Polars read the wrong values without a message. So the separators of all rows are
counted, whichever columns are requested.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, NamedTuple, TypeVar

from algotools.data._csv_format import ASCII_BASED, Dialect, open_decompressed
from algotools.data.reading import Unreadable

if TYPE_CHECKING:
    from algotools.data._csv_bits import Marks

_Item = TypeVar("_Item")

TOO_LONG = (
    "a row has more fields than the header, so its values may be in the wrong columns; correct the row, for example by "
    "quoting a text that contains the separator"
)
"""The reason for which a file with such a row is refused."""

_FIRST_BLOCK = 1 << 19
"""Bytes that are inspected first if NumPy is imported. A smaller file is inspected without NumPy."""

_BLOCK = 1 << 21
"""Bytes that are inspected at once after the first block. In smaller blocks, the calls of NumPy cost more time.

The import of NumPy takes longer than the inspection of this number of bytes without NumPy.
"""

_START = 64
"""Place of a block in its buffer. The last bytes of the block before are in front of it."""

_KEPT = 2
"""Bytes of a block that are inspected again with the next: ``0x`` is judged by the byte before it."""

_PREFETCHED = 2
"""Number of blocks that a thread reads while the block before is inspected."""

_END_OF_FILE = b"\x1a"
"""What DOS, and programs that imitate it, write at the end of a text."""

_TOTAL_ENCODINGS = frozenset({"iso8859-1", "iso8859-15"})
"""Encodings in which every byte is a character."""


class Traits(NamedTuple):
    """Properties of a file on which the libraries disagree."""

    has_quotes: bool = False
    has_irregular_quotes: bool = False
    """A quote is not at the start or the end of a value, or is not closed."""
    has_quoted_newlines: bool = False
    has_blank_lines: bool = False
    """A line is empty, or has only spaces and tabs."""
    has_lone_returns: bool = False
    """A carriage return is not followed by a newline."""
    has_mixed_line_ends: bool = False
    """Some lines end with a newline, and some with a carriage return and a newline."""
    has_nulls: bool = False
    has_hexadecimals: bool = False
    """A text begins with ``0x``, which Arrow reads as a number."""
    has_long_rows: bool | None = False
    """A row has more fields than the width. None if only pandas splits the rows of this file rightly."""

    @property
    def is_regular(self) -> bool:
        """Whether all libraries split the file into the same rows and values."""
        return not (self.has_irregular_quotes or self.has_lone_returns or self.has_nulls)


def check_text(path: Path, dialect: Dialect) -> None:
    """Check that all bytes of a file, decompressed, are text, if its encoding contains ASCII.

    Raises:
        Unreadable: a byte is not in the file's encoding, or the file ends with DOS's end-of-file mark.
    """
    if dialect.encoding in ASCII_BASED:
        with open_decompressed(path) or path.open("rb", buffering=0) as stream:
            blocks = _Blocks(stream, dialect)
            while blocks.read():
                pass
            blocks.finish()


def scan(path: Path, dialect: Dialect, *, width: int | None = None, hexadecimals: bool = True) -> Traits:
    """Inspect all bytes of a file, decompressed, in an encoding that contains ASCII.

    ``width`` is the number of columns. Without it, blank lines and long rows are not found, and without
    ``hexadecimals``, these are not. Then the inspection takes less time.

    Raises:
        Unreadable: see ``check_text``.
    """
    with open_decompressed(path) or path.open("rb", buffering=0) as stream:
        blocks = _Blocks(stream, dialect, finds_hexadecimals=hexadecimals)
        blocks.read()
        if blocks.is_whole:
            traits = _inspect_small(blocks.content, dialect, width)
        else:
            traits = _inspect_large(path, blocks, dialect, width)
        blocks.finish()
    if width is not None and (dialect.escapechar or dialect.comment or not traits.is_regular):
        traits = traits._replace(has_long_rows=None)
    return traits._replace(has_nulls=blocks.has_nulls, has_hexadecimals=blocks.has_hexadecimals)


def _inspect_small(content: bytes, dialect: Dialect, width: int | None) -> Traits:
    """Inspect a file that has one block, without NumPy."""
    pairs = content.count(b"\r\n")
    separator, quote = dialect.sep.encode(), dialect.quotechar.encode()
    parts = content.split(quote) if quote else [content]  # in turn, outside and inside quotes
    before, after, ends = parts[:-1:2], parts[2::2], separator + b"\r\n"
    traits = Traits(
        has_quotes=len(parts) > 1,
        # A part is empty where two quotes are in a row.
        has_irregular_quotes=len(parts) % 2 == 0
        or any(part and part[-1] not in ends for part in before)
        or any(part and part[0] not in ends for part in after),
        has_quoted_newlines=any(b"\n" in part or b"\r" in part for part in parts[1::2]),
        has_lone_returns=content.count(b"\r") > pairs,
        has_mixed_line_ends=content.count(b"\n") > pairs > 0,
    )
    if width is None or not content:
        return traits
    lines = quote.join(parts[::2]).removesuffix(b"\n").split(b"\n")  # a quote remains of each quoted text
    return traits._replace(
        has_blank_lines=any(_is_blank(line, separator) for line in lines),
        has_long_rows=any(line.count(separator) >= width for line in lines[dialect.skiprows :]),
    )


def _inspect_large(path: Path, blocks: _Blocks, dialect: Dialect, width: int | None) -> Traits:
    """Inspect a file whose first block was read. A thread reads the other blocks, and finds the marks in them."""
    from algotools.data._csv_bits import MarkFinder, Structure  # here: small files do not need NumPy

    structure = Structure(width=width, skipped_rows=dialect.skiprows)
    finder = MarkFinder(blocks.buffer, _START, dialect)
    blocks.is_plain = finder.is_plain

    def read_marks() -> Iterator[Marks]:
        if blocks.size:  # the first block can be a byte order mark only
            yield finder.find(blocks.size)
        while size := blocks.read():
            yield finder.find(size)

    with contextlib.closing(_prefetch(read_marks())) as all_marks:
        for marks in all_marks:
            structure.check(marks)
    structure.finish(ends_with_newline=blocks.last.endswith(b"\n"))
    rows = structure.rows
    return Traits(
        has_quotes=structure.has_quotes,
        has_irregular_quotes=structure.has_irregular_quotes,
        has_quoted_newlines=structure.has_quoted_newlines,
        has_blank_lines=rows is not None and rows.have_single and _has_blank_lines(path, dialect),
        has_lone_returns=structure.has_lone_returns,
        has_mixed_line_ends=structure.has_newlines and structure.has_pairs,
        has_long_rows=rows is not None and rows.have_long,
    )


def _prefetch(items: Iterator[_Item]) -> Generator[_Item, None, None]:
    """Yield the items, which a thread computes while the items before are used. An error of the thread is raised here.

    A thread with a queue needs no ``concurrent.futures``, whose import takes longer than small files.
    """
    queue: SimpleQueue[_Item | BaseException | None] = SimpleQueue()
    slots = threading.Semaphore(_PREFETCHED)
    is_stopped = False

    def compute() -> None:
        try:
            for item in items:
                queue.put(item)
                slots.acquire()
                if is_stopped:
                    return
            queue.put(None)
        except BaseException as error:
            queue.put(error)

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            slots.release()
            yield item
    finally:
        is_stopped = True
        slots.release()
        thread.join()


def _has_blank_lines(path: Path, dialect: Dialect) -> bool:
    """Read a file again, because a row without a separator is rare. A blank line can also be in a quoted text."""
    separator = dialect.sep.encode()
    with open_decompressed(path) or path.open("rb") as stream:
        return any(_is_blank(line.removeprefix(codecs.BOM_UTF8), separator) for line in stream)


def _is_blank(line: bytes, separator: bytes) -> bool:
    return not line.strip(b" \t\r\n".replace(separator, b""))


_HEXADECIMALS = {b"x": re.compile(rb"x(?<=[^0-9A-Za-z]0x)"), b"X": re.compile(rb"X(?<=[^0-9A-Za-z]0X)")}
"""Letter -> pattern. Most files do not have the letter, which ``find`` notices faster than the pattern."""


class _Blocks:
    """Read the blocks of a file, and check that they are text. The messages quote nothing from the file."""

    def __init__(self, stream: IO[bytes], dialect: Dialect, *, finds_hexadecimals: bool = False) -> None:
        self.buffer = bytearray(_START + -(-_BLOCK // 64) * 64)
        self.size = 0
        """Bytes of the last block that was read."""
        self.is_whole: bool | None = None
        """Whether the first block is the whole file; None before it is read."""
        self.last = b""
        """The last bytes that were read."""
        self.has_nulls = False
        self.has_hexadecimals = False
        self.is_plain: Callable[[int], bool] | None = None
        """A faster test, if NumPy is imported: whether a block of this size has no null byte and only ASCII."""
        self._stream = stream
        self._view = memoryview(self.buffer)[_START : _START + _BLOCK]
        self._first_size = min(_BLOCK, _FIRST_BLOCK) if "numpy" in sys.modules else _BLOCK
        self._finds_hexadecimals = finds_hexadecimals
        self._encoding = dialect.encoding
        self._decoder = (
            None if dialect.encoding in _TOTAL_ENCODINGS else codecs.getincrementaldecoder(dialect.encoding)()
        )
        self._position = 0

    @property
    def content(self) -> bytes:
        """The last block that was read."""
        return bytes(self.buffer[_START : _START + self.size])

    def read(self) -> int:
        """Read the next block. Return its size, which is zero after the last block."""
        buffer = self.buffer
        buffer[_START - _KEPT : _START] = (
            buffer[_START + self.size - _KEPT : _START + self.size] if self.size else b"\n\n"
        )
        is_first, self.size = self.is_whole is None, self._fill()
        if is_first:
            self.is_whole = self.size < self._first_size
            if buffer.startswith(codecs.BOM_UTF8, _START):
                self.size -= len(codecs.BOM_UTF8)
                self._position += len(codecs.BOM_UTF8)
                buffer[_START : _START + self.size] = buffer[_START + len(codecs.BOM_UTF8) :][: self.size]
        if self.size:
            self._check_text(_START + self.size)
        return self.size

    def finish(self) -> None:
        """Check what is wrong at the end of the file only."""
        self._decode(b"", final=True)
        if self.last.rstrip(b"\r\n").endswith(_END_OF_FILE):
            raise Unreadable("it ends with the end-of-file mark of DOS (byte 0x1A); remove this byte")

    def _fill(self) -> int:
        size = 0
        end = self._first_size if self.is_whole is None else _BLOCK
        while count := self._stream.readinto(self._view[size:end]):  # type: ignore[attr-defined]  # a binary file has it
            size += count
        return size

    def _check_text(self, end: int) -> None:
        buffer = self.buffer
        self.last = (self.last + buffer[max(_START, end - 3) : end])[-3:]
        is_plain = self.is_plain is not None and self.is_plain(self.size)
        self.has_nulls = self.has_nulls or (not is_plain and buffer.find(b"\0", _START, end) >= 0)
        if self._decoder is not None and (self._decoder.getstate()[0] or not (is_plain or buffer.isascii())):
            self._decode(bytes(buffer[_START:end]))
        self._position += self.size
        if self._finds_hexadecimals and not self.has_hexadecimals:
            self.has_hexadecimals = any(
                buffer.find(letter, _START, end) >= 0 and pattern.search(buffer, _START, end) is not None
                for letter, pattern in _HEXADECIMALS.items()
            )

    def _decode(self, data: bytes, *, final: bool = False) -> None:
        if self._decoder is None:
            return
        try:
            self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            if self.has_nulls and not final:
                raise Unreadable("it is not a readable csv file (it contains null bytes)", error.reason) from None
            raise Unreadable(
                f"it is not in the encoding {self._encoding}; set its option encoding, for example to cp1252 for a "
                "file of Excel or Windows",
                detail=f"a byte near position {self._position + error.start}",
            ) from None
