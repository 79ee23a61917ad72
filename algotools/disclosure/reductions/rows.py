"""Reductions of the rows of one node to a contribution: sums, counts, products, levels, moments, bins.

Rows are a Series, a DataFrame or an array of pandas, numpy, Polars, Arrow, DuckDB or Ibis. A contribution is a number,
an array, or a table of pandas with labels. Missing values are left out, as pandas does; numpy's ``sum`` keeps NaN.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from algotools.disclosure.reductions.bits import to_ordered_integers
from algotools.disclosure.reductions.conversion import (
    RowsRefused,
    check_order,
    drop_missing,
    name_type,
    pause_if_unknown,
    read_numbers,
    to_column,
    to_floats,
    to_matrix,
    to_numbers,
    to_rows,
)
from algotools.disclosure.reductions.labels import sort_labels

_NEEDS_EDGES = "needs edges that are an increasing array of at least 2 numbers, such as [0, 40, 80]"


def sum_rows(values: Any, by: Any = None, levels: Any = None) -> Any:
    """Return the sum over the rows: a number for a column, an entry per column for a table, a Series by group.

    Sums of booleans are counts, so they are integers: a gate judges counts by their size.
    """
    rows = to_numbers(to_rows(values))
    sums = _sum(to_floats(rows), by, levels)
    dtypes = rows.dtypes if isinstance(rows, pd.DataFrame) else [rows.dtype]
    if not all(map(pd.api.types.is_bool_dtype, dtypes)):
        return sums
    return sums.astype(np.int64) if np.ndim(sums) else int(sums)


def _sum(rows: Any, by: Any, levels: Any) -> Any:
    if by is not None:
        return _group(rows, by, levels)
    if isinstance(rows, (pd.Series, pd.DataFrame)):
        sums: Any = rows.sum()
        return sums.astype(np.result_type(sums.dtype, np.float64)) if isinstance(rows, pd.DataFrame) else sums.item()
    total = rows.sum(axis=0, dtype=np.result_type(rows.dtype, np.float64))
    return total if total.ndim else total.item()


def count_rows(values: Any, by: Any = None, levels: Any = None) -> Any:
    """Return the number of values that are not missing, in the shape of ``sum_rows``."""
    rows = to_rows(values)
    is_present = rows.notna() if isinstance(rows, (pd.Series, pd.DataFrame)) else ~pd.isna(rows)
    counts: Any
    if by is not None:
        counts = _group(is_present, by, levels)
        return counts.astype(np.int64)
    if isinstance(rows, pd.DataFrame):
        counts = is_present.sum()
        return counts.astype(np.int64)
    counts = np.asarray(is_present).sum(axis=0)
    return counts.astype(np.int64) if counts.ndim else int(counts)


def multiply_rows(x: Any, y: Any = None, weights: Any = None) -> Any:
    """Return x' W y as an array; y is x by default."""
    x_rows = to_matrix(x)
    right = x_rows if y is None else to_matrix(y)
    if len(x_rows) != len(right):
        raise RowsRefused("has x and y with different numbers of rows; x and y need the same rows")
    check_order(x, [table for table in (y, weights) if table is not None], "x")
    if weights is not None:
        factors = to_matrix(weights)
        if factors.shape != (len(x_rows),):
            raise RowsRefused("has weights of another shape; weights need one number for each row")
        right = right * (factors if right.ndim == 1 else factors[:, None])
    product = x_rows.T @ right
    return product if product.ndim else product.item()


def list_levels(values: Any, minimum: int) -> tuple[list[Any], int]:
    """Return the distinct values with at least *minimum* records, and the number of the others."""
    counts = pd.Series(to_column(values)).dropna().value_counts()
    frequent = counts[counts >= max(minimum, 1)]
    return sort_labels(frequent.index.tolist()), len(counts[counts > 0]) - len(frequent)


