"""The cells of the tables that a function reads, in each form of data: how many records have a value of the result.

The worker uses this module. It keeps a reference to each table as it was read. A function that adds or replaces columns
of a DataFrame does not change that reference; a function that overwrites single cells does, and then the new cells are
compared.

A lazy form has no cells in memory. Its rows are counted and its texts are searched by its own engine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from algotools.disclosure._line_index import (
    FEWEST_SEARCHES,
    MOST_NUMBERS,
    NumberIndex,
    contains_any,
    count_records,
    find_positions,
    hash_numbers,
)

_BITS = 16
"""Bits of a hash in the table of marks."""

LARGEST_LEVEL_COUNT = 1000
"""A column with more distinct values has no levels; only the texts of the result are searched in it."""

Counts = dict[str, int]
"""Text -> number of records."""


class Cells:
    """The cells of one table: of a path or of a description of a database, whose cells only the author's code reads.

    Args:
        table: the table as it was read.
        person: the column with the person of a row; None if each row is a record.
    """

    is_stream = False
    """Whether the rows can be read only once, by the function itself."""
    has_positions = True  # an engine may return the rows in another order each time

    def __init__(self, table: Any, person: str | None = None) -> None:
        self._table = table
        self.person = person
        self._search_count = 0
        self._index: NumberIndex | None = None

    def get_index(self, number_count: int) -> NumberIndex | None:
        """Return the index of the numbers for a search of a few numbers; None for the first searches."""
        if number_count > MOST_NUMBERS:
            return None
        self._search_count += 1
        if self._index is None and self._search_count >= FEWEST_SEARCHES:
            self._index = NumberIndex(self.read_numbers(), self.read_persons())
        return self._index

    def get_value(self, *, drop_person: bool) -> Any:
        """Return the table for the function, without the column of persons if the function does not request it."""
        return self._drop_person() if drop_person and self.person is not None else self._table

    def list_columns(self) -> list[tuple[str, str]]:
        """Return name and type of each column."""
        return []

    def count_rows(self) -> int | None:
        """Return the number of rows; None if it is unknown."""
        return None

    def count_persons(self) -> int | None:
        """Return the number of distinct persons; None without a column of persons."""
        return None

    def count_rows_per_person(self) -> Any:
        """Return the number of rows of each person of a lazy table, as an array; None for others."""
        return None

    def get_index_of_rows(self) -> Any:
        """Return the index of a table of pandas; None for other tables."""
        return None

    def take(self, name: str, positions: Any) -> list[Any]:
        """Return the values of a column in some rows."""
        del name, positions
        return []

    def read_numbers(self, excluded: Collection[int] = ()) -> Iterator[tuple[int, Any]]:
        """Yield the position and the values of each column of numbers that is not excluded, as an array of float64."""
        del excluded
        return iter(())

    def read_persons(self) -> Any:
        """Return the number of the person of each row, as an array; None without a column of persons."""
        return None

    def count_texts(self, texts: Collection[str]) -> Iterator[tuple[str, int, Counts]]:
        """Yield for each column of texts the name, the number of distinct values, and the records of each value.

        If a column has many distinct values, only those in *texts* are counted.
        """
        del texts
        return iter(())

    def _drop_person(self) -> Any:
        return self._table


class PandasCells(Cells):
    """The cells of a DataFrame."""

    def __init__(self, table: Any, person: str | None = None) -> None:
        super().__init__(table, person)
        self._frame = table.copy(deep=False)
        self._levels: dict[int, tuple[str, int, Counts]] = {}
        self._hashes: dict[int, Any] = {}

    def list_columns(self) -> list[tuple[str, str]]:
        """See ``Cells``."""
        return [(str(name), str(dtype)) for name, dtype in zip(self._frame.columns, self._frame.dtypes, strict=True)]

    def count_rows(self) -> int | None:
        """See ``Cells``."""
        return len(self._frame)

    def count_persons(self) -> int | None:
        """See ``Cells``."""
        return None if self.person is None else int(self._frame[self.person].nunique(dropna=False))

    def read_numbers(self, excluded: Collection[int] = ()) -> Iterator[tuple[int, Any]]:
        """See ``Cells``."""
        for position in range(self._frame.shape[1]):
            if position not in excluded and (numbers := _to_numbers(self._frame.iloc[:, position])) is not None:
                yield position, numbers

    def read_persons(self) -> Any:
        """See ``Cells``."""
        if self.person is None:
            return None
        import pandas as pd

        return pd.factorize(self._frame[self.person])[0]

    def get_index_of_rows(self) -> Any:
        """See ``Cells``."""
        return self._frame.index

    def take(self, name: str, positions: Any) -> list[Any]:
        """See ``Cells``."""
        return list(self._frame.iloc[positions, list(map(str, self._frame.columns)).index(name)])

    def count_texts(self, texts: Collection[str]) -> Iterator[tuple[str, int, Counts]]:
        """See ``Cells``."""
        import pandas as pd

        target_hashes = np.array(list(map(hash, texts)), dtype=np.int64)
        persons = None
        for position, dtype in enumerate(self._frame.dtypes):
            if getattr(dtype, "kind", "O") in "iufc":
                continue
            column = self._frame.iloc[:, position]
            if position not in self._levels and position not in self._hashes:
                level_texts = [_to_text(value) for value in pd.factorize(column)[1]]
                if len(level_texts) > LARGEST_LEVEL_COUNT:
                    self._hashes[position] = np.sort(np.array(list(map(hash, level_texts)), dtype=np.int64))
            if position in self._hashes and not contains_any(self._hashes[position], target_hashes):
                continue
            if position not in self._levels:
                persons = self.read_persons() if persons is None else persons
                for level in _count_texts_of_series(column, texts, persons):
                    if position not in self._hashes:
                        self._levels[position] = level
                    yield level
            else:
                yield self._levels[position]

    def _drop_person(self) -> Any:
        return self._table.drop(columns=self.person)


def _to_numbers(column: Any) -> Any:
    """Return a column of pandas as an array of float64; None for a column of other values."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    kind = getattr(dtype, "kind", "O")
    if kind in "iuf":
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if kind == "O" and pd.api.types.infer_dtype(column, skipna=True) in _KINDS_OF_NUMBERS:
        return np.asarray(pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan))
    return None


