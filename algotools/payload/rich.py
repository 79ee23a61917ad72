"""The rich encoding, between our own master and our own rpc: msgpack with a few extensions.

numpy arrays, frames, Arrow tables, tuples, NaN and infinity come back as they were. Decoding builds data and nothing
else: arrays are their bytes with a type of plain values, tables are Arrow's.

The bytes are ``RICH``, the length of the tree (8 bytes, big-endian), the tree in msgpack, and after it the blobs: what
is large stands there as it is in memory, so that it is copied once on the way out and once on the way in.
"""

from __future__ import annotations

import datetime
import decimal
import io
import math
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union

import msgspec
from msgspec.msgpack import Ext

from algotools.errors import NotSerializable, ProxyError
from algotools.payload import size, tables
from algotools.payload.path import Key, Path, Unfit
from algotools.payload.plain import simplify

RICH = b"algotools."
"""How encoded bytes begin; v3's readers take it for the name of a format, as ``json.`` is."""

LENGTH = struct.Struct("!Q")
"""Of the tree."""

TUPLE, INTEGER, MOMENT, ARRAY, SCALAR, OBJECTS, PANDAS, ARROW, RECORDS, POLARS = range(1, 11)
"""The codes of our extensions to msgpack."""

LONGEST_HEADER = 2**20
"""How long an array of records may describe its own type, in bytes: enough for some ten thousand fields."""

SMALLEST_BLOB = 1024
"""Bytes from which on something stands outside of the tree."""

PLAIN_KINDS = "biufcmMSU"
"""Kinds of arrays of which the name of the type says all."""

Buffer = Union[bytes, memoryview]

_SPAN = ("days", "seconds", "microseconds")

_MOMENTS: dict[str, Callable[[str], object]] = {
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timedelta": lambda text: datetime.timedelta(**dict(zip(_SPAN, map(int, text.split()), strict=True))),
    "Decimal": decimal.Decimal,
    "UUID": uuid.UUID,
}
"""Small values that travel as their text, by the name of their type."""


def encode_rich(value: object, known: Iterable[str] = ()) -> bytes:
    """Encode a value so that ``decode_rich`` gives it back.

    Raises:
        NotSerializable: something in the value cannot travel; the message says where.
        ResultTooLarge: it has more bytes than one result may have; told before they are made, where that can be known.
    """
    packer = _Packer()
    try:
        value = packer.pack(value, ())
        tree = msgspec.msgpack.encode([[len(blob) for blob in packer.blobs], value])
    except Unfit as unfit:
        raise unfit.error(known) from None
    except UnicodeEncodeError:
        raise NotSerializable("result: it holds a text that is not valid Unicode (a lone surrogate)") from None
    except RecursionError:
        raise NotSerializable("result: it contains itself, or is nested too deeply") from None
    packer.claim(len(tree))
    return b"".join([RICH, LENGTH.pack(len(tree)), tree, *packer.blobs])


def decode_rich(data: bytes) -> object:
    """The value that ``encode_rich`` was given.

    Raises:
        ProxyError: the bytes are not such an encoding, or not all of it.
    """
    if not data.startswith(RICH):
        raise ProxyError("another node's answer is not in the encoding that was asked for")
    try:
        return _decoded(memoryview(data)[len(RICH) :])
    except Exception as error:  # numpy, pandas and Arrow each refuse foreign bytes with errors of many kinds
        raise ProxyError("another node's answer cannot be decoded", detail=repr(error)) from None


def _decoded(data: memoryview) -> object:
    (length,) = LENGTH.unpack_from(data)
    tree, rest = data[LENGTH.size : LENGTH.size + length], data[LENGTH.size + length :]
    # What the tree says of its blobs must be known before the blobs are asked for.
    sizes, value = msgspec.msgpack.decode(tree, type=tuple[list[int], msgspec.Raw])
    if min(sizes, default=0) < 0 or sum(sizes) != len(rest):
        raise ValueError("it is not whole")
    blobs = []
    for length in sizes:
        blobs.append(rest[:length])
        rest = rest[length:]
    return _Unpacker(blobs).decode(value)


