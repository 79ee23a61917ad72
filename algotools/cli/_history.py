"""``algotools history``: list, show and repeat the earlier tasks of a project."""

from __future__ import annotations

import datetime
import io
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from algotools.cli._console import make_printable, show_note
from algotools.cli._history_call import format_command, format_question
from algotools.cli._results import show_results
from algotools.declare.projects import find_project_below
from algotools.errors import FederationError
from algotools.federation.history import (
    HistoryEntry,
    HistoryProblem,
    StoredTask,
    TaskHistory,
    find_project_history,
)
from algotools.federation.progress import Overview, add_label, format_duration, is_shown
from algotools.federation.report import add_offset, show_failure

WIDEST_CALL = 100
"""Maximum number of characters of a call in the table. A longer call is cut after a word."""

HISTORY_EXAMPLES = """
[bold]Examples[/bold]

algotools history

algotools history --last 100 --json

algotools history show 12

algotools history rerun 12

[bold]Keys of --json[/bold]

tasks (list of objects with number, command, started, finished (UTC), status, method, arguments, organizations (id ->
name), recipients, asked (the only organization that ran the task, with `ask`), expected, missing (list of objects with
organization, error, as `algotools run --json` prints them), databases, contract, runner, versions, data (organization
-> label -> kind, name, hash), question, conditions, note; a key with its default is left out)
"""

HISTORY_SHOW_EXAMPLES = """
[bold]Examples[/bold]

algotools history show 12

algotools history show 12 --json

[bold]Keys of --json[/bold]

task (see `algotools history`), results (as `algotools run --json` prints them), log (list of lines)
"""

Project = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the project, or the file of a history. Default: the nearest project at or above the current "
        "folder.",
        show_default=False,
    ),
]
Number = Annotated[int, typer.Argument(help="Number of the task, as `algotools history` shows it.", metavar="NUMBER")]


def find_history(algorithm: str) -> Path | None:
    """Return the file in which the tasks of a command are recorded; None outside of projects."""
    folders = (Path(algorithm), Path())
    return next((path for path in map(find_project_history, folders) if path is not None), None)


def open_history(project: Path | None) -> TaskHistory:
    """Return the history of a project.

    Raises:
        FederationError: nothing was recorded there.
    """
    if project is not None:
        path = project if project.is_file() else find_project_history(project)
    else:
        here = Path.cwd()
        path = next((p for p in map(find_project_history, (here, *here.parents)) if p is not None), None)
    if path is None:
        folder = project or Path.cwd()
        nearest = find_project_below(folder)
        hint = f" (the nearest is {nearest})" if nearest else ""
        raise FederationError(f"{str(folder)!r} is not in a project; name its folder with --project{hint}")
    history = TaskHistory(path)
    if not history.exists():
        raise FederationError(
            f"no task was recorded yet: {str(history.path)!r} does not exist; `algotools run` makes it"
        )
    return history