def find_extreme(values: Any, name: str) -> Any:
    """Return the smallest (``min``) or largest (``max``) value of each column; NaN without rows."""
    rows = to_floats(to_numbers(to_rows(values)))
    if isinstance(rows, pd.DataFrame):
        table = pd.DataFrame(rows.to_numpy(dtype=float, na_value=np.nan), columns=rows.columns)
        return getattr(table, name)()
    present = rows.to_numpy(dtype=float, na_value=np.nan) if isinstance(rows, pd.Series) else rows.astype(float)
    if not len(present):
        return np.full(present.shape[1:], np.nan) if present.ndim > 1 else np.nan
    ignore_missing = np.fmin if name == "min" else np.fmax
    extreme = ignore_missing.reduce(present, axis=0)
    return extreme if extreme.ndim else extreme.item()


def sum_powers(values: Any, order: int) -> dict[str, Any]:
    """Return the count, and an array with a row for the mean and for each sum of central powers 2 to *order*.

    For a table, the array has a column for each column, as a DataFrame if the columns have names. The counts are
    separate, and integers, so that a gate recognizes them.
    """
    rows = to_numbers(to_rows(values))
    array = (
        rows.to_numpy(dtype=float, na_value=np.nan)
        if isinstance(rows, (pd.Series, pd.DataFrame))
        else rows.astype(float)
    )
    is_present = ~np.isnan(array)
    count: Any = is_present.sum(axis=0)
    sums = np.where(is_present, array, 0.0).sum(axis=0)
    mean = np.divide(sums, count, out=np.zeros_like(sums), where=count > 0)
    with np.errstate(invalid="ignore"):  # infinities have no deviation
        deviations = np.where(is_present, array - mean, 0.0)
    powers: Any = np.stack([mean, *((deviations**k).sum(axis=0) for k in range(2, order + 1))])
    count = count.astype(np.int64) if count.ndim else int(count)
    if isinstance(rows, pd.DataFrame):
        count, powers = pd.Series(count, index=rows.columns), pd.DataFrame(powers, columns=rows.columns)
    return {"count": count, "powers": powers}


def sum_powers_by_group(values: Any, order: int, by: Any, levels: Any) -> dict[str, Any]:
    """Return the numbers of ``sum_powers`` for one column, with a column for each group."""
    column = to_numbers(to_column(values))
    check_order(column, to_keys(by), "by=")
    array = column.to_numpy(dtype=float, na_value=np.nan) if isinstance(column, pd.Series) else column.astype(float)
    counts, sums = count_rows(array, by), sum_rows(array, by)
    means = (sums / counts).where(counts > 0, 0.0)
    labels, numbers = number_groups(to_keys(by))
    mean_by_label = dict(zip(means.index.tolist(), means.tolist(), strict=True))
    means_of_rows = np.array([*(mean_by_label[label] for label in labels), np.nan])[numbers]  # -1: without a group
    with np.errstate(invalid="ignore"):  # infinities have no deviation
        deviations = array - means_of_rows
    powers = [sum_rows(deviations**k, by).where(np.isfinite(means)) for k in range(2, order + 1)]
    table = pd.DataFrame(np.stack([means, *powers]), columns=means.index)
    if levels is not None:
        index = _make_levels(levels, to_keys(by))
        counts, table = counts.reindex(index, fill_value=0), table.reindex(columns=index, fill_value=0.0)
    return {"count": counts, "powers": table}


def list_powers(powers: dict[str, Any]) -> list[Any]:
    """Return the count, the mean and the sums of ``sum_powers``: numbers, arrays, or Series by column or group."""
    count, table = powers["count"], powers["powers"]
    parts = [table.iloc[i] for i in range(len(table))] if isinstance(table, pd.DataFrame) else list(table)
    return [count, *(part.item() if not np.ndim(part) else part for part in parts)]


def count_bins(values: Any, edges: Any, *, has_open_bins: bool = False) -> Any:
    """Return the number of values in each bin, as ``numpy.histogram`` counts them.

    *has_open_bins*: the first count is that of the values below all edges, and the last that of the values above them.
    """
    column = drop_missing(values)
    edges = read_numbers(edges, _NEEDS_EDGES)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(edges[1:] >= edges[:-1]):
        raise RowsRefused(_NEEDS_EDGES)
    counts = np.histogram(column, edges)[0]
    if has_open_bins:
        if not np.all(np.isfinite(edges)):
            raise RowsRefused("needs finite edges; values outside the edges count, too")
        counts = np.array([(column < edges[0]).sum(), *counts, (column > edges[-1]).sum()])
    return counts.astype(np.int64)