class _Packer:
    """Makes of a value what msgpack can carry, and blobs beside it."""

    def __init__(self) -> None:
        self.blobs: list[Buffer] = []
        self._claimed = 0

    def claim(self, length: int) -> None:
        """Count bytes that will be sent, from before they are made; raises ResultTooLarge."""
        self._claimed += length
        size.check(self._claimed, size.largest_rich())

    def pack(self, value: Any, path: Path) -> object:
        """The value as msgpack can carry it; raises Unfit."""
        kind = type(value)
        if value is None or kind in (bool, float):
            return value
        if kind in (str, bytes):
            if len(value) >= SMALLEST_BLOB:
                size.check(self._claimed + len(value), size.largest_rich())
            return value
        if kind is int:
            return value if _fits(value) else Ext(INTEGER, hex(value).encode())
        if kind is list:
            return self._all(value, path)
        if isinstance(value, tuple):  # a named one comes back without its names
            return Ext(TUPLE, msgspec.msgpack.encode(self._all(value, path)))
        if isinstance(value, Mapping):
            return {
                _key(key, (*path, Key(key, position))): self.pack(item, (*path, Key(key, position)))
                for position, (key, item) in enumerate(value.items())
            }
        if kind.__name__ in _MOMENTS and kind.__module__ in ("datetime", "decimal", "uuid"):
            return Ext(MOMENT, msgspec.msgpack.encode([kind.__name__, _text(value)]))
        for base in kind.__mro__:
            if (package := _PACKAGES.get(base.__module__.partition(".")[0])) is not None:
                return package(self, value, path)
        return self.pack(simplify(value, path), path)

    def _all(self, values: Any, path: Path) -> list[object]:
        if set(map(type, values)) <= {float, str, bool, type(None), bytes}:
            return list(values)
        return [self.pack(value, (*path, position)) for position, value in enumerate(values)]

    def _blob(self, data: Buffer) -> object:
        """Bytes that have been claimed: themselves if they are few, else their place among the blobs."""
        if len(data) < SMALLEST_BLOB:
            return bytes(data)
        self.blobs.append(data)
        return len(self.blobs) - 1

    def _ext(self, code: int, content: object) -> Ext:
        return Ext(code, msgspec.msgpack.encode(content))

    def numpy(self, value: Any, path: Path) -> Ext:
        """An array or a scalar."""
        import numpy as np

        if not isinstance(value, (np.ndarray, np.generic)):
            raise Unfit(path, f"a numpy {type(value).__qualname__} cannot travel between nodes; return an array")
        if hasattr(value, "filled"):  # saving it would carry along what is masked
            raise Unfit(path, "a masked array cannot travel between nodes; fill it first")
        if value.dtype.hasobject:
            if isinstance(value, np.generic) or value.dtype.kind != "O":
                raise Unfit(path, "an array of structures with Python objects cannot travel between nodes")
            return self._ext(OBJECTS, [list(value.shape), self._all(value.ravel().tolist(), path)])
        array = np.asarray(value)
        self.claim(array.nbytes)
        packed = self._plain_array(array) if array.dtype.kind in PLAIN_KINDS else self._records(array)
        return self._ext(SCALAR, packed) if isinstance(value, np.generic) else packed

    def _plain_array(self, array: Any) -> Ext:
        import numpy as np

        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        flat: Any = np.ascontiguousarray((array.T if fortran else array).reshape(-1))  # a copy where it must be
        data = memoryview(flat.view("u1")) if array.nbytes else b""
        return self._ext(ARRAY, [array.dtype.str, list(array.shape), "F" if fortran else "C", self._blob(data)])

    def _records(self, array: Any) -> Ext:
        import numpy as np

        buffer = io.BytesIO()
        npy: Any = np.lib.format  # not every numpy gives it types
        npy.write_array(buffer, array, version=(3, 0), allow_pickle=False)
        return self._ext(RECORDS, self._blob(buffer.getbuffer()))

    def pandas(self, value: Any, path: Path) -> Ext:
        """What pandas has; its arrays are numpy's or Arrow's."""
        from algotools.payload import frames

        return self._ext(PANDAS, frames.pack(value, path, self.pack))

    def arrow(self, value: Any, path: Path) -> Ext:
        """A table, or what comes as batches of one, in Arrow's format for streams."""
        import pyarrow as pa

        if isinstance(value, pa.Table):
            batches: Iterable[Any] = value.to_batches()
        elif isinstance(value, pa.RecordBatch):
            batches = [value]
        elif isinstance(value, pa.RecordBatchReader):
            batches = tables.batches(value)
        else:
            raise Unfit(path, f"an Arrow {type(value).__qualname__} cannot travel between nodes; return a table")
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                size.check(self._claimed + sink.tell(), size.largest_rich())
        data = memoryview(sink.getvalue())
        self.claim(len(data))
        return self._ext(ARROW, self._blob(data))

    def polars(self, value: Any, path: Path) -> Ext:
        """A frame or a series, in Arrow's format as polars itself writes it: its types are more than Arrow's."""
        import polars as pl

        value = tables.collected(value)
        if not isinstance(value, (pl.DataFrame, pl.Series)):
            raise Unfit(path, f"a polars {type(value).__qualname__} cannot travel between nodes; return a frame")
        frame = value.to_frame() if isinstance(value, pl.Series) else value
        for position, (name, dtype) in enumerate(frame.schema.items()):
            if dtype == pl.Object:
                raise Unfit((*path, Key(name, position)), "a column of Python objects cannot travel between nodes")
        buffer = io.BytesIO()
        frame.write_ipc_stream(buffer, compat_level=pl.CompatLevel.newest())
        data = buffer.getbuffer()
        self.claim(len(data))
        return self._ext(POLARS, [isinstance(value, pl.Series), self._blob(data)])

    def table(self, value: Any, path: Path) -> object:
        """What an engine has not worked out yet, worked out."""
        return self.pack(tables.worked_out(value, path), path)


