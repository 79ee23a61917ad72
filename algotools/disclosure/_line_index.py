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
            if column.records is not None and len(column.values):
                places = np.searchsorted(column.values, targets)
                places[places == len(column.values)] = 0
                for place in places[column.values[places] == targets].tolist():
                    is_end = place in (0, len(column.values) - 1)
                    yield Match(float(column.values[place]), int(column.records[place]), is_end)

    def list_excluded(self, targets: Any) -> set[int]:
        """Return the positions of the columns that need not be read, because they do not contain the targets."""
        hashes = _hash(targets)
        return {c.position for c in self._columns if c.records is not None or not contains_any(c.values, hashes)}


def contains_any(values: Any, wanted: Any) -> bool:
    """Return whether sorted values contain one of the wanted values."""
    if not len(values):
        return False
    places = np.searchsorted(values, wanted)
    places[places == len(values)] = 0
    return bool((values[places] == wanted).any())


def _index_column(position: int, column: Any, persons: Any) -> _Column:
    numbers = column + 0.0  # -0.0 and 0.0 have different bits
    is_present = ~np.isnan(numbers)
    present = numbers[is_present]
    hashes = np.sort(_hash(present))
    hashes = hashes[np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]]
    if len(hashes) > _MOST_VALUES:
        return _Column(position, hashes, None)
    values, places = np.unique(present, return_inverse=True)
    if persons is not None:
        places = np.unique(np.stack([places, persons[is_present]]), axis=1)[0]
    return _Column(position, values, np.bincount(places, minlength=len(values)))


def _hash(numbers: Any) -> Any:
    """Return 32 bits for each number, which depend on all of its bits."""
    bits: Any = np.ascontiguousarray(numbers).view(np.uint64)
    return ((bits * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)).astype(np.uint32)
