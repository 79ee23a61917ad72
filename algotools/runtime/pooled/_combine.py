"""Combine the contributions of the nodes to one total.

Numbers and arrays are added by position, so they must have the same shape at every node. Tables of pandas and dicts are
added by label: a node without a level contributes nothing to this level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from algotools.disclosure.reductions.labels import sort_labels, unify_nan


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
    if way == "merge":
        contributions = [_stack_powers(contribution) for contribution in contributions]
    return _combine(contributions, _REDUCTIONS[way], fill=math.nan if way in {"minimum", "maximum"} else 0)


def _combine(values: Sequence[Any], reduce: Callable[[Sequence[Any]], Any], fill: float) -> Any:
    first = values[0]
    if isinstance(first, Mapping):
        return _combine_mappings(values, reduce, fill)
    if isinstance(first, (pd.Series, pd.DataFrame)):
        return _combine_tables(values, reduce, fill)
    if len({_get_shape(value) for value in values}) > 1:
        # The message contains no shapes: one of them can be the number of a node's rows, or of its levels.
        raise ShapesDiffer("shapes at two nodes")
    if isinstance(first, np.ndarray):
        return reduce([np.asarray(value) for value in values])
    if reduce is _add:
        return sum(values)  # Python's integers do not overflow; 0 of an empty node and 2.5 of another one are 2.5
    return np.asarray(reduce([np.asarray(value) for value in values])).item()


def _get_shape(value: Any) -> str:
    if isinstance(value, (pd.Series, pd.DataFrame, Mapping)):
        return "labels"
    return str(np.shape(value)) if isinstance(value, np.ndarray) else "a number"


def _combine_mappings(values: Sequence[Any], reduce: Callable[[Sequence[Any]], Any], fill: float) -> dict[Any, Any]:
    if not all(isinstance(value, Mapping) for value in values):
        raise ShapesDiffer("types at two nodes: a dict and another value")
    values = [{unify_nan(key): item for key, item in value.items()} for value in values]
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
    if not all(index.is_unique for index in indexes):
        raise ShapesDiffer("labels at two nodes, some of them twice")
    labels = sort_labels(label for index in indexes for label in index)
    if isinstance(first, pd.MultiIndex):
        return pd.MultiIndex.from_tuples(labels, names=first.names)
    united: pd.Index = pd.Index(labels, name=first.name, tupleize_cols=False)
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


def _stack_powers(contribution: Mapping[str, Any]) -> Any:
    """Return the counts and powers of ``rows.sum_powers`` as one array or table, with the counts in the first row."""
    count, powers = contribution["count"], contribution["powers"]
    rows = np.concatenate([np.asarray(count, dtype=float)[None], np.asarray(powers)])
    return pd.DataFrame(rows, columns=powers.columns) if isinstance(powers, pd.DataFrame) else rows


def _merge_powers(arrays: Sequence[Any]) -> Any:
    """Merge counts, means and sums of central powers of several sets of rows.

    Subtracting the square of a mean from a mean of squares loses all digits if the mean is large. Pairwise merging does
    not. Source: Philippe Pébay, "Formulas for Robust, One-Pass Parallel Computation of Covariances and
    Arbitrary-Order Statistical Moments", Sandia Report SAND2008-6212, 2008; for order 2 Chan, Golub, LeVeque, 1979.
    """
    # pandas adds the missing columns of a table without columns as integers.
    merged, *remaining = (array.astype(float) for array in arrays)
    for addend in remaining:
        count = merged[0] + addend[0]
        share_a, share_b = (
            np.divide(part[0], count, out=np.zeros_like(count), where=count > 0) for part in (merged, addend)
        )
        difference = addend[1] - merged[1]
        rows = [count, merged[1] + difference * share_b]
        for order in range(2, len(merged)):
            total = merged[order] + addend[order]
            for k in range(1, order - 1):
                term = (-share_b) ** k * merged[order - k] + share_a**k * addend[order - k]
                total = total + math.comb(order, k) * term * difference**k
            total = total + merged[0] * (-share_b * difference) ** order + addend[0] * (share_a * difference) ** order
            rows.append(total)
        merged = np.stack(rows)
    return merged


_REDUCTIONS: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "add": _add,
    "minimum": _take_minimum,
    "maximum": _take_maximum,
    "merge": _merge_powers,
}
