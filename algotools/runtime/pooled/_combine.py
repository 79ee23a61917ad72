"""Combine the contributions of the nodes to one total, and compare the results of the nodes.

Numbers and arrays are added by position, so they must have the same shape at every node. Tables of pandas and dicts are
added by label: a node without a level contributes nothing to this level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from algotools.runtime.pooled._rows import sort_labels


class ShapesDiffer(ValueError):
    """The contributions of two nodes cannot be combined. The text continues "the sum in line 45 has different …"."""


def combine(way: str, contributions: Sequence[Any]) -> Any:
    """Return the total of the nodes' contributions.

    Args:
        way: ``add``, ``union`` (levels), ``minimum``, ``maximum`` or ``merge`` (sums of powers).
        contributions: one for each node, in the order of the organizations.

    Raises:
        ShapesDiffer: two contributions have different types or shapes.
    """
    if way == "union":
        return sort_labels(label for levels in contributions for label in levels)
    return _combine(contributions, _REDUCTIONS[way], fill=0 if way == "add" else math.nan)


def _combine(values: Sequence[Any], reduce: Callable[[Sequence[Any]], Any], fill: float) -> Any:
    first = values[0]
    if isinstance(first, Mapping):
        return _combine_mappings(values, reduce, fill)
    if isinstance(first, (pd.Series, pd.DataFrame)):
        return _combine_tables(values, reduce, fill)
    shapes = list(dict.fromkeys(_get_shape(value) for value in values))
    if len(shapes) > 1:
        raise ShapesDiffer(f"shapes at two nodes: {shapes[0]} and {shapes[1]}")
    combined = reduce([np.asarray(value) for value in values])
    if not isinstance(first, np.ndarray):
        return type(first)(combined) if isinstance(first, (int, complex)) else float(combined)
    return combined


def _get_shape(value: Any) -> str:
    if isinstance(value, (pd.Series, pd.DataFrame, Mapping)):
        return "labels"
    return str(np.shape(value)) if isinstance(value, np.ndarray) else "a number"


def _combine_mappings(values: Sequence[Any], reduce: Callable[[Sequence[Any]], Any], fill: float) -> dict[Any, Any]:
    if not all(isinstance(value, Mapping) for value in values):
        raise ShapesDiffer("types at two nodes: a dict and another value")
    labels = [list(value) for value in values]
    keys = labels[0] if all(keys == labels[0] for keys in labels) else sort_labels(k for keys in labels for k in keys)
    return {key: _combine([value[key] for value in values if key in value], reduce, fill) for key in keys}


def _combine_tables(values: Sequence[Any], reduce: Callable[[Sequence[Any]], Any], fill: float) -> Any:
    first = values[0]
    if not all(type(value) is type(first) for value in values):
        raise ShapesDiffer("types at two nodes: a table and another value")
    index = _unite([value.index for value in values])
    tables = [value if value.index.equals(index) else value.reindex(index, fill_value=fill) for value in values]
    if isinstance(first, pd.Series):
        return pd.Series(reduce([table.to_numpy() for table in tables]), index=index, name=first.name)
    columns = _unite([value.columns for value in values])
    tables = [t if t.columns.equals(columns) else t.reindex(columns=columns, fill_value=fill) for t in tables]
    return pd.DataFrame(reduce([table.to_numpy() for table in tables]), index=index, columns=columns)


def _unite(indexes: Sequence[pd.Index]) -> pd.Index:
    """Return the labels of all nodes: unchanged if all nodes have the same, otherwise sorted."""
    first = indexes[0]
    if all(index.equals(first) for index in indexes):
        return first
    labels = sort_labels(label for index in indexes for label in index)
    if isinstance(first, pd.MultiIndex):
        return pd.MultiIndex.from_tuples(labels, names=first.names)
    united: pd.Index = pd.Index(labels, name=first.name)
    return united


def _add(arrays: Sequence[Any]) -> Any:
    total = arrays[0].copy()
    for array in arrays[1:]:
        total = total + array
    return total


def _take_minimum(arrays: Sequence[Any]) -> Any:
    return np.fmin.reduce(np.stack(arrays))


def _take_maximum(arrays: Sequence[Any]) -> Any:
    return np.fmax.reduce(np.stack(arrays))


def _merge_powers(arrays: Sequence[Any]) -> Any:
    """Merge counts, means and sums of central powers of several sets of rows.

    Subtracting the square of a mean from a mean of squares loses all digits if the mean is large. Pairwise merging does
    not. Source: Philippe Pébay, "Formulas for Robust, One-Pass Parallel Computation of Covariances and
    Arbitrary-Order Statistical Moments", Sandia Report SAND2008-6212, 2008; for order 2 Chan, Golub, LeVeque, 1979.
    """
    merged = arrays[0]
    for other in arrays[1:]:
        count = merged[0] + other[0]
        share_a, share_b = (
            np.divide(part[0], count, out=np.zeros_like(count), where=count > 0) for part in (merged, other)
        )
        difference = other[1] - merged[1]
        rows = [count, merged[1] + difference * share_b]
        for order in range(2, len(merged)):
            total = merged[order] + other[order]
            for k in range(1, order - 1):
                term = (-share_b) ** k * merged[order - k] + share_a**k * other[order - k]
                total = total + math.comb(order, k) * term * difference**k
            total = total + merged[0] * (-share_b * difference) ** order + other[0] * (share_a * difference) ** order
            rows.append(total)
        merged = np.stack(rows)
    return merged


_REDUCTIONS: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "add": _add,
    "minimum": _take_minimum,
    "maximum": _take_maximum,
    "merge": _merge_powers,
}


def find_difference(a: Any, b: Any, tolerance: float, path: str = "result") -> str | None:
    """Return the path of the first difference between two results; None if they agree.

    Numbers agree within the tolerance, relative to the largest number of their array or column.
    """
    if isinstance(a, (pd.Series, pd.DataFrame)) and type(a) is type(b):
        return _find_difference_of_tables(a, b, tolerance, path)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return None if _are_close(a, b, tolerance) else path
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if list(a) != list(b) and set(a) != set(b):
            return path
        differences = (find_difference(a[key], b[key], tolerance, f"{path}.{key}") for key in a)
        return next((difference for difference in differences if difference), None)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return path
        pairs = enumerate(zip(a, b, strict=True))
        differences = (find_difference(x, y, tolerance, f"{path}[{i}]") for i, (x, y) in pairs)
        return next((difference for difference in differences if difference), None)
    if _is_number(a) and _is_number(b):
        return None if _are_close(a, b, tolerance) else path
    try:
        return None if bool(a == b) else path
    except (TypeError, ValueError):
        return path


def _find_difference_of_tables(a: Any, b: Any, tolerance: float, path: str) -> str | None:
    if a.shape != b.shape or list(a.index) != list(b.index):
        return path
    if isinstance(a, pd.Series):
        return None if _are_close(a.to_numpy(), b.to_numpy(), tolerance) else path
    if list(a.columns) != list(b.columns):
        return path
    columns = range(a.shape[1])
    differences = (find_difference(a.iloc[:, i], b.iloc[:, i], tolerance, f"{path}.{a.columns[i]}") for i in columns)
    return next((difference for difference in differences if difference), None)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, complex, np.number)) and not isinstance(value, bool)


def _are_close(a: Any, b: Any, tolerance: float) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return False
    try:
        a, b = (array.astype(complex if np.iscomplexobj(array) else float) for array in (a, b))
    except (TypeError, ValueError):
        return bool(np.all((a == b) | (pd.isna(a) & pd.isna(b))))
    finite = np.abs(np.where(np.isfinite(a), a, 0))
    scale = finite.max() if finite.size else 0.0
    with np.errstate(invalid="ignore"):
        is_close = (np.abs(a - b) <= tolerance * max(scale, np.finfo(float).tiny)) | (a == b)
    return bool(np.all(is_close | (np.isnan(a) & np.isnan(b))))
