"""The records behind the rows that are reduced: distinct rows of a table that was read, or its distinct persons.

A record is identified by the position of its row in the table as it was read, which the index of pandas keeps. Rows
without such an index, as those of an array, are counted, but their set is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from algotools.disclosure.reductions.conversion import to_floats
from algotools.disclosure.register import Register
from algotools.disclosure.sketch import make_sketch

_SAMPLE = 64
"""Rows that are compared with the table, to recognize an index that is numbered anew."""

_TABLE_BITS = 40
"""Bits of a record's id for its number in one table."""


class TableRecords:
    """The records of one table of the run.

    Args:
        cells: the cells of the table.
        number: the position of the table among the tables of the run.
    """

    def __init__(self, cells: Any, number: int) -> None:
        self._cells = cells
        self._number = number
        self.names = {name for name, _ in cells.list_columns()}
        self.row_count: int | None = None if cells.is_stream else cells.count_rows()
        self.has_positions: bool = cells.has_positions
        """Whether the rows have an order, which no engine changes."""
        self.persons: Any = cells.read_persons()
        """The number of the person of each row; None if each row is a record."""
        if self.persons is not None:
            self.persons = np.unique(self.persons, return_inverse=True)[1]
        counts = None if cells.is_stream else cells.count_rows_per_person()
        if self.persons is not None:
            counts = np.bincount(self.persons)
        self._most_rows: Any = None if counts is None else np.cumsum(np.sort(counts)[::-1])
        """For 1, 2, … persons, the most rows that they have together; None if each row is a record."""
        self.has_persons = counts is not None
        self.size = self.row_count or 0
        if self.persons is not None:
            self.size = int(np.max(self.persons, initial=-1)) + 1
        self.all = SetOfRecords(None, self.size, number)
        self._sets: dict[bytes, SetOfRecords] = {}
        """Bits of a set -> the set, so that its sketch is computed once for all reductions of the same rows."""

    def locate(self, index: pd.Index, sample: pd.Series | None) -> Any:
        """Return the position in the table of each row of an index; None if the positions are unknown."""
        count = self.row_count
        if count is None:
            return None
        own_index = self._cells.get_index_of_rows()
        if index.name is not None and (own_index is None or index.name != own_index.name):
            return self._locate_persons(index)
        if own_index is not None and not _is_numbering(own_index):
            positions = own_index.get_indexer(index) if own_index.is_unique else np.array([-1])
            return None if (positions < 0).any() else positions
        if index.dtype.kind not in "iu":
            return None
        positions = index.to_numpy()
        if len(positions) and not 0 <= positions.min() <= positions.max() < count:
            return None
        if _is_numbering(index) and not self._has_same_values(sample, whole=len(index) == count):
            return None
        return positions

    def _locate_persons(self, index: pd.Index) -> Any:
        """Return the position of a row of each person; None if the rows are not those of persons.

        A table by group has the group's column as its index, and the group can be a person.
        """
        if self.persons is None or index.name != self._cells.person:
            return None
        ids = pd.Index(self._cells.take(self._cells.person, np.arange(self.row_count or 0)))
        is_first = ~ids.duplicated()
        numbers = ids[is_first].get_indexer(index)
        return None if (numbers < 0).any() else np.flatnonzero(is_first)[numbers]

    def _has_same_values(self, sample: pd.Series | None, *, whole: bool) -> bool:
        """Return whether rows with the numbers 0, 1, 2, … are those of the table, and are not numbered anew."""
        if sample is None or str(sample.name) not in self.names:
            return whole
        sample_positions = np.unique(np.linspace(0, len(sample) - 1, min(_SAMPLE, len(sample))).astype(int))
        values, own_values = (
            sample.iloc[sample_positions].tolist(),
            self._cells.take(str(sample.name), sample_positions),
        )
        is_same = len(values) == len(own_values) and all(map(_is_equal, values, own_values))
        return is_same or (whole and not self.has_persons)  # a changed column still has all rows

    def count_least_persons(self, rows: Any) -> Any:
        """Return the fewest records that may be behind a number of unknown rows."""
        return rows if self._most_rows is None else np.searchsorted(self._most_rows, rows) + (np.asarray(rows) > 0)

    def assign(self, sample: pd.Series | None) -> Any:
        """Return for each row a record that may be behind it: one with the same value. None if a value is not a cell.

        Rows that were repeated, as by a merge, have fewer records than rows: at most those with their values.
        """
        if sample is None or str(sample.name) not in self.names or not self.has_positions or self.has_persons:
            return None
        if not len(sample) or sample.is_unique:  # no row is repeated
            return None
        own = pd.Series(self._cells.take(str(sample.name), np.arange(self.row_count or 0)))
        if pd.api.types.is_numeric_dtype(sample.dtype):
            columns = [to_floats(pd.to_numeric(own, errors="coerce")), to_floats(sample)]
        else:
            columns = [own.astype(object), sample.astype(object)]
        try:
            codes, _ = pd.factorize(pd.concat(columns), use_na_sentinel=False)
        except TypeError:  # cells such as lists, which cannot be compared
            return None
        own_codes, codes = codes[: len(own)], codes[len(own) :]
        counts = np.bincount(own_codes, minlength=codes.max() + 1)
        if not counts[codes].all():
            return None
        occurrences = pd.Series(codes).groupby(codes).cumcount().to_numpy()
        starts = np.cumsum(counts) - counts
        return np.argsort(own_codes, kind="stable")[starts[codes] + occurrences % counts[codes]]

    def make_set(self, numbers: Any) -> SetOfRecords:
        """Return the set of records with the given numbers."""
        mask = np.zeros(self.size, dtype=bool)
        mask[numbers] = True
        if mask.all():
            return self.all
        bits = np.packbits(mask)
        return self._sets.setdefault(bits.tobytes(), SetOfRecords(bits, self.size, self._number))

    def get_ids(self, numbers: Any) -> Any:
        """Return the ids of the records with the given numbers, which differ from those of other tables."""
        return _make_ids(numbers, self._number)


