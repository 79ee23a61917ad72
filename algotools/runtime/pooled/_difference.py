"""Compare two results of a pooled function: those of two nodes, or those of two splits of the same rows.

The processors of two nodes round differently, so numbers agree within a tolerance. A number that should be 0 has no
digits to compare: 1e-17 and -3e-17 are both rounding errors of the numbers beside them. So a difference also counts as
rounding if it is far below the largest number of the whole result.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

_ROUNDING = 64 * np.finfo(float).eps
_SMALL_PART = 1e-6
"""Part of the tolerance that is allowed relative to the largest number of the whole result."""


def find_difference(a: Any, b: Any, tolerance: float, texts: Collection[str] = ()) -> str | None:
    """Return the path of the first difference between two results; None if they agree.

    Numbers agree within the tolerance, relative to the largest number of their array or column.

    Args:
        a: a result.
        b: the other result.
        tolerance: the relative tolerance; 0 compares exactly.
        texts: strings in the author's source. Other keys can be values of the data, so the path has their position.
    """
    largest = max((_find_largest(array) for array in _list_arrays(a)), default=0.0)
    floor = max(_ROUNDING, tolerance * _SMALL_PART) * max(largest, 1.0) if tolerance else 0.0
    return _Comparison(tolerance, floor, frozenset(texts)).find(a, b, "result")


class _Comparison(NamedTuple):
    tolerance: float
    floor: float
    texts: frozenset[str]

    def find(self, a: Any, b: Any, path: str) -> str | None:
        if isinstance(a, (pd.Series, pd.DataFrame)) and type(a) is type(b):
            return self._find_in_tables(a, b, path)
        if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
            return None if self._are_close(a, b) else path
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if a.keys() != b.keys():
                return path
            return self._find_first(path, list(a), lambda _, key: (a[key], b[key]))
        if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
            if len(a) != len(b):
                return path
            differences = (self.find(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True)))
            return next((difference for difference in differences if difference), None)
        if _is_number(a) and _is_number(b):
            return None if self._are_close(a, b) else path
        try:
            return None if bool(a == b) or (_is_missing(a) and _is_missing(b)) else path
        except (TypeError, ValueError):
            return path

    def _find_in_tables(self, a: Any, b: Any, path: str) -> str | None:
        if a.shape != b.shape:
            return path
        if not a.index.equals(b.index):
            # The order of labels can depend on the split, and has no meaning in a total.
            if not (a.index.is_unique and b.index.is_unique and set(a.index) == set(b.index)):
                return path
            b = b.loc[a.index]
        if isinstance(a, pd.Series):
            return None if self._are_close(a.to_numpy(), b.to_numpy()) else path
        if list(a.columns) != list(b.columns):
            return path
        return self._find_first(path, list(a.columns), lambda i, _: (a.iloc[:, i], b.iloc[:, i]))

    def _find_first(self, path: str, keys: list[Any], select: Callable[[int, Any], tuple[Any, Any]]) -> str | None:
        for i, key in enumerate(keys):
            name = f".{key}" if isinstance(key, str) and key in self.texts else f"[key {i + 1}]"
            if difference := self.find(*select(i, key), path + name):
                return difference
        return None

    def _are_close(self, a: Any, b: Any) -> bool:
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            return False
        try:
            a, b = (array.astype(complex if np.iscomplexobj(array) else float) for array in (a, b))
        except (TypeError, ValueError):
            return bool(np.all((a == b) | (pd.isna(a) & pd.isna(b))))
        allowed = max(self.tolerance * _find_largest(a), self.floor)
        with np.errstate(invalid="ignore"):
            is_close = (np.abs(a - b) <= allowed) | (a == b)
        return bool(np.all(is_close | (np.isnan(a) & np.isnan(b))))


def _list_arrays(value: Any) -> Iterator[Any]:
    """Yield the numbers of a result, at any depth."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _list_arrays(item)
    elif _is_number(value) or isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, pd.Series):
        yield value.to_numpy()
    elif isinstance(value, pd.DataFrame):
        yield from (value.iloc[:, i].to_numpy() for i in range(value.shape[1]))


def _find_largest(array: Any) -> float:
    try:
        sizes = np.abs(np.asarray(array).astype(complex if np.iscomplexobj(array) else float))
    except (TypeError, ValueError):
        return 0.0  # not numbers
    return float(sizes.max(where=np.isfinite(sizes), initial=0.0))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, complex, np.number)) and not isinstance(value, bool)


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT
