"""Patterns of names, in which ``*`` stands for any characters, and their intersection."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

MOST_STARS = 8
"""Most ``*`` in a pattern, and in two patterns together of which the intersection is needed (at most 70 patterns)."""


def normalize(pattern: str) -> str:
    """Return a pattern that matches the same names, without adjacent ``*``."""
    return re.sub(r"\*+", "*", pattern)


def is_match(name: str, patterns: Collection[str]) -> bool:
    """Return whether a name matches one of the patterns. Only ``*`` is special; the case of letters matters."""
    return any(_compile(pattern).fullmatch(name) for pattern in patterns)


@lru_cache(maxsize=1000)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def intersect(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Return patterns for the names that match both a pattern of *first* and one of *second*.

    Raises:
        ValueError: two patterns have too many ``*``.

    >>> intersect(("fit_*",), ("*_partial", "fit_all", "mean"))
    ('fit_all', 'fit_partial', 'fit_*_partial')
    """
    if any((a + b).count("*") > MOST_STARS for a in first for b in second if "*" not in (a, b)):
        raise ValueError(f"more than {MOST_STARS} * in two patterns")
    patterns = sorted({text for a in first for b in second for text in _intersect(a, b)}, key=lambda p: (len(p), p))
    # Drop a pattern whose names another pattern includes: the text of the pattern then matches the other pattern.
    return tuple(
        p
        for p in patterns
        if not any(is_match(p, (other_pattern,)) for other_pattern in patterns if other_pattern != p)
    )


@lru_cache(maxsize=10_000)
def _intersect(first: str, second: str) -> frozenset[str]:
    """Return patterns for the names that match both patterns; a finite number of patterns is always enough."""
    if not first or not second:
        return frozenset() if (first + second).strip("*") else frozenset([""])
    if first[0] == "*" and second[0] == "*":
        remainders = _intersect(first[1:], second) | _intersect(first, second[1:])
        return frozenset(normalize(f"*{remainder}") for remainder in remainders)
    if second[0] == "*":
        first, second = second, first
    if first[0] == "*":
        extended = {second[0] + remainder for remainder in _intersect(first, second[1:])}
        return _intersect(first[1:], second) | extended
    if first[0] != second[0]:
        return frozenset()
    return frozenset(first[0] + remainder for remainder in _intersect(first[1:], second[1:]))
