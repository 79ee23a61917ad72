"""The evidence of reductions: the records behind each number, and the largest shares of single records.

The reductions of ``aggregate`` and the totals of a pooled function add it to the register of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from algotools.disclosure.reductions.conversion import to_matrix
from algotools.disclosure.reductions.records import Records, Summands, compute_shares, find_records
from algotools.disclosure.register import Reduced, Register

Weigh = Callable[[Any], Any]
"""Returns what each value contributes to a number, as an array of numbers that are not negative."""


class ColumnValues(NamedTuple):
    """The values of a column as numbers."""

    name: tuple[str, ...]
    """The column's name; empty if the column has no name."""
    array: Any
    """An array; values that are missing are NaN."""
    is_present: Any
    """Which values are not missing; None if all values are present."""

    @property
    def has_numbers(self) -> bool:
        """Whether the values are numbers or booleans."""
        return bool(self.array.dtype.kind in "biufc")


def split_columns(rows: Any) -> list[ColumnValues]:
    """Return the columns of a Series, a DataFrame or an array."""
    if isinstance(rows, pd.DataFrame):
        return [_read_series(rows.iloc[:, i]) for i in range(rows.shape[1])]
    if isinstance(rows, pd.Series):
        return [_read_series(rows)]
    columns = [rows] if rows.ndim == 1 else list(rows.reshape(len(rows), -1).T)
    return [ColumnValues((), column, _find_present(pd.isna(column))) for column in columns]


def _read_series(column: Any) -> ColumnValues:
    name = () if column.name is None else (str(column.name),)
    is_missing = column.isna().to_numpy()
    if pd.api.types.is_bool_dtype(column.dtype) and not is_missing.any():
        values = column.to_numpy(dtype=bool)
    elif pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        values = column.to_numpy(dtype=float, na_value=np.nan)
    else:
        values = column.to_numpy()
    return ColumnValues(name, values, _find_present(is_missing))


def _find_present(is_missing: Any) -> Any:
    return ~is_missing if is_missing.any() else None


class Measure(NamedTuple):
    """The records behind the number that a column is reduced to."""

    columns: tuple[str, ...]
    records: Records
    record_count: int
    largest_share: float | None = None
    two_largest_share: float | None = None
    make_summands: Callable[[], Summands | None] | None = None
    """Returns the summands of a sum of values."""


def measure_count(column: ColumnValues, records: Records) -> Measure:
    """Return the measure of the number of values that are not missing."""
    present = records.select(column.is_present)
    return Measure(column.name, present, present.count_records())


def measure_sum(column: ColumnValues, records: Records, weigh: Weigh = np.abs) -> Measure:
    """Return the measure of a sum, or of another number to which each value contributes a weight.

    Records without a weight are not behind the number: a sum of zeros and ones is a count of the ones.
    """
    present = records.select(column.is_present)
    values = column.array if column.is_present is None else column.array[column.is_present]
    is_condition = values.dtype.kind == "b" and weigh is np.abs
    weights = weigh(values.astype(float) if values.dtype.kind == "b" else values)
    weighted = present.select(weights != 0)
    shares = compute_shares(present.sum_weights(weights))
    # The set of a condition is that of a filter with it, so that it is compared with the set of all records.
    return Measure(
        columns=column.name,
        records=weighted if is_condition else present,
        record_count=weighted.count_records(),
        largest_share=shares[0],
        two_largest_share=shares[1],
        make_summands=lambda: records.make_summands(column.array),
    )


def add_measures(
    register: Register,
    operation: str,
    numbers: Any,
    measures: Sequence[Measure],
    parameters: int = 0,
) -> None:
    """Add numbers to the register.

    Args:
        register: the register of the run.
        operation: the reduction, as the author calls it.
        numbers: an array, whose last dimension has a number for each measure.
        measures: the records behind the numbers.
        parameters: see ``Evidence``.
    """
    if np.asarray(numbers).dtype.kind == "c":  # evidence is found by real numbers
        return
    sets: list[Any] = [None] * len(measures)

    def find_set(position: int) -> Any:
        # A column without a name is not comparable: another column can have other missing values.
        if sets[position] is None and measures[position].columns:
            sets[position] = measures[position].records.make_set()
        return sets[position]

    def find_summands(position: int) -> Summands | None:
        make_summands = measures[position].make_summands
        return make_summands() if make_summands else None

    register.add(
        Reduced(
            operation=operation,
            numbers=np.asarray(numbers, dtype=float),
            records=np.array([measure.record_count for measure in measures]),
            parameters=parameters,
            largest_share=np.array([measure.largest_share for measure in measures], dtype=float),
            two_largest_share=np.array([measure.two_largest_share for measure in measures], dtype=float),
            columns=[measure.columns for measure in measures],
            find_record_set=find_set,
            find_summands=find_summands,
        )
    )