_PACKAGES: dict[str, Callable[[_Packer, Any, Path], object]] = {
    "numpy": _Packer.numpy,
    "pandas": _Packer.pandas,
    "pyarrow": _Packer.arrow,
    "polars": _Packer.polars,
    **dict.fromkeys(tables.ENGINES, _Packer.table),
}


def _text(value: Any) -> str:
    if isinstance(value, datetime.timedelta):
        return " ".join(str(getattr(value, part)) for part in _SPAN)
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


class _Unpacker:
    """Makes values of what ``_Packer`` made of them."""

    def __init__(self, blobs: list[memoryview]) -> None:
        self._blobs = blobs

    def decode(self, data: Any) -> Any:
        """The value in a tree, or the content of an extension."""
        return msgspec.msgpack.decode(data, ext_hook=self._unpack, strict=True)

    def _blob(self, content: int | bytes) -> Buffer:
        return content if isinstance(content, bytes) else self._blobs[content]

    def _unpack(self, code: int, data: memoryview) -> object:
        if code == TUPLE:
            return tuple(self.decode(data))
        if code == INTEGER:
            return int(bytes(data), 16)
        if code == MOMENT:
            kind, text = self.decode(data)
            return _MOMENTS[kind](text)
        if code == PANDAS:
            from algotools.payload import frames

            return frames.unpack(self.decode(data))
        if code == ARROW:
            import pyarrow as pa

            table = pa.ipc.open_stream(pa.py_buffer(bytes(self._blob(self.decode(data))))).read_all()
            table.validate(full=True)  # else what foreign bytes claim of themselves would be believed
            return table
        if code == POLARS:
            alone, blob = self.decode(data)
            frame = tables.read_polars(bytes(self._blob(blob)))
            return frame.to_series() if alone else frame
        if code not in (ARRAY, SCALAR, OBJECTS, RECORDS):
            raise ValueError(f"extension {code} is unknown")
        import numpy as np

        content = self.decode(data)
        if code == SCALAR:
            return content[()]
        if code == OBJECTS:
            shape, values = content
            return np.fromiter(values, dtype=object, count=len(values)).reshape(shape)
        if code == RECORDS:
            npy: Any = np.lib.format
            return npy.read_array(io.BytesIO(self._blob(content)), allow_pickle=False, max_header_size=LONGEST_HEADER)
        name, shape, order, blob = content
        dtype, raw = np.dtype(name), self._blob(blob)
        if dtype.str != name or dtype.kind not in PLAIN_KINDS or len(raw) != math.prod(shape) * dtype.itemsize:
            raise ValueError("an array is not what it says of itself")
        if not len(raw):
            return np.empty(shape, dtype)
        return np.frombuffer(raw, dtype).copy().reshape(shape, order=order)  # a copy, to be written to