def _make_ids(numbers: Any, table: int) -> Any:
    return numbers.astype(np.int64) + (table << _TABLE_BITS)


class SetOfRecords:
    """A set of records of one table.

    Args:
        bits: one bit for each record of the table, packed; None for all records.
        size: the number of records of the table.
        table: the position of the table among those of the run.
    """

    def __init__(self, bits: Any, size: int, table: int) -> None:
        self._size = size
        self._table = table
        self._bits = bits
        self.count = size if bits is None else int(np.unpackbits(bits, count=size).sum())

    def make_sketch(self, key: bytes) -> bytes:
        """See ``register.RecordSet``."""
        ids = (
            np.arange(self._size) if self._bits is None else np.flatnonzero(np.unpackbits(self._bits, count=self._size))
        )
        return make_sketch(_make_ids(ids, self._table), key)


class Summands:
    """The summands of a sum: pairs of a record of one table and its value, without those that are 0.

    Two sums whose summands differ for few records reveal the values of these records, also if a condition has
    replaced the values by 0, so that both sums have the same records.

    Args:
        ids: the ids of the records.
        values: their values.
    """

    def __init__(self, ids: Any, values: Any) -> None:
        self._ids = ids
        self._values = values

    def make_sketch(self, key: bytes) -> bytes:
        """See ``register.RecordSet``."""
        bits = np.ascontiguousarray(self._values, dtype=np.float64).view(np.uint64)
        pairs = self._ids.astype(np.uint64) * _ID_FACTOR ^ (bits * _VALUE_FACTOR + (bits >> np.uint64(32)))
        return make_sketch(pairs.view(np.int64), key)


_ID_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_VALUE_FACTOR = np.uint64(0xD1B54A32D192ED03)
"""Odd numbers with which the bits of an id and of a value are spread over 64 bits."""

_FEW_ROWS = 8
"""Rows are few for a table if they are less than one of this number of its records."""