_KINDS_OF_NUMBERS = frozenset({"decimal", "floating", "integer", "mixed-integer", "mixed-integer-float"})
"""Kinds of objects that ``infer_dtype`` of pandas distinguishes."""


def _count_texts_of_series(column: Any, texts: Collection[str], persons: Any) -> Iterator[tuple[str, int, Counts]]:
    """Yield the levels of a column of pandas; see ``Cells.count_texts``."""
    import pandas as pd

    codes, values = pd.factorize(column)
    level_texts = [_to_text(value) for value in values]
    if all(level_text not in texts for level_text in level_texts) and len(level_texts) > LARGEST_LEVEL_COUNT:
        return
    is_present = codes >= 0
    records = count_records(codes[is_present], None if persons is None else persons[is_present], len(level_texts))
    is_short = len(level_texts) <= LARGEST_LEVEL_COUNT
    counts: Counts = {}
    for level_text, count in zip(level_texts, records.tolist(), strict=True):
        if is_short or level_text in texts:
            counts[level_text] = counts.get(level_text, 0) + count
    yield str(column.name), len(level_texts), counts


def _to_text(value: Any) -> str:
    """Return a value as a result in JSON shows it."""
    if isinstance(value, str):
        return value
    if hasattr(value, "isoformat"):
        text = str(value.isoformat())
        return text.removesuffix("T00:00:00")
    return str(value)


