"""Fingerprints of numbers without evidence: keyed hashes of their changes when a group of records is left out.

Two numbers of different tasks that change alike, except without a few groups, probably have nearly the same rows. A
change can be the value of a record, so a fingerprint has no change, but two keyed hashes of each rounded change: two
equal changes can be on two sides of one rounding limit, but not of both.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence

MOST_FINGERPRINTS = 200
"""Numbers of a result that get a fingerprint."""

_HASH_BYTES = 4
_GROUP_BYTES = 2 * _HASH_BYTES
_UNCHANGED = bytes(_GROUP_BYTES)
_UNKNOWN = b"\xff" * _GROUP_BYTES
"""The function could not run without the group."""

_FEWEST_EQUAL = 0.5
"""Two numbers change alike if at least this share of their changes is equal, and not 0."""


def make_fingerprints(values: Iterable[Sequence[float | None]], key: bytes) -> tuple[bytes, ...]:
    """Return the fingerprint of each number that changes without enough groups, each fingerprint once.

    Args:
        values: for each number, its change without each group; None if the function has failed.
        key: the secret of the ledger.
    """
    fingerprints: dict[bytes, None] = {}
    for changes in values:
        if sum(change not in (None, 0) for change in changes) >= len(changes) * _FEWEST_EQUAL:
            fingerprints[b"".join(_hash(change, group, key) for group, change in enumerate(changes))] = None
            if len(fingerprints) == MOST_FINGERPRINTS:
                break
    return tuple(fingerprints)


def count_different_groups(first: bytes, second: bytes) -> int | None:
    """Return in how many groups two numbers change differently; None if they do not change alike."""
    different = alike = groups = 0
    for first_part, second_part in zip(_split(first), _split(second), strict=False):
        if _UNKNOWN in (first_part, second_part):
            continue
        groups += 1
        is_equal = (
            first_part[:_HASH_BYTES] == second_part[:_HASH_BYTES]
            or first_part[_HASH_BYTES:] == second_part[_HASH_BYTES:]
        )
        different += not is_equal
        alike += is_equal and first_part != _UNCHANGED
    return different if groups and alike >= groups * _FEWEST_EQUAL else None


def list_marks(fingerprint: bytes) -> list[tuple[int, bytes]]:
    """Return the marks of which two numbers that change alike have at least one in common."""
    return [
        (number, fingerprint[start : start + _HASH_BYTES])
        for number, start in enumerate(range(0, len(fingerprint), _HASH_BYTES))
        if fingerprint[start : start + _HASH_BYTES] not in (_UNCHANGED[:_HASH_BYTES], _UNKNOWN[:_HASH_BYTES])
    ]


def _split(fingerprint: bytes) -> Iterator[bytes]:
    for start in range(0, len(fingerprint), _GROUP_BYTES):
        yield fingerprint[start : start + _GROUP_BYTES]


def _hash(change: float | None, group: int, key: bytes) -> bytes:
    if change is None or not math.isfinite(change):
        return _UNKNOWN
    if change == 0:
        return _UNCHANGED
    mantissa, exponent = math.frexp(change)
    scaled = mantissa * 2**28  # about 8 significant digits
    limits = (math.floor(scaled), math.floor(scaled + 0.5))
    return b"".join(
        hashlib.blake2b(f"{group} {number} {limit} {exponent}".encode(), digest_size=_HASH_BYTES, key=key[:64]).digest()
        for number, limit in enumerate(limits)
    )
