"""Sketches of sets of records, at most 0.8 kB each. Two sketches show by how many records their sets differ.

A sketch has 64 cells. A keyed hash of a record's id chooses the cell; the cell holds the number of its records and the
sum of their hashes. Without the key, a sketch does not reveal which records are in the set.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CELLS = 64
_CHUNK = 1 << 16
"""Records that are hashed at a time: they fit in the processor's cache, and the sums of half hashes in a float64."""
_FORMAT = struct.Struct(f"<{_CELLS}I{_CELLS}Q")
"""The counts of all cells, then the sums of their hashes, modulo 2⁶⁴."""

SKETCH_BYTES = _FORMAT.size
"""Length of a sketch."""


def make_sketch(ids: NDArray[np.int64], key: bytes) -> bytes:
    """Return the sketch of a set of records.

    Args:
        ids: the records' ids. An id that occurs twice counts twice, as a row does that a sample contains twice.
        key: the secret. Only sketches with the same key can be compared.
    """
    import numpy as np  # here, because the supervisor compares sketches without numpy

    subkeys = np.frombuffer(hashlib.blake2b(key, digest_size=64).digest(), dtype="<u8").astype(np.uint64)
    counts = np.zeros(_CELLS, dtype=np.uint32)
    sums = np.zeros(_CELLS, dtype=np.uint64)
    ids = np.ascontiguousarray(ids, dtype=np.int64).ravel()
    for start in range(0, ids.size, _CHUNK):
        hashes = _hash(ids[start : start + _CHUNK], subkeys)
        cells = (hashes >> np.uint64(58)).astype(np.intp)
        counts += np.bincount(cells, minlength=_CELLS).astype(np.uint32)
        # `bincount` sums float64: each half of a hash has 32 bits, and a chunk has 2¹⁶ records, so the sums are exact.
        for shift, half in ((0, hashes & np.uint64(0xFFFF_FFFF)), (32, hashes >> np.uint64(32))):
            half_sums = np.bincount(cells, weights=half.astype(np.float64), minlength=_CELLS)
            sums += half_sums.astype(np.uint64) << np.uint64(shift)
    return counts.astype("<u4").tobytes() + sums.astype("<u8").tobytes()


def estimate_difference(first: bytes, second: bytes) -> int:
    """Return the number of records that only one of two sets contains, or a smaller number.

    The number is exact if one set contains the other. Otherwise records that leave a cell can compensate records that
    enter it; two records are counted for such a cell. Sets that differ have a difference of at least 1.

    Raises:
        ValueError: a text is not a sketch.
    """
    if first == second:
        return 0
    if len(first) != SKETCH_BYTES or len(second) != SKETCH_BYTES:
        raise ValueError(f"a sketch has {SKETCH_BYTES} bytes")
    cells, other_cells = _FORMAT.unpack(first), _FORMAT.unpack(second)
    difference = 0
    for i in range(_CELLS):
        if cells[i] != other_cells[i]:
            difference += abs(cells[i] - other_cells[i])
        elif cells[i + _CELLS] != other_cells[i + _CELLS]:
            difference += 2  # at least one record left the cell, and one entered it
    return difference


def count_records(sketch: bytes) -> int:
    """Return the number of records in the set of a sketch."""
    return sum(_FORMAT.unpack(sketch)[:_CELLS])


def _hash(ids: NDArray[np.int64], subkeys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a keyed 64-bit hash of each id: three rounds of multiplication, with a subkey before each."""
    import numpy as np

    hashes: NDArray[np.uint64] = ids.view(np.uint64) ^ subkeys[0]
    for i, multiplier in enumerate((0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93), start=1):
        hashes *= np.uint64(multiplier)
        hashes ^= hashes >> np.uint64(32)
        hashes += subkeys[i]
    hashes ^= hashes >> np.uint64(29)
    hashes *= subkeys[4] | np.uint64(1)
    hashes ^= hashes >> np.uint64(32)
    return hashes
