"""Rich encoding of pandas objects.

Each column and each index is encoded by its dtype, and an index of dates with its frequency. If only the values were
sent, pandas would infer the dtypes again. For example, a column of objects with integers would become int64, and a
master would get a frame that differs from the frame that the node returned.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from algotools.payload.values import BadValue, Key, Path

Encode = Callable[[Any, Path], object]
"""Function that encodes a part of a pandas object, such as a numpy array or a name."""


def pack(value: Any, path: Path, encode: Encode) -> object:
    """Return a pandas object as a list for msgpack: the kind of the object, then its parts.

    Raises:
        BadValue: a part of the object cannot be encoded.
    """
    if isinstance(value, pd.DataFrame):
        columns = [
            _pack_array(value.iloc[:, i].array, (*path, Key(name, i)), encode) for i, name in enumerate(value.columns)
        ]
        return ["frame", pack(value.columns, path, encode), pack(value.index, path, encode), columns]
    if isinstance(value, pd.Series):
        return [
            "series",
            encode(value.name, path),
            pack(value.index, path, encode),
            _pack_array(value.array, path, encode),
        ]
    # Subclasses of Index come before Index. A level is sent with one label per row instead of its codes and categories.
    # So labels without a row are not sent: they may be labels of rows that the function has removed.
    if isinstance(value, pd.MultiIndex):
        levels = [pack(value.get_level_values(i), path, encode) for i in range(value.nlevels)]
        return ["levels", levels]
    if isinstance(value, pd.RangeIndex):
        return ["range", encode(value.name, path), value.start, value.stop, value.step]
    if isinstance(value, pd.Index):
        return ["index", encode(value.name, path), _pack_array(value.array, path, encode), _describe_frequency(value)]
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return ["array", _pack_array(value, path, encode)]
    if isinstance(value, pd.Timestamp):
        zone = None if value.tz is None else _name_zone(value.tz, path)
        return ["timestamp", int(value.asm8.view("i8")), value.unit, zone]
    if isinstance(value, pd.Timedelta):
        return ["timedelta", int(value.asm8.view("i8")), value.unit]
    if isinstance(value, pd.Period):
        return ["moment", value.ordinal, value.freqstr]
    if isinstance(value, pd.Interval):
        return ["interval", encode(value.left, path), encode(value.right, path), value.closed]
    return ["NaT" if value is pd.NaT else "NA"]


def unpack(content: list[Any]) -> Any:
    """Return the object for a list from ``pack``."""
    kind, *parts = content
    if kind == "frame":
        labels, index, arrays = unpack(parts[0]), unpack(parts[1]), [_unpack_array(array) for array in parts[2]]
        # Without an explicit dtype, pandas would infer another dtype for a column of objects.
        columns = {i: pd.Series(array, index, array.dtype, copy=False) for i, array in enumerate(arrays)}
        frame = pd.DataFrame(columns, index=index, copy=False)
        frame.columns = labels
        return frame
    if kind == "series":
        values = _unpack_array(parts[2])
        return pd.Series(values, unpack(parts[1]), values.dtype, parts[0], copy=False)
    if kind == "levels":
        return pd.MultiIndex.from_arrays([unpack(level) for level in parts[0]])
    if kind == "range":
        return pd.RangeIndex(parts[1], parts[2], parts[3], name=parts[0])
    if kind == "index":
        values = _unpack_array(parts[1])
        index_class = {"M": pd.DatetimeIndex, "m": pd.TimedeltaIndex}.get(values.dtype.kind) if parts[2] else None
        if index_class is not None:
            return index_class(values, freq=parts[2], name=parts[0])
        return pd.Index(values, dtype=values.dtype, name=parts[0])
    if kind == "array":
        values = _unpack_array(parts[0])
        return pd.array(values, dtype=values.dtype)
    if kind == "timestamp":
        moment = pd.Timestamp(np.datetime64(parts[0], parts[1]))
        return moment if parts[2] is None else moment.tz_localize("UTC").tz_convert(parts[2])
    if kind == "timedelta":
        return pd.Timedelta(np.timedelta64(parts[0], parts[1]))
    if kind == "moment":
        return pd.Period(ordinal=parts[0], freq=parts[1])
    if kind == "interval":
        return pd.Interval(*parts)
    return {"NaT": pd.NaT, "NA": pd.NA}[kind]


def _describe_frequency(index: Any) -> str | None:
    """Return the text of an index's frequency; None if the index has no frequency or the text is incomplete.

    The text of a frequency with holidays does not contain the holidays. Such an index is restored without a frequency.
    """
    if not isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)) or index.freq is None:
        return None
    text = str(index.freqstr)
    return text if pd.tseries.frequencies.to_offset(text) == index.freq else None


def _name_zone(zone: datetime.tzinfo, path: Path) -> str:
    """Return the name of a time zone, from which the receiver can restore the zone."""
    name = str(zone)
    try:
        is_restored = pd.DatetimeTZDtype(tz=name) == pd.DatetimeTZDtype(tz=zone)
    except (LookupError, ValueError, TypeError):
        is_restored = False
    if not is_restored:
        raise BadValue(path, "times in a zone without a name cannot travel between nodes; convert them to UTC first")
    return name


def _pack_array(array: Any, path: Path, encode: Encode) -> list[object]:
    """Return a column or an array as a list: the kind of the dtype, then the parts of this kind."""
    if type(array) is pd.arrays.NumpyExtensionArray:  # not a subclass, such as arrays of texts
        array = array.to_numpy()
    dtype = array.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return ["categorical", encode(array.codes, path), pack(dtype.categories, path, encode), dtype.ordered]
    if isinstance(dtype, pd.DatetimeTZDtype):
        return ["zoned", encode(array.asi8, path), dtype.unit, _name_zone(dtype.tz, path)]
    if isinstance(dtype, pd.PeriodDtype):
        return ["period", encode(array.asi8, path), dtype.name]
    if isinstance(dtype, pd.StringDtype):
        if dtype.storage == "pyarrow":
            import pyarrow as pa

            return ["text", encode(pa.table({"": pa.array(array)}), path), dtype.na_value is pd.NA]
        values = array.to_numpy(dtype=object, na_value=None).tolist()
        return ["string", values, dtype.storage, dtype.na_value is pd.NA]
    if str(dtype) in _MASKED:
        # The values under the mask are overwritten, because they may be data that the function has removed.
        filled = array.to_numpy(dtype=dtype.numpy_dtype, na_value=False if dtype.kind == "b" else 0)
        return ["masked", encode(filled, path), encode(array.isna(), path)]
    if isinstance(dtype, pd.ArrowDtype):
        import pyarrow as pa

        return ["arrow", encode(pa.table({"": pa.array(array)}), path)]
    if isinstance(dtype, pd.IntervalDtype):
        return ["intervals", pack(array.left, path, encode), pack(array.right, path, encode), array.closed]
    if isinstance(dtype, pd.SparseDtype):
        return ["sparse", encode(np.asarray(array), path), encode(dtype.fill_value, path)]
    if isinstance(dtype, pd.api.extensions.ExtensionDtype):
        # The receiver may not have the library of the dtype, but it gets the same values, as Python objects.
        return ["numpy", encode(np.asarray(array, dtype=object), path)]
    return ["numpy", encode(np.asarray(array), path)]


_MASKED = {f"{sign}Int{size}" for sign in ("", "U") for size in (8, 16, 32, 64)} | {"Float32", "Float64", "boolean"}
"""pandas' nullable dtypes, which consist of values and a mask."""


