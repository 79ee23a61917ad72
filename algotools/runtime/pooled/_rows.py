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

from algotools.runtime.pooled._bits import to_ordered_integers
from algotools.runtime.pooled._labels import sort_labels
from algotools.runtime.pooled._unknown import Unknown

_NUMBERS = frozenset({"boolean", "decimal", "floating", "integer", "mixed-integer-float"})
"""Kinds of objects that ``infer_dtype`` of pandas distinguishes."""

_ADD = "total.add adds up values that are already reduced"


class RowsRefused(ValueError):
    """The value cannot be reduced. The text follows the words "the value of total.sum in line 5"."""


def to_rows(value: Any) -> Any:
    """Return rows as a pandas object or an array of at least one dimension."""
    library = type(value).__module__.partition(".")[0]
    if library == "polars" and type(value).__name__ in {"LazyFrame", "DataFrame", "Series"}:
        value = value.collect() if type(value).__name__ == "LazyFrame" else value
        value = value.to_pandas()
    elif library == "pyarrow" and type(value).__name__ != "Scalar" and hasattr(value, "to_pandas"):
        value = value.to_pandas()
    elif library in ("duckdb", "_duckdb") and type(value).__name__ == "DuckDBPyRelation":
        value = value.df()
    elif library == "ibis":
        value = value.execute()
    if isinstance(value, pd.Index):
        value = value.to_series()
    if isinstance(value, (pd.Series, pd.DataFrame)):
        return value
    if isinstance(value, (list, tuple, range, pd.api.extensions.ExtensionArray)):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray):
        _use(value)
        way_out = "pass a column, such as data['age']" if isinstance(value, str) else _ADD
        raise RowsRefused(f"is {name_type(value)}, not rows; {way_out}")
    if value.ndim == 0:
        raise RowsRefused(f"is a single number, not rows; {_ADD}")
    return value


def name_type(value: object) -> str:
    """Return the type of a value with its article: ``an int``."""
    name = type(value).__name__
    return f"{'an' if name.startswith(tuple('aeioAEIO')) else 'a'} {name}"


def _use(value: Any) -> None:
    """Pause the run if a value is a total that is not known yet."""
    if isinstance(value, Unknown):
        bool(value)


def sum_rows(values: Any, by: Any = None, levels: Any = None) -> Any:
    """Return the sum over the rows: a number for a column, an entry per column for a table, a Series by group."""
    rows = _to_floats(_to_numbers(to_rows(values)))
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
    x_rows = _to_matrix(x)
    right = x_rows if y is None else _to_matrix(y)
    if len(x_rows) != len(right):
        raise RowsRefused("has x and y with different numbers of rows; x and y need the same rows")
    if weights is not None:
        factors = _to_matrix(weights)
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
    rows = _to_floats(_to_numbers(to_rows(values)))
    if isinstance(rows, pd.DataFrame):
        table = pd.DataFrame(rows.to_numpy(dtype=float, na_value=np.nan), columns=rows.columns)
        return getattr(table, name)()
    present = rows.to_numpy(dtype=float, na_value=np.nan) if isinstance(rows, pd.Series) else rows.astype(float)
    if not len(present):
        return np.full(present.shape[1:], np.nan) if present.ndim > 1 else np.nan
    ignore_missing = np.fmin if name == "min" else np.fmax
    extreme = ignore_missing.reduce(present, axis=0)
    return extreme if extreme.ndim else extreme.item()


