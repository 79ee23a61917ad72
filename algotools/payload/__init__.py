"""Values <-> bytes: what a function returns, on its way out of a node and back in at a master.

``encode_plain`` is for the researcher: strict JSON. ``encode_rich`` is for our own master: numpy arrays,
frames, Arrow tables, NaN and infinity come back exactly. Nothing here ever pickles.
"""

from algotools.payload.plain import encode_arguments, encode_plain
from algotools.payload.rich import RICH, decode_rich, encode_rich
from algotools.payload.size import check as check_size

__all__ = ["RICH", "check_size", "decode_rich", "encode_arguments", "encode_plain", "encode_rich"]