class PolarsCells(Cells):
    """The cells of a DataFrame of Polars."""

    def list_columns(self) -> list[tuple[str, str]]:
        """See ``Cells``."""
        return [(name, str(dtype)) for name, dtype in self._table.schema.items()]

    def count_rows(self) -> int | None:
        """See ``Cells``."""
        return int(self._table.height)

    def count_persons(self) -> int | None:
        """See ``Cells``."""
        return None if self.person is None else int(self._table[self.person].n_unique())

    def read_numbers(self, excluded: Collection[int] = ()) -> Iterator[tuple[int, Any]]:
        """See ``Cells``."""
        import polars as pl

        for position, (name, dtype) in enumerate(self._table.schema.items()):
            if position not in excluded and dtype.is_numeric():
                yield position, self._table[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()

    def read_persons(self) -> Any:
        """See ``Cells``."""
        return None if self.person is None else self._table[self.person].rank("dense").fill_null(0).to_numpy()

    def take(self, name: str, positions: Any) -> list[Any]:
        """See ``Cells``."""
        return list(self._table[name].gather(positions))

    def count_texts(self, texts: Collection[str]) -> Iterator[tuple[str, int, Counts]]:
        """See ``Cells``."""
        yield from count_texts_of_polars(self._table.lazy(), self.person, texts)

    def _drop_person(self) -> Any:
        return self._table.drop(self.person)


def count_texts_of_polars(frame: Any, person: str | None, texts: Collection[str]) -> Iterator[tuple[str, int, Counts]]:
    """Yield the levels of the columns of a LazyFrame; see ``Cells.count_texts``."""
    import polars as pl

    measure = pl.len() if person is None else pl.col(person).n_unique()
    for name, dtype in frame.collect_schema().items():
        if dtype.is_numeric() or dtype.is_nested() or dtype == pl.Duration:  # a duration has no text
            continue
        groups = frame.filter(pl.col(name).is_not_null()).group_by(pl.col(name).cast(pl.String).alias("level"))
        yield from _select_counts(name, groups.agg(measure.alias("records")).collect().rows(), texts)


def _select_counts(name: str, rows: Any, texts: Collection[str]) -> Iterator[tuple[str, int, Counts]]:
    """Yield a column's levels, from pairs of a value and its records."""
    counts = {_to_text(value): int(records) for value, records in rows}
    if len(counts) <= LARGEST_LEVEL_COUNT:
        yield name, len(counts), counts
    elif matches := {text: counts[text] for text in texts if text in counts}:
        yield name, len(counts), matches


class ArrowCells(Cells):
    """The cells of an Arrow table."""

    def list_columns(self) -> list[tuple[str, str]]:
        """See ``Cells``."""
        return [(field.name, str(field.type)) for field in self._table.schema]

    def count_rows(self) -> int | None:
        """See ``Cells``."""
        return int(self._table.num_rows)

    def count_persons(self) -> int | None:
        """See ``Cells``."""
        return None if self.person is None else len(self._table.column(self.person).unique())

    def read_numbers(self, excluded: Collection[int] = ()) -> Iterator[tuple[int, Any]]:
        """See ``Cells``."""
        import pyarrow as pa
        import pyarrow.compute

        compute: Any = pyarrow.compute
        for position, column in enumerate(self._table.columns):
            if position in excluded:
                continue
            kind = column.type
            if pa.types.is_dictionary(kind):  # a category
                kind = kind.value_type
                column = compute.cast(column, kind)  # noqa: PLW2901
            if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
                numbers = compute.cast(column, pa.float64(), safe=False)
                yield position, compute.fill_null(numbers, float("nan")).to_numpy()

    def read_persons(self) -> Any:
        """See ``Cells``."""
        if self.person is None:
            return None
        return self._table.column(self.person).combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()

    def take(self, name: str, positions: Any) -> list[Any]:
        """See ``Cells``."""
        return list(self._table.column(name).take(positions).to_pylist())

    def count_texts(self, texts: Collection[str]) -> Iterator[tuple[str, int, Counts]]:
        """See ``Cells``."""
        import pyarrow as pa

        for field in self._table.schema:
            kind = field.type
            if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_nested(kind):
                continue
            names = [field.name] if self.person in (None, field.name) else [field.name, self.person]
            selected = self._table.select(names).drop_null() if len(names) == 1 else self._table.select(names)
            measure = (names[0], "count") if len(names) == 1 else (self.person, "count_distinct")
            groups = selected.group_by(names[0]).aggregate([measure])
            values, records = (groups.column(i).to_pylist() for i in (0, 1))
            if groups.column_names[0] != names[0]:  # before Arrow 14, the key is the last column
                values, records = records, values
            rows = [(value, count) for value, count in zip(values, records, strict=True) if value is not None]
            yield from _select_counts(field.name, rows, texts)

    def _drop_person(self) -> Any:
        return self._table.drop_columns([self.person])


MAKE_CELLS: dict[str, Callable[[Any, str | None], Cells]] = {
    "path": Cells,
    "database": Cells,
    "pandas": PandasCells,
    "polars": PolarsCells,
    "arrow": ArrowCells,
}
"""Form of data that is not lazy -> the class of its cells."""


def find_matches(cells: Cells, target_numbers: Collection[float]) -> tuple[dict[float, int], dict[float, int]]:
    """Return the records of the numbers that are cells, and of those that are an extreme of their column.

    A number that several columns have gets the largest number of records of a column.
    """
    if not target_numbers:
        return {}, {}
    targets = np.unique(np.array(list(target_numbers), dtype=np.float64))
    marks = np.zeros(1 << _BITS, dtype=bool)
    marks[hash_numbers(targets, _BITS)] = True
    persons = cells.read_persons()
    matches: dict[float, int] = {}
    extremes: dict[float, int] = {}
    index = cells.get_index(len(target_numbers))
    for match in index.find(targets) if index is not None else ():
        matches[match.number] = max(matches.get(match.number, 0), match.records)
        if match.is_end:
            extremes[match.number] = max(extremes.get(match.number, 0), match.records)
    for _, column in cells.read_numbers(index.list_excluded(targets) if index is not None else ()):
        numbers = column + 0.0  # -0.0 and 0.0 have different bits
        # One pass over the cells: a table of marks is faster than a search, whatever the number of targets.
        candidates = np.flatnonzero(marks[hash_numbers(numbers, _BITS)])
        positions, is_match = find_positions(targets, numbers[candidates])
        positions, rows = positions[is_match], candidates[is_match]
        if not len(rows):
            continue
        records = count_records(positions, None if persons is None else persons[rows], len(targets))
        ends = {float(np.nanmin(numbers)), float(np.nanmax(numbers))}
        for position in np.flatnonzero(records):
            number, count = float(targets[position]), int(records[position])
            matches[number] = max(matches.get(number, 0), count)
            if number in ends:
                extremes[number] = max(extremes.get(number, 0), count)
    return matches, extremes
