"""One pass over the bytes of a whole CSV file, which decides who may read the file.

Each library reads its own dialect of CSV. On most files all agree. The exceptions are rare and can be anywhere in a
file: a quote within a value, an empty line, a line that ends with a carriage return only, a byte that is not in the
encoding. If only the first rows were inspected, a library would misread a later row without a message. So all bytes are
inspected, and only for the traits that the library at hand needs.
"""

from __future__ import annotations

import codecs
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from algotools.data._csv_format import Dialect, open_decompressed
from algotools.data.reading import Unreadable

_BLOCK = 1 << 17
"""Bytes that are inspected at once; they fit into the processor's cache."""

_KEPT = 2
"""Bytes of a block that are inspected again before the next: a quote is judged by its two neighbours, ``0x`` by one."""

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
    """A line is empty, or begins with a space or a tab, and so may be blank."""
    has_lone_returns: bool = False
    """A carriage return is not followed by a newline."""
    has_mixed_line_ends: bool = False
    """Some lines end with a newline, and some with a carriage return and a newline."""
    has_nulls: bool = False
    has_hexadecimals: bool = False
    """A text begins with ``0x``, which Arrow reads as a number."""

    @property
    def is_regular(self) -> bool:
        """Whether all libraries split the file into the same rows and values."""
        return not (self.has_irregular_quotes or self.has_lone_returns or self.has_nulls)


def scan(path: Path, dialect: Dialect, *, blank_lines: bool = True, quoted_newlines: bool = True) -> Traits:
    """Inspect all bytes of a file, decompressed, in an encoding that contains ASCII.

    Without ``blank_lines`` and ``quoted_newlines``, these traits are not found, and the inspection takes less time.

    Raises:
        Unreadable: a byte is not in the file's encoding, or the file ends with DOS's end-of-file mark.
    """
    blanks = _BlankLines(dialect) if blank_lines else None
    quotes = _Quotes(dialect, finds_newlines=quoted_newlines)
    encoding = _Encoding(dialect.encoding)
    ends = _LineEnds()
    null = hexadecimal = False
    last = b""
    with open_decompressed(path) or path.open("rb", buffering=0) as stream:
        for buffer, start, end in _read_blocks(stream):
            null = null or b"\0" in buffer
            encoding.check(buffer, start, end, is_text=not null)
            quotes.check(buffer, end)
            ends.check(buffer, start, end)
            hexadecimal = hexadecimal or any(pattern.search(buffer, 0, end) for pattern in _HEXADECIMALS)
            if blanks is not None:
                blanks.check(buffer, end)
            last = bytes(buffer[max(0, end - 3) : end]) or last
    encoding.finish()
    if last.rstrip(b"\r\n").endswith(_END_OF_FILE):
        raise Unreadable("it ends with the end-of-file mark of DOS (byte 0x1A); remove this byte")
    return Traits(
        has_quotes=quotes.are_present,
        has_irregular_quotes=quotes.are_irregular or quotes.are_open,
        has_quoted_newlines=quotes.contain_newlines,
        has_blank_lines=blanks is not None and blanks.are_present,
        has_lone_returns=ends.have_lone_returns or last.endswith(b"\r\n"),  # the last newline is not the file's
        has_mixed_line_ends=ends.are_mixed,
        has_nulls=null,
        has_hexadecimals=hexadecimal,
    )


_HEXADECIMALS = (re.compile(rb"x(?<=[^0-9A-Za-z]0x)"), re.compile(rb"X(?<=[^0-9A-Za-z]0X)"))
"""The patterns begin with a character, which ``re`` finds fast."""


def _read_blocks(stream: IO[bytes]) -> Iterator[tuple[bytearray, int, int]]:
    """Yield the blocks of a file: a buffer, the start of its new bytes, and its end.

    Each byte of the file has a neighbour on both sides in one of the buffers, because the first two bytes of a buffer
    are the last two of the buffer before. A newline comes before the first byte and after the last one. At least one
    byte without a meaning follows the end of a buffer.
    """
    buffer = bytearray(b"\n" * (_KEPT + _BLOCK + 1))
    view = memoryview(buffer)
    start = 1
    while count := stream.readinto(view[start : start + _BLOCK]):  # type: ignore[attr-defined]  # a binary file has it
        end = start + count
        if start == 1 and buffer[1 : 1 + len(codecs.BOM_UTF8)] == codecs.BOM_UTF8:
            view[1 : 1 + len(codecs.BOM_UTF8)] = b"--\n"  # a line of its own, so that the header begins a line
        yield (buffer if count == _BLOCK else bytearray(view[: end + 1])), start, end
        view[:_KEPT] = bytes(view[end - _KEPT : end])
        start = _KEPT
    yield bytearray(bytes(view[:start]) + b"\n"), start + 1, start + 1


