"""Kinds of columns: numbers and categories, by the types of a table's columns.

A lazy form is judged by its schema, so no row is read, except to find that a column of the wrong type has no values:
the type of such a column differs by source and form. In memory the values decide where a type does not: in a column
of Python objects, and in floating-point numbers, which a missing value makes out of whole numbers.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, Literal

from algotools.data.names import quote_name

ColumnKind = Literal["numeric", "category"]

Content = Literal[
    "whole numbers", "numbers", "numbers with decimals", "booleans", "texts", "categories", "dates or times",
    "no values", "other values",
]  # fmt: skip
"""The content of a column, in words for a message. It never contains a value.

``numbers`` are floating-point numbers or decimals, of which it is unknown whether all are whole.
"""

_ACCEPTED: dict[ColumnKind, frozenset[Content]] = {
    "numeric": frozenset({"whole numbers", "numbers", "numbers with decimals", "no values"}),
    "category": frozenset({"whole numbers", "numbers", "booleans", "texts", "categories", "no values"}),
}

KINDS: dict[ColumnKind, str] = {
    "numeric": "a column of numbers",
    "category": "a column of categories (texts, booleans or whole numbers)",
}
"""Kind of a column -> its description, for a message."""


def explain_kind(form: str, table: Any, name: str, kind: ColumnKind) -> str:
    """Return the content of a column that is not of a kind, in words for a message; empty if it is of the kind.

    Args:
        form: the form of the table; see ``algotools.data.FORMS``.
        table: the table. It has the column.
        name: the name of the column.
        kind: the required kind.
    """
    contents = read_contents(form, table, name)
    refused = next((content for content in contents if content not in _ACCEPTED[kind]), "")
    return "" if refused and _has_no_values(form, table, name) else refused


def _has_no_values(form: str, table: Any, name: str) -> bool:
    """Return whether a column of a lazy table has only missing values; False for batches, which are read only once."""
    with contextlib.suppress(Exception):  # engines raise any class of error, and the schema has decided
        match form:
            case "lazy":
                import polars as pl

                return bool(table.select(pl.col(name).count()).collect().item() == 0)
            case "duckdb":
                return bool(table.aggregate(f"count({quote_name(name)})").fetchall()[0][0] == 0)
            case "ibis":
                return bool(table[name].count().execute() == 0)
    return False


def read_contents(form: str, table: Any, name: str) -> list[Content]:
    """Return the content of each column with this name; empty for a form that the function itself reads."""
    match form:
        case "pandas":
            positions = [position for position, label in enumerate(table.columns) if label == name]
            return [_read_pandas(table.iloc[:, position]) for position in positions]
        case "polars":
            return [_read_polars(table.schema[name], table[name])]
        case "lazy":
            return [_read_polars(table.collect_schema()[name])]
        case "arrow":
            return [_read_arrow(table.schema.field(name).type, table.column(name))]
        case "batches":
            return [_read_arrow(table.schema.field(name).type)]
        case "duckdb":
            return [_read_duckdb(dict(zip(table.columns, table.types, strict=True))[name])]
        case "ibis":
            return [_read_ibis(table.schema()[name])]
        case _:
            return []


def _read_pandas(column: Any) -> Content:
    import numpy as np
    import pandas as pd
    from pandas.api import types

    dtype: Any = column.dtype
    if str(dtype).startswith("Sparse["):
        dtype = dtype.subtype
    if not column.notna().any():
        return "no values"
    if isinstance(dtype, pd.CategoricalDtype):
        return "categories"
    if isinstance(dtype, pd.ArrowDtype):
        return _read_arrow(dtype.pyarrow_dtype, column.array.__arrow_array__())
    if dtype == "object":
        return _read_objects(column.dropna())
    if types.is_bool_dtype(dtype):
        return "booleans"
    if types.is_integer_dtype(dtype):
        return "whole numbers"
    if types.is_float_dtype(dtype):
        values = column.dropna().astype(float).dropna()
        return _describe_numbers(is_whole=bool((np.floor(values) == values).all()))
    if isinstance(dtype, pd.StringDtype):
        return "texts"
    if isinstance(dtype, pd.PeriodDtype) or types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        return "dates or times"
    return "other values"


_OBJECTS: dict[str, Content] = {
    "string": "texts", "integer": "whole numbers", "boolean": "booleans", "date": "dates or times",
    "datetime": "dates or times", "time": "dates or times", "timedelta": "dates or times", "period": "dates or times",
}  # fmt: skip
"""Result of ``pandas.api.types.infer_dtype`` -> content."""


def _read_objects(values: Any) -> Content:
    """Return the content of a column of Python objects, without missing values."""
    from pandas.api.types import infer_dtype

    kind = infer_dtype(values, skipna=True)
    if kind in ("floating", "mixed-integer-float", "decimal"):
        with contextlib.suppress(ArithmeticError, ValueError):  # an infinite decimal
            return _describe_numbers(is_whole=all(math.floor(value) == value for value in values))
        return "numbers with decimals"
    # A spreadsheet has codes such as 1, 2 and 2a in one column.
    return _OBJECTS.get(kind) or ("texts" if all(isinstance(value, (str, int)) for value in values) else "other values")


def _read_polars(dtype: Any, column: Any = None) -> Content:
    """Return the content of a column by its type, and by its values if they are in memory."""
    import polars as pl

    if dtype == pl.Null or (column is not None and column.null_count() == len(column)):
        return "no values"
    if dtype.is_integer():
        return "whole numbers"
    if dtype.is_float() or dtype.is_decimal():
        if column is None:
            return "numbers"
        values = column.drop_nulls()
        values = values.drop_nans() if dtype.is_float() else values
        return _describe_numbers(is_whole=bool((values.floor() == values).all()))
    if dtype.is_temporal():
        return "dates or times"
    contents: dict[Any, Content] = {
        pl.Boolean: "booleans", pl.String: "texts", pl.Categorical: "categories", pl.Enum: "categories",
    }  # fmt: skip
    return contents.get(dtype.base_type(), "other values")


def _read_arrow(dtype: Any, column: Any = None) -> Content:
    """Return the content of a column by its type, and by its values if they are in memory."""
    from pyarrow import compute, types

    if types.is_null(dtype) or (column is not None and column.null_count == len(column)):
        return "no values"
    if types.is_integer(dtype):
        return "whole numbers"
    if types.is_floating(dtype) or types.is_decimal(dtype):
        if column is None:
            return "numbers"
        values = column.drop_null()
        if types.is_floating(dtype):
            values = values.filter(compute.invert(compute.is_nan(values)))
        is_whole = compute.all(compute.equal(compute.floor(values), values)).as_py()
        return _describe_numbers(is_whole=is_whole is not False)  # None without numbers
    if types.is_boolean(dtype):
        return "booleans"
    if types.is_dictionary(dtype):
        return "categories"
    if types.is_temporal(dtype):
        return "dates or times"
    return "texts" if str(dtype) in ("string", "large_string", "string_view") else "other values"


_DUCKDB: dict[str, Content] = {
    "tinyint": "whole numbers", "smallint": "whole numbers", "integer": "whole numbers", "bigint": "whole numbers",
    "hugeint": "whole numbers", "utinyint": "whole numbers", "usmallint": "whole numbers", "uinteger": "whole numbers",
    "ubigint": "whole numbers", "uhugeint": "whole numbers", "float": "numbers", "double": "numbers",
    "decimal": "numbers", "boolean": "booleans", "varchar": "texts", "uuid": "texts", "enum": "categories",
    "null": "no values", "sqlnull": "no values", "date": "dates or times", "interval": "dates or times",
}  # fmt: skip
"""Identifier of a type of DuckDB -> content. The text of a type can contain values: ``ENUM('a', 'b')``."""


def _read_duckdb(dtype: Any) -> Content:
    return _DUCKDB.get(dtype.id) or ("dates or times" if dtype.id.startswith("time") else "other values")


def _read_ibis(dtype: Any) -> Content:
    if dtype.is_integer():
        return "whole numbers"
    if dtype.is_floating() or dtype.is_decimal():
        return "numbers"
    if dtype.is_boolean():
        return "booleans"
    if dtype.is_string() or dtype.is_uuid():
        return "texts"
    if dtype.is_temporal() or dtype.is_interval():
        return "dates or times"
    return "no values" if dtype.is_null() else "other values"


def _describe_numbers(*, is_whole: bool) -> Content:
    return "whole numbers" if is_whole else "numbers with decimals"
