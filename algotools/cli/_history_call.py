"""The call of a recorded task as a command: what was asked, of which organizations, and with which options."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from algotools.declare.projects import find_project
from algotools.errors import AlgorithmNotFound
from algotools.federation.algorithms import RunnerChoice
from algotools.federation.history import HistoryEntry


def format_command(entry: HistoryEntry) -> str:
    """Return the command with which a task runs again in the current folder.

    A task of Python that no command can run has the method of ``Federation`` instead of ``algotools run``.
    """
    start = ["algotools", _find_verb(entry)] if _is_command(entry) else [f"Federation.{_find_verb(entry)}"]
    parts = [*start, entry.method, *list_arguments(entry), *_list_question_options(entry), *_list_sources(entry)]
    return shlex.join(parts)


def format_question(entry: HistoryEntry) -> str:
    """Return the command of a task without its first word, and without the options that name files or limits."""
    parts = [_find_verb(entry), entry.method, *list_arguments(entry), *_list_question_options(entry)]
    return shlex.join(parts)


def list_arguments(entry: HistoryEntry) -> list[str]:
    """Return the arguments of a task as on the command line."""
    if not isinstance(entry.arguments, dict):
        return [] if entry.arguments is None else [json.dumps(entry.arguments, ensure_ascii=False)]
    return [
        f"{name}={value}" if isinstance(value, str) else f"{name}:={json.dumps(value, ensure_ascii=False)}"
        for name, value in entry.arguments.items()
    ]


def _find_verb(entry: HistoryEntry) -> str:
    return "run" if entry.asked is None else "ask"


def _is_command(entry: HistoryEntry) -> bool:
    """Whether options of the command line can express the federation of a task."""
    if entry.call is None or isinstance(entry.call.get("policy"), dict):
        return False
    nodes = entry.call.get("nodes") or {}
    is_named_by_position = list(nodes) == [f"organization_{id_}" for id_, _ in enumerate(nodes, start=2)]
    return is_named_by_position and all(list(labels) == ["default"] for labels in nodes.values())


def _list_question_options(entry: HistoryEntry) -> Iterator[str]:
    """Yield the options that change the question or what leaves the nodes."""
    if set(entry.recipients) != set(entry.organizations):
        names = {id_: name for id_, name in entry.organizations.items() if "," not in name}
        yield from ("--organizations", ",".join(names.get(id_, str(id_)) for id_ in entry.recipients))
    labels = _list_labels(entry)
    if labels != ["default"]:
        for label in labels:
            yield from ("--database", label)
    for query in dict.fromkeys(item["query"] for item in entry.databases if isinstance(item, dict) and "query" in item):
        yield from ("--query", query)
    call = entry.call or {}
    if call.get("contract") or (entry.call is None and entry.contract != "v4"):
        yield from ("--contract", entry.contract)
    if (policy := call.get("policy")) is not None:
        yield from ("--policy", _shorten(policy) if isinstance(policy, str) else json.dumps(policy))
    yield from _list_variables(call.get("variables") or {}, entry)


def _list_labels(entry: HistoryEntry) -> list[str]:
    """Return the requested labels; those of a group are joined by commas, and tables without a label are left out."""
    groups: dict[object, list[str]] = {}
    for position, item in enumerate(entry.databases):
        if isinstance(item, dict) and "label" in item:
            group = item.get("group")
            groups.setdefault(("single", position) if group is None else group, []).append(item["label"])
    return [",".join(labels) for labels in groups.values()]


HIDDEN = "…"
"""Stands for the value of a variable, which the history does not contain."""


def list_secrets(entry: HistoryEntry) -> dict[tuple[str, str], str]:
    """Return organization and variable -> the hash of its value, for values that the history does not contain."""
    variables: dict[str, dict[str, Any]] = (entry.call or {}).get("variables") or {}
    return {
        (member, name): value["hash"]
        for member, values in variables.items()
        for name, value in values.items()
        if isinstance(value, dict)
    }


def _list_variables(variables: dict[str, dict[str, Any]], entry: HistoryEntry) -> Iterator[str]:
    """Yield the option of each variable; a variable with one value at all nodes has no organization."""
    for name in dict.fromkeys(name for values in variables.values() for name in values):
        by_organization = {member: values[name] for member, values in variables.items() if values.get(name) is not None}
        values = [*by_organization.values()]
        texts = {member: HIDDEN if isinstance(value, dict) else value for member, value in by_organization.items()}
        if all(value == values[0] for value in values) and set(by_organization) == set(entry.organizations.values()):
            yield from ("--variable", f"{name}={next(iter(texts.values()))}")
        else:
            for member, value in texts.items():
                yield from ("--variable", f"{name}@{member}={value}")


def _list_sources(entry: HistoryEntry) -> Iterator[str]:
    """Yield the options that name the algorithm, the data, the runner and its limits."""
    if entry.call is None:
        return
    call: dict[str, Any] = entry.call
    algorithm = str(call["algorithm"])
    if str(Path(algorithm).resolve()) != _find_current_project():
        yield from ("--algorithm", _shorten(algorithm))
    for labels in (call.get("nodes") or {}).values():
        for path in labels.values():
            yield from ("--data", _shorten(path))
    folder = Path(algorithm) if Path(algorithm).is_dir() else Path(algorithm).parent
    if "federation" in call and Path(call["federation"]) != folder / "federation.yaml":
        yield from ("--federation", _shorten(call["federation"]))
    if entry.runner != RunnerChoice.PROCESS.value:
        yield from ("--runner", entry.runner)
    for name in ("python", "timeout", "memory", "scheduler", "address"):
        if (value := call.get(name)) is not None:
            yield from (f"--{name}", f"{value:g}" if isinstance(value, float) else _shorten(str(value)))
    if call.get("confined"):
        yield "--confined"


def _find_current_project() -> str:
    try:
        return str(find_project(Path()) or "")
    except AlgorithmNotFound:
        return ""


def _shorten(path: str) -> str:
    """Return a path relative to the current folder if it is in this folder; other texts unchanged."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
