"""Convert rows of each library, and the values that authors pass as rows, to numbers of pandas or numpy."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from algotools.data.names import quote_name

_NUMBERS = frozenset({"boolean", "decimal", "floating", "integer", "mixed-integer-float"})
"""Kinds of objects that ``infer_dtype`` of pandas distinguishes."""

_ADD = "total.add adds up values that are already reduced"
_DECLARE = "aggregate.declare declares values that are already reduced"


class RowsRefused(ValueError):
    """The value cannot be reduced. The text follows the words "the value of total.sum in line 5"."""

    def explain_without_total(self) -> str:
        """Return the text for a reduction of ``aggregate``."""
        return str(self).replace(_ADD, _DECLARE).replace("total.", "aggregate.")


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
        pause_if_unknown(value)
        way_out = "pass a column, such as data['age']" if isinstance(value, str) else _ADD
        raise RowsRefused(f"is {name_type(value)}, not rows; {way_out}")
    if value.ndim == 0:
        raise RowsRefused(f"is a single number, not rows; {_ADD}")
    return value


def select_columns(table: Any, names: Sequence[str]) -> Any:
    """Return a table with some of its columns. A lazy table remains lazy, so that only these columns are read.

    Raises:
        KeyError: the table of pandas or Arrow does not have a column.
    """
    library = type(table).__module__.partition(".")[0]
    distinct = list(dict.fromkeys(names))
    if library in {"polars", "pyarrow", "ibis"} and hasattr(table, "select"):
        return table.select(distinct)
    if library in {"duckdb", "_duckdb"}:
        return table.project(", ".join(map(quote_name, distinct)))
    return table[distinct] if isinstance(table, pd.DataFrame) else table


def name_type(value: object) -> str:
    """Return the type of a value with its article: ``an int``.

    The name of a class that no module contains may come from the data: it was created while the function ran.
    """
    kind = type(value)
    is_in_module = getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind
    name = kind.__name__ if is_in_module else "object of another class"
    return f"{'an' if name.startswith(tuple('aeioAEIO')) else 'a'} {name}"


def pause_if_unknown(value: Any) -> None:
    """Pause the run if a value is a total that is not known yet: any use of it does, see ``runtime.pooled``."""
    with contextlib.suppress(Exception):  # the pause is not an ``Exception``
        bool(value)


def to_column(values: Any) -> Any:
    """Return the values of one column as a Series or an array of one dimension."""
    rows = to_rows(values)
    if isinstance(rows, pd.DataFrame) and rows.shape[1] == 1:
        rows = rows.iloc[:, 0]
    if rows.ndim != 1:
        raise RowsRefused("has several columns; pass one column")
    return rows


def drop_missing(values: Any) -> Any:
    """Return the values of a column that are not missing, as an array of float64."""
    column = to_numbers(to_column(values))
    array = column.to_numpy(dtype=float, na_value=np.nan) if isinstance(column, pd.Series) else column.astype(float)
    return array[~np.isnan(array)]


def read_numbers(value: Any, reason: str) -> Any:
    """Return an argument that is not rows as an array of float64.

    Raises:
        RowsRefused: the argument is not a number or a sequence of numbers, for the given reason.
    """
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        pause_if_unknown(value)
        raise RowsRefused(reason) from None


def check_order(rows: Any, tables: Sequence[Any], name: str) -> None:
    """Refuse tables with the same labels of rows in another order: rows belong together by their positions.

    Raises:
        RowsRefused: the order of the rows differs, so that the result would be wrong.
    """
    if not isinstance(rows, (pd.Series, pd.DataFrame)):
        return
    for table in tables:
        if not isinstance(table, (pd.Series, pd.DataFrame)) or table.index.equals(rows.index):
            continue
        if len(table) == len(rows) and rows.index.is_unique and table.index.isin(rows.index).all():
            raise RowsRefused(f"has rows in another order than {name}; sort both in the same way, or pass arrays")


def to_numbers(rows: Any) -> Any:
    """Return rows whose values are numbers or booleans; Decimal becomes float."""
    if isinstance(rows, pd.DataFrame):
        # `DataFrame.apply` calls no function for a table without rows.
        columns = [to_numbers(rows.iloc[:, i]) for i in range(rows.shape[1])]
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
            pause_if_unknown(value)
    raise RowsRefused(
        "contains values that are not numbers; convert them, such as with pd.to_numeric, or count them with total.table"
    )


def to_floats(rows: Any) -> Any:
    """Return a pandas object with floats of numpy: sums of integers can overflow silently, and NA is no float."""
    if isinstance(rows, pd.Series) and (
        pd.api.types.is_integer_dtype(rows.dtype) or pd.api.types.is_extension_array_dtype(rows.dtype)
    ):
        return pd.Series(rows.to_numpy(dtype=float, na_value=np.nan), index=rows.index, name=rows.name)
    if isinstance(rows, pd.DataFrame) and not all(dtype.kind in "fc" for dtype in rows.dtypes):
        return rows.apply(to_floats)
    return rows


def to_matrix(value: Any) -> Any:
    """Return rows as an array of numbers of at least 64 bits, with NaN for missing values."""
    rows = to_numbers(to_rows(value))
    array = rows.to_numpy(dtype=float, na_value=np.nan) if isinstance(rows, (pd.Series, pd.DataFrame)) else rows
    array = np.asarray(array, dtype=np.result_type(array.dtype, np.float64))
    if array.ndim > 2:
        raise RowsRefused("has more than two dimensions")
    return array