class _LineEnds:
    """Check that all lines end in the same way."""

    def __init__(self) -> None:
        self.have_lone_returns = False
        self._has_newlines = False
        self._has_pairs = False

    @property
    def are_mixed(self) -> bool:
        return self._has_newlines and self._has_pairs

    def check(self, buffer: bytearray, start: int, end: int) -> None:
        """Inspect a buffer. A carriage return at its end is inspected in the next one."""
        if b"\r" not in buffer:
            self._has_newlines = self._has_newlines or buffer.find(b"\n", start, end) >= 0
            return
        self.have_lone_returns = self.have_lone_returns or _LONE_RETURN.search(buffer, 0, end) is not None
        if not (self.have_lone_returns or self.are_mixed):  # so a newline follows each carriage return
            pairs = buffer.count(b"\r", start - 1, end - 1)
            self._has_pairs = self._has_pairs or pairs > 0
            self._has_newlines = self._has_newlines or buffer.count(b"\n", start, end) > pairs


_LONE_RETURN = re.compile(rb"\r[^\n]")


class _BlankLines:
    """Find lines that are empty, or that begin with a space or a tab. NumPy finds them in half the time of ``re``."""

    def __init__(self, dialect: Dialect) -> None:
        self._starts = b"\n\r " + (b"" if dialect.sep == "\t" else b"\t")
        self._pattern = re.compile(rb"\n[" + self._starts + rb"]")
        self.are_present = False

    def check(self, buffer: bytearray, end: int) -> None:
        if self.are_present:
            return
        end = min(end, len(buffer) - 1)
        if (np := sys.modules.get("numpy")) is None:  # importing NumPy takes longer than inspecting 100 MB without it
            self.are_present = self._pattern.search(buffer, 0, end) is not None
            return
        data = np.frombuffer(buffer, np.uint8, end)
        starts = data[np.flatnonzero(data[:-1] == ord("\n")) + 1]
        self.are_present = bool(_make_table(self._starts)[starts].any())


@functools.cache
def _make_table(characters: bytes) -> Any:
    """Return an array that contains for each byte whether the byte is one of the characters."""
    import numpy as np

    table = np.zeros(256, bool)
    table[list(characters)] = True
    return table


class _Encoding:
    """Check that the bytes are text in an encoding. The messages quote nothing, and give the position to the owner."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._decoder = None if name in _TOTAL_ENCODINGS else codecs.getincrementaldecoder(name)()
        self._position = 0

    def check(self, buffer: bytearray, start: int, end: int, *, is_text: bool) -> None:
        if self._decoder is None:
            return
        if not (buffer.isascii() and not self._decoder.getstate()[0]):
            self._decode(bytes(buffer[start:end]), is_text=is_text)
        self._position += end - start

    def finish(self) -> None:
        self._decode(b"", is_text=True, final=True)

    def _decode(self, data: bytes, *, is_text: bool, final: bool = False) -> None:
        if self._decoder is None:
            return
        try:
            self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            if not is_text:
                raise Unreadable("it is not a readable csv file (it contains null bytes)", error.reason) from None
            raise Unreadable(
                f"it is not in the encoding {self._name}; set its option encoding, for example to cp1252 for a file of "
                "Excel or Windows",
                detail=f"a byte near position {self._position + error.start}",
            ) from None


class _Quotes:
    """Check that each quote opens or closes a value, as all libraries expect.

    Two quotes in a row within a quoted value are one quote of the value. The check needs no rule for them: the first
    quote closes the value, and the second quote opens the value again.
    """

    def __init__(self, dialect: Dialect, *, finds_newlines: bool) -> None:
        self._quote = dialect.quotechar.encode()
        self._neighbours = b"".join([self._quote, dialect.sep.encode(), b"\n\r"])
        self._finds_newlines = finds_newlines
        self.are_present = False
        self.are_irregular = False
        self.are_open = False
        self.contain_newlines = False

    def check(self, buffer: bytearray, end: int) -> None:
        if self.are_irregular or not self._quote or not (self.are_open or self._quote in buffer):
            return
        import numpy as np  # here: most files have no quotes

        self.are_present = True
        data: Any = np.frombuffer(buffer, np.uint8, end)
        places = np.flatnonzero(data[1:-1] == self._quote[0]) + 1
        opening, closing = places[self.are_open :: 2], places[not self.are_open :: 2]
        is_neighbour = _make_table(self._neighbours)
        self.are_irregular = not (is_neighbour[data[opening - 1]].all() and is_neighbour[data[closing + 1]].all())
        if self._finds_newlines and not self.contain_newlines:
            newlines = np.flatnonzero((data[1:-1] == ord("\n")) | (data[1:-1] == ord("\r"))) + 1
            # The number of newlines between each two quotes; every second pair encloses a value.
            counts = np.diff(newlines.searchsorted(places), prepend=0, append=len(newlines))
            self.contain_newlines = bool(counts[not self.are_open :: 2].any())
        self.are_open = bool((len(places) + self.are_open) % 2)
