"""Parse the organizations, databases and arguments of a call; explain its failures."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Union

import msgspec

from algotools.data.names import suggest_name
from algotools.errors import PACKAGE, Failure, FederationError, RunsFailed
from algotools.federation.contract.rest import RunRecord
from algotools.runtime.client import DecoratedFunction, unknown_organizations_message
from algotools.runtime.logs import format_count, read_failure
from algotools.task import Database

Members = Union[int, str, Iterable[Union[int, str]]]
"""Organizations: one or several, each by its id or name."""

Label = Union[str, Database, Mapping[str, object]]
Labels = Union[Label, Sequence[Union[Label, Sequence[Label]]]]
"""The databases that a task requests: labels, or mappings with a label and, for instance, a query."""

Requested = Union[Database, Sequence[int]]
"""A database by its label, or the tables of one argument by their ids (v5)."""


class MethodCall(NamedTuple):
    """The method that a task calls, and its role; None if the role is unknown."""

    method: str
    role: str | None = None

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> MethodCall:
        """Return the call of a decorated function.

        Raises:
            FederationError: the function is not decorated, or makes a table.
        """
        if not isinstance(function, DecoratedFunction):
            name = getattr(function, "__qualname__", function)
            raise FederationError(f"a task cannot call {name}: decorate the function with @rpc or @master")
        if getattr(function, "step", "compute") != "compute":
            raise FederationError(
                f"{function.method} makes a table: call it with client.dataframe.create or .preprocess"
            )
        return cls(function.method, function.role)


def find_ids(members: Members, names: Mapping[int, str]) -> list[int]:
    """Return the ids of organizations that are named by id or by name, in the caller's order.

    Raises:
        FederationError: an organization is not in the collaboration or is named twice, or the list is empty.
    """
    items = [members] if isinstance(members, (int, str)) else list(members)
    by_name: dict[object, int] = {**{id_: id_ for id_ in names}, **{name: id_ for id_, name in names.items()}}
    unknown = [item for item in items if item not in by_name]
    if message := unknown_organizations_message(unknown, names):
        if similar := suggest_name(str(unknown[0]), names.values()) if isinstance(unknown[0], str) else "":
            raise FederationError(message + similar)
        hint = "; 1 is root, the researcher's organization, which has no node" if 1 in items and 1 not in names else ""
        raise FederationError(message + hint)
    ids = [by_name[item] for item in items]
    if not ids or len(set(ids)) < len(ids):
        raise FederationError("name at least one organization, and each organization once")
    return ids


def merge_arguments(mapping: Mapping[str, object] | None, keywords: Mapping[str, object]) -> dict[str, object]:
    """Return a function's arguments from a mapping and from keywords.

    Raises:
        FederationError: the mapping and the keywords have a name in common.
    """
    if duplicates := sorted(keywords.keys() & (mapping or {}).keys()):
        raise FederationError(f"given twice: {', '.join(duplicates)} (in arguments= and as keywords)")
    return {**(mapping or {}), **keywords}


def parse_databases(databases: object) -> list[Requested]:
    """Return the requested databases (by label), or the requested tables (by id; a list for each argument).

    The databases of a list within the list are a group: one argument of a v5 task.

    Raises:
        FederationError: ``databases`` has another shape.
    """
    if isinstance(databases, (str, int, Mapping, Database)):
        return [_parse_item(databases)]
    if not isinstance(databases, Sequence):
        raise FederationError(f"`databases` must be a label, or a list of {_DATABASES_SHAPE}")
    requested: list[Requested] = []
    for number, item in enumerate(databases):
        if isinstance(item, (list, tuple)) and any(map(_is_labelled, item)):
            requested += _parse_group(item, number)
        else:
            requested.append(_parse_item(item))
    return requested


_DATABASES_SHAPE = 'labels, items {"label": "default"} or {"dataframe_id": 1}, or lists of these'


def _is_labelled(item: object) -> bool:
    return isinstance(item, (str, Database)) or (isinstance(item, Mapping) and "dataframe_id" not in item)


def _parse_group(items: Sequence[object], number: int) -> list[Requested]:
    """Return the databases of one argument; *number* is its position in the task."""
    group = [parsed for item in items if isinstance(parsed := _parse_item(item), Database)]
    if len(group) < len(items):
        raise FederationError("a group names its tables either by label or by id, not both")
    labels = [database.label for database in group]
    if repeated := next((label for label in labels if labels.count(label) > 1), None):
        raise FederationError(f"a group has the database {repeated!r} twice; name each database once")
    return [msgspec.structs.replace(database, group=number if len(group) > 1 else None) for database in group]


def _parse_item(item: object) -> Requested:
    if isinstance(item, Database):
        return item
    if isinstance(item, str):
        return Database(item)
    if isinstance(item, Mapping) and "dataframe_id" not in item:
        return _parse_labelled_database(item)
    tables = item if isinstance(item, list) else [item]
    ids = [table.get("dataframe_id") if isinstance(table, Mapping) else table for table in tables]
    valid_ids = [id_ for id_ in ids if isinstance(id_, int)]
    if not ids or len(valid_ids) < len(ids):
        raise FederationError(f"`databases` must consist of {_DATABASES_SHAPE}")
    return valid_ids


def _parse_labelled_database(item: Mapping[str, object]) -> Database:
    keys = {"label", "query", "sheet_name", "preprocessing"}
    if not isinstance(item.get("label"), str) or item.keys() - keys:
        optional = ", ".join(sorted(keys - {"label"}))
        raise FederationError(f"a database must be a mapping with `label` (optional: {optional})")
    steps = item.get("preprocessing")
    query, sheet = (None if item.get(key) is None else str(item[key]) for key in ("query", "sheet_name"))
    steps = None if steps is None else json.dumps(steps)
    return Database(str(item["label"]), query=query, sheet_name=sheet, preprocessing=steps)


def make_runs_failed(
    method: str,
    count: int,
    names: Mapping[int, str],
    failures: Mapping[int, Failure],
    details: Iterable[tuple[int, str]],
) -> RunsFailed:
    """Return the error for a task with failed runs.

    Args:
        method: the method that the task calls.
        count: the number of organizations of the task.
        names: id and name of each organization of the collaboration.
        failures: organization -> the reason why its run failed.
        details: organization and details for its node's owner: first of the subtasks' runs, then of the task's runs.
    """
    by_reason: dict[str, list[int]] = {}
    for organization, (code, message, _) in failures.items():
        by_reason.setdefault(f"{message} [exit code {code}]", []).append(organization)
    by_detail: dict[str, list[int]] = {}
    for organization, detail in details:
        if detail.strip():
            by_detail.setdefault(detail.rstrip(), []).append(organization)

    def join_names(ids: Iterable[int]) -> str:
        return ", ".join(format_organization(id_, names) for id_ in dict.fromkeys(ids))

    head = f"{method} failed at {len(failures)} of {format_count(count, 'organization')}"
    message = "\n".join([head, *(f"  {join_names(ids)}: {reason}" for reason, ids in by_reason.items())])
    detail = "\n\n".join(f"{join_names(ids)}:\n{text}" for text, ids in by_detail.items())
    return RunsFailed(message, detail=detail, failures=failures)


def format_organization(organization: int, names: Mapping[int, str]) -> str:
    """Return the name and id of an organization, for messages."""
    return f"{names[organization]} (id {organization})"


UNKNOWN_FAILURE = 1
"""The exit code of a failure without a failure line of algotools in its log."""

_LEVEL = re.compile(r"\[?(error|warn|info|debug) *(?:>|\] -) *(.*)")
"""The beginning of a line of vantage6's wrappers (``error > ``) and of its other parts (``[error] - ``)."""

