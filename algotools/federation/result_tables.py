"""The tables in decoded results, and the results of several organizations as records of one table.

``docs/concepts/results.md`` describes the forms in which tables are sent. Nothing here imports pandas.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Label = tuple[Any, ...]
"""The label of a row or column: a value for each of its levels."""

_TIGHT_KEYS = {"index", "columns", "data", "index_names", "column_names"}

_SCALARS = (str, int, float, bool, type(None))

_MOST_LEVELS = 50
"""Number of nested keys that are joined. A deeper mapping stays in its cell."""


class ResultTable(NamedTuple):
    """A table with labels. A missing cell is None."""

    index_names: tuple[str, ...]
    """The names of the levels of the rows' labels; empty texts for levels without a name."""
    labels: Sequence[Label]
    columns: Sequence[Label]
    rows: Sequence[Sequence[Any]]
    has_labels: bool = True
    """Whether the result contains the labels of the rows. Otherwise they are numbers from 0."""


class ResultRecords(NamedTuple):
    """The results of several organizations as one table: one or several records for each organization."""

    organizations: Sequence[int]
    """The organization of each record."""
    index_names: tuple[str, ...]
    """The names of the levels of the rows; without levels, each organization has one record."""
    labels: Sequence[Label]
    columns: Sequence[Label]
    rows: Sequence[Sequence[Any]]

    def list_columns(self, reserved: Iterable[str], prefix: str = "") -> list[tuple[str, list[Any]]]:
        """Return name and cells of each column: the labels of the rows, then the values. All names are different.

        A name that is in *reserved* gets the prefix, and a name that then still exists a number.
        """
        columns = [(name, [label[level] for label in self.labels]) for level, name in enumerate(self.index_names)]
        columns += [(_join(label) or "result", [row[i] for row in self.rows]) for i, label in enumerate(self.columns)]
        first = list(reserved)
        names = make_unique([*first, *(f"{prefix}{name}" if name in first else name for name, _ in columns)])
        return [(name, cells) for name, (_, cells) in zip(names[len(first) :], columns, strict=True)]


def read_table(value: object) -> ResultTable | None:
    """Return the table that a result or a part of it is; None for a value that is not a table.

    A table is a mapping column → row → value, the *tight* form of pandas, a list of mappings, or a list of lists of
    equal length. A mapping of mappings of which more than half of the cells are missing is not a table.
    """
    if isinstance(value, Mapping):
        return _read_tight(value) if value.keys() == _TIGHT_KEYS else _read_columns(value)
    return _read_rows(value) if isinstance(value, list) else None


def make_table(name: str, rows: Mapping[Any, Mapping[str, Any]]) -> ResultTable | None:
    """Return a table with a row for each mapping of scalars; None if more than half of its cells would be missing.

    *name* is the name of the rows' labels.
    """
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    if not keys or 2 * sum(map(len, rows.values())) < len(rows) * len(keys):
        return None
    cells = [[row.get(key) for key in keys] for row in rows.values()]
    return ResultTable((name,), [(label,) for label in rows], _parse_labels(keys), cells)


def parse_label(text: str) -> Label:
    """Return the levels of a key: the JSON text of a list of scalars is a label with several levels."""
    if text.startswith("["):
        try:
            label = tuple(json.loads(text))
        except (ValueError, RecursionError):
            return (text,)
        if label and all(map(is_scalar, label)):
            return label
    return (text,)


def is_scalar(value: object) -> bool:
    """Return whether a value of JSON is neither a list nor a mapping."""
    return isinstance(value, _SCALARS)


def make_records(results: Iterable[tuple[int, object]]) -> ResultRecords:
    """Return the results of organizations as records of one table.

    If all results are tables, each row is a record. If all are mappings, each organization has one record, and nested
    keys are joined by dots. Otherwise the only column is ``result``. Different keys with the same joined text have
    different columns: ``a.b`` and ``a.b_2``.
    """
    items = list(results)
    tables = [read_table(value) for _, value in items]
    complete = [table for table in tables if table is not None]
    if items and len(complete) == len(items) and len({len(table.index_names) for table in complete}) == 1:
        return _join_tables([id_ for id_, _ in items], complete)
    organizations = [id_ for id_, _ in items]
    no_labels: list[Label] = [()] * len(items)
    mappings = [_flatten(value) for _, value in items if isinstance(value, Mapping)]
    if items and len(mappings) == len(items):
        keys = list(dict.fromkeys(key for mapping in mappings for key in mapping))
        rows = [[mapping.get(key) for key in keys] for mapping in mappings]
        return ResultRecords(
            organizations, (), no_labels, [(name,) for name in make_unique(map(_name_path, keys))], rows
        )
    return ResultRecords(organizations, (), no_labels, [("result",)], [[value] for _, value in items])


def make_unique(names: Iterable[str]) -> list[str]:
    """Return the names, in which a repetition has a number: ``a``, ``a_2``."""
    wanted = list(names)
    taken, used = set(wanted), set[str]()
    unique = []
    for name in wanted:
        candidate, number = name, 2
        # A number must not take the name of a later column either.
        while candidate in used or (number > 2 and candidate in taken):
            candidate, number = f"{name}_{number}", number + 1
        used.add(candidate)
        unique.append(candidate)
    return unique


