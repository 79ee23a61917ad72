"""Reductions of the rows of one node for models and ranks: cross products and quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from algotools.disclosure.reductions.calls import explain_refusals
from algotools.disclosure.reductions.conversion import RowsRefused, read_numbers, to_column, to_numbers, to_rows
from algotools.disclosure.reductions.evidence import add_cross_product, split_columns
from algotools.disclosure.reductions.records import Records, find_records
from algotools.disclosure.reductions.rows import multiply_rows
from algotools.disclosure.register import Reduced, Register, get_register


@explain_refusals
def cross_product(x: Any, y: Any = None, /, weights: Any = None) -> Any:
    """Return x' W y as an array.

    Args:
        x: rows, n x p.
        y: rows, n or n x q; default: x.
        weights: n numbers; default: 1 for each row.
    """
    x = to_rows(x)
    y = None if y is None else to_rows(y)
    weights = None if weights is None else to_rows(weights)
    product = multiply_rows(x, y, weights)
    add_cross_product(get_register(), "aggregate.cross_product", x, y, weights, product)
    return product


@explain_refusals
def quantile(values: Any, q: float | Sequence[float], /) -> Any:
    """Return quantiles: for each probability the mean of the values next to it; NaN without rows.

    The mean is that of as many records as the node's owner requires (default: 3). A quantile with fewer records on one
    of its sides is that of an extreme, which the gate refuses.

    Args:
        values: rows of one column.
        q: one or several probabilities.
    """
    probabilities = np.atleast_1d(read_numbers(q, "has a probability that is not a number"))
    if probabilities.ndim != 1 or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise RowsRefused("has a probability that is not between 0 and 1")
    register = get_register()
    column = to_numbers(to_column(values))
    [part] = split_columns(column)
    numbers = part.array.astype(float)
    records = find_records(register, column)
    if part.is_present is not None:
        numbers, records = numbers[part.is_present], records.select(part.is_present)
    order = np.argsort(numbers, kind="stable")
    quantiles = [_find_quantile(register, part.name, numbers, records, order, p) for p in probabilities.tolist()]
    return quantiles if np.ndim(q) else quantiles[0]


def _find_quantile(
    register: Register, columns: tuple[str, ...], numbers: Any, records: Records, order: Any, probability: float
) -> float:
    """Return the mean of the values next to a probability, of which the register's minimum of records is needed."""
    count = len(numbers)
    if not count:
        return float("nan")
    rank = probability * (count - 1)
    width = min(register.minimum, count)
    while True:
        start = int(np.clip(np.ceil(rank - width / 2), 0, count - width))
        nearest = records.take(order[start : start + width])
        if width == count or nearest.count_records() >= register.minimum:
            break
        width += 1
    quantile = float(numbers[order[start : start + width]].mean())
    below = records.take(order[: int(np.floor(rank)) + 1]).count_records()
    above = records.take(order[int(np.ceil(rank)) :]).count_records()
    fewest = min(nearest.count_records(), below, above)
    record_set = records.make_set() if columns and register.collects else None
    register.add(
        Reduced(
            "aggregate.quantile",
            quantile,
            np.array([fewest]),
            0,
            columns=[columns],
            find_record_set=lambda _: record_set,
        )
    )
    return quantile
