"""Quantiles over all nodes: from the counts in bins of the author, or exactly, by bisection on the bits of the values.

For the bisection, floats are written as integers of 64 bits in the same order. Each round divides the interval around
each quantile into 2**11 parts, and the nodes count their values in each part. Six rounds leave one integer, which is
the value itself. No range has to be known, and no value is sent. The counts are those of single parts, not cumulative:
so a gate that refuses counts of few records also refuses an exact quantile which only few records of a node have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from algotools.disclosure.reductions.bits import to_floats
from algotools.errors import TotalRefused

_BITS = 11
"""Binary digits of a quantile that one round finds."""

_ROUNDS = -(-64 // _BITS)

CountParts = Callable[[Any, Any], Any]
"""Returns the number of values in each part of each interval, for ``rows.count_parts``."""


class _Position(NamedTuple):
    """The position of a quantile among the sorted values: between two ranks, which count from 0."""

    lower: int
    upper: int
    fraction: float


def check_probabilities(q: float | Sequence[float]) -> Any:
    """Return an array of probabilities.

    Raises:
        TotalRefused: a probability is not between 0 and 1.
    """
    probabilities = np.atleast_1d(np.asarray(q, dtype=float))
    if not probabilities.size:
        raise TotalRefused("total.quantile needs at least one probability")
    if probabilities.ndim != 1 or not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise TotalRefused("total.quantile needs probabilities from 0 to 1")
    return probabilities


def find_quantiles(count_parts: CountParts, q: float | Sequence[float]) -> Any:
    """Return the exact quantiles; an array for a sequence of probabilities.

    Args:
        count_parts: requests the number of values in the parts of intervals, whose bounds are integers in the order of
            floats.
        q: one or several probabilities.

    Raises:
        TotalRefused: a probability is not between 0 and 1.
    """
    probabilities = check_probabilities(q)
    low, high = -(2**63), 2**63 - 1
    counts = count_parts(*_divide([(low, high)], 0))
    positions = _find_positions(probabilities, int(counts.sum()))
    if positions is None:
        return _shape(np.full(len(probabilities), np.nan), q)
    ranks = _list_ranks(positions)
    intervals = dict.fromkeys(ranks, (low, high))
    below = dict.fromkeys(ranks, 0)  # the number of values below the interval of a rank
    for round_number in range(_ROUNDS):
        requested = sorted(set(intervals.values()))  # neighbouring ranks have the same interval in the first rounds
        starts, ends = _divide(requested, round_number)
        if round_number:
            counts = count_parts(starts, ends)
        for rank in ranks:
            row = requested.index(intervals[rank])
            cumulative = np.cumsum(counts[row])
            part = int(np.searchsorted(cumulative, rank - below[rank], side="right"))
            below[rank] += int(cumulative[part] - counts[row][part])
            first = int(ends[row][part - 1]) + 1 if part else int(starts[row])
            intervals[rank] = (first, int(ends[row][part]))
    values = to_floats(np.array([intervals[rank][0] for rank in ranks], dtype=np.int64))
    return _shape(_interpolate(positions, dict(zip(ranks, values.tolist(), strict=True))), q)


def interpolate_in_bins(counts: Any, edges: Any, q: float | Sequence[float]) -> Any:
    """Return quantiles of values that are known by bin only, as if the values of a bin were evenly spread in it.

    So each value is in its bin, and a quantile is wrong by at most the width of the bins around it. A quantile outside
    the edges is NaN.

    Args:
        counts: the number of values below the first edge, in each bin, and above the last edge.
        edges: the edges of the bins.
        q: one or several probabilities.
    """
    probabilities = check_probabilities(q)
    positions = _find_positions(probabilities, int(counts.sum()))
    if positions is None:
        return _shape(np.full(len(probabilities), np.nan), q)
    # A value outside the edges is NaN, so the next value must not count where the fraction is 0.
    positions = [p if p.fraction else p._replace(upper=p.lower) for p in positions]
    bounds = [math.nan, *np.asarray(edges, dtype=float).tolist(), math.nan]
    cumulative = np.cumsum(counts)
    values = {}
    for rank in _list_ranks(positions):
        i = int(np.searchsorted(cumulative, rank, side="right"))
        share = (rank - (cumulative[i] - counts[i]) + 0.5) / counts[i]
        values[rank] = float(bounds[i] + share * (bounds[i + 1] - bounds[i]))
    return _shape(_interpolate(positions, values), q)


def _divide(intervals: Sequence[tuple[int, int]], round_number: int) -> tuple[Any, Any]:
    """Return the first integer of each interval, and the last integer of each of its parts."""
    width = 64 - _BITS * round_number
    step = 1 << max(width - _BITS, 0)
    # Not `np.arange`: it computes its length as a float, and would lack the part above the largest floats.
    ends = [list(range(first + step - 1, last + 1, step)) for first, last in intervals]
    return np.array([first for first, _ in intervals], dtype=np.int64), np.array(ends, dtype=np.int64)


def _find_positions(probabilities: Any, count: int) -> list[_Position] | None:
    """Return the positions of quantiles among *count* values; None without values."""
    if not count:
        return None
    positions = (probabilities * (count - 1)).tolist()
    return [_Position(int(p), min(int(p) + 1, count - 1), p - int(p)) for p in positions]


def _list_ranks(positions: Sequence[_Position]) -> list[int]:
    return sorted({rank for position in positions for rank in (position.lower, position.upper)})


def _interpolate(positions: Sequence[_Position], values: dict[int, float]) -> Any:
    """Return the quantiles between the values of their ranks, as numpy computes them, to the last bit."""
    with np.errstate(invalid="ignore"):  # infinities
        return np.array([np.quantile([values[p.lower], values[p.upper]], p.fraction) for p in positions])


def _shape(quantiles: Any, q: float | Sequence[float]) -> Any:
    return float(quantiles[0]) if np.ndim(q) == 0 else quantiles
