"""``algotools run --grid``: many tasks of one method, and one table."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from algotools.cli._arguments import make_usage_error, parse_arguments
from algotools.cli._values import format_table
from algotools.errors import NotSerializable, RunsFailed, RunsIncomplete
from algotools.federation import Cell, Grid
from algotools.federation.report import show_result
from algotools.federation.result_tables import ResultTable, is_scalar
from algotools.payload import encode_plain
from algotools.runtime.logs import escape_unprintable, format_count

MOST_COMBINATIONS = 10_000
"""Maximum number of tasks of one command, because a mistyped range would run for days."""

MOST_DETAILS = 3
"""Maximum number of different failures with details."""

MOST_NAMES = 10
"""Maximum number of combinations that a failure lists."""


def parse_grid(texts: Sequence[str], arguments: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the arguments of each task: every combination of the values, together with the common arguments.

    Raises:
        typer.BadParameter: a text is malformed, or there are too many combinations.
    """
    values: dict[str, list[object]] = {}
    for text in texts:
        name, items = _parse_values(text)
        if name in values or name in arguments:
            raise make_usage_error("--grid", f"{name} is passed twice; write all of its values in one list")
        values[name] = items
    number = math.prod(map(len, values.values()))
    if number > MOST_COMBINATIONS:
        raise make_usage_error("--grid", f"{number} combinations are more than {MOST_COMBINATIONS}; use fewer values")
    return [{**arguments, **dict(zip(values, items, strict=True))} for items in itertools.product(*values.values())]


def _parse_values(text: str) -> tuple[str, list[object]]:
    """Return name and values of a text: ``seed:=1..100``, ``tolerance:=[1e-3,1e-6]`` or ``column=age,weight``."""
    examples = "examples: seed:=1..100, tolerance:=[1e-3,1e-6], column=age,weight"
    match = re.fullmatch(r"([^:=]+)(:?=)(.*)", text, re.DOTALL)
    if match is None:
        raise make_usage_error("--grid", f"{text!r} has no name and values; {examples}")
    name, sign, content = match.groups()
    if sign == "=":
        items: list[object] = [item.strip() for item in content.split(",")]
        if not all(items):
            raise make_usage_error("--grid", f"{text!r} has an empty value; {examples}")
        return name, _refuse_repetition(text, items)
    if limits := re.fullmatch(r"\s*(-?\d+)\s*\.\.\s*(-?\d+)\s*", content):
        try:
            first, last = int(limits[1]), int(limits[2])
        except ValueError:  # Python refuses integers of more than 4300 digits
            raise make_usage_error("--grid", f"a limit of the range of {name!r} has too many digits") from None
        if first > last:
            raise make_usage_error("--grid", f"{text!r} is empty, because {first} is larger than {last}")
        if last - first >= MOST_COMBINATIONS:
            raise make_usage_error("--grid", f"{text!r} has more than {MOST_COMBINATIONS} values")
        return name, list(range(first, last + 1))
    if content.startswith("@"):
        value = parse_arguments([text])[name]
    else:
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            raise make_usage_error("--grid", f"{text!r} is neither a range nor a JSON list; {examples}") from None
    if not isinstance(value, list) or not value:
        raise make_usage_error("--grid", f"{text!r} is not a list with values; {examples}")
    return name, _refuse_repetition(text, value)


def _refuse_repetition(text: str, items: list[object]) -> list[object]:
    """Return values that differ from each other."""
    if len({json.dumps(item, sort_keys=True) for item in items}) < len(items):
        raise make_usage_error("--grid", f"{text!r} has a value twice")
    return items


def show_grid(grid: Grid, stream: TextIO, *, as_json: bool) -> None:
    """Write one table to ``stream``, and the details of failures to standard error."""
    if as_json:
        stream.write(f"{json.dumps(make_json_items(grid), ensure_ascii=False, default=make_plain)}\n")
    else:
        _show_table(grid, stream)
    stream.flush()
    _show_details(grid)


def check_grid(grid: Grid) -> None:
    """Raise an error if a task failed.

    Raises:
        RunsIncomplete: all failed tasks are incomplete.
        RunsFailed: a task failed.
    """
    if grid.errors:
        incomplete = all(isinstance(error, RunsIncomplete) for error in grid.errors.values())
        kind, word = (RunsIncomplete, "are incomplete") if incomplete else (RunsFailed, "failed")
        raise kind(f"{len(grid.errors)} of {format_count(len(grid), 'task')} {word}")


