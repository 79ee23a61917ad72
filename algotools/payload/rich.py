"""The rich encoding, between our own master and our own rpc: msgpack with a few extensions.

numpy arrays, DataFrames, Arrow tables, tuples, NaN and infinity come back as they were. Decoding builds
data and nothing else: arrays are numpy's own format with pickling off, tables are Arrow's.
"""

from __future__ import annotations

import datetime
import decimal
import io
import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from algotools.errors import NotSerializable, ProxyError
from algotools.payload.path import Key, Path
from algotools.payload.plain import Unfit, simplify

RICH = b"algotools."
"""How encoded bytes begin; v3's readers take it for the name of a format, as ``json.`` is."""

TUPLE, INTEGER, MOMENT, ARRAY, SCALAR, OBJECTS, PANDAS, ARROW = range(1, 9)
"""The codes of our extensions to msgpack."""

LONGEST_HEADER = 2**20
"""How long an array may describe its own type, in bytes: enough for records of some ten thousand fields."""

_MOMENTS: dict[str, Callable[[str], object]] = {
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "Decimal": decimal.Decimal,
    "UUID": uuid.UUID,
}
"""Small values that travel as their text, by the name of their type."""


def encode_rich(value: object, known: Iterable[str] = ()) -> bytes:
    """Encode a value so that ``decode_rich`` gives it back.

    Raises:
        NotSerializable: something in the value cannot travel; the message says where.
    """
    try:
        return RICH + msgspec.msgpack.encode(pack(value, ()))
    except Unfit as unfit:
        raise unfit.error(known) from None
    except UnicodeEncodeError:
        raise NotSerializable("result: it holds a text that is not valid Unicode (a lone surrogate)") from None
    except RecursionError:
        raise NotSerializable("result: it contains itself, or is nested too deeply") from None


def decode_rich(data: bytes) -> object:
    """The value that ``encode_rich`` was given.

    Raises:
        ProxyError: the bytes are not such an encoding.
    """
    if not data.startswith(RICH):
        raise ProxyError("another node's answer is not in the encoding that was asked for")
    try:
        return msgspec.msgpack.decode(memoryview(data)[len(RICH) :], ext_hook=_unpack, strict=True)
    except Exception as error:  # numpy, pandas and Arrow each refuse foreign bytes with errors of many kinds
        raise ProxyError("another node's answer cannot be decoded", detail=repr(error)) from None


def pack(value: Any, path: Path) -> object:
    """The value as msgpack can carry it; raises Unfit."""
    kind = type(value)
    if value is None or kind in (bool, float, str, bytes):
        return value
    if kind is int:
        return value if _fits(value) else Ext(INTEGER, hex(value).encode())
    if kind is list:
        return _pack_all(value, path)
    if isinstance(value, tuple):  # a named one comes back without its names
        return Ext(TUPLE, msgspec.msgpack.encode(_pack_all(value, path)))
    if isinstance(value, Mapping):
        return {
            _key(key, (*path, Key(key, position))): pack(item, (*path, Key(key, position)))
            for position, (key, item) in enumerate(value.items())
        }
    if kind.__name__ in _MOMENTS and kind.__module__ in ("datetime", "decimal", "uuid"):
        return Ext(MOMENT, msgspec.msgpack.encode([kind.__name__, _text(value)]))
    for base in kind.__mro__:
        if (package := _PACKAGES.get(base.__module__.partition(".")[0])) is not None:
            return package(value, path)
    return pack(simplify(value, path), path)


def _pack_all(values: Any, path: Path) -> list[object]:
    if set(map(type, values)) <= {float, str, bool, type(None), bytes}:
        return list(values)
    return [pack(value, (*path, position)) for position, value in enumerate(values)]


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _fits(value: int) -> bool:
    return -(2**63) <= value < 2**64


def _key(key: object, path: Path) -> object:
    if type(key) in (str, int, float, bool, bytes, type(None)) and not (type(key) is float and math.isnan(key)):
        if type(key) is int and not _fits(key):
            raise Unfit(path, "an integer of more than 64 bits cannot travel as a key; use a text")
        return key
    if type(key).__module__ == "numpy" and hasattr(key, "item"):
        return _key(key.item(), path)
    raise Unfit(path, f"a key of type {type(key).__qualname__} cannot travel between nodes; use a text or a number")


def _pack_numpy(value: Any, path: Path) -> Ext:
    import numpy as np

    if not isinstance(value, (np.ndarray, np.generic)):
        raise Unfit(path, f"a numpy {type(value).__qualname__} cannot travel between nodes; return an array")
    if hasattr(value, "filled"):  # saving it would carry along what is masked
        raise Unfit(path, "a masked array cannot travel between nodes; fill it first")
    if value.dtype.hasobject:
        if isinstance(value, np.generic) or value.dtype.kind != "O":
            raise Unfit(path, "an array of structures with Python objects cannot travel between nodes")
        return Ext(OBJECTS, msgspec.msgpack.encode([list(value.shape), _pack_all(value.ravel().tolist(), path)]))
    buffer = io.BytesIO()
    npy: Any = np.lib.format  # not every numpy gives it types
    npy.write_array(buffer, np.asarray(value), version=(3, 0), allow_pickle=False)
    return Ext(SCALAR if isinstance(value, np.generic) else ARRAY, buffer.getbuffer())


def _pack_pandas(value: Any, path: Path) -> Ext:
    from algotools.payload import frames

    return Ext(PANDAS, msgspec.msgpack.encode(frames.pack(value, path, pack)))


def _pack_arrow(value: Any, path: Path) -> Ext:
    import pyarrow as pa

    if not isinstance(value, pa.Table):
        raise Unfit(path, f"an Arrow {type(value).__qualname__} cannot travel between nodes; return a table")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write_table(value)
    return Ext(ARROW, memoryview(sink.getvalue()))


_PACKAGES: dict[str, Callable[[Any, Path], Ext]] = {
    "numpy": _pack_numpy,
    "pandas": _pack_pandas,
    "pyarrow": _pack_arrow,
}


def decode_nested(data: bytes | memoryview) -> Any:
    """The content of an extension."""
    return msgspec.msgpack.decode(data, ext_hook=_unpack, strict=True)


def _unpack(code: int, data: memoryview) -> object:
    if code == TUPLE:
        return tuple(decode_nested(data))
    if code == INTEGER:
        return int(bytes(data), 16)
    if code == MOMENT:
        kind, text = decode_nested(data)
        return _MOMENTS[kind](text)
    if code == PANDAS:
        from algotools.payload import frames

        return frames.unpack(decode_nested(data))
    if code == ARROW:
        import pyarrow as pa

        table = pa.ipc.open_stream(pa.py_buffer(bytes(data))).read_all()
        table.validate(full=True)  # else what foreign bytes claim of themselves would be believed
        return table
    if code not in (ARRAY, SCALAR, OBJECTS):
        raise ValueError(f"extension {code} is unknown")
    import numpy as np

    if code == OBJECTS:
        shape, values = decode_nested(data)
        return np.fromiter(values, dtype=object, count=len(values)).reshape(shape)
    npy: Any = np.lib.format
    array = npy.read_array(io.BytesIO(data), allow_pickle=False, max_header_size=LONGEST_HEADER)
    return array[()] if code == SCALAR else array
