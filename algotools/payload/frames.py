"""pandas objects in the rich encoding: every column by its own kind, so that dtypes come back exactly."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from algotools.payload.path import Key, Path, Unfit

Nested = Callable[[Any, Path], object]
"""Packs what a pandas object holds."""


def pack(value: Any, path: Path, nested: Nested) -> object:
    """A pandas object as a list that msgpack can carry, what it holds packed by ``nested``; raises Unfit."""
    if isinstance(value, pd.DataFrame):
        columns = [
            _array(value.iloc[:, i].array, (*path, Key(name, i)), nested) for i, name in enumerate(value.columns)
        ]
        return ["frame", pack(value.columns, path, nested), pack(value.index, path, nested), columns]
    if isinstance(value, pd.Series):
        return ["series", nested(value.name, path), pack(value.index, path, nested), _array(value.array, path, nested)]
    if isinstance(value, pd.MultiIndex):
        levels = [pack(value.get_level_values(i), path, nested) for i in range(value.nlevels)]
        return ["levels", levels]
    if isinstance(value, pd.RangeIndex):
        return ["range", nested(value.name, path), value.start, value.stop, value.step]
    if isinstance(value, pd.Index):
        return ["index", nested(value.name, path), _array(value.array, path, nested), _frequency(value)]
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return ["array", _array(value, path, nested)]
    if isinstance(value, pd.Timestamp):
        zone = None if value.tz is None else _zone(value.tz, path)
        return ["timestamp", int(value.asm8.view("i8")), value.unit, zone]
    if isinstance(value, pd.Timedelta):
        return ["timedelta", int(value.asm8.view("i8")), value.unit]
    if value is pd.NaT or value is pd.NA:
        return ["NaT" if value is pd.NaT else "NA"]
    raise Unfit(
        path, f"a pandas {type(value).__qualname__} cannot travel between nodes; return a frame, a series or an index"
    )


def unpack(content: list[Any]) -> Any:
    """The object that ``pack`` was given."""
    kind, *rest = content
    if kind == "frame":
        labels, index, arrays = unpack(rest[0]), unpack(rest[1]), [_values(array) for array in rest[2]]
        # A dtype that is named is kept; without it pandas looks into columns of objects for a better one.
        columns = {i: pd.Series(array, index, array.dtype, copy=False) for i, array in enumerate(arrays)}
        frame = pd.DataFrame(columns, index=index, copy=False)
        frame.columns = labels
        return frame
    if kind == "series":
        values = _values(rest[2])
        return pd.Series(values, unpack(rest[1]), values.dtype, rest[0], copy=False)
    if kind == "levels":
        return pd.MultiIndex.from_arrays([unpack(level) for level in rest[0]])
    if kind == "range":
        return pd.RangeIndex(rest[1], rest[2], rest[3], name=rest[0])
    if kind == "index":
        values = _values(rest[1])
        timed = {"M": pd.DatetimeIndex, "m": pd.TimedeltaIndex}.get(values.dtype.kind) if rest[2] else None
        if timed is not None:
            return timed(values, freq=rest[2], name=rest[0])
        return pd.Index(values, dtype=values.dtype, name=rest[0])
    if kind == "array":
        values = _values(rest[0])
        return pd.array(values, dtype=values.dtype)
    if kind == "timestamp":
        moment = pd.Timestamp(np.datetime64(rest[0], rest[1]))
        return moment if rest[2] is None else moment.tz_localize("UTC").tz_convert(rest[2])
    if kind == "timedelta":
        return pd.Timedelta(np.timedelta64(rest[0], rest[1]))
    return {"NaT": pd.NaT, "NA": pd.NA}[kind]


def _frequency(index: Any) -> str | None:
    """The text of an index's frequency; None if it has none, or one of which the text says only half."""
    if not isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)) or index.freq is None:
        return None
    text = str(index.freqstr)
    return text if pd.tseries.frequencies.to_offset(text) == index.freq else None


def _zone(zone: datetime.tzinfo, path: Path) -> str:
    """The name of a time zone, by which the other side finds it."""
    name = str(zone)
    try:
        found = pd.DatetimeTZDtype(tz=name) == pd.DatetimeTZDtype(tz=zone)
    except (LookupError, ValueError, TypeError):
        found = False
    if not found:
        raise Unfit(path, "times in a zone without a name cannot travel between nodes; convert them to UTC first")
    return name


def _array(array: Any, path: Path, nested: Nested) -> list[object]:
    """One column: the kind of its dtype, then what that kind needs."""
    if type(array) is pd.arrays.NumpyExtensionArray:  # not one derived from it, as arrays of texts are
        array = array.to_numpy()
    dtype = array.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return ["categorical", nested(array.codes, path), pack(dtype.categories, path, nested), dtype.ordered]
    if isinstance(dtype, pd.DatetimeTZDtype):
        return ["zoned", nested(array.asi8, path), dtype.unit, _zone(dtype.tz, path)]
    if isinstance(dtype, pd.PeriodDtype):
        return ["period", nested(array.asi8, path), dtype.name]
    if isinstance(dtype, pd.StringDtype):
        if dtype.storage == "pyarrow":
            import pyarrow as pa

            return ["text", nested(pa.table({"": pa.array(array)}), path), dtype.na_value is pd.NA]
        values = array.to_numpy(dtype=object, na_value=None).tolist()
        return ["string", values, dtype.storage, dtype.na_value is pd.NA]
    if str(dtype) in _MASKED:
        filled = array.to_numpy(dtype=dtype.numpy_dtype, na_value=False if dtype.kind == "b" else 0)
        return ["masked", nested(filled, path), nested(array.isna(), path)]
    if isinstance(dtype, pd.ArrowDtype):
        import pyarrow as pa

        return ["arrow", nested(pa.table({"": pa.array(array)}), path)]
    if isinstance(dtype, pd.api.extensions.ExtensionDtype):
        raise Unfit(path, f"a column of dtype {type(dtype).__name__} cannot travel between nodes; convert it first")
    return ["numpy", nested(np.asarray(array), path)]


_MASKED = {f"{sign}Int{size}" for sign in ("", "U") for size in (8, 16, 32, 64)} | {"Float32", "Float64", "boolean"}
"""pandas' nullable dtypes: values and a mask."""


def _values(content: list[Any]) -> Any:
    """The array that ``_array`` was given."""
    kind, *rest = content
    if kind == "categorical":
        return pd.Categorical.from_codes(rest[0], dtype=pd.CategoricalDtype(unpack(rest[1]), ordered=rest[2]))
    if kind == "zoned":
        return pd.DatetimeIndex(rest[0].view(f"M8[{rest[1]}]"), tz="UTC").tz_convert(rest[2]).array
    if kind == "period":
        return pd.arrays.PeriodArray(rest[0], dtype=pd.PeriodDtype(rest[1]))
    if kind == "string":
        return pd.array(rest[0], dtype=_text(rest[1], rest[2]))
    if kind == "text":
        return _text("pyarrow", rest[1]).__from_arrow__(rest[0].column(0))
    if kind == "masked":
        values, mask = rest
        kinds = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
        return kinds.get(values.dtype.kind, pd.arrays.IntegerArray)(values, mask)
    if kind == "arrow":
        return pd.arrays.ArrowExtensionArray(rest[0].column(0))
    return rest[0]


def _text(storage: str, has_na: bool) -> Any:
    """A dtype of texts, kept as it was where pyarrow is there too; the values are the same without."""
    missing: Any = pd.NA if has_na else float("nan")
    try:
        return pd.StringDtype(storage, na_value=missing)
    except ImportError:
        return pd.StringDtype("python", na_value=missing)