def _count_repetitions(labels: Iterable[Label]) -> list[tuple[Label, int]]:
    """Return each label with the number of equal labels before it: a frame may have two columns of one name."""
    counts: Counter[Label] = Counter()
    numbered = []
    for label in labels:
        numbered.append((label, counts[label]))
        counts[label] += 1
    return numbered


def _join_tables(organizations: Sequence[int], tables: Sequence[ResultTable]) -> ResultRecords:
    keys = [_count_repetitions(table.columns) for table in tables]
    columns = list(dict.fromkeys(itertools.chain.from_iterable(keys)))
    owners: list[int] = []
    labels: list[Label] = []
    rows: list[list[Any]] = []
    for organization, table, own_keys in zip(organizations, tables, keys, strict=True):
        positions = {column: position for position, column in enumerate(own_keys)}
        selection = [positions.get(column) for column in columns]
        owners += [organization] * len(table.rows)
        labels += table.labels
        rows += [[None if position is None else row[position] for position in selection] for row in table.rows]
    names = tables[0].index_names
    default = ["row"] if len(names) == 1 else [f"row_{level}" for level in range(1, len(names) + 1)]
    index_names = tuple(name or d for name, d in zip(names, default, strict=True))
    return ResultRecords(owners, index_names, labels, [label for label, _ in columns], rows)


def _flatten(mapping: Mapping[str, Any], start: Label = ()) -> dict[Label, Any]:
    """Return a mapping without nested mappings, whose keys are the paths to the values.

    A table with several levels becomes a mapping of its columns first.
    """
    flat: dict[Label, Any] = {}
    for key, value in mapping.items():
        path = (*start, _join(parse_label(str(key))))
        if isinstance(value, Mapping) and value.keys() == _TIGHT_KEYS and (table := _read_tight(value)) is not None:
            for label, row in zip(_count_repetitions(table.labels), table.rows, strict=True):
                for column, cell in zip(_count_repetitions(table.columns), row, strict=True):
                    cell_path = (*path, column, label)
                    flat[cell_path] = cell
        elif isinstance(value, Mapping) and value and len(path) < _MOST_LEVELS:
            flat |= _flatten(value, path)
        else:
            flat[path] = value
    return flat


def _name_path(path: Label) -> str:
    """Return the name of a column for a path of ``_flatten``. The empty labels of a table are left out."""
    parts = [part if isinstance(part, str) else _join(part[0]) for part in path]
    return ".".join(part for part, level in zip(parts, path, strict=True) if part or isinstance(level, str))


def _join(label: Label) -> str:
    return ".".join("" if level is None else str(level) for level in label)


def _read_tight(value: Mapping[str, Any]) -> ResultTable | None:
    index, columns, rows, names, _ = (value[key] for key in ("index", "columns", "data", "index_names", "column_names"))
    if not all(isinstance(part, list) for part in (index, columns, rows, names)) or len(index) != len(rows):
        return None
    if any(not isinstance(row, list) or len(row) != len(columns) or not all(map(is_scalar, row)) for row in rows):
        return None
    labels, heads = list(map(_to_label, index)), list(map(_to_label, columns))
    if any(len(label) != len(names) for label in labels):
        return None
    if not all(is_scalar(level) for label in itertools.chain(labels, heads) for level in label):
        return None
    return ResultTable(tuple(str(name or "") for name in names), labels, heads, rows)


def _to_label(label: object) -> Label:
    return tuple(label) if isinstance(label, list) else (label,)


def _read_columns(value: Mapping[str, Any]) -> ResultTable | None:
    """Return the table of a mapping column → row → value."""
    if not value or not all(isinstance(column, Mapping) for column in value.values()):
        return None
    keys = list(dict.fromkeys(key for column in value.values() for key in column))
    cells = [cell for column in value.values() for cell in column.values()]
    if not all(map(is_scalar, cells)) or len(value) * len(keys) < 2 or 2 * len(cells) < len(value) * len(keys):
        return None
    rows = [[column.get(key) for column in value.values()] for key in keys]
    index = _parse_labels(keys)
    return ResultTable(("",) * len(index[0]), index, _parse_labels(value), rows)


def _parse_labels(keys: Iterable[str]) -> list[Label]:
    """Return the labels of keys. All have the same number of levels."""
    names = [str(key) for key in keys]
    labels = [parse_label(name) for name in names]
    return labels if len(set(map(len, labels))) == 1 else [(name,) for name in names]


def _read_rows(value: list[Any]) -> ResultTable | None:
    """Return the table of a list of mappings, or of a list of lists of equal length."""
    if value and all(isinstance(row, Mapping) and all(map(is_scalar, row.values())) for row in value):
        table = make_table("", dict(enumerate(value)))
        return None if table is None else table._replace(has_labels=False)
    if value and all(isinstance(row, list) and row and all(map(is_scalar, row)) for row in value):
        widths = {len(row) for row in value}
        labels: list[Label] = [(position,) for position in range(max(widths))]
        numbers: list[Label] = [(position,) for position in range(len(value))]
        return ResultTable(("",), numbers, labels, value, has_labels=False) if len(widths) == 1 else None
    return None