def _unpack_array(content: list[Any]) -> Any:
    """Return the array for a list from ``_pack_array``."""
    kind, *parts = content
    if kind == "categorical":
        return pd.Categorical.from_codes(parts[0], dtype=pd.CategoricalDtype(unpack(parts[1]), ordered=parts[2]))
    if kind == "zoned":
        return pd.DatetimeIndex(parts[0].view(f"M8[{parts[1]}]"), tz="UTC").tz_convert(parts[2]).array
    if kind == "period":
        return pd.arrays.PeriodArray(parts[0], dtype=pd.PeriodDtype(parts[1]))
    if kind == "string":
        return pd.array(parts[0], dtype=_make_text_dtype(parts[1], parts[2]))
    if kind == "text":
        return _make_text_dtype("pyarrow", parts[1]).__from_arrow__(parts[0].column(0))
    if kind == "masked":
        values, mask = parts
        kinds = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
        return kinds.get(values.dtype.kind, pd.arrays.IntegerArray)(values, mask)
    if kind == "arrow":
        return pd.arrays.ArrowExtensionArray(parts[0].column(0))
    if kind == "intervals":
        return pd.arrays.IntervalArray.from_arrays(unpack(parts[0]), unpack(parts[1]), parts[2])
    if kind == "sparse":
        dtype: Any = pd.SparseDtype(parts[0].dtype, parts[1])
        return pd.arrays.SparseArray(parts[0], fill_value=parts[1], dtype=dtype)
    return parts[0]


def _make_text_dtype(storage: str, has_na: bool) -> Any:
    """Return a dtype of texts. Without pyarrow the storage changes to Python objects, but the values are equal."""
    missing: Any = pd.NA if has_na else float("nan")
    try:
        return pd.StringDtype(storage, na_value=missing)
    except ImportError:
        return pd.StringDtype("python", na_value=missing)
