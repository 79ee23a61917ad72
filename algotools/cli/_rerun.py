"""``algotools history rerun``: run a task of the history again, and compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import typer

from algotools.cli._console import show_note
from algotools.cli._history import (
    Number,
    Project,
    describe_call,
    describe_entry,
    find_entry,
    make_json_results,
    open_history,
    read_stored_task,
    shorten_hashes,
)
from algotools.cli._history_call import list_secrets
from algotools.cli._results import show_results
from algotools.cli._signals import handle_stop_signals
from algotools.cli._task_view import follow_task, open_results_stream, open_view
from algotools.cli._variables import assign_variables, parse_variables
from algotools.errors import FederationError, RunsFailed
from algotools.federation import Federation
from algotools.federation.contract import Request
from algotools.federation.contract.rest import RunRecord
from algotools.federation.history import HistoryEntry, StoredTask, find_project_folder, hash_secret
from algotools.federation.progress import Overview
from algotools.runtime.logs import format_count
from algotools.task import Database

HISTORY_RERUN_EXAMPLES = """
[bold]Examples[/bold]

algotools history rerun 12

algotools history rerun 12 --json

[bold]Keys of --json[/bold]

task (see `algotools history`; null if it was not recorded), earlier (number), results (as `algotools run --json` prints
them), changes (object with data (list of objects with organization, label, change), versions (name ->
\\[earlier, now]), nodes (\\[earlier, now], or null), results (names of the organizations with another result))
"""


class Changes(NamedTuple):
    """The differences between two runs of one question."""

    data: list[dict[str, str]]
    """Organization, label and ``changed``, ``added``, ``removed`` or ``unknown``."""
    versions: dict[str, list[str]]
    """Name -> earlier and current version."""
    nodes: list[list[str]] | None
    """The contributing nodes, earlier and now; None if they are the same."""
    results: list[str]
    """The organizations with another result."""


def rerun(
    number: Number,
    project: Project = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(
            help="Value of a variable that the task had with --variable, because the history does not contain values.",
            metavar="NAME[@ORG]=VALUE",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object; see below.")] = False,
) -> None:
    """Run a task of the history again, and report whether its data, versions, nodes or results have changed.

    The task has the same method, arguments, databases, organizations and options of `algotools run`. It gets a number
    of its own. The exit code does not depend on changes: it is 61 if a run failed, and 0 otherwise.
    """
    earlier = read_stored_task(number, project)
    history = open_history(project)
    with handle_stop_signals() as stop, open_results_stream() as stream, open_view() as view:
        show_note(describe_call(earlier.entry))
        variables = _read_variables(earlier.entry, variable or [])
        federation = _reopen(earlier.entry, variables, history.path, view.receive_line)
        stop.is_deferred = True
        with federation:
            entry = earlier.entry
            databases = [Database(**item) for item in entry.databases]
            method = entry.method if federation.contract == "v5" else ""
            request = Request(earlier.request, method, earlier.role)
            recipients = _find_recipients(entry, federation)
            task = federation.post(recipients, request, databases, image=earlier.image, only_organization=entry.asked)
            overview = Overview(federation, task)
            follow_task(federation, overview, view, stop)
            new_number = federation.find_number(task.id)
            if not as_json:
                arguments = entry.arguments if isinstance(entry.arguments, dict) else {}
                show_results(overview, stream, as_json=False, arguments=arguments)
        new = None if new_number is None else find_entry(new_number, project)
        if new is not None and new_number is not None:
            current = read_stored_task(new_number, project)
            changes = compare(earlier, current)
            if as_json:
                content = {
                    "task": describe_entry(new),
                    "earlier": number,
                    "results": make_json_results(current),
                    "changes": changes._asdict(),
                }
                stream.write(f"{json.dumps(content, ensure_ascii=False)}\n")
            else:
                for line in describe_changes(changes, number):
                    show_note(line)
        number_failed = sum(overview.get_failure(run) is not None for run in overview.runs)
    if number_failed:
        raise RunsFailed(f"{number_failed} of {format_count(len(overview.runs), 'run')} failed")


def _find_recipients(entry: HistoryEntry, federation: Federation) -> list[int]:
    """Return the organizations of a task.

    Raises:
        FederationError: the federation has other organizations now.
    """
    names = federation.organizations()
    if changed := [name for id_, name in entry.organizations.items() if names.get(id_) != name]:
        raise FederationError(
            f"task {entry.number} cannot be run again, because the federation has other organizations now: "
            f"{', '.join(changed)} changed"
        )
    return entry.recipients


def _read_variables(entry: HistoryEntry, options: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """Return organization -> variables of a task, with the values of options; report values that have changed.

    Raises:
        FederationError: the options do not have all values that the history does not contain.
    """
    assigned = assign_variables(parse_variables(options), lambda: entry.organizations)
    common = {name: value for name, value in assigned.items() if not isinstance(value, Mapping)}
    secrets = list_secrets(entry)
    stored = (entry.call or {}).get("variables") or {}
    restricted = {name for _, name in secrets}  # `NAME=VALUE` then belongs only to the nodes that had the variable
    variables: dict[str, dict[str, Any]] = {}
    for id_, member in entry.organizations.items():
        public_values = {name: value for name, value in stored.get(member, {}).items() if (member, name) not in secrets}
        fitting = {name: v for name, v in common.items() if name not in restricted or (member, name) in secrets}
        variables[member] = {**public_values, **fitting, **cast("Mapping[str, Any]", assigned.get(id_, {}))}
    missing = dict.fromkeys(f"{name}@{member}" for member, name in secrets if name not in variables[member])
    if missing:
        raise FederationError(
            f"task {entry.number} had variables whose values the history does not contain: {', '.join(missing)}; set "
            "each with --variable NAME=VALUE or --variable NAME@ORGANIZATION=VALUE"
        )
    for (member, name), hash_ in secrets.items():
        if hash_secret(variables[member][name]) != hash_:
            show_note(f"the variable {name} of {member} has another value than in task {entry.number}")
    return {member: values for member, values in variables.items() if values}


def _reopen(
    entry: HistoryEntry,
    variables: Mapping[str, Mapping[str, str | None]],
    history: Path,
    listen: Callable[[RunRecord, str], object],
) -> Federation:
    """Create the federation with which a task ran.

    Raises:
        FederationError: the federation cannot be made from the history.
    """
    if entry.call is None:
        raise FederationError(
            f"task {entry.number} cannot be run again from the history: it ran in Python on functions or tables in "
            "memory, on an executor, on databases with a URI, with faults, or on tables of a session; run it there"
        )
    options: dict[str, Any] = dict(entry.call)
    file, nodes = options.pop("federation", None), options.pop("nodes", None)
    _check_files(entry.number, file, nodes or {}, options)
    options |= {"variables": variables, "listen": listen, "history": history}
    options |= {"ledger": find_project_folder(Path(str(options["algorithm"])))}
    return Federation(nodes, **options) if file is None else Federation.from_file(file, **options)


def _check_files(
    number: int, file: str | None, nodes: Mapping[str, Mapping[str, str]], options: Mapping[str, Any]
) -> None:
    """Refuse a task whose files were removed or moved, because the next message would not say who named the file.

    Raises:
        FederationError: a file does not exist.
    """
    paths_by_option = {
        "--federation": file,
        **{f"--{name}": options.get(name) for name in ("algorithm", "python", "policy", "scheduler")},
    }
    option_paths = [
        (option, str(path))
        for option, path in paths_by_option.items()
        if isinstance(path, str) and Path(path).is_absolute()
    ]
    option_paths += [("--data", path) for labels in nodes.values() for path in labels.values()]
    for option, path in option_paths:
        if not Path(path).exists():
            raise FederationError(
                f"task {number} cannot be run again: it used {option} {path}, which does not exist any more; restore "
                "the file, or run the task with other options"
            )


def compare(earlier: StoredTask, current: StoredTask) -> Changes:
    """Return the differences between two runs of one question."""
    before, now = earlier.entry, current.entry
    data = []
    for organization in dict.fromkeys([*before.data, *now.data]):
        old, new = before.data.get(organization, {}), now.data.get(organization, {})
        for label in dict.fromkeys([*old, *new]):
            if label not in new or label not in old:
                change = "removed" if label not in new else "added"
            elif not new[label].hash or not old[label].hash:
                change = "unknown" if new[label].name == old[label].name else "changed"
            else:
                change = "" if new[label].hash == old[label].hash else "changed"
            if change:
                data.append({"organization": organization, "label": label, "change": change})
    versions = {
        name: [before.versions.get(name, ""), now.versions.get(name, "")]
        for name in dict.fromkeys([*before.versions, *now.versions])
        if before.versions.get(name) != now.versions.get(name)
    }
    nodes = [before.contributors, now.contributors]
    old_results = {run.organization_id: _format_result(earlier, run) for run in earlier.runs}
    results = [
        now.organizations[run.organization_id]
        for run in current.runs
        if old_results.get(run.organization_id) != _format_result(current, run)
    ]
    return Changes(data, versions, None if set(nodes[0]) == set(nodes[1]) else nodes, results)


def describe_changes(changes: Changes, number: int) -> list[str]:
    """Return lines about the differences."""
    unknown = [item for item in changes.data if item["change"] == "unknown"]
    changed = [item for item in changes.data if item["change"] != "unknown"]
    texts = [f"{item['organization']} {item['label']} {item['change']}" for item in changed]
    lines = [
        f"compared with task {number}:",
        f"  data: {', '.join(texts) or 'unchanged'}" + (_describe_unknown(unknown) if unknown else ""),
    ]
    versions = [f"{name} {shorten_hashes(a)} → {shorten_hashes(b)}" for name, (a, b) in changes.versions.items()]
    lines.append(f"  versions: {', '.join(versions) or 'unchanged'}")
    if changes.nodes is not None:
        before, now = (", ".join(names) or "none" for names in changes.nodes)
        lines.append(f"  contributing nodes: {before} → {now}")
    lines.append(f"  results: {'changed at ' + ', '.join(changes.results) if changes.results else 'the same'}")
    return lines


def _describe_unknown(unknown: list[dict[str, str]]) -> str:
    names = ", ".join(f"{item['organization']} {item['label']}" for item in unknown)
    return f"; unknown for databases of servers: {names}"


def _format_result(stored: StoredTask, run: RunRecord) -> str:
    """Return a text that is equal for equal results, also with NaN; failures are equal by their message."""
    if (failure := stored.failure(run)) is not None:
        return f"{failure.exit_code} {failure.message}"
    return json.dumps(stored.answer(run), sort_keys=True, default=repr)
