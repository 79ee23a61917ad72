"""The labels of totals: their order, and NaN as a label."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

_NAN, _NAN_RANK = math.nan, (2,)


def sort_labels(labels: Iterable[Any]) -> list[Any]:
    """Return labels in their order; of several types: numbers, then others by type and text, then NaN."""
    distinct = list(dict.fromkeys(map(unify_nan, labels)))
    ranks = {label: _rank(label) for label in distinct}
    with contextlib.suppress(TypeError):
        if not any(_NAN_RANK in (rank, *rank) for rank in ranks.values()):
            return sorted(distinct)
    return sorted(distinct, key=ranks.__getitem__)


def unify_nan(label: Any) -> Any:
    """Return a label with one object for each NaN, because two objects of NaN are two keys of a dict."""
    if isinstance(label, tuple):
        return tuple(map(unify_nan, label))
    return _NAN if isinstance(label, float) and math.isnan(label) else label


def _rank(label: Any) -> tuple[Any, ...]:
    if isinstance(label, tuple):
        return tuple(map(_rank, label))
    if label is _NAN:
        return _NAN_RANK
    return (0, label) if isinstance(label, Real) else (1, type(label).__name__, str(label))
