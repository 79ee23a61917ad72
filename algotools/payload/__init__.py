"""Encode the results of functions as bytes, and decode them in a master.

``encode_plain`` creates strict JSON for the researcher. ``encode_rich`` is for a master of the same algorithm: numpy
arrays, frames, Arrow tables, NaN and infinity are restored exactly. Nothing is ever pickled.
"""

from algotools.payload._arguments import encode_arguments, has_arrays
from algotools.payload._decode import decode_rich
from algotools.payload._plain import encode_plain
from algotools.payload._rich import RICH, encode_rich
from algotools.payload.values import LARGEST, check_size, show_path

__all__ = [
    "LARGEST",
    "RICH",
    "check_size",
    "decode_rich",
    "encode_arguments",
    "encode_plain",
    "encode_rich",
    "has_arrays",
    "show_path",
]
