"""The structure of a CSV file's bytes, as sets of bits: a bit for each byte, in words of 64 bits.

Positions of separators, quotes and newlines as arrays of numbers would take more time than all else, because a file has
one for each few bytes. A set of bits takes an eighth of the memory of the file, and one instruction of the processor
handles 512 bytes of the file.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from algotools.data._csv_format import Dialect

WORD = 64
"""Bits of a word, and so bytes of the file."""

_PART = 1 << 18
"""Bytes that are compared at once; they fit into the processor's cache."""

_ONE, _LAST = np.uint64(1), np.uint64(WORD - 1)


class Marks(NamedTuple):
    """The places of the marks in a block; None if there are none."""

    size: int
    """Bytes of the block. The bits after it are zero."""
    separators: Any
    newlines: Any
    quotes: Any
    returns: Any


class MarkFinder:
    """Find the marks in a buffer, whose content is a block of the file."""

    def __init__(self, buffer: bytearray, start: int, dialect: Dialect) -> None:
        self._buffer = buffer
        self._start = start
        self._separator = ord(dialect.sep)
        self._quote = dialect.quotechar.encode()
        self._bytes: Any = np.frombuffer(buffer, np.uint8)[start:]
        self._is_mark = np.empty(_PART, bool)

    def is_plain(self, size: int) -> bool:
        """Whether all bytes of a block are ASCII and not null. As signed numbers, these bytes are positive."""
        return bool(self._bytes[:size].view(np.int8).min() > 0)

    def find(self, size: int) -> Marks:
        """Return the marks of a block, which begins at the start of the buffer's content."""
        padded_size = -(-size // WORD) * WORD
        end = self._start + size
        self._buffer[end : self._start + padded_size] = bytes(padded_size - size)
        return Marks(
            size,
            self._find(self._separator, padded_size),
            self._find(ord("\n"), padded_size),
            self._find(self._quote[0], padded_size) if self._quote and self._quote in self._buffer else None,
            self._find(ord("\r"), padded_size) if b"\r" in self._buffer else None,
        )

    def _find(self, byte: int, size: int) -> Any:
        packed = np.empty(size // 8, np.uint8)
        for start in range(0, size, _PART):
            part = self._bytes[start : min(start + _PART, size)]
            is_mark = np.equal(part, byte, out=self._is_mark[: len(part)])
            packed[start // 8 : (start + _PART) // 8] = np.packbits(is_mark, bitorder="little")
        words = packed.view(np.uint64)
        return words if sys.byteorder == "little" else words.byteswap()


class Structure:
    """Check how rows and values are separated, a block after the other.

    Two quotes in a row within a quoted value are one quote of the value. The check needs no rule for them: the first
    quote closes the value, and the second quote opens the value again.
    """

    def __init__(self, *, width: int | None, skipped_rows: int) -> None:
        self.rows = None if width is None else _FieldCounts(width, skipped_rows)
        self.has_quotes = False
        self.has_irregular_quotes = False
        self.has_quoted_newlines = False
        self.has_newlines = False
        self.has_pairs = False
        """A carriage return and a newline end a line."""
        self.has_lone_returns = False
        self.is_open = False
        """Whether the block ends within quotes."""
        self._ends_with_end = True  # the file begins as if a newline were before it
        self._ends_with_closing = False
        self._ends_with_return = False

    def check(self, marks: Marks) -> None:
        """Inspect a block, and remove the marks within quotes. An irregular file is not inspected further."""
        self._check_line_ends(marks)
        if self.has_irregular_quotes or self.has_lone_returns:
            return
        if marks.quotes is not None or self.is_open or self._ends_with_closing:
            self._check_quotes(marks)
        self._ends_with_end = _has_last(_find_ends(marks, -1), marks.size)
        if self.rows is not None:
            self.rows.check(marks.separators, marks.newlines)

    def finish(self, *, ends_with_newline: bool) -> None:
        """Inspect the end of the file."""
        self.has_irregular_quotes = self.has_irregular_quotes or self.is_open
        self.has_lone_returns = self.has_lone_returns or self._ends_with_return
        if self.rows is not None:
            self.rows.finish(has_unfinished_row=not ends_with_newline)

    def _check_line_ends(self, marks: Marks) -> None:
        newlines = marks.newlines
        if marks.returns is None and not self._ends_with_return:
            self.has_newlines = self.has_newlines or _has_any(newlines)
            return
        returns = np.zeros_like(newlines) if marks.returns is None else marks.returns
        after_return = returns << _ONE
        after_return[1:] |= returns[:-1] >> _LAST
        after_return[0] |= np.uint64(self._ends_with_return)
        if marks.size % WORD:
            after_return[-1] &= np.uint64((1 << marks.size % WORD) - 1)
        self._ends_with_return = _has_last(returns[-1], marks.size)
        self.has_lone_returns = self.has_lone_returns or _has_any(after_return & ~newlines)
        self.has_pairs = self.has_pairs or _has_any(after_return)
        self.has_newlines = self.has_newlines or _has_any(newlines & ~after_return)

    def _check_quotes(self, marks: Marks) -> None:
        """Check that each quote opens or closes a value, and remove the separators and newlines of quoted values.

        Most values have no quotes, so only the words with a quote are inspected.
        """
        all_quotes = np.zeros_like(marks.newlines) if marks.quotes is None else marks.quotes
        words = np.flatnonzero(all_quotes != 0)
        quotes = all_quotes[words]
        inside, is_open_after = _find_inside(quotes, is_open=self.is_open)
        self.has_quotes = self.has_quotes or len(words) > 0
        opening = quotes & inside
        closing = quotes ^ opening
        # An end is before each opening quote and after each closing quote. The end may be in another word or block.
        ends = _find_ends(marks, words)
        before = _find_ends(marks, words - 1) >> _LAST
        after = _find_ends(marks, np.minimum(words + 1, len(all_quotes) - 1))
        closes_last = bool(len(words)) and words[-1] == len(all_quotes) - 1 and _has_last(closing[-1], marks.size)
        closing_last = closing >> _LAST
        if len(words) and words[0] == 0:
            before[0] = self._ends_with_end
        if closes_last:  # the next block has the byte after it
            closing[-1] &= ~np.uint64(1 << (marks.size - 1) % WORD)
            closing_last[-1] = 0
        irregular = opening & ~(ends << _ONE | before)
        irregular |= (closing << _ONE) & ~ends
        irregular |= closing_last & ~after
        self.has_irregular_quotes = _has_any(irregular) or (
            self._ends_with_closing and not int(_find_ends(marks, 0)) & 1
        )
        self._ends_with_closing = closes_last
        line_ends = marks.newlines if marks.returns is None else marks.newlines | marks.returns
        has_newlines = _has_any(line_ends[words] & inside)
        # The words without a quote have the state of the last quote before them.
        is_open = np.concatenate([[self.is_open], is_open_after])
        counts = np.diff(words, prepend=-1, append=len(line_ends))
        if (is_open & (counts > 1)).any():
            is_inside = np.repeat(is_open, counts)[1:]
            is_inside[words] = False
            has_newlines = has_newlines or _has_any(line_ends[is_inside])
            marks.separators[is_inside] = 0
            marks.newlines[is_inside] = 0
        if self.rows is not None:
            outside = ~inside
            marks.separators[words] &= outside
            marks.newlines[words] &= outside
        self.has_quoted_newlines = self.has_quoted_newlines or has_newlines
        self.is_open = bool(is_open[-1])


def _find_inside(quotes: Any, *, is_open: bool) -> tuple[Any, Any]:
    """Return the bytes with an odd number of quotes up to them, and for each word whether it ends within quotes."""
    inside = quotes.copy()
    shifted = np.empty_like(inside)
    for distance in (1, 2, 4, 8, 16, 32):  # then each bit is the parity of all bits up to it in its word
        np.left_shift(inside, np.uint64(distance), out=shifted)
        inside ^= shifted
    parities = np.logical_xor.accumulate(inside >> _LAST != 0) ^ is_open
    before = np.empty_like(inside)
    before[:1] = is_open
    before[1:] = parities[:-1]
    inside ^= ~before + _ONE  # all bits of the word, if the number of quotes before it is odd
    return inside, parities


def _find_ends(marks: Marks, words: Any) -> Any:
    """Return the bytes in some words at which a value can end."""
    ends = marks.separators[words] | marks.newlines[words]
    for packed in (marks.quotes, marks.returns):
        if packed is not None:
            ends |= packed[words]
    return ends


def _has_any(packed: Any) -> bool:
    return bool(packed.max(initial=0))


def _has_last(word: Any, size: int) -> bool:
    """Whether the last byte of a block is in a set with this last word."""
    return bool(int(word) >> ((size - 1) % WORD) & 1)


class _FieldCounts:
    """Count the separators of all rows."""

    def __init__(self, width: int, skipped_rows: int) -> None:
        self._width = width
        self._skipped_rows = skipped_rows
        self._count = 0  # separators in the row that the block before has begun
        self.have_long = False
        """A row has more fields than the width."""
        self.have_single = False
        """A row has no separator."""

    def check(self, separators: Any, newlines: Any) -> None:
        """Inspect a block, in which all separators and newlines are outside quotes."""
        totals = np.add.accumulate(_count_ones(separators), dtype=np.int32)  # up to the end of each word
        total = int(totals[-1])
        positions = np.flatnonzero(newlines != 0)
        if not len(positions):
            self._count += total
            return
        newlines, separators, ends = newlines[positions], separators[positions], totals[positions]
        lower = newlines - _ONE
        later = newlines & lower  # without the first newline of each word
        ends -= _count_ones(separators & (newlines | ~lower))  # without the separators after the first newline
        if _has_any(later):
            ends = _add_later_newlines(ends, separators, newlines)
        counts = ends[1:] - ends[:-1]
        first = int(ends[0]) + self._count
        self._count = total - int(ends[-1])
        self.have_single = self.have_single or first == 0 or (len(counts) > 0 and not counts.all())
        if self._skipped_rows:
            counts = np.concatenate([[first], counts])[self._skipped_rows :]
            first, self._skipped_rows = 0, max(0, self._skipped_rows - len(ends))
        self.have_long = self.have_long or first >= self._width or int(counts.max(initial=0)) >= self._width

    def finish(self, *, has_unfinished_row: bool) -> None:
        """Inspect a last row without a newline."""
        self.have_long = self.have_long or (not self._skipped_rows and self._count >= self._width)
        self.have_single = self.have_single or (has_unfinished_row and not self._count)


def _add_later_newlines(ends: Any, separators: Any, newlines: Any) -> Any:
    """Return the numbers of separators before all newlines, where some words have several newlines.

    The numbers never decrease from a newline to the next one. So their order is that of the newlines.
    """
    before = ends - _count_ones(separators & (~newlines & (newlines - _ONE)))  # up to the start of each word
    parts = [ends]
    while True:
        newlines = newlines & (newlines - _ONE)
        positions = np.flatnonzero(newlines)
        if not len(positions):
            return np.sort(np.concatenate(parts))
        newlines, separators, before = newlines[positions], separators[positions], before[positions]
        parts.append(before + _count_ones(separators & (~newlines & (newlines - _ONE))))


def _count_bits(packed: Any) -> Any:
    """Return the number of bits of each word, as NumPy 2 does."""
    packed = packed - ((packed >> _ONE) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    packed = (packed & pairs) + ((packed >> np.uint64(2)) & pairs)
    packed = (packed + (packed >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((packed * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)


_count_ones: Any = getattr(np, "bitwise_count", _count_bits)
