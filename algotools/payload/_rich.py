"""Rich encoding between a master and the rpc functions of the same algorithm: msgpack with extensions.

numpy arrays, frames, Arrow tables, tuples, NaN and infinity are restored exactly. ``_decode`` has the decoder.

The encoding consists of the prefix ``RICH``, the length of the tree (8 bytes, big-endian), the tree in msgpack, and the
blobs. The tree has the sizes of the blobs, the value, and the number of withheld cells if the node has withheld any. A
blob is a large buffer, such as the memory of an array. Large buffers are outside of the tree, because msgpack would
copy a buffer again at every level of nesting. So the sender and the receiver copy each buffer once.

A result can be larger than the memory for a second copy. So the encoder *claims* the size of a buffer before it creates
the buffer, and a result above the limit is refused before its copy exists.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Iterable
from typing import Any, Union

import msgspec
from msgspec.msgpack import Ext

from algotools.errors import NotSerializable
from algotools.payload._hidden import clear_batch, clear_frame
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
from algotools.payload.values import BadValue, Key, Path, check_size, collect_lazy, compute_table, read_batches

RICH = b"algotools."
"""Prefix of encoded bytes. v3's readers interpret the prefix as the name of a format, such as ``json.``."""

LENGTH = struct.Struct("!Q")
"""Format of the tree's length."""

TUPLE, INTEGER, MOMENT, ARRAY, SCALAR, OBJECTS, PANDAS, ARROW, RECORDS, POLARS, ENTRIES = range(1, 12)
MASKED, ARROW_VALUES = range(12, 14)
"""Codes of the extensions to msgpack."""

SMALLEST_BLOB = 1024
"""Bytes from which a buffer becomes a blob."""

PLAIN_KINDS = "biufcmMSU"
"""Kinds of numpy dtypes that their name describes completely."""

Buffer = Union[bytes, memoryview]

_PROBLEM = "cannot travel between nodes"


def encode_rich(value: object, source_texts: Iterable[str] = ()) -> bytes:
    """Encode a value so that ``decode_rich`` restores it.

    An error message shows a key of the value only if it is in ``source_texts``, the texts in the algorithm's source.

    Raises:
        NotSerializable: a part of the value cannot be encoded. The message contains the path to the part.
        ResultTooLarge: the encoding is above the limit. Raised before a buffer is copied if its size is known.
    """
    packer = _Packer()
    try:
        value = packer.pack(value, ())
        tree = msgspec.msgpack.encode([[len(blob) for blob in packer.blobs], value])
    except BadValue as problem:
        raise problem.to_error(source_texts) from None
    except UnicodeEncodeError:
        raise NotSerializable("result: it contains a text that is not valid Unicode (a lone surrogate)") from None
    except RecursionError:
        raise NotSerializable("result: it contains itself, or is nested too deeply") from None
    packer.claim(len(tree))
    return b"".join([RICH, LENGTH.pack(len(tree)), tree, *packer.blobs])


