"""Decoding of the rich encoding, see ``_rich``.

The bytes come from another node, so decoding must be safe: it creates values, arrays of plain types, and tables of
pandas, Arrow and Polars, and never runs code from the bytes.
"""

from __future__ import annotations

import io
import math
from typing import Any, NamedTuple, Union

import msgspec

from algotools.errors import ProxyError
from algotools.payload._rich import (
    ARRAY,
    ARROW,
    ARROW_VALUES,
    ENTRIES,
    INTEGER,
    LENGTH,
    MASKED,
    MOMENT,
    OBJECTS,
    PANDAS,
    PLAIN_KINDS,
    POLARS,
    RECORDS,
    RICH,
    SCALAR,
    TUPLE,
    Buffer,
)
from algotools.payload._types import STANDARD_BY_NAME
from algotools.payload.values import LARGEST

LONGEST_HEADER = 2**20
"""Limit in bytes for the description of a record array's type, enough for some ten thousand fields."""


class WithheldCells(NamedTuple):
    """The cells of a result that a node has hidden or rounded, because they have few records."""

    cells: int
    minimum: int
    """The fewest records of a cell at the node."""


class _Tree(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The tree of an encoding. The value stays undecoded until the blobs are split, because it refers to blobs."""

    sizes: list[int]
    value: msgspec.Raw
    withheld: Union[WithheldCells, None] = None


def decode_rich(data: bytes) -> object:
    """Return the value for bytes from ``encode_rich``.

    Raises:
        ProxyError: the bytes are not a complete rich encoding.
    """
    if not data.startswith(RICH):
        raise ProxyError("the result of another node is not in the requested encoding")
    try:
        value, blobs = split_blobs(data)
        return Unpacker(blobs).decode(value)
    except Exception as error:  # numpy, pandas and Arrow raise many classes of errors for invalid bytes
        raise ProxyError("the result of another node cannot be decoded", detail=repr(error)) from None


def split_blobs(data: bytes) -> tuple[msgspec.Raw, list[memoryview]]:
    """Return the undecoded value and the blobs of an encoding.

    Raises:
        ValueError: the encoding is incomplete. Other classes of errors are possible, too.
    """
    tree, remainder = _split_tree(data)
    if min(tree.sizes, default=0) < 0 or sum(tree.sizes) != len(remainder):
        raise ValueError("the encoding is incomplete")
    blobs = []
    for length in tree.sizes:
        blobs.append(remainder[:length])
        remainder = remainder[length:]
    return tree.value, blobs


def _split_tree(data: bytes) -> tuple[_Tree, memoryview]:
    """Return the tree and the bytes of all blobs."""
    body = memoryview(data)[len(RICH) :]
    (length,) = LENGTH.unpack_from(body)
    tree = msgspec.msgpack.decode(body[LENGTH.size : LENGTH.size + length], type=_Tree)
    return tree, body[LENGTH.size + length :]


def add_withheld(data: bytes, withheld: WithheldCells) -> bytes:
    """Return a rich encoding that also has the number of withheld cells; the value is not decoded."""
    tree, blobs = _split_tree(data)
    changed = msgspec.msgpack.encode(msgspec.structs.replace(tree, withheld=withheld))
    return b"".join([RICH, LENGTH.pack(len(changed)), changed, blobs])


def read_withheld(data: bytes) -> WithheldCells | None:
    """Return the withheld cells of an encoding; None if the node has withheld none, or if the encoding is plain JSON.

    Raises:
        ValueError: the encoding is incomplete. Other classes of errors are possible, too.
    """
    return _split_tree(data)[0].withheld if data.startswith(RICH) else None


class Unpacker:
    """Restore a value from the tree and the blobs of ``_Packer``."""

    def __init__(self, blobs: list[memoryview]) -> None:
        self.blobs = blobs

    def decode(self, data: Any) -> Any:
        """Return the value of a tree, or the content of an extension."""
        return msgspec.msgpack.decode(data, ext_hook=self.unpack, strict=True)

    def get_blob(self, content: int | bytes) -> Buffer:
        """Return the buffer that the tree contains or refers to."""
        return content if isinstance(content, bytes) else self.blobs[content]

    def unpack(self, code: int, data: memoryview) -> object:
        """Return the value of an extension."""
        if code == TUPLE:
            return tuple(self.decode(data))
        if code == INTEGER:
            return int(bytes(data), 16)
        if code == MOMENT:
            name, parts = self.decode(data)
            return STANDARD_BY_NAME[name].restore(parts)
        if code == ENTRIES:
            return dict(zip(*self.decode(data), strict=True))
        if code == PANDAS:
            from algotools.payload import _frames

            return _frames.unpack(self.decode(data))
        if code == ARROW:
            import pyarrow as pa

            table = pa.ipc.open_stream(pa.py_buffer(bytes(self.get_blob(self.decode(data))))).read_all()
            table.validate(full=True)  # without it, wrong offsets in the bytes could read other memory
            return table
        if code == POLARS:
            is_series, blob, objects = self.decode(data)
            frame = _read_polars(bytes(self.get_blob(blob)), objects)
            return frame.to_series() if is_series else frame
        if code == ARROW_VALUES:
            kind, table = self.decode(data)
            column = table.column(0)
            if kind == "scalar":
                return column[0]
            return column if kind == "chunks" else column.combine_chunks()
        if code not in (ARRAY, SCALAR, OBJECTS, RECORDS, MASKED):
            raise ValueError(f"extension {code} is unknown")
        import numpy as np

        content = self.decode(data)
        if code == SCALAR:
            return content[()]
        if code == OBJECTS:
            shape, values, missing = content
            array = np.fromiter(values, dtype=object, count=len(values)).reshape(shape)
            text: Any = None if missing is None else np.dtypes.StringDType
            return array if text is None else array.astype(text(na_object=missing[0]) if missing else text())
        if code == MASKED:
            masked: Any = np.ma  # some versions of numpy have no types for it
            if content is None:
                return masked.masked
            fill_value = content[2][()] if len(content) > 2 else None
            return masked.MaskedArray(content[0], content[1], fill_value=fill_value)
        if code == RECORDS:
            npy: Any = np.lib.format
            return npy.read_array(
                io.BytesIO(self.get_blob(content)), allow_pickle=False, max_header_size=LONGEST_HEADER
            )
        name, shape, order, blob = content
        dtype, raw = np.dtype(name), self.get_blob(blob)
        if dtype.str != name or dtype.kind not in PLAIN_KINDS or len(raw) != math.prod(shape) * dtype.itemsize:
            raise ValueError("the bytes of an array do not match its description")
        if not len(raw):
            if math.prod(shape) > LARGEST:  # numpy gives an empty text one character, so few bytes could be a TB
                raise ValueError("the array is too large")
            return np.empty(shape, dtype)
        return np.frombuffer(raw, dtype).copy().reshape(shape, order=order)  # a copy, because the bytes are read-only


def _read_polars(data: bytes, objects: list[list[Any]]) -> Any:
    """Return the frame in a stream of Polars' format, with its columns of Python objects.

    Raises:
        ValueError: the bytes are not valid.
    """
    import polars as pl

    try:
        frame = pl.read_ipc_stream(data)
        for position, name, values in objects:
            frame.insert_column(position, pl.Series(name, values, pl.Object))
        return frame
    except BaseException as error:  # Polars panics on some invalid bytes, and a panic is not an Exception
        if isinstance(error, Exception) or type(error).__name__ != "PanicException":
            raise
        raise ValueError("the bytes are not a frame of Polars") from None
