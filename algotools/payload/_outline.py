"""The outline of an encoded result: its values and labels as plain Python values, without the libraries of its types.

The supervisor of a container judges every result, and it does not import numpy or pandas for a result without large
arrays. So the buffers of arrays are read here with ``struct``, and tables of pandas are built from their parts. Tables
of Arrow and Polars, and arrays of structures, are rare. Their own libraries decode them.

Both encodings of a value have the same outline, apart from the order in which texts and numbers were converted: a
table is a mapping from column labels to mappings from row labels to values, as in JSON.
"""

from __future__ import annotations

import binascii
import datetime
import json
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Union

import msgspec

from algotools.payload._decode import Unpacker, split_blobs
from algotools.payload._hidden import list_unused_categories
from algotools.payload._plain import convert
from algotools.payload._rich import (
    ARRAY,
    ENTRIES,
    INTEGER,
    MASKED,
    MOMENT,
    OBJECTS,
    PANDAS,
    RICH,
    SCALAR,
    TUPLE,
    Buffer,
)
from algotools.payload._types import STANDARD_BY_NAME
from algotools.payload.values import LARGEST

LARGE_ARRAY = 10_000
"""Values from which an array is read with numpy, which the node's image has if its algorithm returns such an array."""

TIGHT = ("index", "columns", "data", "index_names", "column_names")
"""The keys of a table with several levels of labels, see ``_plain``."""

Values = Union[Sequence[Any], Any]
"""A list, a tuple, a range, or a one-dimensional array of numpy."""


class OutlineArray(NamedTuple):
    """An array: the length of each dimension, and all values in one sequence."""

    shape: tuple[int, ...]
    values: Values


class OutlineEntries(NamedTuple):
    """A mapping whose keys need not be texts. All columns of a table share the sequence of the rows' labels."""

    keys: Values
    values: Values


class OutlineTight(NamedTuple):
    """A table with several levels of labels: labels of rows, labels of columns, the columns' values, and names."""

    rows: Sequence[Values]
    columns: Sequence[Values]
    data: Sequence[Values]
    names: Sequence[object]


def read_outline(data: bytes, hidden: list[object] | None = None) -> object:
    """Return the outline of a result: texts, numbers, lists, dicts, and the classes of this module.

    Args:
        data: the encoded result.
        hidden: receives what the encoding contains beside the outline: categories that no row has, and names of series
            and indexes.

    Raises:
        ValueError: the bytes are not a complete encoding.
    """
    try:
        if not data.startswith(RICH):
            return msgspec.json.decode(data)
        value, blobs = split_blobs(data)
        return _Outliner(blobs, [] if hidden is None else hidden).decode(value)
    except ImportError as error:
        raise ValueError(f"the library {error.name} of a table in the result is not installed") from None
    except Exception as error:  # numpy, pandas and Arrow raise many classes of errors for invalid bytes
        raise ValueError(f"the encoding is invalid ({type(error).__name__})") from None


def name_key(key: Any) -> str:
    """Return the text of a key in JSON. A key of the outline is a scalar of Python, or a list for a tuple."""
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return binascii.b2a_base64(key, newline=False).decode()
    return json.dumps(_remove_nan(key) if isinstance(key, list) else key, ensure_ascii=False, default=str)


def _remove_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_remove_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Outliner(Unpacker):
    """Read the outline of a value from the tree and the blobs."""

    def __init__(self, blobs: Any, hidden: list[object]) -> None:
        super().__init__(blobs)
        self._hidden = hidden

    def unpack(self, code: int, data: memoryview) -> object:
        """Return the outline of an extension."""
        if code == TUPLE:
            return list(self.decode(data))
        if code == INTEGER:
            return int(bytes(data), 16)
        if code == MOMENT:
            name, parts = self.decode(data)
            value: Any = STANDARD_BY_NAME[name].restore(parts)
            return bytes(value) if isinstance(value, bytearray) else _to_plain(value)
        if code == ENTRIES:
            return OutlineEntries(*self.decode(data))
        if code == ARRAY:
            name, shape, _, blob = self.decode(data)
            return _read_array(name, shape, self.get_blob(blob))
        if code == SCALAR:
            scalar = self.decode(data)
            return scalar.values[0] if isinstance(scalar, OutlineArray) and scalar.shape == () else scalar
        if code == OBJECTS:
            shape, values, _ = self.decode(data)
            return OutlineArray(tuple(shape), values)
        if code == MASKED:
            content = self.decode(data)
            return None if content is None else _mask(*content[:2])
        if code == PANDAS:
            content = self.decode(data)
            self._hidden.extend(_list_hidden(content))
            return _read_pandas(content)
        value = Unpacker(self.blobs).unpack(code, data)
        self._hidden.extend(list_unused_categories(value))
        return _to_plain(value)