def add_sums(register: Register, operation: str, rows: Any, sums: Any) -> None:
    """Add the sums of the columns of rows, and their means: an author can divide a sum by a count."""
    if register.collects:
        records = find_records(register, rows)
        measures = [measure_sum(column, records) for column in split_columns(rows)]
        counts = np.array([measure.records.row_count for measure in measures], dtype=float)
        totals = np.ravel(np.asarray(sums))
        with np.errstate(divide="ignore", invalid="ignore"):
            add_measures(register, operation, np.stack([totals, totals / counts]), measures)


def add_powers(
    register: Register, operation: str, rows: Any, numbers: Sequence[Any], power: int, parameters: int = 0
) -> None:
    """Add numbers to which each value contributes a power of its deviation from the mean, such as variances."""
    if register.collects:
        records = find_records(register, rows)
        measures = [
            measure_sum(column, records, lambda v: _raise_deviations(v, power)) for column in split_columns(rows)
        ]
        add_measures(register, operation, np.stack([np.ravel(number) for number in numbers]), measures, parameters)


def _raise_deviations(values: Any, power: int) -> Any:
    if power < 2 or not len(values):
        return np.abs(values)
    with np.errstate(invalid="ignore"):  # infinities have no deviation
        return np.abs(values - values.mean()) ** power


def add_counts(register: Register, operation: str, rows: Any, counts: Any) -> None:
    """Add the numbers of values that are not missing."""
    if register.collects:
        records = find_records(register, rows)
        measures = [measure_count(column, records) for column in split_columns(rows)]
        add_measures(register, operation, np.asarray(counts).ravel(), measures)


def add_cross_product(register: Register, operation: str, x: Any, y: Any, weights: Any, product: Any) -> None:
    """Add a cross product to the register.

    The records are the fewest rows in which a column is not 0, which reveals a dummy variable of one person, or the
    effective number of weights, which reveals weights that select a few rows.
    """
    if not register.collects or np.asarray(product).dtype.kind == "c":
        return
    records = find_records(register, x)
    parts = [to_matrix(x)] + ([] if y is None else [to_matrix(y)])
    factors = None if weights is None else to_matrix(weights)
    columns = [column for part in parts for column in (part.T if part.ndim == 2 else [part])]
    counts = [_count_nonzero(records, column) for column in columns]
    fitted, weighted = records.count_records(), records
    if factors is not None:
        weighted = records.select(factors != 0)
        fitted = min(_count_nonzero(records, factors), int(_count_effective(records, factors) + 1e-9))
        counts.append(fitted)
    # A column of zeros represents no record, and reveals nothing about those of other columns.
    fewest = min(filter(None, counts), default=0)
    column_count = parts[0].shape[1] if parts[0].ndim == 2 else 1
    names = tuple(name for column in split_columns(x) for name in column.name)
    register.add(
        Reduced(
            operation=operation,
            numbers=product,
            records=np.array([fewest]),
            # All records are fitted, not only the fewest, so the parameters per record stay those of all records.
            parameters=-(-column_count * fewest // max(fitted, 1)),
            columns=[names],
            find_record_set=lambda _: weighted.make_set() if names else None,
        )
    )


def _count_nonzero(records: Records, column: Any) -> int:
    return records.select(column != 0).count_records()


def _count_effective(records: Records, weights: Any) -> float:
    """Return the number of equal weights that would have the same variance of a sum."""
    sums = records.sum_weights(np.abs(weights))
    squares = float((sums**2).sum())
    return float(sums.sum()) ** 2 / squares if squares > 0 else 0.0
