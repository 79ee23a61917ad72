"""The results of a finished task as JSON or as a table, followed by the details of failures."""

from __future__ import annotations

import base64
import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from algotools.errors import ArgumentsError
from algotools.federation.contract.rest import RunRecord
from algotools.federation.progress import Overview
from algotools.runtime.contract.files import is_pickle
from algotools.runtime.logs import escape_unprintable

GROUPING_FROM = 20
"""Number of runs above which organizations with equal results share a row."""

NAMES_IN_ROW = 3
"""Maximal number of organizations named in a shared row."""

NAMES_IN_DETAILS = 20
"""Maximal number of organizations named above the details of a failure."""

DETAILS = 3
"""Maximal number of different details shown for a failure."""


def show_results(overview: Overview, stream: TextIO, *, as_json: bool, arguments: Mapping[str, object]) -> None:
    """Write the results to ``stream``, and failures and the output of functions to standard error.

    ``arguments`` are the arguments of the task, for hints about refused arguments.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if as_json:
        stream.write(
            json.dumps([_make_json_item(overview, run) for run in overview.task.runs], ensure_ascii=False) + "\n"
        )
    elif _show_table(overview, stream):
        stream.flush()
        console.print("… marks a truncated result; --json prints the complete results", style="dim")
    stream.flush()
    _show_details(overview, console, arguments)


def _make_json_item(overview: Overview, run: RunRecord) -> dict[str, object]:
    item: dict[str, object] = {
        "organization": {"id": run.organization_id, "name": overview.names[run.organization_id]},
        "status": run.status,
    }
    if (failure := overview.get_failure(run)) is not None:
        return {**item, "error": {"code": failure.exit_code, "message": failure.message}}
    result = overview.federation.answer(run)
    if isinstance(result, bytes):
        return {**item, "result_base64": base64.b64encode(result).decode()}
    return {**item, "result": result}


class _Row(NamedTuple):
    label: str
    status: str
    text: str
    failed: bool


def _show_table(overview: Overview, stream: TextIO) -> bool:
    """Show a table as wide as the terminal, and return whether a result is truncated.

    Below the runs of the task are the failed subtask runs of failed masters.
    """
    console = Console(file=stream, highlight=False)
    task_rows, subtask_rows = list(_make_task_rows(overview)), list(_make_failed_subtask_rows(overview))
    rows = [*task_rows, *subtask_rows]
    status_width = max(len("status"), *(cell_len(row.status) for row in rows))
    label_width = min(max(len("organization"), *(cell_len(row.label) for row in rows)), console.width // 2)
    width = max(len("result"), console.width - status_width - label_width - len("│  │  │  │"))
    table = Table("organization", "status", "result")
    for section in (task_rows, subtask_rows):
        for row in section:
            style = "red" if row.failed else ""
            text = Text(row.text, style)
            text.truncate(width, overflow="ellipsis")
            table.add_row(Text(row.label, overflow="fold"), Text(row.status, style, overflow="fold"), text)
        table.add_section()
    console.print(table)
    return any(cell_len(row.text) > width for row in rows if not row.failed)


def _make_task_rows(overview: Overview) -> Iterator[_Row]:
    """Yield a row for each run. If there are many runs, yield one row for all runs with equal results."""
    groups: dict[object, tuple[str, list[RunRecord]]] = {}
    for run in overview.task.runs:
        text = _format_cell(overview, run)
        key = (run.status, text) if len(overview.task.runs) > GROUPING_FROM else run.id
        groups.setdefault(key, (text, []))[1].append(run)
    for text, runs in groups.values():
        failed = overview.get_failure(runs[0]) is not None
        yield _Row(_format_names(overview, runs, NAMES_IN_ROW), runs[0].status, text, failed)


def _make_failed_subtask_rows(overview: Overview) -> Iterator[_Row]:
    """Yield a row for each different failure of subtask runs of failed masters."""
    failed_masters = {run.organization_id for run in overview.task.runs if overview.get_failure(run) is not None}
    groups: dict[tuple[str, str, str], list[RunRecord]] = {}
    for task in overview.list_subtasks():
        for run in task.runs if task.init_organization_id in failed_masters else ():
            if overview.get_failure(run) is not None:
                groups.setdefault((overview.get_method(run), run.status, _format_cell(overview, run)), []).append(run)
    for (method, status, text), runs in groups.items():
        yield _Row(f"{method}: {_format_names(overview, runs, NAMES_IN_ROW)}", status, text, failed=True)


def _format_cell(overview: Overview, run: RunRecord) -> str:
    """Format a result or a failure for a cell of the table."""
    if (failure := overview.get_failure(run)) is not None:
        return escape_unprintable(f"[{failure.exit_code}] {failure.message}")
    result = overview.federation.answer(run)
    if isinstance(result, bytes):  # from other tools; unpickling could run code
        kind = "pickle" if is_pickle(result) else "not JSON"
        return f"<{len(result)} bytes, {kind}, not opened>"
    return json.dumps(result, ensure_ascii=False)


def _show_details(overview: Overview, console: Console, arguments: Mapping[str, object]) -> None:
    """Show the output of the functions, and failures with their details. Failures of subtasks come first.

    At a node, only the owner may read details. On a local federation the author is the owner of every node.
    """
    printed: dict[str, list[RunRecord]] = {}
    failures: dict[tuple[int, str], dict[str, list[RunRecord]]] = {}
    for task in (*overview.list_subtasks(), overview.task):
        for run in task.runs:
            if (failure := overview.get_failure(run)) is not None:
                details = failures.setdefault((failure.exit_code, failure.message), {})
                details.setdefault(failure.detail.rstrip(), []).append(run)
            elif run.detail:
                printed.setdefault(run.detail.rstrip(), []).append(run)
    for text, runs in printed.items():
        console.print(Text.assemble((_format_names(overview, runs, NAMES_IN_DETAILS), "cyan"), " printed:"))
        console.print(Text.from_ansi(text))
    for (code, message), details in failures.items():
        names = _format_names(overview, [run for runs in details.values() for run in runs], NAMES_IN_DETAILS)
        console.print(Text.assemble((names, "red"), f": [{code}] {message}"))
        for text, runs in list(details.items())[:DETAILS]:
            if text and len(details) > 1:
                console.print(Text(f"{_format_names(overview, runs, NAMES_IN_ROW)}:", style="dim"))
            if text:
                console.print(Text.from_ansi(text, style="dim"))
        if (hidden := len(details) - DETAILS) > 0:
            details_are = "detail is" if hidden == 1 else "details are"
            console.print(f"{hidden} more {details_are} not shown; --organizations ID runs only one node", style="dim")
        if code == ArgumentsError.exit_code:
            for hint in _suggest_operators(message, arguments):
                console.print(hint, style="dim", markup=False)


def _suggest_operators(message: str, arguments: Mapping[str, object]) -> Iterator[str]:
    """Yield a hint for each refused argument that ``:=`` instead of ``=`` would pass as intended, or the reverse."""
    problems = message.partition(" (the function takes")[0].split("; ")
    for name, value in arguments.items():
        problem = next((problem for problem in problems if problem.startswith(f"{name}: ")), "")
        if problem and isinstance(value, str) and (intended := _guess_json(value, problem)) is not None:
            yield f"{name}=… passes a string; write {name}:={shlex.quote(intended)}"
        elif "expected str" in problem and not isinstance(value, str):
            yield f"{name}:=… passes JSON; to pass a string, write {name}=…"


def _guess_json(text: str, problem: str) -> str | None:
    """Return the JSON that a text probably means: itself, or a list of its parts; None if it is only a text."""
    for candidate in (text, f"[{text}]"):
        with contextlib.suppress(ValueError, RecursionError):
            return None if isinstance(json.loads(candidate), str) else candidate
    return json.dumps(text.split(","), ensure_ascii=False) if "expected array" in problem else None


def _format_names(overview: Overview, runs: Sequence[RunRecord], limit: int) -> str:
    """List the organizations of runs without duplicates. If there are more than ``limit``, count the last."""
    names = list(dict.fromkeys(map(overview.format_organization, runs)))
    if len(names) <= limit + 1:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"
