"""The evidence of a node's contributions to totals. No cell is hidden, because the totals would be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from algotools.disclosure.reductions.conversion import to_column, to_numbers, to_rows
from algotools.disclosure.reductions.evidence import add_counts, add_cross_product, add_powers, add_sums
from algotools.disclosure.reductions.groups import Groups, TableKind, add_label, finish_table
from algotools.disclosure.reductions.records import find_records
from algotools.disclosure.reductions.rows import list_levels, list_powers, to_key
from algotools.disclosure.reductions.statements import list_numbers
from algotools.disclosure.register import Reduced, Register


def add_contribution(register: Register, operation: str, inputs: tuple[Any, ...], contribution: Any) -> None:
    """Add a contribution to the register.

    Args:
        register: the register of the run.
        operation: the name of the aggregator's method.
        inputs: the arguments of the method that the contribution is computed from.
        contribution: what the node contributes to the total.
    """
    if register.collects and operation in _ADD:
        _ADD[operation](register, f"total.{operation}", contribution, *inputs)


def add_known_total(register: Register, operation: str, value: Any) -> None:
    """Add a total of all nodes, which the researcher knows, so that a node's result may contain the total."""
    for numbers in list_numbers(value) if register.collects else ():
        register.add(Reduced(f"total.{operation}", numbers, register.minimum, is_stated=True))


def select_levels(register: Register, operation: str, values: Any, minimum: int) -> tuple[list[Any], int]:
    """Return the levels of a column with at least *minimum* records, and the number of the others."""
    if not register.collects:
        return list_levels(values, minimum)
    key = to_key(values)
    groups = Groups(register, key, key)
    records = dict(zip(groups.labels, groups.label_records.tolist(), strict=True))
    levels = [level for level in list_levels(key, 1)[0] if records[level] >= minimum]
    for level in levels:
        add_label(register, operation, level, records[level])
    return levels, len(records) - len(levels)


def _add_sum(register: Register, operation: str, sums: Any, values: Any, by: Any, _levels: Any = None) -> None:
    rows = to_numbers(to_rows(values))
    if by is None:
        add_sums(register, operation, rows, sums)
    else:
        _add_table(register, operation, 1, rows, by, sums)


def _add_count(register: Register, operation: str, counts: Any, values: Any, by: Any, _levels: Any = None) -> None:
    rows = to_rows(values)
    if by is None:
        add_counts(register, operation, rows, counts)
    else:
        _add_table(register, operation, 0, rows, by, counts)


def _add_mean(register: Register, operation: str, parts: Any, values: Any, by: Any, _levels: Any) -> None:
    rows = to_rows(values)
    _add_sum(register, operation, parts["sum"], rows, by)
    _add_count(register, operation, parts["count"], rows, by)


def _add_powers(
    register: Register, operation: str, powers: Any, values: Any, order: int, by: Any = None, _levels: Any = None
) -> None:
    """Add the count, the mean and the sums of central powers."""
    rows = to_numbers(to_rows(values) if by is None else to_column(values))
    count, *sums = list_powers(powers)
    _add_count(register, operation, count, rows, by)
    parameters = order if operation.endswith("moments") else 0
    for power, numbers in enumerate(sums, start=1):
        if by is None:
            add_powers(register, operation, rows, [numbers], power, parameters)
        else:
            _add_table(register, operation, power, rows, by, numbers)


def _add_table(register: Register, operation: str, power: int, rows: Any, by: Any, table: Any) -> None:
    kind = TableKind(operation, power, has_levels=True, may_hide=False)
    finish_table(register, kind, rows, Groups(register, rows, by), table)


def _add_table_of_counts(register: Register, operation: str, counts: Any, a: Any, b: Any) -> None:
    keys = [to_key(a)] if b is None else [to_key(a), to_key(b)]
    _add_table(register, operation, 0, keys[0], keys, counts)


def _add_bins(register: Register, operation: str, counts: Any, values: Any, *_: Any) -> None:
    """Add numbers of values in bins: each value is a record, or may be one of several of a person."""
    numbers = np.ravel(counts)
    table = find_records(register, to_column(values)).table
    records = numbers if table is None else table.count_least_persons(numbers)
    register.add(Reduced(operation, numbers, np.asarray(records, dtype=int)))


def _add_product(register: Register, operation: str, product: Any, x: Any, y: Any, weights: Any) -> None:
    y, weights = (None if rows is None else to_rows(rows) for rows in (y, weights))
    add_cross_product(register, operation, to_rows(x), y, weights, product)


def _add_reduced(register: Register, operation: str, value: Any, records: int | None) -> None:
    """Add a value that the author has reduced. Without the number of its records, it has no evidence."""
    for numbers in list_numbers(value) if records is not None else ():
        register.add(Reduced(operation, numbers, int(records or 0), is_stated=True))


_ADD: Mapping[str, Callable[..., None]] = {
    "add": _add_reduced,
    "count": _add_count,
    "cross_product": _add_product,
    "histogram": _add_bins,
    "mean": _add_mean,
    "moments": _add_powers,
    "quantile": _add_bins,
    "sum": _add_sum,
    "table": _add_table_of_counts,
    "variance": _add_powers,
}
"""Method of the aggregator -> the function that adds a contribution to its total."""
