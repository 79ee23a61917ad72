"""Claims about a table: what a reader of a result knows after reading it.

A cheat is a leak if a reader who has only the result, the arguments of the task and public knowledge (codes of
diagnoses, ranges of ages) can make a claim that is true and concerns fewer than 3 persons. The table decides whether a
claim holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

FEWEST = 3
"""A number of fewer records discloses them."""

PERSON = "patient_id"
"""Column that identifies a person in the tables with several rows per person."""

Where = Mapping[str, object]
"""Column -> the value of the rows, or a function from the column to a mask.

The key ``row`` is the position, and the key ``*`` a function from the whole table to a mask.
"""


def select(frame: pd.DataFrame, where: Where) -> pd.DataFrame:
    """Return the rows that have all values of *where*."""
    mask = np.ones(len(frame), dtype=bool)
    for column, value in where.items():
        if column == "*":
            mask &= np.asarray(value(frame), dtype=bool)  # type: ignore[operator]
            continue
        values = pd.Series(np.arange(len(frame))) if column == "row" else frame[column]
        mask &= np.asarray(value(values) if callable(value) else values == value, dtype=bool)
    return frame[mask]


def count_persons(rows: pd.DataFrame) -> int:
    return rows[PERSON].nunique() if PERSON in rows else len(rows)


def is_few(rows: pd.DataFrame) -> bool:
    return 1 <= count_persons(rows) < FEWEST


def count_equal(cells: pd.Series, values: Sequence[Any], within: float = 1e-9) -> np.ndarray:
    """Return how many cells equal each value; numbers within a relative distance."""
    if pd.api.types.is_numeric_dtype(cells):
        ordered = np.sort(cells.dropna().to_numpy(dtype=float))
        numbers = np.asarray([_to_number(value) for value in values], dtype=float)
        margin = np.abs(numbers) * within + 1e-12
        return np.searchsorted(ordered, numbers + margin, "right") - np.searchsorted(ordered, numbers - margin, "left")
    counts = cells.dropna().astype(str).value_counts()
    return np.asarray([counts.get(str(value), 0) for value in values])


def _to_number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


class Claim:
    """A statement about a table."""

    def is_true(self, frame: pd.DataFrame) -> bool:
        raise NotImplementedError

    def is_about_few(self, frame: pd.DataFrame) -> bool:
        """Whether the statement, if it is true, concerns fewer than 3 persons."""
        return True


@dataclass
class Cells(Claim):
    """The column contains all these values, and some of them are those of fewer than 3 rows."""

    column: str
    values: Iterable[Any]
    within: float = 1e-9

    def __post_init__(self) -> None:
        self.values = [value for value in self.values if value is not None]

    def is_true(self, frame: pd.DataFrame) -> bool:
        return bool((count_equal(frame[self.column], self.values, self.within) > 0).all())

    def is_about_few(self, frame: pd.DataFrame) -> bool:
        return bool((count_equal(frame[self.column], self.values, self.within) < FEWEST).any())


@dataclass
class Group(Claim):
    """Exactly this number of persons, 1 or 2, have these values."""

    where: Where
    records: int

    def is_true(self, frame: pd.DataFrame) -> bool:
        return count_persons(select(frame, self.where)) == round(self.records)

    def is_about_few(self, frame: pd.DataFrame) -> bool:
        return is_few(select(frame, self.where))


@dataclass
class Fact(Claim):
    """All rows with these values, at least one, have also this value."""

    where: Where
    column: str
    value: Any

    def is_true(self, frame: pd.DataFrame) -> bool:
        rows = select(frame, self.where)
        return len(rows) > 0 and bool((count_equal(rows[self.column], [self.value]) == len(rows)).all())


@dataclass
class Statistic(Claim):
    """The statistic of the 1 or 2 persons with these values."""

    where: Where
    column: str
    statistic: str
    value: float
    within: float = 1e-6

    def is_true(self, frame: pd.DataFrame) -> bool:
        value = select(frame, self.where)[self.column].agg(self.statistic)
        return bool(np.isclose(value, self.value, rtol=self.within))

    def is_about_few(self, frame: pd.DataFrame) -> bool:
        return is_few(select(frame, self.where))


@dataclass
class PersonMean(Claim):
    """The mean of a column over all rows of one person, who has this number of rows."""

    column: str
    mean: float
    rows: int

    def is_true(self, frame: pd.DataFrame) -> bool:
        persons = frame.groupby(PERSON)[self.column].agg(["mean", "size"])
        return bool((np.isclose(persons["mean"], self.mean) & (persons["size"] == self.rows)).sum() == 1)


@dataclass
class LargestAt(Claim):
    """The row at this position has the largest value."""

    column: str
    row: int

    def is_true(self, frame: pd.DataFrame) -> bool:
        return bool(frame[self.column].iloc[self.row] == frame[self.column].max())


def are_true(claims: Sequence[Claim], frame: pd.DataFrame) -> bool:
    """Whether all claims are true. Of many claims, some 20 are checked."""
    return all(claim.is_true(frame) for claim in claims[:: len(claims) // 20 + 1])


def leaks(claims: Sequence[Claim], frame: pd.DataFrame) -> bool:
    """Whether all claims are true, and one of them is about fewer than 3 persons."""
    return any(claim.is_about_few(frame) for claim in claims[:: len(claims) // 20 + 1]) and are_true(claims, frame)


def walk(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], object]]:
    """Yield the keys and leaves of a decoded result, with their paths."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key), key
            yield from walk(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from walk(item, (*path, i))
    else:
        yield path, value


def find_rare_cells(result: object, frame: pd.DataFrame, arguments: object = None) -> list[tuple[tuple[Any, ...], str]]:
    """Return path and column of each value in the result that is a cell of fewer than 3 rows, and not an argument.

    Whole numbers count only above the number of rows, because counts equal cells by chance.
    """
    values = {leaf for _, leaf in walk(arguments)}
    leaves = [(path, x) for path, x in walk(result) if x is not None and not isinstance(x, bool) and x not in values]
    texts = [(path, leaf) for path, leaf in leaves if isinstance(leaf, str)]
    numbers = [(path, float(leaf)) for path, leaf in leaves if isinstance(leaf, (int, float))]
    numbers = [(path, n) for path, n in numbers if not n.is_integer() or n > len(frame)]
    return [
        (path, column)
        for column in frame
        for path, _ in _match(numbers if pd.api.types.is_numeric_dtype(frame[column]) else texts, frame[column])
    ]


def _match(leaves: list[tuple[Any, Any]], cells: pd.Series) -> list[tuple[Any, Any]]:
    counts = count_equal(cells, [leaf for _, leaf in leaves], 1e-14) if leaves else []
    return [leaf for leaf, count in zip(leaves, counts, strict=True) if 0 < count < FEWEST]


Reveals = Callable[[Any, Any], Iterable[Claim]]
"""From a result and the task's arguments (of several tasks: two lists) to the claims of a reader."""


def cells(column: str, get: Callable[[Any], Iterable[Any]] = lambda result: result) -> Reveals:
    """Return the function that claims the cells of a column, which *get* takes from the result."""
    return lambda result, _: [Cells(column, get(result))]
