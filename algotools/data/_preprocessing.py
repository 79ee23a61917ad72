"""v4's preprocessing: steps that a task applies to a table before the function receives the table."""

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
    """Keep the rows whose value is between two bounds. Both bounds are optional."""

    column: str
    min_: Bound = None
    max_: Bound = None
    include_min: bool = False
    include_max: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that the step needs."""
        return (self.column,)

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows in the range; rows without a value are dropped."""
        above: Callable[[Any, Any], Any] = operator.ge if self.include_min else operator.gt
        below: Callable[[Any, Any], Any] = operator.le if self.include_max else operator.lt
        if self.min_ is not None:
            frame = frame[above(frame[self.column], self.min_)]
        return frame if self.max_ is None else frame[below(frame[self.column], self.max_)]


class DummyPreprocess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep all rows."""

    columns: tuple[str, ...] = ()

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame unchanged."""
        return frame


Step = Union[FilterRange, DummyPreprocess]

FUNCTIONS: dict[str, type[Step]] = {"filter_range": FilterRange, "dummy_preprocess": DummyPreprocess}
"""All functions of v4 (4.15)."""


class _RequestedStep(msgspec.Struct):
    function: str
    parameters: dict[str, Any] = {}


def read_steps(database: Database) -> list[Step]:
    """Return the steps that the task requests, in its order.

    Raises:
        InputError: a step is not a valid step of v4. The message quotes no value.
    """
    try:
        items = msgspec.json.decode(database.preprocessing or "[]", type=list[_RequestedStep])
        if unknown_functions := [item.function for item in items if item.function not in FUNCTIONS]:
            raise InputError(
                f"database {database.label!r}: unknown preprocessing function {unknown_functions[0][:60]!r} "
                f"(choose from {', '.join(FUNCTIONS)})"
            )
        return [msgspec.convert(item.parameters, FUNCTIONS[item.function]) for item in items]
    except msgspec.DecodeError as error:
        raise InputError(
            f"database {database.label!r}: the parameters of the task's preprocessing are invalid ({error})"
        ) from None


def apply_steps(steps: list[Step], frame: pd.DataFrame, database: Database) -> pd.DataFrame:
    """Apply the steps to a table and return the result.

    Raises:
        UnknownColumn: a step names a column that the database does not have.
        InputError: a bound cannot be compared with the column's values.
    """
    for step in steps:
        if missing_columns := [column for column in step.columns if column not in frame.columns]:
            raise UnknownColumn(
                f"no column {missing_columns[0]!r} in database {database.label!r}; the task's preprocessing needs this "
                "column",
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