class Records(NamedTuple):
    """The records of rows."""

    table: TableRecords | None
    """None without tables, as in a unit test, or if the table is unknown."""
    numbers: Any
    """The number of the record of each row; None if it is unknown."""
    row_count: int
    is_whole: bool = False
    """Whether the rows are those of the table, in their order."""
    is_assigned: bool = False
    """Whether the records are unknown, and the numbers are those of records with the same values."""

    def select(self, is_present: Any) -> Records:
        """Return the records of the rows with a value."""
        if is_present is None or is_present.all():
            return self
        numbers = None if self.numbers is None else self.numbers[is_present]
        return Records(self.table, numbers, int(is_present.sum()), is_assigned=self.is_assigned)

    def take(self, positions: Any) -> Records:
        """Return the records of the rows at some positions."""
        numbers = None if self.numbers is None else self.numbers[positions]
        return Records(self.table, numbers, len(positions), is_assigned=self.is_assigned)

    def make_set(self) -> SetOfRecords | None:
        """Return the set of the records; None if it is unknown."""
        if self.table is not None and self.is_whole:
            return self.table.all
        if self.table is None or self.numbers is None or self.is_assigned:
            return None
        return self.table.make_set(self.numbers)

    def _number_rows(self) -> Any:
        """Return the number of the record of each row; an array as long as its table has the rows of the table."""
        if self.numbers is not None or self.table is None:
            return self.numbers
        if not self.table.has_positions or self.table.row_count != self.row_count:
            return None
        return np.arange(self.row_count) if self.table.persons is None else self.table.persons

    def make_summands(self, values: Any, positions: Any = None) -> Summands | None:
        """Return the summands of the sum of the rows' values; None if the records are unknown, or the sum is a count.

        An array as long as its table is taken as the rows of the table. In another order, its pairs are others.

        Args:
            values: the values of all rows.
            positions: the rows that are summed up; None for all rows.
        """
        values = np.asarray(values)
        numbers = self._number_rows()
        if self.table is None or numbers is None or self.is_assigned or values.dtype.kind not in "iuf":
            return None
        if positions is not None:
            numbers, values = numbers[positions], values[positions]
        is_summand = ~np.isnan(values) & (values != 0)
        numbers, values = numbers[is_summand], values[is_summand].astype(float)
        if (values == 1).all():
            return None
        if len(numbers) < self.table.size / _FEW_ROWS:  # a group: an entry for each record of the table would be slow
            ids, numbers = np.unique(numbers, return_inverse=True)
            sums = np.bincount(numbers, values, len(ids))
            return Summands(self.table.get_ids(ids[sums != 0]), sums[sums != 0])
        sums = np.bincount(numbers, values, self.table.size)
        ids = np.flatnonzero(sums)
        return Summands(self.table.get_ids(ids), sums[ids])

    def count_records(self) -> int:
        """Return the number of records, or the fewest records that the rows can have."""
        record_set = self.make_set()
        if record_set is not None:
            return record_set.count
        if self.is_assigned:
            return len(np.unique(self.numbers))
        return self.row_count if self.table is None else int(self.table.count_least_persons(self.row_count))

    def sum_weights(self, weights: Any) -> Any:
        """Return the sums of weights by record, for the shares of single records."""
        if self.numbers is None or self.table is None or (self.is_whole and self.table.persons is None):
            return weights
        return np.bincount(self.numbers, weights, self.table.size)


def find_records(register: Register, rows: Any) -> Records:
    """Return the records of rows: a Series, a DataFrame or an array."""
    tables = _list_tables(register)
    count = len(rows)
    # Without evidence, only the persons of the rows matter, because cells of few persons are hidden.
    if not any(register.collects or table.has_persons for table in tables):
        return Records(None, None, count)
    index = rows.index if isinstance(rows, (pd.Series, pd.DataFrame)) else None
    sample = rows.iloc[:, 0] if isinstance(rows, pd.DataFrame) and rows.shape[1] else rows
    sample = sample if isinstance(sample, pd.Series) else None
    name = None if sample is None else str(sample.name)
    named = [table for table in tables if name in table.names]
    for table in named or tables:
        positions = None if index is None else table.locate(index, sample)
        if positions is not None:
            is_whole = table.row_count == count and _is_numbering(index)
            numbers = positions if table.has_positions else None
            if numbers is not None and table.persons is not None:
                numbers = table.persons[positions]
            return Records(table, numbers, count, is_whole)
    for table in named:
        if (numbers := table.assign(sample)) is not None:
            return Records(table, numbers, count, is_assigned=True)
    candidates = named or tables
    # The fewest persons that some table allows: it is unknown which table the rows belong to.
    return Records(min(candidates, key=lambda table: int(table.count_least_persons(count))), None, count)


def _list_tables(register: Register) -> Sequence[TableRecords]:
    if register.tables is None:
        return ()
    if register.table_records is None:
        register.table_records = [
            TableRecords(cells, number) for number, cells in enumerate(register.tables.list_cells())
        ]
    return register.table_records


def _is_numbering(index: Any) -> bool:
    """Return whether an index is 0, 1, 2, …, as pandas numbers rows."""
    return isinstance(index, pd.RangeIndex) and (index.start, index.step) == (0, 1)


def _is_equal(value: Any, other: Any) -> bool:
    """Return whether two cells are equal or both missing; a comparison with NA of pandas has no truth value."""
    if pd.isna(value) or pd.isna(other):
        return bool(pd.isna(value) and pd.isna(other))
    return bool(value == other)


def compute_shares(weights: Any) -> tuple[float | None, float | None]:
    """Return the largest share of one record, and of two records, in the sum of weights that are not negative."""
    total = float(weights.sum())
    if not np.isfinite(total) or total <= 0:
        return None, None
    if len(weights) < 2:
        return 1.0, 1.0
    first, second = np.partition(weights, len(weights) - 2)[-2:][::-1].tolist()
    return first / total, (first + second) / total