def _to_plain(value: object) -> object:
    return convert(value, (), lambda _path: None)


_FORMATS = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d", "c8": "2f", "c16": "2d",
}  # fmt: skip
"""Kind and size of a numpy dtype -> the format of ``struct``."""


def _read_array(name: str, shape: list[int], raw: Buffer) -> OutlineArray:
    """Return an array. The order in memory is not restored, because it does not change the set of values."""
    count = math.prod(shape)
    kind, size = name[1], int(name[2:]) if name[2:].isdecimal() else 0
    if min(shape, default=0) < 0 or (count > LARGE_ARRAY and not len(raw)):
        raise ValueError("the shape of an array is invalid")
    dimensions = (*shape, 2) if kind == "c" else tuple(shape)
    if kind in "iubf" and count > LARGE_ARRAY:
        import numpy as np

        values: Any = np.frombuffer(raw, np.dtype(name))
        if values.size != count:
            raise ValueError("the bytes of an array do not match its description")
        return OutlineArray(dimensions, values)
    if code := _FORMATS.get(name[1:]):
        order = ">" if name[0] == ">" else "<"
        per_value, letter = (2, code[1]) if kind == "c" else (1, code)
        return OutlineArray(dimensions, struct.unpack(f"{order}{per_value * count}{letter}", raw))
    if kind == "U" and len(raw) == count * size * 4:
        encoding = "utf-32-be" if name[0] == ">" else "utf-32-le"
        texts = [bytes(raw[i * size * 4 : (i + 1) * size * 4]).decode(encoding).rstrip("\0") for i in range(count)]
        return OutlineArray(dimensions, texts)
    if kind == "S" and len(raw) == count * size:
        return OutlineArray(dimensions, [bytes(raw[i * size : (i + 1) * size]) for i in range(count)])
    if kind not in "mMfc":
        raise ValueError("the type of an array is unknown")
    import numpy as np

    array: Any = np.frombuffer(raw, np.dtype(name))
    if array.size != count:
        raise ValueError("the bytes of an array do not match its description")
    if kind in "mM":
        return OutlineArray(dimensions, [None if np.isnat(moment) else _shorten(str(moment)) for moment in array])
    return OutlineArray(dimensions, array.astype("c16" if kind == "c" else "f8").view("f8").tolist())


def _shorten(moment: str) -> str:
    """Return the text of a time without zeros as a fraction, as pandas formats the time."""
    whole, _, fraction = moment.partition(".")
    return moment if fraction.strip("0") else whole


def _mask(values: OutlineArray, mask: OutlineArray) -> OutlineArray:
    visible = [None if hidden else value for value, hidden in zip(values.values, mask.values, strict=True)]
    return OutlineArray(values.shape, visible)


# --- pandas, see ``_frames`` for the lists. ---


def _read_pandas(content: list[Any]) -> object:
    kind, *parts = content
    if kind == "frame":
        columns, index = _read_labels(parts[0]), _read_labels(parts[1])
        arrays = [_read_column(array) for array in parts[2]]
        if columns.is_tight or index.is_tight:
            return OutlineTight(index.levels, columns.levels, arrays, [*index.names, *columns.names])
        rows = index.levels[0]
        return OutlineEntries(columns.levels[0], [OutlineEntries(rows, array) for array in arrays])
    if kind == "series":
        index, array = _read_labels(parts[1]), _read_column(parts[2])
        if index.is_tight:
            return OutlineTight(index.levels, [[parts[0]]], [array], [*index.names, None])
        return OutlineEntries(index.levels[0], array)
    if kind in ("levels", "range", "index"):
        labels = _read_labels(content)
        if labels.is_tight:
            return [list(label) for label in zip(*labels.levels, strict=True)]
        return OutlineArray((len(labels.levels[0]),), labels.levels[0])
    if kind == "array":
        values = _read_column(parts[0])
        return OutlineArray((len(values),), values)
    if kind == "interval":
        return _format_interval(*parts)
    if kind in ("NaT", "NA"):
        return None
    return _read_moment(kind, parts)