class _Packer:
    """Convert a value to a tree for msgpack and a list of blobs."""

    def __init__(self) -> None:
        self.blobs: list[Buffer] = []
        self._claimed = 0

    def claim(self, length: int) -> None:
        """Count bytes of the encoding before they are created; raise ResultTooLarge if the sum is above the limit."""
        self._claimed += length
        check_size(self._claimed, rich=True)

    def pack(self, value: Any, path: Path) -> object:
        """Return the value as a tree for msgpack; raise BadValue."""
        kind: type = type(value)
        if value is None or kind in (bool, float):
            return value
        if kind in (str, bytes):
            if len(value) >= SMALLEST_BLOB:
                check_size(self._claimed + len(value), rich=True)
            return value
        if kind is int:
            return value if _fits_in_64_bits(value) else Ext(INTEGER, hex(value).encode())
        if kind is list:
            return self._pack_all(value, path)
        if kind is tuple:
            return self._encode_extension(TUPLE, self._pack_all(value, path))
        return PACKERS[find_kind(kind)](self, value, path)

    def pack_sequence(self, value: Any, path: Path) -> object:
        """Pack a list or a tuple. A named tuple is restored as a plain tuple."""
        values = self._pack_all(value, path)
        return self._encode_extension(TUPLE, values) if isinstance(value, tuple) else values

    def pack_mapping(self, value: Any, path: Path) -> object:
        """Pack a mapping, as a map of msgpack if it can have the keys."""
        tree: dict[Any, object] = {}
        for position, (key, item) in enumerate(value.items()):
            step = (*path, Key(key, position))
            simple = simplify_key(key, step, _PROBLEM)
            if simple in tree:
                raise BadValue(step, "two keys of the mapping have the same value")
            tree[simple] = self.pack(item, step)
        if all(map(_is_msgpack_key, tree)):
            return tree
        return self._encode_extension(ENTRIES, [[self.pack(key, path) for key in tree], list(tree.values())])

    def pack_standard(self, value: Any) -> Ext:
        """Pack a value of a type in ``STANDARD``."""
        kind = find_standard(type(value))
        return self._encode_extension(MOMENT, [kind.__name__, STANDARD[kind].to_parts(value)])

    def refuse(self, value: Any, path: Path) -> object:
        """Raise the error for a value of an unsupported type."""
        raise refuse(value, path, _PROBLEM)

    def _pack_all(self, values: Any, path: Path) -> list[object]:
        if set(map(type, values)) <= {float, str, bool, type(None), bytes}:
            return list(values)
        return [self.pack(value, (*path, position)) for position, value in enumerate(values)]

    def _add_blob(self, data: Buffer) -> object:
        """Return claimed bytes if they are few; otherwise add them to the blobs and return the position."""
        if len(data) < SMALLEST_BLOB:
            return bytes(data)
        self.blobs.append(data)
        return len(self.blobs) - 1

    def _encode_extension(self, code: int, content: object) -> Ext:
        return Ext(code, msgspec.msgpack.encode(content))

    def pack_numpy(self, value: Any, path: Path) -> Ext:
        """Pack an array or a scalar."""
        import numpy as np

        check_array(value, path, _PROBLEM)
        if value.dtype.hasobject:
            # The texts of variable length of numpy 2 have a dtype with an optional object for a missing value.
            is_text = value.dtype.kind == "T"
            missing = self._pack_all([value.dtype.na_object], path) if hasattr(value.dtype, "na_object") else []
            values = self._pack_all(value.ravel().tolist(), path)
            return self._encode_extension(OBJECTS, [list(value.shape), values, missing if is_text else None])
        array = np.asarray(value)
        self.claim(array.nbytes)  # before a copy: a broadcast array is small in memory and may be huge as a copy
        packed = self._pack_plain_array(array) if array.dtype.kind in PLAIN_KINDS else self._pack_records(array)
        return self._encode_extension(SCALAR, packed) if isinstance(value, np.generic) else packed

    def _pack_plain_array(self, array: Any) -> Ext:
        import numpy as np

        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        flat: Any = np.ascontiguousarray((array.T if fortran else array).reshape(-1))  # copies only if necessary
        data = memoryview(flat.view("u1")) if array.nbytes else b""
        return self._encode_extension(
            ARRAY, [array.dtype.str, list(array.shape), "F" if fortran else "C", self._add_blob(data)]
        )

    def _pack_records(self, array: Any) -> Ext:
        import numpy as np

        buffer = io.BytesIO()
        npy: Any = np.lib.format  # some versions of numpy have no types for it
        npy.write_array(buffer, array, version=(3, 0), allow_pickle=False)
        return self._encode_extension(RECORDS, self._add_blob(buffer.getbuffer()))

    def pack_masked(self, value: Any, path: Path) -> Ext:
        """Pack a masked array. The values under the mask are not sent."""
        import numpy as np

        masked: Any = np.ma  # some versions of numpy have no types for it
        if value is masked.masked:
            return self._encode_extension(MASKED, None)
        check_array(value, path, _PROBLEM)
        check_size(self._claimed + value.nbytes, rich=True)
        # The values under the mask are overwritten, because they may be data that the function has removed.
        zero: Any = np.zeros((), value.dtype)
        parts = [np.asarray(value.filled(zero)), masked.getmaskarray(value)]
        if repr(value.fill_value) != repr(masked.MaskedArray(zero).fill_value):  # the default cannot be set explicitly
            parts.append(np.array(value.fill_value, value.dtype))
        return self._encode_extension(MASKED, [self.pack_numpy(part, path) for part in parts])

    def pack_pandas(self, value: Any, path: Path) -> Ext:
        """Pack an object of pandas, whose arrays are numpy's or Arrow's."""
        from algotools.payload import _frames

        return self._encode_extension(PANDAS, _frames.pack(value, path, self.pack))

    def pack_arrow(self, value: Any) -> Ext:
        """Pack a table, a batch or a stream of batches, in Arrow's stream format.

        The size of a stream is unknown in advance, so it is checked after each batch.
        """
        import pyarrow as pa

        if isinstance(value, pa.Table):
            batches: Iterable[Any] = value.to_batches()
        elif isinstance(value, pa.RecordBatch):
            batches = [value]
        else:
            batches = read_batches(value)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            for batch in batches:
                writer.write_batch(clear_batch(batch))
                check_size(self._claimed + sink.tell(), rich=True)
        data = memoryview(sink.getvalue())
        self.claim(len(data))
        return self._encode_extension(ARROW, self._add_blob(data))

    def pack_arrow_values(self, value: Any) -> Ext:
        """Pack an array, a chunked array or a scalar as the only column of a table."""
        import pyarrow as pa

        kind = "chunks" if isinstance(value, pa.ChunkedArray) else "array" if isinstance(value, pa.Array) else "scalar"
        column = pa.array([value], value.type) if kind == "scalar" else value
        return self._encode_extension(ARROW_VALUES, [kind, self.pack_arrow(pa.table({"": column}))])

    def pack_polars(self, value: Any, path: Path) -> Ext:
        """Pack a frame or a series, in Polars' variant of Arrow's format, which supports all types of Polars."""
        import polars as pl

        value = collect_lazy(value)
        frame = value.to_frame() if isinstance(value, pl.Series) else value
        objects = []
        for position, (name, dtype) in enumerate(frame.schema.items()):
            if dtype == pl.Object:
                step = (*path, Key(name, position))
                objects.append([position, name, self._pack_all(frame.to_series(position).to_list(), step)])
        buffer = io.BytesIO()
        frame = clear_frame(frame.drop([name for _, name, _ in objects]))
        frame.write_ipc_stream(buffer, compat_level=pl.CompatLevel.newest())
        data = buffer.getbuffer()
        self.claim(len(data))
        return self._encode_extension(POLARS, [isinstance(value, pl.Series), self._add_blob(data), objects])