def sum_powers(values: Any, order: int) -> Any:
    """Return the count, the mean and the sums of central powers 2 to *order*: an array with a row for each of them.

    For a table, the array has a column for each column, as a DataFrame if the columns have names.
    """
    rows = _to_numbers(to_rows(values))
    array = (
        rows.to_numpy(dtype=float, na_value=np.nan)
        if isinstance(rows, (pd.Series, pd.DataFrame))
        else rows.astype(float)
    )
    is_present = ~np.isnan(array)
    count = is_present.sum(axis=0)
    sums = np.where(is_present, array, 0.0).sum(axis=0)
    mean = np.divide(sums, count, out=np.zeros_like(sums), where=count > 0)
    with np.errstate(invalid="ignore"):  # infinities have no deviation
        deviations = np.where(is_present, array - mean, 0.0)
    powers = np.stack([count.astype(float), mean, *((deviations**k).sum(axis=0) for k in range(2, order + 1))])
    return pd.DataFrame(powers, columns=rows.columns) if isinstance(rows, pd.DataFrame) else powers


def sum_powers_by_group(values: Any, order: int, by: Any, levels: Any) -> pd.DataFrame:
    """Return the rows of ``sum_powers`` for one column, with a column for each group."""
    column = _to_numbers(to_column(values))
    array = column.to_numpy(dtype=float, na_value=np.nan) if isinstance(column, pd.Series) else column.astype(float)
    counts, sums = count_rows(array, by), sum_rows(array, by)
    means = (sums / counts).where(counts > 0, 0.0)
    labels, numbers = _number_groups(_to_keys(by))
    mean_by_label = dict(zip(means.index.tolist(), means.tolist(), strict=True))
    means_of_rows = np.array([*(mean_by_label[label] for label in labels), np.nan])[numbers]  # -1: without a group
    with np.errstate(invalid="ignore"):  # infinities have no deviation
        deviations = array - means_of_rows
    powers = [sum_rows(deviations**k, by).where(np.isfinite(means)) for k in range(2, order + 1)]
    table = pd.DataFrame(np.stack([counts.astype(float), means, *powers]), columns=means.index)
    return table if levels is None else table.reindex(columns=_make_levels(levels, _to_keys(by)), fill_value=0.0)


def count_bins(values: Any, edges: Any) -> Any:
    """Return the number of values in each bin, as ``numpy.histogram`` counts them."""
    column = _drop_missing(values)
    edges = np.asarray(edges, dtype=float)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(edges[1:] >= edges[:-1]):
        raise RowsRefused("needs edges that are an increasing array of at least 2 numbers, such as [0, 40, 80]")
    return np.histogram(column, edges)[0].astype(np.int64)


def count_below(values: Any, thresholds: Any) -> Any:
    """Return the number of values at or below each threshold, and the number of all values at the end."""
    column = np.sort(to_ordered_integers(_drop_missing(values)))
    counts = np.searchsorted(column, thresholds, side="right")
    return np.append(counts, len(column)).astype(np.int64)


def to_column(values: Any) -> Any:
    """Return the values of one column as a Series or an array of one dimension."""
    rows = to_rows(values)
    if isinstance(rows, pd.DataFrame) and rows.shape[1] == 1:
        rows = rows.iloc[:, 0]
    if rows.ndim != 1:
        raise RowsRefused("has several columns; pass one column")
    return rows


def _drop_missing(values: Any) -> Any:
    column = _to_numbers(to_column(values))
    array = column.to_numpy(dtype=float, na_value=np.nan) if isinstance(column, pd.Series) else column.astype(float)
    return array[~np.isnan(array)]


def _to_numbers(rows: Any) -> Any:
    """Return rows whose values are numbers or booleans; Decimal becomes float."""
    if isinstance(rows, pd.DataFrame):
        # `DataFrame.apply` calls no function for a table without rows.
        columns = [_to_numbers(rows.iloc[:, i]) for i in range(rows.shape[1])]
        return pd.concat(columns, axis=1) if columns else rows
    if pd.api.types.is_numeric_dtype(rows.dtype) or pd.api.types.is_bool_dtype(rows.dtype):
        return rows
    is_missing = pd.isna(rows)
    if isinstance(rows, np.ndarray):
        kind = pd.api.types.infer_dtype(rows.ravel(), skipna=True) if rows.dtype == object else ""
    else:
        kind = pd.api.types.infer_dtype(rows, skipna=True)
    has_no_type = rows.dtype == object or pd.api.types.is_string_dtype(rows.dtype)
    if kind in _NUMBERS or (has_no_type and is_missing.all()):  # for instance a file without rows
        return (
            rows.where(~is_missing, np.nan) if isinstance(rows, pd.Series) else np.where(is_missing, np.nan, rows)
        ).astype(float)
    if kind == "mixed":
        for value in np.ravel(rows):
            _use(value)
    raise RowsRefused(
        "contains values that are not numbers; convert them, such as with pd.to_numeric, or count them with total.table"
    )