_EMPTY_TEXTS = ("", "None")
"""The text that vantage6's wrappers write after ``error >`` instead of a traceback."""


def explain_failure(run: RunRecord) -> Failure | None:
    """Return the reason why a run failed, with the owner's details; None if the run did not fail.

    Algorithms made with other tools do not write our failure line. For them the message is the most relevant line of
    the log.
    """
    if run.status in ("completed", "pending", "initializing", "active"):
        return None
    if (failure := read_failure(run.log)) is not None:
        return failure._replace(detail=run.detail)
    line = find_most_relevant_line(run.log)
    message = f"{run.status}: {line}" if line else f"{run.status}; the run's log does not say why"
    return Failure(UNKNOWN_FAILURE, message, "\n".join(t.rstrip("\n") for t in (run.log, run.detail) if t.strip()))


def find_most_relevant_line(log: str) -> str:
    """Return the last error of a log; without errors the last warning; without warnings the last line.

    A wrapper's errors have priority over the last line of the exception, which may belong to a later failure.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    matches = [
        match.groups() for line in lines if (match := _LEVEL.match(line)) and match[2].strip() not in _EMPTY_TEXTS
    ]
    for level in ("error", "warn"):
        if texts := [text.strip() for kind, text in matches if kind == level]:
            return texts[-1]
    unlabelled = [line for line in lines if not _LEVEL.match(line)]
    return unlabelled[-1] if unlabelled else ""


def find_stacklevel() -> int:
    """Return the number of frames until the caller's code, so that a warning shows the caller's line."""
    frame = inspect.currentframe()
    level = 0
    # A generator that is a context manager is called by contextlib.
    while frame is not None and (
        PACKAGE in (path := Path(frame.f_code.co_filename)).parents or path == Path(contextlib.__file__)
    ):
        frame, level = frame.f_back, level + 1
    return level