PACKERS: dict[ValueKind, Callable[[_Packer, Any, Path], object]] = {
    ValueKind.SEQUENCE: _Packer.pack_sequence,
    ValueKind.MAPPING: _Packer.pack_mapping,
    ValueKind.STANDARD: lambda packer, value, _path: packer.pack_standard(value),
    ValueKind.OBJECT: lambda packer, value, path: packer.pack(simplify(value), path),
    ValueKind.NUMPY: _Packer.pack_numpy,
    ValueKind.MASKED: _Packer.pack_masked,
    ValueKind.PANDAS: _Packer.pack_pandas,
    ValueKind.PANDAS_SCALAR: _Packer.pack_pandas,
    ValueKind.ARROW_TABLE: lambda packer, value, _path: packer.pack_arrow(value),
    ValueKind.ARROW_ARRAY: lambda packer, value, _path: packer.pack_arrow_values(value),
    ValueKind.ARROW_SCALAR: lambda packer, value, _path: packer.pack_arrow_values(value),
    ValueKind.POLARS: _Packer.pack_polars,
    ValueKind.ENGINE: lambda packer, value, path: packer.pack(compute_table(value, path), path),
    ValueKind.UNSUPPORTED: _Packer.refuse,
}
"""ValueKind of a value -> the function that packs the value. The functions import a library when they are called."""


def _fits_in_64_bits(value: int) -> bool:
    return -(2**63) <= value < 2**64


def _is_msgpack_key(key: Any) -> bool:
    kind = type(key)
    if kind is int:
        return _fits_in_64_bits(key)
    return kind in (str, bool, bytes, type(None)) or (kind is float and not math.isnan(key))