def _to_floats(rows: Any) -> Any:
    """Return a pandas object with floats of numpy: sums of integers can overflow silently, and NA is no float."""
    if isinstance(rows, pd.Series) and (
        pd.api.types.is_integer_dtype(rows.dtype) or pd.api.types.is_extension_array_dtype(rows.dtype)
    ):
        return pd.Series(rows.to_numpy(dtype=float, na_value=np.nan), index=rows.index, name=rows.name)
    if isinstance(rows, pd.DataFrame) and not all(dtype.kind in "fc" for dtype in rows.dtypes):
        return rows.apply(_to_floats)
    return rows


def _to_matrix(value: Any) -> Any:
    rows = _to_numbers(to_rows(value))
    array = rows.to_numpy(dtype=float, na_value=np.nan) if isinstance(rows, (pd.Series, pd.DataFrame)) else rows
    array = np.asarray(array, dtype=np.result_type(array.dtype, np.float64))
    if array.ndim > 2:
        raise RowsRefused("has more than two dimensions")
    return array


def _group(rows: Any, by: Any, levels: Any) -> Any:
    """Return the sum by group: a Series, or a DataFrame for a table. Rows without a group are left out."""
    # Each node reduces all totals of all earlier rounds again, and `DataFrame.groupby` takes ten times longer.
    keys = _to_keys(by)
    if any(len(key) != len(rows) for key in keys):
        raise RowsRefused("has another number of rows than by=")
    values = rows.to_numpy(dtype=float, na_value=np.nan) if isinstance(rows, (pd.Series, pd.DataFrame)) else rows
    if values.dtype.kind == "c":
        raise RowsRefused("contains complex numbers, which cannot be summed by group")
    if values.ndim > 2:
        raise RowsRefused("has more than two dimensions")
    labels, numbers = _number_groups(keys)
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


def _number_groups(keys: Sequence[pd.Series]) -> tuple[list[Any], Any]:
    """Return the groups, and the number of the group of each row; -1 for a row without a group."""
    numbers, first = pd.factorize(keys[0])
    if len(keys) == 1:
        return first.tolist(), numbers
    labels = [(label,) for label in first.tolist()]
    for key in keys[1:]:
        other_numbers, other_labels = pd.factorize(key)
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


def _to_keys(by: Any) -> list[pd.Series]:
    columns = by if isinstance(by, (list, tuple)) else [by]
    if any(isinstance(column, str) for column in columns):
        raise RowsRefused("has a text in by=; by= needs a column, such as data['sex']")
    return [_to_key(column) for column in columns]


def _to_key(values: Any) -> pd.Series:
    key = to_column(values)
    series = key if isinstance(key, pd.Series) else pd.Series(key)
    return series.astype(object) if isinstance(series.dtype, pd.CategoricalDtype) else series


def _make_levels(levels: Any, groups: Sequence[pd.Series]) -> pd.Index:
    names = [group.name for group in groups]
    levels = list(levels)
    if len(groups) == 1:
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
    keys = [_to_key(a)] if b is None else [_to_key(a), _to_key(b)]
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
        return _to_plain_numbers(_to_numbers(value))
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (int, float, complex)):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "iufc":
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        value = value.astype(_widen(value.dtype))
        return value if value.ndim else value.item()
    _use(value)
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
