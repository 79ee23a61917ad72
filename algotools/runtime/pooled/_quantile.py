"""Quantiles over all nodes: bisection on the bits of the values.

Floats can be written as integers of 64 bits in the same order. Each round divides the interval of each quantile into
2**11 parts by thresholds; the nodes count the values at or below each threshold. Six rounds leave one integer, which is
the value itself. No range has to be known, and no value is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from algotools.errors import TotalRefused
from algotools.runtime.pooled._bits import to_floats

_BITS = 11
"""Binary digits of a quantile that one round finds."""

_ROUNDS = -(-64 // _BITS)


def find_quantiles(count: Callable[[Any], Any], q: float | Sequence[float]) -> Any:
    """Return the quantiles; an array for a sequence of probabilities.

    Args:
        count: returns the number of values at or below each threshold (an integer in the order of floats), and at the
            end the number of all values.
        q: one or several probabilities.

    Raises:
        TotalRefused: a probability is not between 0 and 1.
    """
    probabilities = np.atleast_1d(np.asarray(q, dtype=float))
    if not probabilities.size:
        raise TotalRefused("total.quantile needs at least one probability")
    if probabilities.ndim != 1 or not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise TotalRefused("total.quantile needs probabilities from 0 to 1")
    quantiles = _find(count, probabilities)
    return float(quantiles[0]) if np.ndim(q) == 0 else quantiles


def _find(count: Callable[[Any], Any], probabilities: Any) -> Any:
    low = [-(2**63)]  # the values of a rank are in low..high, both included
    high = [2**63 - 1]
    ranks: Any = None
    for round_number in range(_ROUNDS):
        width = 64 - _BITS * round_number
        step = 1 << max(width - _BITS, 0)
        # Not `np.arange`: it computes its length as a float, and would lack the threshold above the largest floats.
        grids = [list(range(first + step - 1, last + 1, step)) for first, last in zip(low, high, strict=True)]
        counts = count(np.array([threshold for grid in grids for threshold in grid], dtype=np.int64))
        if ranks is None:
            total = int(counts[-1])
            if not total:
                return np.full(len(probabilities), np.nan)
            positions = probabilities * (total - 1)
            lower = np.floor(positions).astype(int)
            upper = np.minimum(lower + 1, total - 1)
            ranks = sorted({*lower.tolist(), *upper.tolist()})
            low, high, grids = low * len(ranks), high * len(ranks), grids * len(ranks)
            parts = [counts[:-1]] * len(ranks)
        else:
            parts = np.split(counts[:-1], np.cumsum([len(grid) for grid in grids])[:-1])
        for i, (rank, grid, part) in enumerate(zip(ranks, grids, parts, strict=True)):
            position = int(np.searchsorted(part, rank, side="right"))  # the first threshold above `rank` values
            high[i] = grid[position]
            low[i] = high[i] - step + 1
    values = dict(zip(ranks, to_floats(np.array(low, dtype=np.int64)), strict=True))
    # numpy interpolates between the two values, so that the last bits are numpy's, too.
    with np.errstate(invalid="ignore"):  # infinities
        return np.array(
            [
                np.quantile([values[below], values[above]], position - below)
                for below, above, position in zip(lower.tolist(), upper.tolist(), positions.tolist(), strict=True)
            ]
        )