def count_parts(values: Any, starts: Any, ends: Any) -> Any:
    """Return the number of values in each part of each interval: an array of intervals x parts.

    Args:
        values: the values of one column.
        starts: the first integer of each interval, in the order of floats.
        ends: the last integer of each part: intervals x parts.
    """
    column = np.sort(to_ordered_integers(drop_missing(values)))
    below = np.searchsorted(column, starts, side="left")
    return np.diff(np.searchsorted(column, ends, side="right"), axis=1, prepend=below[:, None]).astype(np.int64)


def _group(rows: Any, by: Any, levels: Any) -> Any:
    """Return the sum by group: a Series, or a DataFrame for a table. Rows without a group are left out."""
    # Each node reduces all totals of all earlier rounds again, and `DataFrame.groupby` takes ten times longer.
    keys = to_keys(by)
    if any(len(key) != len(rows) for key in keys):
        raise RowsRefused("has another number of rows than by=")
    check_order(rows, keys, "by=")
    values = rows.to_numpy(dtype=float, na_value=np.nan) if isinstance(rows, (pd.Series, pd.DataFrame)) else rows
    if values.dtype.kind == "c":
        raise RowsRefused("contains complex numbers, which cannot be summed by group")
    if values.ndim > 2:
        raise RowsRefused("has more than two dimensions")
    labels, numbers = number_groups(keys)
    is_counted = numbers >= 0
    if not is_counted.all():
        values, numbers = values[is_counted], numbers[is_counted]
    values = np.asarray(values, dtype=float)
    if (is_missing := np.isnan(values)).any():
        values = np.where(is_missing, 0.0, values)
    columns = [values] if values.ndim == 1 else list(values.T)
    sums: Any = np.zeros((len(labels) + 1, len(columns)))  # the last row is for a level without rows
    for i, column in enumerate(columns):
        sums[:-1, i] = np.bincount(numbers, column, len(labels))
    index = _make_levels(sort_labels(labels) if levels is None else levels, keys)
    positions = {label: i for i, label in enumerate(labels)}
    sums = sums[[positions.get(label, -1) for label in index.tolist()]]
    if values.ndim == 1:
        return pd.Series(sums[:, 0], index=index, name=getattr(rows, "name", None))
    return pd.DataFrame(sums, index=index, columns=getattr(rows, "columns", None))


