"""The reductions of the rows of one node, with evidence of the records behind each number.

The arguments are those of the totals of a pooled function. A reduction returns plain numbers, arrays and tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from algotools.disclosure.reductions import rows as reductions
from algotools.disclosure.reductions.calls import explain_refusals
from algotools.disclosure.reductions.conversion import to_numbers, to_rows
from algotools.disclosure.reductions.evidence import add_count, add_sum
from algotools.disclosure.reductions.groups import Groups, TableKind, finish_table
from algotools.disclosure.register import get_register

if TYPE_CHECKING:
    import pandas as pd


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
        values: rows. A column gives a number, a table a Series with an entry for each column, an array the sum over its
            first axis.
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
    add_sum(get_register(), "aggregate.sum", to_numbers(rows), sums)
    return sums


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
    add_count(get_register(), "aggregate.count", rows, counts)
    return counts


@explain_refusals
def mean(values: Any, /, by: Any = None, levels: Sequence[Any] | None = None) -> Any:
    """Return the mean of the values that are not missing; NaN without rows. The arguments are those of ``sum``."""
    rows = to_rows(values)
    sums = reductions.sum_rows(reductions.drop_nan(rows), by, levels)
    means = reductions.divide(sums, reductions.count_rows(rows, by, levels))
    if by is not None:
        return _finish("mean", rows, by, levels, means)
    add_sum(get_register(), "aggregate.mean", to_numbers(rows), means)
    return means


def _finish(operation: str, rows: Any, by: Any, levels: Sequence[Any] | None, table: Any) -> Any:
    """Return a table of groups without the cells of few records."""
    register = get_register()
    has_weights = operation != "count"
    kind = TableKind(f"aggregate.{operation}", has_weights=has_weights, has_levels=levels is not None)
    rows = to_numbers(rows) if has_weights else rows
    return finish_table(register, kind, rows, Groups(register, rows, by), table)
