"""Results as text for people: a scalar, an indented tree, a table, or a wrapped list."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len

from algotools.federation.result_tables import Label, ResultTable, is_scalar, parse_label, read_table
from algotools.runtime.logs import escape_unprintable, format_count

MOST_ROWS = 1000
"""Maximal number of rows of a table, keys of a mapping and items of a list that are shown. A line counts the others."""

_MOST_LEVELS = 50
"""Number of nested levels that are indented. Deeper values are shown as JSON."""

_INDENT = "  "
_GAP = "  "
_NARROWEST = 8
"""Width of a column whose texts are wrapped, in a table that is wider than the terminal; otherwise a third of it."""


def format_value(value: object, width: int) -> list[str]:
    """Return the lines of a result, at most ``width`` characters wide.

    A line is longer only if one number, or the narrowest column, does not fit. All content of the result is shown, or
    a line counts the rest.
    """
    return list(_format(value, max(width, 20)))


def format_table(table: ResultTable, width: int) -> list[str]:
    """Return the lines of a table; see ``format_value``."""
    return list(_format_table(table, max(width, 20)))


def _format(value: object, width: int, level: int = 0) -> Iterator[str]:
    if is_scalar(value) or not value:
        yield from _wrap(_format_scalar(value), width)
    elif level >= _MOST_LEVELS:
        yield from _wrap(escape_unprintable(json.dumps(value, ensure_ascii=False)), max(width, 20))
    elif (table := read_table(value)) is not None:
        yield from _format_table(table, width)
    elif isinstance(value, Mapping):
        yield from _format_tree(value, width, level)
    elif isinstance(value, list):
        yield from _format_list(value, width, level)


def _format_scalar(value: object) -> str:
    """Return the text of a scalar, or of an empty list or mapping."""
    if isinstance(value, str):
        return escape_unprintable(value) if value else '""'
    return json.dumps(value)


def _format_label(label: Label) -> str:
    return ", ".join("" if level is None else _format_scalar(level) for level in label)


def _format_tree(mapping: Mapping[str, Any], width: int, level: int) -> Iterator[str]:
    """Yield a line for each scalar, and a heading with indented lines for every other value."""
    items = [(_format_label(parse_label(str(key))), value) for key, value in list(mapping.items())[:MOST_ROWS]]
    scalars = {
        position: _format_scalar(value) for position, (_, value) in enumerate(items) if is_scalar(value) or not value
    }
    longest = max((cell_len(items[position][0]) for position in scalars), default=0)
    key_width = min(longest, width // 2)
    numbers = [position for position in scalars if _is_number(items[position][1])]
    aligned = dict(zip(numbers, _align([scalars[position] for position in numbers]), strict=True))
    for position, (key, value) in enumerate(items):
        if position in scalars:
            text = aligned.get(position, scalars[position])
            [*first_lines, last] = list(_wrap(key, key_width)) or [""]
            yield from first_lines
            lines = list(_wrap(text, width - key_width - len(_GAP))) if position not in aligned else [text]
            yield f"{_pad(last, key_width)}{_GAP}{lines[0]}".rstrip()
            yield from (f"{' ' * key_width}{_GAP}{line}" for line in lines[1:])
        else:
            yield from _wrap(key, width)
            yield from (f"{_INDENT}{line}".rstrip() for line in _format(value, width - len(_INDENT), level + 1))
    yield from _count_rest(len(mapping), "key")


def _format_list(values: list[Any], width: int, level: int) -> Iterator[str]:
    """Yield scalars one after the other, and every other item under its position."""
    visible_values = values[:MOST_ROWS]
    if all(map(is_scalar, visible_values)):
        texts = [_format_scalar(value) for value in visible_values]
        yield from _wrap_items([f"{text}," for text in texts[:-1]] + texts[-1:], width)
    else:
        for position, value in enumerate(visible_values):
            yield f"[{position}]"
            yield from (f"{_INDENT}{line}".rstrip() for line in _format(value, width - len(_INDENT), level + 1))
    yield from _count_rest(len(values), "item")


def _count_rest(number: int, noun: str) -> Iterator[str]:
    if number > MOST_ROWS:
        yield f"… {format_count(number - MOST_ROWS, f'more {noun}')}; --json and --output FILE have all of them"


class _TextColumn(NamedTuple):
    """A column of a table as text."""

    head: Sequence[str]
    """The lines of the head: one for each level of the label."""
    cells: Sequence[str]
    is_number: bool

    @property
    def width(self) -> int:
        return max(map(cell_len, (*self.head, *self.cells)), default=0)


def _format_table(table: ResultTable, width: int) -> Iterator[str]:
    """Yield a table. If it is too wide, its texts are wrapped, and then it is split by columns."""
    count = min(len(table.rows), MOST_ROWS)
    level_count = len(table.index_names) if table.has_labels else 0
    labels = [
        _make_column([table.index_names[level]], [label[level] for label in table.labels[:count]])
        for level in range(level_count)
    ]
    is_matrix = not table.has_labels and all(isinstance(label[0], int) for label in table.columns)
    columns = [
        _make_column(
            [] if is_matrix else list(map(_format_scalar, label)), [row[position] for row in table.rows[:count]]
        )
        for position, label in enumerate(table.columns)
    ]
    limit = max(_NARROWEST, width // 3)
    widths = {id(column): column.width for column in (*labels, *columns)}
    if _sum_widths(widths.values()) > width:
        widths = {id(column): _limit_width(column, limit) for column in (*labels, *columns)}
    remaining = width - sum(widths[id(label)] + len(_GAP) for label in labels)
    groups = _split_columns(columns, widths, remaining)
    first = 1
    for group in groups:
        if len(groups) > 1:
            last = first + len(group) - 1
            span = f"column {first}" if first == last else f"columns {first} to {last}"
            yield from [""] * (first > 1)
            yield f"({span} of {len(columns)})"
            first = last + 1
        yield from _format_columns([(column, widths[id(column)]) for column in (*labels, *group)], count)
    yield from _count_rest(len(table.rows), "row")


def _make_column(head: Sequence[str], values: Sequence[Any]) -> _TextColumn:
    texts = [_format_scalar(value) for value in values]
    is_number = all(value is None or _is_number(value) for value in values)
    return _TextColumn(head, _align(texts) if is_number else texts, is_number)


def _limit_width(column: _TextColumn, limit: int) -> int:
    """Return the width of a column whose texts are wrapped. A number is never wrapped, and no word is divided."""
    parts = [word for text in column.head for word in text.split(" ")]
    parts += column.cells if column.is_number else [word for text in column.cells for word in text.split(" ")]
    longest_part = max(map(cell_len, parts), default=0)
    return max(min(column.width, limit), longest_part if column.is_number else min(longest_part, 2 * limit))


def _sum_widths(widths: Collection[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _split_columns(columns: Sequence[_TextColumn], widths: Mapping[int, int], width: int) -> list[list[_TextColumn]]:
    """Return groups of columns that fit into the width; at least one column each."""
    groups: list[list[_TextColumn]] = [[]]
    for column in columns:
        if groups[-1] and _sum_widths([widths[id(member)] for member in (*groups[-1], column)]) > width:
            groups.append([])
        groups[-1].append(column)
    return groups


def _format_columns(columns: Sequence[tuple[_TextColumn, int]], count: int) -> Iterator[str]:
    """Yield the head, a rule and the rows of columns with their widths."""
    heads = [[line for text in column.head for line in _wrap(text, width)] for column, width in columns]
    if height := max((len(lines) for lines in heads if any(lines)), default=0):
        lines = [[""] * (height - len(lines)) + lines for lines in heads]
        yield from _join_cells(columns, lines)
        yield _GAP.join("─" * width for _, width in columns)
    for row in range(count):
        yield from _join_cells(
            columns,
            [
                [column.cells[row]] if column.is_number else list(_wrap(column.cells[row], width))
                for column, width in columns
            ],
        )


def _join_cells(columns: Sequence[tuple[_TextColumn, int]], cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a row whose cells have one or several lines."""
    for parts in itertools.zip_longest(*cells, fillvalue=""):
        texts = [
            _pad(text, width, is_right=column.is_number) for text, (column, width) in zip(parts, columns, strict=True)
        ]
        yield _GAP.join(texts).rstrip()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _align(numbers: Sequence[str]) -> list[str]:
    """Pad numbers so that their decimal points are in one column.

    >>> _align(["1.5", "10", "null"])
    ['   1.5', '  10  ', 'null  ']
    """
    parts = [number.partition(".") for number in numbers]
    left_width = max((len(whole) for whole, _, _ in parts), default=0)
    right = max((len(point + fraction) for _, point, fraction in parts), default=0)
    return [f"{whole:>{left_width}}{point + fraction:<{right}}" for whole, point, fraction in parts]


def _pad(text: str, width: int, *, is_right: bool = False) -> str:
    space = " " * (width - cell_len(text))
    return f"{space}{text}" if is_right else f"{text}{space}"


def _wrap(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text. Only a word that is longer than a line is divided."""
    return _wrap_items(text.split(" "), width)


def _wrap_items(texts: Iterable[str], width: int) -> Iterator[str]:
    line: str | None = None
    for word in texts:
        joined = word if line is None else f"{line} {word}"
        if cell_len(joined) <= width:
            line = joined
            continue
        if line is not None:
            yield line
        *full_lines, line = _fold(word, width)
        yield from full_lines
    yield line or ""


def _fold(word: str, width: int) -> list[str]:
    """Divide a word that is longer than a line."""
    lines = [""]
    for character in word:
        if cell_len(lines[-1] + character) > width and lines[-1]:
            lines.append("")
        lines[-1] += character
    return lines