def _list_hidden(content: list[Any]) -> Iterator[object]:
    """Yield the categories that no row has, and the texts that are names of a series or an index."""
    kind, *parts = content
    if kind == "categorical":
        used_codes = set(_flatten(parts[0]))
        categories = _read_labels(parts[1]).levels[0]
        yield from (_get_item(categories, code) for code in range(len(categories)) if code not in used_codes)
    elif kind in ("series", "index", "range") and isinstance(parts[0], str):
        yield parts[0]
    inner = parts[:2] + parts[2] if kind == "frame" else parts[0] if kind == "levels" else parts
    for part in inner if kind in _WITH_PARTS else ():
        if isinstance(part, list):
            yield from _list_hidden(part)


_WITH_PARTS = {"frame", "series", "levels", "index", "array", "intervals", "categorical"}
"""Kinds with parts that are lists for ``_frames`` again, not values."""


class _Labels(NamedTuple):
    levels: list[Values]
    names: list[object]
    is_tight: bool


def _read_labels(content: Any) -> _Labels:
    """Return the labels of an index, which the encoding has as a list or, inside of a list, as an outline."""
    kind, *parts = content
    if kind == "levels":
        levels = [_read_labels(level) for level in parts[0]]
        return _Labels([level.levels[0] for level in levels], [level.names[0] for level in levels], is_tight=True)
    if kind == "range":
        rows = range(*parts[1:])
        if len(rows) > LARGEST:
            raise ValueError("the index is too long")
        return _Labels([rows], parts[:1], is_tight=False)
    if kind != "index":
        raise ValueError("the kind of an index is unknown")
    return _Labels([_read_column(parts[1])], parts[:1], is_tight=False)


def _read_column(content: list[Any]) -> Values:
    """Return the values of a column or an index."""
    kind, *parts = content
    if kind == "numpy":
        return _flatten(parts[0])
    if kind == "categorical":
        categories = _read_labels(parts[1]).levels[0]
        return [None if code < 0 else _get_item(categories, code) for code in _flatten(parts[0])]
    if kind == "string":
        return list(parts[0])
    if kind in ("text", "arrow"):  # a table with one column, whose outline has the row numbers as keys
        (column,) = parts[0].values()
        return list(column.values())
    if kind == "masked":
        return _mask(*parts).values
    if kind == "intervals":
        left, right = (_read_labels(part).levels[0] for part in parts[:2])
        return [_format_interval(a, b, parts[2]) for a, b in zip(_to_list(left), _to_list(right), strict=True)]
    if kind == "sparse":
        return _flatten(parts[0])
    if kind == "zoned":
        return [_read_moment("timestamp", [moment, parts[1], parts[2]]) for moment in _flatten(parts[0])]
    if kind == "period":
        return [_read_period(ordinal, parts[1].removeprefix("period[").rstrip("]")) for ordinal in _flatten(parts[0])]
    raise ValueError("the kind of a column is unknown")


def _flatten(array: object) -> Values:
    if not isinstance(array, OutlineArray) or len(array.shape) != 1:
        raise ValueError("a column is not an array")
    return array.values


def _to_list(values: Any) -> list[Any]:
    """Return values as a list of Python's values, not numpy's."""
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _get_item(values: Any, position: int) -> object:
    item = values[position]
    return item.item() if hasattr(item, "item") else item


def _format_interval(left: object, right: object, closed: str) -> str:
    """Return the text that pandas has for an interval."""
    opening, closing = "[" if closed in ("left", "both") else "(", "]" if closed in ("right", "both") else ")"
    return f"{opening}{left}, {right}{closing}"


_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - the text has no zone
_MISSING = -(2**63)
"""The integer of a missing time."""


def _read_moment(kind: str, parts: list[Any]) -> str | None:
    """Return the text of a time or a duration of pandas."""
    if kind == "moment":
        return _read_period(parts[0], parts[1])
    number, unit = int(parts[0]), _UNITS[parts[1]]
    if number == _MISSING:
        return None
    seconds, remainder = divmod(number, unit)
    if kind == "timedelta":
        return str(_to_plain(datetime.timedelta(seconds=seconds, microseconds=remainder * 1_000_000 // unit)))
    if kind != "timestamp":
        raise ValueError("the kind of a pandas object is unknown")
    moment = _EPOCH + datetime.timedelta(seconds=seconds)
    fraction = f".{remainder * (1_000_000_000 // unit):09}" if remainder else ""
    return f"{moment.isoformat()}{fraction}{'' if parts[2] is None else '+00:00'}"


def _read_period(ordinal: int, frequency: str) -> str | None:
    import pandas as pd

    return None if ordinal == _MISSING else str(pd.Period(ordinal=ordinal, freq=frequency))