def number_groups(keys: Sequence[pd.Series]) -> tuple[list[Any], Any]:
    """Return the groups, and the number of the group of each row; -1 for a row without a group."""
    if any(len(key) != len(keys[0]) for key in keys):
        raise RowsRefused("has columns of groups with different numbers of rows")
    try:
        (numbers, first), *others = map(pd.factorize, keys)
    except TypeError:
        raise RowsRefused("has groups that are lists or dicts; groups need texts, numbers or dates") from None
    if len(keys) == 1:
        return first.tolist(), numbers
    labels = [(label,) for label in first.tolist()]
    for key, (other_numbers, other_labels) in zip(keys[1:], others, strict=True):
        second_labels = other_labels.tolist()
        has_group = (numbers >= 0) & (other_numbers >= 0)
        pairs = numbers[has_group] * len(second_labels) + other_numbers[has_group]
        distinct, pair_numbers = np.unique(pairs, return_inverse=True)
        labels = [
            (*labels[pair // len(second_labels)], second_labels[pair % len(second_labels)])
            for pair in distinct.tolist()
        ]
        numbers = np.full(len(key), -1)
        numbers[has_group] = pair_numbers
    return labels, numbers


def to_keys(by: Any) -> list[pd.Series]:
    """Return the columns with the groups of the rows."""
    columns = by if isinstance(by, (list, tuple)) else [by]
    if not columns:
        raise RowsRefused("has an empty list in by=; by= needs a column, such as data['sex']")
    if any(isinstance(column, str) for column in columns):
        raise RowsRefused("has a text in by=; by= needs a column, such as data['sex']")
    return [to_key(column) for column in columns]


def to_key(values: Any) -> pd.Series:
    """Return the column with the group of each row, without the order of a category."""
    key = to_column(values)
    series = key if isinstance(key, pd.Series) else pd.Series(key)
    return series.astype(object) if isinstance(series.dtype, pd.CategoricalDtype) else series


def _make_levels(levels: Any, groups: Sequence[pd.Series]) -> pd.Index:
    names = [group.name for group in groups]
    levels = list(levels)
    if len(groups) == 1:
        if any(isinstance(level, (list, dict)) for level in levels):
            raise RowsRefused("has levels= with lists or dicts; pass one list of levels")
        index: pd.Index = pd.Index(levels, name=names[0], tupleize_cols=False)
        return index
    if len(levels) == len(groups) and all(isinstance(level, list) for level in levels):
        levels = list(itertools.product(*levels))
    if not all(isinstance(level, tuple) and len(level) == len(groups) for level in levels):
        raise RowsRefused("has levels= that do not fit by=; pass a list of levels for each column, or tuples")
    return (
        pd.MultiIndex.from_tuples(levels, names=names)
        if levels
        else pd.MultiIndex.from_arrays([[] for _ in groups], names=names)
    )


def count_levels(a: Any, b: Any = None) -> pd.Series:
    """Return the number of rows of each level of one column, or of each pair of levels of two columns."""
    keys = [to_key(a)] if b is None else [to_key(a), to_key(b)]
    counts: pd.Series = count_rows(np.ones(len(keys[0])), by=keys)
    return counts.rename(None)


def drop_nan(values: Any) -> Any:
    """Return rows in which NaN of an array is 0, so that the sum leaves it out."""
    rows = to_rows(values)
    if isinstance(rows, np.ndarray) and rows.dtype.kind in "fc":
        return np.where(np.isnan(rows), 0, rows)
    return rows


def check_reduced(value: Any) -> Any:
    """Return a value of ``total.add`` as a copy with plain numbers.

    Raises:
        RowsRefused: the value cannot be added over nodes, or has an entry for each row.
    """
    if isinstance(value, Mapping):
        return {key: check_reduced(item) for key, item in value.items()}
    if isinstance(value, (pd.Series, pd.DataFrame)):
        _check_labels(value)
        return _to_plain_numbers(to_numbers(value))
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (int, float, complex)):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "iufc":
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        value = value.astype(_widen(value.dtype))
        return value if value.ndim else value.item()
    pause_if_unknown(value)
    raise RowsRefused(
        f"is {name_type(value)}, which cannot be added; use a number, an array, a Series, a DataFrame or a dict of "
        "these"
    )


def _to_plain_numbers(table: Any) -> Any:
    """Return a copy of a Series or DataFrame with numbers of numpy in 64 bits."""
    if isinstance(table, pd.DataFrame):
        columns = [_to_plain_numbers(table.iloc[:, i]) for i in range(table.shape[1])]
        return pd.concat(columns, axis=1) if columns else table.copy()
    if pd.api.types.is_extension_array_dtype(table.dtype):
        is_whole = not table.isna().any() and not pd.api.types.is_float_dtype(table.dtype)
        return table.astype(np.int64) if is_whole else table.astype(float)
    return table.astype(_widen(table.dtype))


def _widen(dtype: Any) -> Any:
    """Return the type of 64 bits for numbers that several nodes add up."""
    return np.result_type(dtype, np.int64 if dtype.kind in "biu" else np.float64)


def _check_labels(value: Any) -> None:
    index = value.index
    if len(value) and index.nlevels == 1 and index.name is None and pd.api.types.is_integer_dtype(index.dtype):
        raise RowsRefused(
            "has one entry per row, or labels that look like numbers of rows. Use total.sum, which adds up rows; if "
            "they are labels, name the index"
        )
    if not index.is_unique:
        raise RowsRefused("has a label twice")


def divide(numerator: Any, denominator: Any) -> Any:
    """Return a quotient; NaN where the denominator is not positive."""
    if isinstance(denominator, (int, float)):
        return numerator / denominator if denominator > 0 else float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = numerator / denominator
    return (
        quotient.where(denominator > 0) if hasattr(quotient, "where") else np.where(denominator > 0, quotient, np.nan)
    )
