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
        self._is_mark = np.empty(len(self._bytes), bool)

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
        is_mark = np.equal(self._bytes[:size], byte, out=self._is_mark[:size])
        packed = np.packbits(is_mark, bitorder="little").view(np.uint64)
        return packed if sys.byteorder == "little" else packed.byteswap()


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
        self._after_end = _Shift(carry=True)  # the file begins as if a newline were before it
        self._after_closing = _Shift()
        self._after_return = _Shift()

    def check(self, marks: Marks) -> None:
        """Inspect a block. An irregular file is not inspected further."""
        self._check_line_ends(marks)
        if self.has_irregular_quotes or self.has_lone_returns:
            return
        separators, newlines, quotes = marks.separators, marks.newlines, marks.quotes
        if quotes is not None or self.is_open or self._after_closing.carry:
            outside = ~self._check_quotes(marks)
            separators, newlines = separators & outside, newlines & outside
        else:
            ends = (packed for packed in (separators, newlines, marks.returns) if packed is not None)
            self._after_end.carry = any(_has_last(packed, marks.size) for packed in ends)
        if self.rows is not None:
            self.rows.check(separators, newlines)

    def finish(self, *, ends_with_newline: bool) -> None:
        """Inspect the end of the file."""
        self.has_irregular_quotes = self.has_irregular_quotes or self.is_open
        self.has_lone_returns = self.has_lone_returns or self._after_return.carry
        if self.rows is not None:
            self.rows.finish(has_unfinished_row=not ends_with_newline)

    def _check_line_ends(self, marks: Marks) -> None:
        newlines = marks.newlines
        if marks.returns is None and not self._after_return.carry:
            self.has_newlines = self.has_newlines or bool(newlines.any())
            return
        returns = np.zeros_like(newlines) if marks.returns is None else marks.returns
        after_return = self._after_return(returns, marks.size)
        self.has_lone_returns = self.has_lone_returns or bool((after_return & ~newlines).any())
        self.has_pairs = self.has_pairs or bool(after_return.any())
        self.has_newlines = self.has_newlines or bool((newlines & ~after_return).any())

    def _check_quotes(self, marks: Marks) -> Any:
        """Check that each quote opens or closes a value. Return the bytes from an opening quote to the closing one."""
        separators, newlines, size = marks.separators, marks.newlines, marks.size
        quotes = np.zeros_like(newlines) if marks.quotes is None else marks.quotes
        self.has_quotes = self.has_quotes or bool(quotes.any())
        inside, self.is_open = _find_inside(quotes, is_open=self.is_open)
        ends = quotes | separators
        ends |= newlines
        line_ends = newlines
        if marks.returns is not None:
            ends |= marks.returns
            line_ends = newlines | marks.returns
        opening = quotes & inside
        closing = quotes ^ opening
        # An end is before each opening quote and after each closing quote. The end may be in another block.
        irregular = opening & ~self._after_end(ends, size)
        irregular |= self._after_closing(closing, size) & ~ends
        self.has_irregular_quotes = bool(irregular.any())
        self.has_quoted_newlines = self.has_quoted_newlines or bool((line_ends & inside).any())
        return inside


def _find_inside(quotes: Any, *, is_open: bool) -> tuple[Any, bool]:
    """Return the bytes with an odd number of quotes up to them, and whether the number is odd at the end."""
    inside = quotes.copy()
    shifted = np.empty_like(inside)
    for distance in (1, 2, 4, 8, 16, 32):  # then each bit is the parity of all bits up to it in its word
        np.left_shift(inside, np.uint64(distance), out=shifted)
        inside ^= shifted
    parities = np.bitwise_xor.accumulate(inside >> _LAST)
    before = np.empty_like(parities)
    before[0] = 0
    before[1:] = parities[:-1]
    if is_open:
        before ^= _ONE
    inside ^= ~before + _ONE  # all bits of the word, if the number of quotes before it is odd
    return inside, bool(parities[-1]) != is_open


class _Shift:
    """Move bits to the next byte, also from the end of a block to the start of the next one."""

    def __init__(self, *, carry: bool = False) -> None:
        self.carry = carry

    def __call__(self, packed: Any, size: int) -> Any:
        shifted = packed << _ONE
        shifted[1:] |= packed[:-1] >> _LAST
        if self.carry:
            shifted[0] |= _ONE
        if size % WORD:
            shifted[-1] &= np.uint64((1 << size % WORD) - 1)
        self.carry = _has_last(packed, size)
        return shifted


def _has_last(packed: Any, size: int) -> bool:
    """Whether the last byte of a block is in a set."""
    return bool(int(packed[-1]) >> ((size - 1) % WORD) & 1)


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
        # The separators up to the end of each word.
        totals = np.add.accumulate(_count_ones(separators), dtype=np.int64)
        total = int(totals[-1])
        lower = newlines - _ONE
        later = newlines & lower  # without the first newline of each word
        after = newlines | ~lower  # the first newline and all after it
        positions = np.flatnonzero(newlines)
        if not len(positions):
            self._count += total
            return
        after &= separators
        totals -= _count_ones(after)  # the separators up to the first newline of each word
        ends = totals[positions]
        if later.any():
            ends = _add_later_newlines(ends, separators[positions], newlines[positions])
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
