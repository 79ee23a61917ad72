"""An index of the numbers of a table. A function can log many lines, and a pass over all cells for each line is slow.

The index of a column with few distinct values has the records of each value. That of another column has hashes of 32
bits: it says that a number is not in the column, or that the column must be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

FEWEST_SEARCHES = 10
"""Searches for a few numbers after which the index is made: it takes as long as several searches."""

MOST_NUMBERS = 1000
"""Numbers of a search that uses the index. A result with more numbers is searched once."""

_MOST_VALUES = 1 << 16


class Match(NamedTuple):
    """A number that is a cell of a column."""

    number: float
    records: int
    is_end: bool
    """Whether the number is the smallest or the largest value of the column."""


class _Column(NamedTuple):
    position: int
    values: Any
    """The distinct values in order, or their hashes in order."""
    records: Any
    """The records of each value; None for hashes."""


class NumberIndex:
    """The numbers of a table, for searches of few numbers.

    Args:
        columns: position and values of each column of numbers.
        persons: the number of the person of each row; None without a column of persons.
    """

    def __init__(self, columns: Iterable[tuple[int, Any]], persons: Any) -> None:
        self._columns = [_index_column(position, column, persons) for position, column in columns]

    def find(self, targets: Any) -> Iterator[Match]:
        """Yield the targets that are values of columns with few distinct values."""
        for column in self._columns:
            if column.records is not None:
                positions, is_match = find_positions(column.values, targets)
                for position in positions[is_match].tolist():
                    is_end = position in (0, len(column.values) - 1)
                    yield Match(float(column.values[position]), int(column.records[position]), is_end)

    def list_excluded(self, targets: Any) -> set[int]:
        """Return the positions of the columns that need not be read, because they do not contain the targets."""
        hashes = _hash(targets)
        return {c.position for c in self._columns if c.records is not None or not contains_any(c.values, hashes)}


def contains_any(values: Any, targets: Any) -> bool:
    """Return whether sorted values contain one of the targets."""
    return bool(find_positions(values, targets)[1].any())


def find_positions(values: Any, targets: Any) -> tuple[Any, Any]:
    """Return a position in the sorted values for each target, and whether the target is at this position."""
    if not len(values):
        return np.zeros(len(targets), dtype=np.intp), np.zeros(len(targets), dtype=bool)
    positions = np.searchsorted(values, targets)
    positions[positions == len(values)] = 0
    return positions, values[positions] == targets


def count_records(positions: Any, persons: Any, length: int) -> Any:
    """Return the number of records for each position from 0 to *length*.

    Args:
        positions: a position for each row.
        persons: the number of the person of each row; None if each row is a record.
        length: the number of positions.
    """
    if persons is not None:
        positions = np.unique(np.stack([positions, persons]), axis=1)[0]
    return np.bincount(positions, minlength=length)


def _index_column(position: int, column: Any, persons: Any) -> _Column:
    numbers = column + 0.0  # -0.0 and 0.0 have different bits
    is_present = ~np.isnan(numbers)
    present = numbers[is_present]
    hashes = np.sort(_hash(present))
    hashes = hashes[np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]]
    if len(hashes) > _MOST_VALUES:
        return _Column(position, hashes, None)
    values, positions = np.unique(present, return_inverse=True)
    records = count_records(positions, None if persons is None else persons[is_present], len(values))
    return _Column(position, values, records)


def hash_numbers(numbers: Any, bit_count: int) -> Any:
    """Return a hash of at most 64 bits for each number, which depends on all of the number's bits."""
    bits: Any = np.ascontiguousarray(numbers).view(np.uint64)
    return (bits * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bit_count)


def _hash(numbers: Any) -> Any:
    """Return the hashes of the index, which need half of the memory of numbers."""
    return hash_numbers(numbers, 32).astype(np.uint32)
