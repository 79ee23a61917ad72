"""The results of a finished task: as JSON, or as a table of its runs and each result in full."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from algotools.cli._details import NAMES_IN_DETAILS, NAMES_IN_ROW, format_names, show_details
from algotools.cli._values import format_table, format_value
from algotools.errors import Failure
from algotools.federation.contract.rest import RunRecord
from algotools.federation.progress import Overview
from algotools.federation.report import make_result_item
from algotools.federation.result_tables import is_scalar, make_table
from algotools.runtime.contract.files import is_pickle
from algotools.runtime.logs import escape_unprintable

GROUPING_FROM = 20
"""Number of runs above which organizations with equal results share a row."""


def show_results(
    overview: Overview,
    stream: TextIO,
    *,
    as_json: bool,
    arguments: Mapping[str, object],
    is_quiet: bool = False,
) -> None:
    """Write the results to ``stream``, and failures and the output of functions to standard error.

    ``arguments`` are the arguments of the task, for hints about refused arguments. With ``is_quiet``, the output of
    the functions is not shown. The last line names the organizations that are missing, unless all runs failed.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if as_json:
        items = [make_result_item(overview, run) for run in overview.runs]
        stream.write(json.dumps(items, ensure_ascii=False) + "\n")
    else:
        _show_table(overview, stream)
        _show_in_full(overview, stream)
    stream.flush()
    show_details(overview, console, arguments, is_quiet=is_quiet)
    has_result = any(overview.get_failure(run) is None for run in overview.runs)
    if has_result and (line := overview.completeness.describe(overview.names)):
        console = console if as_json else Console(file=stream, highlight=False, soft_wrap=True)
        console.print(Text(escape_unprintable(line)), style="yellow")
        stream.flush()


_SHORT = 20
"""Number of characters of a result that always fits into the table."""


class _Row(NamedTuple):
    label: str
    status: str
    text: str
    failed: bool


def _show_table(overview: Overview, stream: TextIO) -> None:
    """Show a table as wide as the terminal. Long results end with an ellipsis.

    Below the runs of the task are the failed subtask runs of its masters.
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


def _show_in_full(overview: Overview, stream: TextIO) -> None:
    """Show each different result in full, under the names of its organizations.

    Several different mappings with the same keys are the rows of one table. Several different numbers or short texts
    are not shown again, because the table above already has them in full.
    """
    groups: dict[str, tuple[object, list[RunRecord]]] = {}
    for run in overview.runs:
        if overview.get_failure(run) is None:
            value = overview.federation.answer(run)
            if not isinstance(value, bytes):
                groups.setdefault(json.dumps(value), (value, []))[1].append(run)
    if len(groups) > 1 and all(is_scalar(value) and len(str(value)) <= _SHORT for value, _ in groups.values()):
        return
    console = Console(file=stream, highlight=False, soft_wrap=True)
    rows = {
        format_names(overview, runs, NAMES_IN_ROW): value
        for value, runs in groups.values()
        if isinstance(value, Mapping) and all(map(is_scalar, value.values()))
    }
    if len(rows) == len(groups) > 1 and (table := make_table("organization", rows)) is not None:
        _print_lines(console, "", format_table(table, console.width))
        return
    for value, runs in groups.values():
        _print_lines(console, format_names(overview, runs, NAMES_IN_DETAILS), format_value(value, console.width))


def _print_lines(console: Console, heading: str, lines: Sequence[str]) -> None:
    console.print()
    if heading:
        console.print(Text(heading, "bold"))
    for line in lines:
        console.print(Text(line))


def _make_task_rows(overview: Overview) -> Iterator[_Row]:
    """Yield a row for each run. If there are many runs, yield one row for all runs with equal results."""
    groups: dict[object, tuple[str, list[RunRecord]]] = {}
    for run in overview.runs:
        text = _format_cell(overview, run)
        key = (run.status, text) if len(overview.runs) > GROUPING_FROM else run.id
        groups.setdefault(key, (text, []))[1].append(run)
    for text, runs in groups.values():
        failed = overview.get_failure(runs[0]) is not None
        yield _Row(format_names(overview, runs, NAMES_IN_ROW), runs[0].status, text, failed)


def _make_failed_subtask_rows(overview: Overview) -> Iterator[_Row]:
    """Yield a row for each different failure of subtask runs, and for organizations that are missing without a failure.

    The failure of a run that a master has repeated with success is left out. Organizations are missing only in a
    result, so a failed master has the rows of the runs that really failed, and no others.
    """
    failed_masters = {run.organization_id for run in overview.runs if overview.get_failure(run) is not None}
    missing: dict[int, Failure | None] = {} if failed_masters else dict(overview.completeness.missing)
    for run in overview.runs if failed_masters else ():
        if run.organization_id not in failed_masters:
            missing = {**overview.measure(run).missing, **missing}
    groups: dict[tuple[str, str, str], list[RunRecord]] = {}
    for task in overview.list_subtasks():
        for run in task.runs:
            is_relevant = task.init_organization_id in failed_masters or run.organization_id in missing
            if is_relevant and overview.get_failure(run) is not None:
                groups.setdefault((overview.get_method(run), run.status, _format_cell(overview, run)), []).append(run)
    for (method, status, text), runs in groups.items():
        yield _Row(f"{method}: {format_names(overview, runs, NAMES_IN_ROW)}", status, text, failed=True)
    visible_ids = {run.organization_id for runs in groups.values() for run in runs}
    visible_ids |= {run.organization_id for run in overview.runs if overview.get_failure(run) is not None}
    for id_, failure in missing.items():
        if id_ not in visible_ids:
            reason = "the master sent it no subtask" if failure is None else f"[{failure.exit_code}] {failure.message}"
            yield _Row(f"{overview.names[id_]} ({id_})", "missing", escape_unprintable(reason), failed=True)


def _format_cell(overview: Overview, run: RunRecord) -> str:
    """Format a result or a failure for a cell of the table."""
    if (failure := overview.get_failure(run)) is not None:
        return escape_unprintable(f"[{failure.exit_code}] {failure.message}")
    result = overview.federation.answer(run)
    if isinstance(result, bytes):  # from other tools; unpickling could run code
        kind = "pickle" if is_pickle(result) else "not JSON"
        return f"<{len(result)} bytes, {kind}, not opened>"
    return json.dumps(result, ensure_ascii=False)
