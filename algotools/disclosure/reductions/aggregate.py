"""The reductions of the rows of one node, with evidence of the records behind each number.

The arguments are those of the totals of a pooled function. A reduction returns plain numbers, arrays and tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import pandas as pd

from algotools.disclosure.reductions import rows as reductions
from algotools.disclosure.reductions.calls import explain_refusals
from algotools.disclosure.reductions.conversion import RowsRefused, to_column, to_numbers, to_rows
from algotools.disclosure.reductions.evidence import add_counts, add_powers, add_sums
from algotools.disclosure.reductions.groups import Groups, TableKind, finish_table
from algotools.disclosure.register import get_register


@overload
def sum(values: pd.Series[Any], /, by: None = None, levels: None = None) -> float: ...
@overload
def sum(values: np.ndarray[Any, Any], /, by: None = None, levels: None = None) -> Any: ...
@overload
def sum(values: pd.DataFrame, /, by: None = None, levels: None = None) -> pd.Series[Any]: ...
@overload
def sum(values: Any, /, by: Any, levels: Sequence[Any] | None = None) -> pd.Series[Any]: ...
@overload
def sum(values: Any, /, by: Any = None, levels: Sequence[Any] | None = None) -> Any: ...
@explain_refusals
def sum(values: Any, /, by: Any = None, levels: Sequence[Any] | None = None) -> Any:
    """Return the sum over all rows of the node.

    Args:
        values: rows. A column gives a number, which is an int if the column has whole numbers, as in pandas; a table
            gives a Series with an entry for each column, an array the sum over its first axis.
        by: a column or a list of columns with the group of each row; the result is then a Series by group. Groups of
            few records are left out.
        levels: the groups of the result, in this order. A group of few records is then NaN.

    Raises:
        TotalRefused: the values are not rows of numbers.
    """
    rows = to_rows(values)
    sums = reductions.sum_rows(rows, by, levels)
    if by is not None:
        return _finish("sum", rows, by, levels, sums)
    numbers = to_numbers(rows)
    add_sums(get_register(), "aggregate.sum", numbers, sums)
    return _keep_integer(numbers, sums)


@overload
def count(values: Any, /, by: None = None, levels: None = None) -> int: ...
@overload
def count(values: Any, /, by: Any, levels: Sequence[Any] | None = None) -> pd.Series[Any]: ...
@explain_refusals
def count(values: Any, /, by: Any = None, levels: Sequence[Any] | None = None) -> Any:
    """Return the number of values that are not missing; the arguments are those of ``sum``."""
    rows = to_rows(values)
    counts = reductions.count_rows(rows, by, levels)
    if by is not None:
        return _finish("count", rows, by, levels, counts)
    add_counts(get_register(), "aggregate.count", rows, counts)
    return counts


@explain_refusals
def mean(values: Any, /, by: Any = None, levels: Sequence[Any] | None = None) -> Any:
    """Return the mean of the values that are not missing; NaN without rows. The arguments are those of ``sum``."""
    rows = to_rows(values)
    sums = reductions.sum_rows(reductions.drop_nan(rows), by, levels)
    means = reductions.divide(sums, reductions.count_rows(rows, by, levels))
    if by is not None:
        return _finish("mean", rows, by, levels, means)
    add_sums(get_register(), "aggregate.mean", to_numbers(rows), means)
    return means


@explain_refusals
def variance(values: Any, /, by: Any = None, levels: Sequence[Any] | None = None, *, ddof: int = 1) -> Any:
    """Return the variance of the values that are not missing: the squared deviations divided by n - ddof.

    The arguments are those of ``sum``, but with ``by`` the rows are one column.
    """
    if not isinstance(ddof, (int, float, np.number)):
        raise RowsRefused("has a ddof= that is not a number")
    rows = to_numbers(to_rows(values))
    if by is not None:
        count, _, squares = reductions.list_powers(reductions.sum_powers_by_group(rows, 2, by, levels))
        return _finish("variance", to_column(rows), by, levels, reductions.divide(squares, count - ddof))
    count, _, squares = reductions.list_powers(reductions.sum_powers(rows, 2))
    variances = reductions.divide(squares, count - ddof)
    numbers = [variances, np.sqrt(variances)]  # an author returns a standard deviation
    add_powers(get_register(), "aggregate.variance", rows, numbers, 2)
    return variances


@explain_refusals
def moments(values: Any, order: int, /) -> list[Any]:
    """Return the mean, and the central moments 2 to *order*, each divided by n (as ``scipy.stats.moment``)."""
    if isinstance(order, bool) or not hasattr(order, "__index__") or order < 1:
        raise RowsRefused("has an order that is not a whole number of at least 1")
    rows = to_numbers(to_rows(values))
    count, mean, *sums = reductions.list_powers(reductions.sum_powers(rows, order))
    result = [reductions.divide(mean * count, count), *(reductions.divide(power, count) for power in sums)]
    for power, moment in enumerate(result, start=1):
        add_powers(get_register(), "aggregate.moments", rows, [moment], power, parameters=int(order))
    return result


_LARGEST_INTEGER = 2**53
"""Integers up to this number are exact as floats."""


def _keep_integer(rows: Any, number: Any) -> Any:
    """Return the sum of a column of integers as an int, if the sum of floats is exact."""
    is_integer = np.ndim(number) == 0 and rows.ndim == 1 and pd.api.types.is_integer_dtype(rows.dtype)
    return int(number) if is_integer and abs(number) <= _LARGEST_INTEGER else number


_POWERS = {"count": 0, "variance": 2}
"""Reduction -> ``TableKind.power``."""


def _finish(operation: str, rows: Any, by: Any, levels: Sequence[Any] | None, table: Any) -> Any:
    """Return a table of groups without the cells of few records."""
    register = get_register()
    kind = TableKind(f"aggregate.{operation}", _POWERS.get(operation, 1), has_levels=levels is not None)
    rows = to_numbers(rows) if kind.power else rows
    return finish_table(register, kind, rows, Groups(register, rows, by), table)
