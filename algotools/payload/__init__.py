"""Encode the results of functions as bytes, and decode them in a master.

``encode_plain`` creates strict JSON for the researcher. ``encode_rich`` is for a master of the same algorithm: numpy
arrays, frames, Arrow tables, NaN and infinity are restored exactly. Nothing is ever pickled.
"""

from algotools.payload._arguments import encode_arguments, has_arrays
from algotools.payload._decode import WithheldCells, add_withheld, decode_rich, read_withheld
from algotools.payload._outline import OutlineArray, OutlineEntries, OutlineTight, name_key, read_outline
from algotools.payload._plain import encode_plain
from algotools.payload._rich import RICH, encode_rich
from algotools.payload.values import LARGEST, Key, Path, check_size, show_path

__all__ = [
    "LARGEST",
    "RICH",
    "Key",
    "OutlineArray",
    "OutlineEntries",
    "OutlineTight",
    "Path",
    "WithheldCells",
    "add_withheld",
    "check_size",
    "decode_rich",
    "encode_arguments",
    "encode_plain",
    "encode_rich",
    "has_arrays",
    "name_key",
    "read_outline",
    "read_withheld",
    "show_path",
]