def print_line(value: object) -> None:
    """Print a value as JSON in one line, as ``algotools run --json`` does."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def list_tasks(
    context: typer.Context,
    last: Annotated[int, typer.Option(help="Number of tasks, counted from the latest.", min=1)] = 20,
    project: Project = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object; see below.")] = False,
) -> None:
    """List the tasks of a project: time, call, status and organizations.

    `algotools run` records every task of a project on this machine: its arguments, the versions of the code,
    fingerprints of the data, the results and the log. `--no-history` and the variable `ALGOTOOLS_HISTORY=off` switch
    this off. docs/concepts/history.md explains the file.
    """
    if context.invoked_subcommand is not None:
        return
    entries = _read(lambda history: history.list_entries(last), project)
    if as_json:
        print_line({"tasks": [describe_entry(entry) for entry in entries]})
        return
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name, options in _COLUMNS.items():
        table.add_column(name, **options)
    for entry in entries:
        table.add_row(*map(make_printable, _make_row(entry)))
    Console(highlight=False).print(table if entries else "no tasks")


_COLUMNS: dict[str, dict[str, Any]] = {
    "task": {"justify": "right", "no_wrap": True},
    "time": {"no_wrap": True},
    "took": {"justify": "right", "no_wrap": True},
    "call": {"overflow": "ellipsis"},  # wrapped between words; a longer word ends with an ellipsis
    "status": {"no_wrap": True},
    "nodes": {"no_wrap": True},
}


def _make_row(entry: HistoryEntry) -> tuple[str, ...]:
    took = ""
    if entry.finished is not None:
        seconds = (_parse_time(entry.finished) - _parse_time(entry.started)).total_seconds()
        took = format_duration(seconds, exactly=True)
    expected, missing = len(entry.expected), len(entry.missing)
    counts = f"{expected - missing} of {expected}" if expected else f"of {len(entry.recipients)}"
    text = textwrap.shorten(format_question(entry), WIDEST_CALL, placeholder=" …", break_on_hyphens=False)
    return str(entry.number), format_time(entry.started), took, text, entry.status, counts


def show(
    number: Number,
    project: Project = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object; see below.")] = False,
) -> None:
    """Show a task of the history: its call, versions, data and log, and its results as `algotools run` shows them."""
    stored = read_stored_task(number, project)
    entry = stored.entry
    if as_json:
        content = {"task": describe_entry(entry), "results": make_json_results(stored), "log": list_log(stored)}
        print_line(content)
        return
    show_note(describe_call(entry))
    for line in (*_describe_surroundings(entry), *list_log(stored)):
        show_note(line)
    overview = Overview(stored, stored.main_task)
    show_results(overview, sys.stdout, as_json=False, arguments=entry.arguments or {})


def read_stored_task(number: int, project: Path | None) -> StoredTask:
    """Return a task of the history with its results.

    Raises:
        FederationError: the history does not have the task, or its results.
    """
    entry = find_entry(number, project)
    stored: StoredTask | None = _read(lambda history: history.read_task(entry), project)
    if stored is None:
        state = "has not finished" if entry.finished is None else "has no results"
        raise FederationError(f"task {number} {state} ({entry.note or entry.status})")
    return stored


def find_entry(number: int, project: Path | None) -> HistoryEntry:
    """Return a task of the history.

    Raises:
        FederationError: the history does not have the task.
    """
    entry: HistoryEntry | None = _read(lambda history: history.find_entry(number), project)
    if entry is None:
        raise FederationError(f"the history has no task {number}; `algotools history` lists the tasks")
    return entry


def make_json_results(stored: StoredTask) -> Any:
    """Return the results of a task as ``algotools run --json`` prints them."""
    stream = io.StringIO()
    show_results(Overview(stored, stored.main_task), stream, as_json=True, arguments={})
    return json.loads(stream.getvalue())


def list_log(stored: StoredTask) -> list[str]:
    """Return the lines of the logs of a task and its subtasks, as ``algotools run`` writes them."""
    tasks = (stored.main_task, *stored.subtasks(stored.main_task.id))
    runs = sorted((run for task in tasks for run in task.runs), key=lambda run: (run.finished_at or "~", run.id))
    return [add_label(run, line) for run in runs for line in run.log.splitlines() if is_shown(line)]


def describe_entry(entry: HistoryEntry) -> dict[str, Any]:
    """Return an entry for ``--json``; the options of the federation are in the command."""
    content = msgspec.to_builtins(entry, str_keys=True)
    content.pop("call", None)
    times = {name: add_offset(content.get(name)) for name in ("started", "finished")}
    missing = [
        {"organization": {"id": id_, "name": entry.organizations.get(id_, str(id_))}, "error": show_failure(failure)}
        for id_, failure in entry.missing.items()
    ]
    return {
        "command": format_command(entry),
        "status": entry.status,
        **content,
        **times,
        **({"missing": missing} if missing else {}),
    }


def describe_call(entry: HistoryEntry) -> str:
    """Return number, time and command of a task."""
    return f"task {entry.number}, {format_time(entry.started)}: {format_command(entry)}"


def _describe_surroundings(entry: HistoryEntry) -> list[str]:
    versions = ", ".join(f"{name} {shorten_hashes(value)}" for name, value in entry.versions.items())
    lines = [f"versions: {versions}; {entry.contract}, runner {entry.runner}"]
    involved = {entry.organizations.get(id_) for id_ in (*entry.recipients, *entry.expected)}
    for organization, labels in entry.data.items():
        if organization not in involved:
            continue
        parts = [
            f"{label} {item.name or item.kind} {f'({item.hash[:12]})' if item.hash else '(content unknown)'}"
            for label, item in labels.items()
        ]
        lines.append(f"data of {organization}: {', '.join(parts)}")
    return lines + ([f"note: {entry.note}"] if entry.note else [])


def shorten_hashes(text: str) -> str:
    """Return a version with hashes of 12 digits."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b", r"\1", text)


def format_time(text: str) -> str:
    """Return a time of the history in the time zone of this machine."""
    return _parse_time(text).astimezone().strftime("%Y-%m-%d %H:%M")


def _parse_time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


def _read(read: Any, project: Path | None) -> Any:
    """Call a function with the history of a project.

    Raises:
        FederationError: the history cannot be read.
    """
    try:
        return read(open_history(project))
    except HistoryProblem as problem:
        raise FederationError(str(problem)) from None
