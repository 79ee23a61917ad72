"""Tables of the groups of one node without the cells of few records: counts, bins, levels, and numbers by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union

import numpy as np
import pandas as pd

from algotools.disclosure.reductions import aggregate
from algotools.disclosure.reductions import rows as reductions
from algotools.disclosure.reductions.calls import explain_refusals, refuse
from algotools.disclosure.reductions.conversion import RowsRefused, select_columns, to_column, to_numbers, to_rows
from algotools.disclosure.reductions.evidence import split_columns
from algotools.disclosure.reductions.groups import Groups, TableKind, add_label, add_margins, finish_table
from algotools.disclosure.reductions.labels import sort_labels
from algotools.disclosure.register import Register, get_register

Statistic = Union[str, Callable[..., Any]]

_COUNTS = TableKind("aggregate.table", 0, has_levels=True)


@explain_refusals
def table(a: Any, b: Any = None, /) -> dict[Any, Any]:
    """Return the number of rows of each level of a column, or of each pair of levels of two columns.

    Levels of few records are left out. Cells of few records are None.

    Args:
        a: a column.
        b: a second column; the result is then a dict of dicts: level of a -> level of b -> number of rows.
    """
    register = get_register()
    keys = [reductions.to_key(a)] if b is None else [reductions.to_key(a), reductions.to_key(b)]
    groups = Groups(register, keys[0], keys)
    levels = [_select_levels(register, key) for key in keys]
    if register.hides_cells:
        level_sets = [set(part) for part in levels]
        parts = ([label] if b is None else label for label in groups.labels)
        register.count_withheld(sum(not all(map(set.__contains__, level_sets, part)) for part in parts))
    table_levels = levels[0] if b is None else levels
    rows = pd.Series(np.ones(len(keys[0])), index=keys[0].index, name=keys[0].name)
    counts = reductions.count_rows(rows, keys, table_levels)
    cells = _to_cells(finish_table(register, _COUNTS, rows, groups, counts))
    if b is None:
        return dict(zip(levels[0], cells, strict=True))
    width = len(levels[1])
    lines = [cells[start : start + width] for start in range(0, len(cells), width)] if width else []
    return {level: dict(zip(levels[1], line, strict=True)) for level, line in zip(levels[0], lines, strict=False)}


@explain_refusals
def histogram(values: Any, edges: Any, /) -> list[int | None]:
    """Return the number of values in each bin; None for a bin of few records.

    The last bin contains its right edge, as in ``numpy.histogram``.

    Args:
        values: rows of one column.
        edges: the edges of the bins, an increasing sequence of numbers.
    """
    register = get_register()
    column = to_column(values)
    counts = pd.Series(reductions.count_bins(column, edges))
    column = column if isinstance(column, pd.Series) else pd.Series(column)
    numbers = to_numbers(column).to_numpy(dtype=float, na_value=np.nan)
    edges = np.asarray(edges, dtype=float)
    bins = np.searchsorted(edges, numbers, side="right") - 1.0
    bins[numbers == edges[-1]] = len(counts) - 1
    bins[~((numbers >= edges[0]) & (numbers <= edges[-1]))] = np.nan
    groups = Groups(register, column, pd.Series(bins, index=column.index))
    kind = TableKind("aggregate.histogram", 0, has_levels=True, has_labels=False)
    return _to_cells(finish_table(register, kind, column, groups, counts))


@explain_refusals
def levels(values: Any, /) -> list[Any]:
    """Return the distinct values of a column, sorted, without those of few records."""
    register = get_register()
    key = reductions.to_key(values)
    frequent = _select_levels(register, key)
    groups = Groups(register, key, key)
    records = dict(zip(groups.labels, groups.label_records.tolist(), strict=True))
    for level in frequent:
        add_label(register, "aggregate.levels", level, records[level])
    register.count_withheld(len(records) - len(frequent))
    return frequent


_STATISTICS: Mapping[str, Callable[..., Any]] = {
    "count": aggregate.count,
    "mean": aggregate.mean,
    "sum": aggregate.sum,
    "variance": aggregate.variance,
}


def by_group(data: Any, column: str, group: str, statistic: Statistic) -> dict[Any, Any]:
    """Return a statistic of a column for each group. Groups of few records are left out.

    Args:
        data: a table.
        column: the name of the column that is reduced.
        group: the name of the column with the group of each row.
        statistic: ``"count"``, ``"mean"``, ``"sum"``, ``"variance"``, or a function that reduces the column of one
            group. A number has evidence only if a reduction of ``aggregate`` has returned it.

    Raises:
        TotalRefused: the statistic or a column does not exist.
    """
    if isinstance(statistic, str) and statistic not in _STATISTICS:
        raise refuse("by_group", f"has an unknown statistic (choose from {', '.join(sorted(_STATISTICS))})")
    if isinstance(column, list) or isinstance(group, list):
        raise refuse("by_group", "has a list of columns; the by= of aggregate.mean and others can be a list of columns")
    try:
        rows = _read_table(data, [column, group])
    except RowsRefused as refused:
        raise refuse("by_group", refused.explain_without_total()) from None
    reduce = _STATISTICS[statistic] if isinstance(statistic, str) else statistic
    if reduce in _STATISTICS.values():
        table = reduce(rows[column], by=rows[group])
        return dict(zip(table.index.tolist(), table.tolist(), strict=True))
    return _reduce_groups(rows, column, group, reduce)


def _read_table(data: Any, names: Sequence[str]) -> pd.DataFrame:
    try:
        table = to_rows(select_columns(data, names))
    except KeyError:
        table = None
    if not isinstance(table, pd.DataFrame) or not set(names) <= set(table.columns):
        raise RowsRefused("is not a table with the two columns")
    return table


def _reduce_groups(rows: pd.DataFrame, column: str, group: str, reduce: Callable[..., Any]) -> dict[Any, Any]:
    register = get_register()
    groups = Groups(register, rows, rows[group])
    records = dict(zip(groups.labels, groups.label_records.tolist(), strict=True))
    visible_levels = _select_levels(register, rows[group])
    numbers = {label: i for i, label in enumerate(groups.labels)}
    result = {}
    for label in visible_levels:
        result[label] = reduce(rows[column].loc[groups.numbers == numbers[label]])
        add_label(register, "aggregate.by_group", label, records[label])
    register.count_withheld(len(records) - len(visible_levels))
    positions = {numbers[label] for label in visible_levels}
    # The author's function may count, or reduce the values.
    add_margins(register, "aggregate.count", groups, None, groups.label_records, positions, None)
    (values,) = split_columns(rows[column])
    add_margins(register, "aggregate.by_group", groups, values, groups.label_records, positions, None)
    return result


def _select_levels(register: Register, key: pd.Series) -> list[Any]:
    """Return the levels of a column in their order, without those of few records if cells are hidden."""
    groups = Groups(register, key, key)
    minimum = register.minimum if register.hides_cells else 1
    counts = zip(groups.labels, groups.label_records.tolist(), strict=True)
    return sort_labels(label for label, count in counts if count >= minimum)


def _to_cells(table: pd.Series) -> list[int | None]:
    """Return counts as plain numbers; None for a hidden cell."""
    return [None if count != count else int(count) for count in table.tolist()]  # noqa: PLR0124 - NaN
