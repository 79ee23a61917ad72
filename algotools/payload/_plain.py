"""Plain encoding: strict JSON for the researcher.

The type of a value decides its encoding, not an annotation: a numpy integer stays an integer. JSON has no NaN and no
infinity, so they become null. The encoding lists the paths of these nulls, so that a log message can name them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import msgspec

from algotools.errors import NotSerializable
from algotools.payload._types import (
    STANDARD,
    ValueKind,
    check_array,
    find_kind,
    find_standard,
    refuse,
    simplify,
    simplify_key,
)
from algotools.payload.values import (
    BadValue,
    Key,
    Path,
    check_size,
    collect_lazy,
    compute_table,
    name_type,
    read_batches,
)

_SMALLEST_CELL = len('"0":0')
"""Smallest number of bytes for a value of a table in JSON."""

_PROBLEM = "has no JSON form"

_RESULTS_ONLY = frozenset({bytes, bytearray, complex})
"""Types with a JSON form only in results. A function would get such an argument as a text or a dict without notice."""


class Plain(NamedTuple):
    """JSON, and the paths at which NaN, infinity or a missing value became null."""

    data: bytes
    nulls: list[Path]


def encode_plain(value: object, source_texts: Iterable[str] = ()) -> Plain:
    """Encode a result as strict JSON.

    An error message shows a key of the value only if it is in ``source_texts``, the texts in the algorithm's source.

    Raises:
        NotSerializable: a part of the value has no JSON form. The message contains the path to the part.
        ResultTooLarge: the JSON has more bytes than one result may have.
    """
    nulls: list[Path] = []
    try:
        tree = convert(value, (), nulls.append)
    except BadValue as problem:
        raise problem.to_error(source_texts) from None
    except RecursionError:
        raise NotSerializable("result: it contains itself, or is nested too deeply for JSON") from None
    try:
        data = msgspec.json.encode(tree)
    except UnicodeEncodeError:
        raise NotSerializable("result: it contains a text that is not valid Unicode (a lone surrogate)") from None
    except ValueError:
        raise NotSerializable("result: it contains an integer with too many digits for JSON") from None
    except RecursionError:
        raise NotSerializable("result: it is nested too deeply for JSON") from None
    check_size(len(data))
    return Plain(data, nulls)


Report = Callable[[Path], object]
"""Callback for the path of each value that becomes null."""


def convert(value: Any, path: Path, report_null: Report | None) -> object:
    """Convert a value to texts, numbers, lists and dicts.

    NaN and infinity become None, and their paths are passed to ``report_null``. If ``report_null`` is None, they are
    unchanged.
    """
    kind: type = type(value)
    if value is None or kind is bool or kind is int or kind is str:
        return value
    if kind is float:
        return _convert_float(value, path, report_null)
    if kind is list:
        return _convert_sequence(value, path, report_null)
    if kind is dict:
        return _convert_mapping(value.items(), path, report_null)
    return CONVERSIONS[find_kind(kind)](value, path, report_null)


def _refuse(value: Any, path: Path, _report_null: Report | None) -> object:
    raise refuse(value, path, _PROBLEM)


def _convert_standard(value: Any, path: Path, report_null: Report | None) -> object:
    kind = find_standard(type(value))
    if report_null is None and kind in _RESULTS_ONLY:
        raise refuse(value, path, _PROBLEM)
    return convert(STANDARD[kind].to_plain(value), path, report_null)


def _convert_float(value: float, path: Path, report_null: Report | None) -> object:
    return value if report_null is None or math.isfinite(value) else _report_missing(path, report_null)


def _report_missing(path: Path, report_null: Report | None) -> object:
    """Return None for a missing value and report the path."""
    if report_null is not None:
        report_null(path)
    return None


def _convert_sequence(values: Any, path: Path, report_null: Report | None) -> list[object]:
    kinds = set(map(type, values))
    if kinds <= {int, str, bool, type(None)} or (
        kinds == {float} and (report_null is None or all(map(math.isfinite, values)))
    ):
        return list(values)
    return [convert(value, (*path, position), report_null) for position, value in enumerate(values)]


def _convert_mapping(items: Iterable[tuple[object, Any]], path: Path, report_null: Report | None) -> dict[str, object]:
    tree: dict[str, object] = {}
    for position, (key, value) in enumerate(items):
        step = (*path, Key(key, position))
        text = key if type(key) is str else _convert_key(key, step, report_null)
        if text in tree:
            raise BadValue(step, "two keys of the mapping have the same text in JSON")
        tree[text] = convert(value, step, report_null)
    return tree


def _convert_key(key: object, path: Path, report_null: Report | None) -> str:
    """Convert a key to a text.

    A number, a boolean or None becomes the text that Python's json module writes, and a tuple the text of a list.
    """
    if type(key) is not int:
        if report_null is None and isinstance(key, tuple):
            raise BadValue(path, f"a key of type {name_type(type(key))} {_PROBLEM}; use a text")
        key = simplify_key(key, path, _PROBLEM)
    # A number as a key keeps NaN. Inside of a tuple, NaN becomes null, because the text of the list is JSON.
    tree = key if isinstance(key, (int, float)) else convert(key, path, lambda _path: None)
    if isinstance(tree, str):
        return tree
    try:
        return json.dumps(tree, ensure_ascii=False)
    except ValueError:
        raise BadValue(path, "a key is an integer with too many digits for JSON; use a text") from None


def _convert_array(value: Any, path: Path, report_null: Report | None) -> object:
    """Convert an array or a scalar of numpy. A structure becomes a dict, and an array of structures a list of dicts."""
    import numpy as np

    check_array(value, path, _PROBLEM)
    kind = value.dtype.kind
    if isinstance(value, np.ndarray):
        check_size(2 * value.size)  # at least a digit and a comma per number
        if kind == "f" and value.dtype.itemsize > 8:
            with np.errstate(over="ignore"):
                value = value.astype(np.float64)
        if value.ndim == 0:
            return convert(value.item() if kind in "OT" else value[()], path, report_null)
        if kind in "iub" or (kind == "f" and report_null is None) or (kind == "f" and np.isfinite(value).all()):
            return cast("list[object]", value.tolist())
        return convert(list(value) if kind in "mMcV" else value.tolist(), path, report_null)
    if kind in "mM":
        return _report_missing(path, report_null) if np.isnat(value) else str(value)
    if kind == "f":
        return _convert_float(float(value), path, report_null)
    if kind == "c":
        return convert(complex(value), path, report_null)
    if value.dtype.names is not None:
        return _convert_mapping(((name, value[name]) for name in value.dtype.names), path, report_null)
    return convert(value.item(), path, report_null)


def _convert_masked(value: Any, path: Path, report_null: Report | None) -> object:
    """Convert a masked array. A masked value becomes null."""
    check_array(value, path, _PROBLEM)
    if value.dtype.kind in "biufOSU":
        return _convert_array(value.astype(object).filled(math.nan), path, report_null)
    if value.ndim:  # as objects, times of some units would be integers
        check_size(2 * value.size)
        return _convert_sequence(list(value), path, report_null)
    if value.dtype.names is not None:
        return _convert_mapping(((name, value[name]) for name in value.dtype.names), path, report_null)
    return _report_missing(path, report_null) if value.mask else convert(value.data[()], path, report_null)


def _convert_pandas(value: Any, path: Path, report_null: Report | None) -> object:
    import pandas as pd

    if isinstance(value, (pd.DataFrame, pd.Series)):
        check_size(_SMALLEST_CELL * value.size)
        if any(isinstance(labels, pd.MultiIndex) for labels in value.axes):
            return _convert_levels(value, path, report_null)
    if isinstance(value, pd.DataFrame):
        return _convert_mapping(
            ((label, value.iloc[:, position]) for position, label in enumerate(value.columns)), path, report_null
        )
    if isinstance(value, pd.Series):
        return _convert_mapping(
            zip(value.index.tolist(), _list_values(value.tolist, path), strict=True), path, report_null
        )
    return _convert_sequence(_list_values(value.tolist, path), path, report_null)


def _list_values(to_list: Callable[[], object], path: Path) -> list[Any]:
    """Return the values of a column as Python objects, from the method of the column's library.

    Raises:
        BadValue: Python does not have the value, such as a date after the year 9999.
    """
    try:
        return cast("list[Any]", to_list())
    except BaseException as error:  # Polars panics, and a panic is not an Exception
        if not isinstance(error, (ValueError, OverflowError)) and type(error).__name__ != "PanicException":
            raise
        raise BadValue(path, "a date, time or duration is out of Python's range; return it as a text") from None


def _convert_levels(value: Any, path: Path, report_null: Report | None) -> dict[str, object]:
    """Convert a table with several levels of labels to the form that pandas calls "tight".

    ``pandas.DataFrame.from_dict(…, orient="tight")`` restores the table, with the names of the levels.
    """
    import pandas as pd

    frame = value if isinstance(value, pd.DataFrame) else value.to_frame(value.name)
    cells = [_list_values(frame.iloc[:, position].tolist, path) for position in range(frame.shape[1])]
    parts = {
        "index": _list_labels(frame.index),
        "columns": _list_labels(frame.columns) if frame is value else [value.name],
        "data": list(zip(*cells, strict=True)) if cells else [()] * len(frame),
        "index_names": list(frame.index.names),
        "column_names": list(frame.columns.names),
    }
    return _convert_mapping(parts.items(), path, report_null)


def _list_labels(labels: Any) -> list[Any]:
    """Return the labels of an index: with several levels tuples, with one level no tuples."""
    return cast("list[Any]", (labels if labels.nlevels > 1 else labels.get_level_values(0)).tolist())


def _convert_pandas_scalar(value: Any, path: Path, report_null: Report | None) -> object:
    import pandas as pd

    if value is pd.NA or value is pd.NaT:
        return _report_missing(path, report_null)
    return value.isoformat() if isinstance(value, (pd.Timestamp, pd.Timedelta)) else str(value)


def _convert_arrow_table(value: Any, path: Path, report_null: Report | None) -> object:
    import pyarrow as pa

    if isinstance(value, pa.RecordBatchReader):
        value = pa.Table.from_batches(read_batches(value), value.schema)
    return _convert_columns(zip(value.schema.names, value.columns, strict=True), path, report_null)


def _convert_polars(value: Any, path: Path, report_null: Report | None) -> object:
    import polars as pl

    value = collect_lazy(value)
    if isinstance(value, pl.DataFrame):
        return _convert_columns(zip(value.columns, value.get_columns(), strict=True), path, report_null)
    return _convert_sequence(_list_values(value.to_list, path), path, report_null)


def _convert_columns(columns: Iterable[tuple[str, Any]], path: Path, report_null: Report | None) -> dict[str, object]:
    """Convert a table without an index like a DataFrame with the default index: column -> row number -> value."""
    tree: dict[str, object] = {}
    for position, (name, column) in enumerate(columns):
        step = (*path, Key(name, position))
        if name in tree:
            raise BadValue(step, "two columns of the table have the same name")
        check_size(_SMALLEST_CELL * len(column))
        values = convert(column, step, report_null)
        tree[name] = {str(row): value for row, value in enumerate(cast("list[object]", values))}
    return tree


CONVERSIONS: dict[ValueKind, Callable[[Any, Path, Report | None], object]] = {
    ValueKind.SEQUENCE: _convert_sequence,
    ValueKind.MAPPING: lambda value, path, report: _convert_mapping(value.items(), path, report),
    ValueKind.STANDARD: _convert_standard,
    ValueKind.OBJECT: lambda value, path, report: convert(simplify(value), path, report),
    ValueKind.NUMPY: _convert_array,
    ValueKind.MASKED: _convert_masked,
    ValueKind.PANDAS: _convert_pandas,
    ValueKind.PANDAS_SCALAR: _convert_pandas_scalar,
    ValueKind.ARROW_TABLE: _convert_arrow_table,
    ValueKind.ARROW_ARRAY: lambda value, path, report: _convert_sequence(
        _list_values(value.to_pylist, path), path, report
    ),
    ValueKind.ARROW_SCALAR: lambda value, path, report: convert(
        _list_values(lambda: [value.as_py()], path)[0], path, report
    ),
    ValueKind.POLARS: _convert_polars,
    ValueKind.ENGINE: lambda value, path, report: convert(compute_table(value, path), path, report),
    ValueKind.UNSUPPORTED: _refuse,
}
"""ValueKind of a value -> the function that converts the value. The functions import a library when they are called."""
