"""v4's preprocessing: what a task may have done to a database's table before the function gets it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union

import msgspec

from algotools.errors import InputError, UnknownColumn
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd

Bound = Union[int, float, str, None]


class FilterRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep the rows whose value is between two bounds, either of which may be absent."""

    column: str
    min_: Bound = None
    max_: Bound = None
    include_min: bool = False
    include_max: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """What must be read for it."""
        return (self.column,)

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that are kept; those without a value are not."""
        above: Callable[[Any, Any], Any] = operator.ge if self.include_min else operator.gt
        below: Callable[[Any, Any], Any] = operator.le if self.include_max else operator.lt
        if self.min_ is not None:
            frame = frame[above(frame[self.column], self.min_)]
        return frame if self.max_ is None else frame[below(frame[self.column], self.max_)]


class DummyPreprocess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep everything."""

    columns: tuple[str, ...] = ()

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame itself."""
        return frame


Step = Union[FilterRange, DummyPreprocess]

FUNCTIONS: dict[str, type[Step]] = {"filter_range": FilterRange, "dummy_preprocess": DummyPreprocess}
"""All that v4 has (4.15)."""


class _Asked(msgspec.Struct):
    function: str
    parameters: dict[str, Any] = {}


def steps(database: Database) -> list[Step]:
    """What the task asks for, in its order.

    Raises:
        InputError: it asks for something that v4 does not have; quotes no value.
    """
    try:
        asked = msgspec.json.decode(database.preprocessing or "[]", type=list[_Asked])
        if unknown := [item.function for item in asked if item.function not in FUNCTIONS]:
            raise InputError(
                f"database {database.label!r}: there is no preprocessing function {unknown[0][:60]!r}; "
                f"there are {', '.join(FUNCTIONS)}"
            )
        return [msgspec.convert(item.parameters, FUNCTIONS[item.function]) for item in asked]
    except msgspec.DecodeError as error:
        raise InputError(
            f"database {database.label!r}: the task's preprocessing is not what its function takes ({error})"
        ) from None


def apply(wanted: list[Step], frame: pd.DataFrame, database: Database) -> pd.DataFrame:
    """The table after all steps.

    Raises:
        UnknownColumn: a step names a column that the database does not have.
        InputError: a bound cannot be compared with the column's values.
    """
    for step in wanted:
        if missing := [column for column in step.columns if column not in frame.columns]:
            raise UnknownColumn(
                f"no column {missing[0]!r} in database {database.label!r}, on which the task's preprocessing works",
                detail=f"columns of {database.label}: {', '.join(map(str, frame.columns))}",
            )
        try:
            frame = step.apply(frame)
        except TypeError as error:
            raise InputError(
                f"database {database.label!r}: the bounds of the task's preprocessing cannot be compared with the "
                f"values of column {step.columns[0]!r}",
                detail=str(error),
            ) from None
    return frame
