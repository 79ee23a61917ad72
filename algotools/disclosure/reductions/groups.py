"""Tables of groups: the records behind each cell, and the cells of few records, which are hidden or rounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from algotools.disclosure.reductions.evidence import ColumnValues, split_columns
from algotools.disclosure.reductions.records import Records, SetOfRecords, Summands, find_records
from algotools.disclosure.reductions.rows import number_groups, to_keys
from algotools.disclosure.register import HiddenPart, Reduced, Register

_MOST_SETS = 200
"""The most cells whose sets of records are compared."""


class CellMeasures(NamedTuple):
    """The records behind the cells of one column of a table, an entry for each group."""

    records: Any
    largest_share: Any
    two_largest_share: Any


class Groups:
    """The groups of rows, and the records of each.

    Args:
        register: the register of the run.
        rows: the rows: a pandas object or an array.
        by: a column or a list of columns with the group of each row.
    """

    def __init__(self, register: Register, rows: Any, by: Any) -> None:
        self.keys = to_keys(by)
        self.labels, self.numbers = number_groups(self.keys)
        located = rows if isinstance(rows, (pd.Series, pd.DataFrame)) else self.keys[0]
        self._is_grouped = self.numbers >= 0
        self.records = find_records(register, located)
        self.label_records = self._count(self._is_grouped)
        """Number of records of each group."""

    def measure(self, column: ColumnValues, power: int) -> CellMeasures:
        """Return the records behind the values of a column; see ``TableKind.power``."""
        is_used = self._select(column)
        if not power:
            none = np.full(len(self.labels), np.nan)
            return CellMeasures(self._count(is_used), none, none)
        weights = column.array[is_used].astype(float)
        if power > 1:
            numbers = self.numbers[is_used]
            means = np.bincount(numbers, weights) / np.maximum(np.bincount(numbers), 1)
            weights = (weights - means[numbers]) ** power
        is_counted = is_used.copy()
        is_counted[is_used] = weights != 0  # a sum of zeros and ones is a count of the ones
        return CellMeasures(self._count(is_counted), *self._compute_shares(is_used, np.abs(weights)))

    def select_cell(self, column: ColumnValues, group: int, power: int) -> Records:
        """Return the records of a cell; those of a sum of a condition are those for which it is true."""
        is_used = self._select(column) & (self.numbers == group)
        is_condition = power == 1 and column.array.dtype.kind == "b"
        return self.records.select(is_used & column.array if is_condition else is_used)

    def make_summands(self, column: ColumnValues, group: int) -> Summands | None:
        """Return the summands of a cell."""
        positions = np.flatnonzero(self._select(column) & (self.numbers == group))
        return self.records.make_summands(column.array, positions)

    def select_groups(self, column: ColumnValues | None, is_selected: Any) -> Records:
        """Return the records of several groups together."""
        return self.records.select(self.select_rows(column, is_selected))

    def select_ungrouped(self, column: ColumnValues) -> Records:
        """Return the records of the rows that have a value and no group."""
        return self.records.select(
            ~self._is_grouped if column.is_present is None else ~self._is_grouped & column.is_present
        )

    def select_rows(self, column: ColumnValues | None, is_selected: Any) -> Any:
        """Return which rows belong to several groups, and have a value."""
        is_used = self._is_grouped if column is None else self._select(column)
        return is_used & np.append(is_selected, False)[self.numbers]

    def _select(self, column: ColumnValues) -> Any:
        return self._is_grouped if column.is_present is None else self._is_grouped & column.is_present

    def _count(self, is_used: Any) -> Any:
        """Return the number of records of each group."""
        numbers, part = self.numbers[is_used], self.records.select(is_used)
        counts = np.bincount(numbers, minlength=len(self.labels))
        if part.numbers is None:
            return counts if part.table is None else part.table.count_least_persons(counts)
        record_set = part.make_set()
        if record_set is not None and record_set.count == len(numbers):
            return counts
        pairs = np.unique(numbers * np.int64(part.table.size) + part.numbers)  # type: ignore[union-attr]
        return np.bincount(pairs // part.table.size, minlength=len(self.labels))  # type: ignore[union-attr]

    def _compute_shares(self, is_used: Any, weights: Any) -> tuple[Any, Any]:
        """Return the largest share of one record and of two records in each group; NaN without a share."""
        numbers, part = self.numbers[is_used], self.records.select(is_used)
        if part.table is not None and part.numbers is not None and not part.is_whole:
            pairs, positions = np.unique(numbers * np.int64(part.table.size) + part.numbers, return_inverse=True)
            numbers, weights = pairs // part.table.size, np.bincount(positions, weights)
        largest, two_largest = (np.full(len(self.labels), np.nan) for _ in range(2))
        if not len(numbers):
            return largest, two_largest
        # numpy sorts integers of 16 bits in a fraction of the time.
        order = np.argsort(numbers.astype(np.int16) if len(self.labels) < 1 << 15 else numbers, kind="stable")
        weights = weights[order]
        groups, starts, counts = np.unique(numbers[order], return_index=True, return_counts=True)
        sums = np.add.reduceat(weights, starts)
        first = np.maximum.reduceat(weights, starts)
        maxima = np.flatnonzero(weights == np.repeat(first, counts))
        # The first place of each group; a group with NaN or infinity has no shares.
        owners = np.searchsorted(starts, maxima, side="right") - 1
        owners, earliest = np.unique(owners, return_index=True)
        other_weights = weights.copy()
        other_weights[maxima[earliest]] = 0.0
        second = np.maximum.reduceat(other_weights, starts)
        with np.errstate(divide="ignore", invalid="ignore"):
            has_share = np.isfinite(sums) & (sums > 0)
            largest[groups] = np.where(has_share, first / sums, np.nan)
            two_largest[groups] = np.where(has_share, (first + second) / sums, np.nan)
        return largest, two_largest


class TableKind(NamedTuple):
    """The kind of the cells of a table."""

    operation: str
    """The reduction, as the author calls it."""
    power: int
    """1 if a cell is a sum of values, 2 if it is a sum of squared deviations; 0 if it is a count of rows."""
    has_levels: bool
    """Whether the author has named the groups."""
    has_labels: bool = True
    """Whether the table shows the labels of the groups."""
    may_hide: bool = True
    """Whether cells of few records are hidden; those of a total are not, because the total would be wrong."""
    parameters: int = 0


def finish_table(register: Register, kind: TableKind, rows: Any, groups: Groups, table: Any) -> Any:
    """Add a table of groups to the register, and return the table without its cells of few records.

    Args:
        register: the register of the run.
        kind: the kind of the cells.
        rows: the rows that were reduced.
        groups: their groups.
        table: the table: a Series by group, or a DataFrame with an entry for each column.
    """
    may_hide = kind.may_hide and register.hides_cells
    if not may_hide and not register.collects:
        return table
    columns = split_columns(rows)
    measures = [groups.measure(column, kind.power) for column in columns]
    positions = _find_positions(groups.labels, table.index)
    records = np.stack([np.append(measure.records, 0)[positions] for measure in measures], axis=1)
    label_records = np.append(groups.label_records, 0)[positions]
    is_small = (records > 0) & (records < register.minimum)
    is_shown = np.ones(len(positions), dtype=bool)
    is_rounded = False
    if may_hide:
        is_rounded = register.small_cells == "round" and not kind.power
        is_hidden = is_small & (not is_rounded)
        if not kind.has_levels:
            is_shown = ~((label_records > 0) & (label_records < register.minimum))
        register.count_withheld(int((is_small | ~is_shown[:, None]).sum()))
        table = _hide(table, is_hidden, is_shown, register.round_base if is_rounded else 0)
    if register.collects:
        table_records = [np.full_like(measure.records, groups.records.count_records()) for measure in measures]
        measures = (
            [m._replace(records=r) for m, r in zip(measures, table_records, strict=True)] if is_rounded else measures
        )
        # The difference of two rounded numbers reveals no record.
        cells = _add_cells(
            register, kind, groups, columns, measures, positions[is_shown], table, has_sets=not is_rounded
        )
        if may_hide and not is_rounded:
            is_visible = ~is_small & is_shown[:, None]
            for column, measure, visible in zip(columns, measures, is_visible.T, strict=True):
                positions_shown = set(positions[visible].tolist())
                add_margins(register, kind.operation, groups, column, measure.records, positions_shown, cells)
        if kind.may_hide and kind.power:
            for column, measure, small in zip(columns, measures, is_small.T, strict=True):
                shown = positions[is_shown & ~small & (positions >= 0)]
                hidden = np.delete(measure.records, shown)
                _add_rows_without_group(register, kind.operation, groups, column, hidden[hidden > 0], cells)
        if kind.has_labels:
            _add_labels(register, kind.operation, groups, rows, table.index.tolist())
    return table


def _add_labels(register: Register, operation: str, groups: Groups, rows: Any, labels: Sequence[Any]) -> None:
    """Add the labels of the groups: each level of several columns has the records of that level."""
    for position, key in enumerate(groups.keys):
        by_key = groups if len(groups.keys) == 1 else Groups(register, rows, key)
        records = dict(zip(by_key.labels, by_key.label_records.tolist(), strict=True))
        for level in dict.fromkeys(labels if len(groups.keys) == 1 else [label[position] for label in labels]):
            add_label(register, operation, level, records.get(level, 0))


def _find_positions(labels: Sequence[Any], index: pd.Index) -> Any:
    """Return the number of the group of each row of a table; -1 for a level without rows."""
    numbers = {label: i for i, label in enumerate(labels)}
    return np.array([numbers.get(label, -1) for label in index.tolist()], dtype=int)


def _hide(table: Any, is_hidden: Any, is_shown: Any, base: int) -> Any:
    if base:
        table = (table / base).round().astype(np.int64) * base
    elif is_hidden.any():
        table = table.astype(float).where(~(is_hidden if table.ndim == 2 else is_hidden[:, 0]))
    return table if is_shown.all() else table[is_shown]


def add_margins(
    register: Register,
    operation: str,
    groups: Groups,
    column: ColumnValues | None,
    records: Any,
    visible_groups: set[int],
    cells: Reduced | None,
) -> None:
    """Add the hidden cells of the table, and of each level of a table by several columns.

    Args:
        register: the register of the run.
        operation: the reduction of the cells.
        groups: the groups of the table's rows.
        column: the column that is reduced; None if all rows with a group count.
        records: the records of each group.
        visible_groups: the positions of the groups that are not hidden.
        cells: the visible cells; None if they are unknown.
    """
    if not register.collects:
        return
    is_hidden = np.array([i not in visible_groups for i in range(len(groups.labels))], dtype=bool) & (records > 0)
    if not is_hidden.any():
        return
    for is_part in _list_parts(groups.labels, len(groups.keys)):
        hidden = records[is_part & is_hidden]
        # A cell that the author has not requested and that has many records hides the others.
        if len(hidden) and hidden.max() < register.minimum:
            record_set = groups.select_groups(column, is_part).make_set()
            names = column.name if column else ()
            if record_set is not None:
                part = HiddenPart(record_set, len(hidden), int(hidden.sum()), operation, names, cells)
                register.add_hidden(part)
                if column is not None and operation.endswith((".sum", ".mean")):
                    _add_total(register, operation, groups, column, is_part, record_set)


def _add_rows_without_group(
    register: Register, operation: str, groups: Groups, column: ColumnValues, hidden: Any, cells: Reduced
) -> None:
    """Add the rows without a group as a hidden cell, which the total of all rows would reveal.

    The cells of counts have no such cell: the number of missing keys is no value of a record.

    Args:
        register: the register of the run.
        operation: the reduction of the cells.
        groups: the groups of the table's rows.
        column: the column that is reduced.
        hidden: the numbers of records of the groups that are hidden.
        cells: the visible cells.
    """
    missing = groups.select_ungrouped(column).count_records()
    cell_records = [*hidden.tolist(), missing]
    record_set = groups.records.select(column.is_present).make_set() if missing and column.name else None
    if record_set is not None and max(cell_records) < register.minimum:
        part = HiddenPart(record_set, len(cell_records), sum(cell_records), operation, column.name, cells)
        register.add_hidden(part)


def _add_total(
    register: Register, operation: str, groups: Groups, column: ColumnValues, is_part: Any, record_set: SetOfRecords
) -> None:
    """Add the sum and the mean of groups, so that they are recognized if the author computes them with pandas."""
    is_used = groups.select_rows(column, is_part)
    values = column.array.astype(float)
    # Rounding errors depend on the order: pandas leaves missing values out by adding 0, and a filter has no such rows.
    sums = np.array([values[is_used].sum(), np.where(is_used, values, 0.0).sum()])
    numbers = np.concatenate([sums, sums / max(int(is_used.sum()), 1)])
    register.add(
        Reduced(
            operation,
            numbers,
            np.array([record_set.count]),
            columns=[column.name],
            find_record_set=lambda _: record_set,
        )
    )


def _list_parts(labels: Sequence[Any], key_count: int) -> Iterator[Any]:
    """Yield which groups belong to the whole table, and to each level of each of several keys."""
    yield np.ones(len(labels), dtype=bool)
    if key_count > 1:
        for position in range(key_count):
            levels = [label[position] for label in labels]
            for level in dict.fromkeys(levels):
                yield np.array([label == level for label in levels], dtype=bool)


def _add_cells(
    register: Register,
    kind: TableKind,
    groups: Groups,
    columns: Sequence[ColumnValues],
    measures: Sequence[CellMeasures],
    positions: Any,
    table: Any,
    *,
    has_sets: bool,
) -> Reduced:
    cells = np.asarray(table, dtype=float).reshape(len(positions), len(columns)).T
    numbers = [cells.ravel()]
    if kind.operation.endswith(".sum"):  # an author can divide a sum by a count
        counts = [groups.measure(column, 0).records for column in columns]
        with np.errstate(divide="ignore", invalid="ignore"):
            numbers.append((cells / np.stack([np.append(c, 0)[positions] for c in counts])).ravel())
    if kind.power == 2:  # an author returns a standard deviation
        with np.errstate(invalid="ignore"):
            numbers.append(np.sqrt(cells).ravel())

    def spread(name: str, filler: float) -> Any:
        return np.concatenate([np.append(getattr(measure, name), filler)[positions] for measure in measures])

    def find_set(position: int) -> Any:
        column, group = divmod(position, len(positions))
        names = columns[column].name
        if not names or len(positions) * len(columns) > _MOST_SETS or positions[group] < 0:
            return None
        return groups.select_cell(columns[column], int(positions[group]), kind.power).make_set()

    def find_summands(position: int) -> Summands | None:
        column, group = divmod(position, len(positions))
        if not kind.power or len(positions) * len(columns) > _MOST_SETS or positions[group] < 0:
            return None
        return groups.make_summands(columns[column], int(positions[group]))

    reduced = Reduced(
        operation=kind.operation,
        numbers=np.concatenate(numbers),
        records=spread("records", 0).astype(int),
        parameters=kind.parameters,
        largest_share=spread("largest_share", np.nan),
        two_largest_share=spread("two_largest_share", np.nan),
        columns=[column.name for column in columns for _ in range(len(positions))] or ((),),
        find_record_set=find_set if has_sets else None,
        find_summands=find_summands if has_sets else None,
    )
    register.add(reduced)
    return reduced


def add_label(register: Register, operation: str, label: Any, records: int) -> None:
    """Add a level or a label to the register: a text or a number."""
    if isinstance(label, str):
        register.add_text(label, records)
    elif isinstance(label, (int, float, np.number)) and not isinstance(label, bool):
        register.add(Reduced(operation=operation, numbers=np.array([label], dtype=float), records=records))
    elif hasattr(label, "isoformat"):
        register.add_text(str(label.isoformat()).removesuffix("T00:00:00"), records)
    else:
        register.add_text(str(label), records)