def make_json_items(grid: Grid) -> list[dict[str, Any]]:
    """Return the tasks as values of JSON, in which ``make_plain`` must replace objects in arguments."""
    return [_make_json_item(grid, cell) for cell in grid]


def list_plain_rows(grid: Grid) -> list[dict[str, Any]]:
    """Return the rows of the table with values of JSON."""
    return [{name: _to_cell(value) for name, value in row.items()} for row in grid.to_rows()]


def _to_cell(value: object) -> object:
    return value if is_scalar(value) or isinstance(value, (list, dict)) else make_plain(value)


def make_plain(value: object) -> object:
    """Return an object that is not a value of JSON, such as an array, as one. Bytes become base64."""
    try:
        return json.loads(encode_plain(value).data)
    except NotSerializable:
        return repr(value)


def _make_json_item(grid: Grid, cell: Cell) -> dict[str, Any]:
    def name(id_: int) -> dict[str, Any]:
        return {"id": id_, "name": grid.organizations[id_]}

    failures = cell.error.failures if isinstance(cell.error, RunsFailed) else {}
    errors: list[dict[str, Any]] = [
        {"organization": name(id_), "code": failure.exit_code, "message": failure.message}
        for id_, failure in failures.items()
    ]
    if cell.error is not None and not failures:
        errors = [{"organization": None, "code": cell.error.exit_code, "message": cell.error.message}]
    return {
        "arguments": dict(cell.arguments),
        "task": cell.number,
        "is_reused": cell.is_reused,
        "status": "completed" if cell.error is None else "failed",
        "results": [{"organization": name(id_), **show_result(result)} for id_, result in cell.results.items()],
        "errors": errors,
        "missing": list(cell.missing),
    }


def _find_varied(grid: Grid) -> set[str]:
    """Return the names of the arguments that differ between the tasks of a grid; all names if none differs."""
    values: dict[str, set[str]] = {}
    for cell in grid:
        for name, value in cell.arguments.items():
            values.setdefault(name, set()).add(_format_cell(value))
    return {name for name, texts in values.items() if len(texts) > 1} or set(values)


def _name_combination(cell: Cell, names: AbstractSet[str]) -> str:
    """Return the arguments with these names, for people: ``seed=7 column=age``."""
    return " ".join(f"{name}={_format_cell(value)}" for name, value in cell.arguments.items() if name in names)


def _show_table(grid: Grid, stream: TextIO) -> None:
    """Show a table with borders. A table whose numbers and words would not fit is divided by columns instead."""
    rows = list_plain_rows(grid)
    columns = list(rows[0]) if rows else []
    console = Console(file=stream, highlight=False)
    table = Table()
    for column in columns:
        is_number = all(isinstance(row[column], (int, float)) or row[column] is None for row in rows)
        table.add_column(Text(column), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        style = "red" if row.get("error") else ""
        table.add_row(*(Text(_format_cell(value), style) for value in row.values()))
    if table.__rich_measure__(console, console.options).minimum <= console.width:
        console.print(table)
        return
    names = [name for name in grid.list_labels() if name in columns]
    labels = [tuple(row[name] for name in names) for row in rows]
    remaining_columns = [name for name in columns if name not in names]
    wide = ResultTable(
        tuple(names),
        labels,
        [(name,) for name in remaining_columns],
        [[row[n] for n in remaining_columns] for row in rows],
    )
    for line in format_table(wide, console.width):
        console.print(Text(line), soft_wrap=True)


def _format_cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=make_plain)
    return escape_unprintable(text)


def _show_details(grid: Grid) -> None:
    """Show each different failure once, after the combinations that failed with it."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    by_message: dict[str, str] = {}
    varied = _find_varied(grid)
    combinations: dict[str, list[str]] = {}
    for position, error in grid.errors.items():
        by_message.setdefault(error.message, error.detail.rstrip())
        combinations.setdefault(error.message, []).append(_name_combination(grid[position], varied))
    for message, detail in list(by_message.items())[:MOST_DETAILS]:
        names = combinations[message]
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        heading = f"{'; '.join(names[:MOST_NAMES])}{more}: "
        console.print(Text(escape_unprintable(heading), style="bold red"), Text(message, style="red"), sep="")
        if detail:
            console.print(Text.from_ansi(detail, style="dim"))
    if len(by_message) > MOST_DETAILS:
        console.print(f"{len(by_message) - MOST_DETAILS} more failures are in the table", style="dim")
