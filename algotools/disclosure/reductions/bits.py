"""Floats as integers in the same order, on which a quantile is found by bisection."""

from __future__ import annotations

from typing import Any

import numpy as np

_ALL_BUT_SIGN = np.int64(2**63 - 1)


def to_ordered_integers(values: Any) -> Any:
    """Return floats as integers of 64 bits in the same order, so that bisection finds a float to its last bit."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    return np.where(bits < 0, bits ^ _ALL_BUT_SIGN, bits)


def to_floats(integers: Any) -> Any:
    """Return the floats of ``to_ordered_integers``."""
    integers = np.asarray(integers, dtype=np.int64)
    return np.where(integers < 0, integers ^ _ALL_BUT_SIGN, integers).view(np.float64)
