"""The record of a finished task as plain data: results, contributing nodes, rows, hidden cells and versions."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from algotools.disclosure.ledger import LedgerEntry, NumbersEntry, find_entries
from algotools.disclosure.sketch import count_records
from algotools.errors import Failure
from algotools.federation._completeness import Completeness
from algotools.federation._platform import LocalPlatform
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.federation.progress import Overview

FORMAT = 1
"""The version of the record's structure."""


def make_result_item(overview: Overview, run: RunRecord) -> dict[str, Any]:
    """Return the result of a run, or the reason of its failure, as ``algotools run --json`` shows it."""
    item: dict[str, Any] = {"organization": _show_organization(overview, run.organization_id), "status": run.status}
    if (failure := overview.get_failure(run)) is not None:
        return {**item, "error": show_failure(failure)}
    item |= show_result(overview.federation.answer(run))
    completeness = overview.measure(run)
    if not completeness.is_complete:
        item["incomplete"] = _show_completeness(overview, completeness)
    return item


def show_result(result: object) -> dict[str, object]:
    """Return a result as a part of an item: bytes, which only other tools send, have the key ``result_base64``."""
    if isinstance(result, bytes):
        return {"result_base64": base64.b64encode(result).decode()}
    return {"result": result}


def make_record(
    overview: Overview,
    arguments: Mapping[str, object] | None,
    versions: Mapping[str, object],
    entries: Sequence[LedgerEntry],
) -> dict[str, Any]:
    """Return the record of a finished task.

    Args:
        overview: the task.
        arguments: its arguments, as values of JSON; None if they are not known.
        versions: see ``read_versions``.
        entries: the entries of the nodes' ledgers about the task and its subtasks.
    """
    task, completeness = overview.task, overview.completeness
    organizations = dict.fromkeys([*completeness.expected, *(run.organization_id for run in overview.runs)])
    return {
        "format": FORMAT,
        "task": {
            "method": overview.get_method(overview.runs[0]),
            "arguments": arguments,
            "organizations": [_show_organization(overview, run.organization_id) for run in task.runs],
            "databases": task.databases,
            "created_at": add_offset(task.created_at),
            "finished_at": add_offset(max((run.finished_at or "" for run in overview.runs), default="")),
        },
        "versions": dict(versions),
        "is_complete": completeness.is_complete,
        "nodes": [_describe_node(overview, completeness, id_, entries) for id_ in organizations],
        "results": [make_result_item(overview, run) for run in overview.runs],
    }


def find_ledger_entries(platform: LocalPlatform, task: TaskRecord) -> list[LedgerEntry]:
    """Return the entries of the nodes' ledgers about a task and its subtasks."""
    ids = {member.id for member in platform.store.list_task_tree(task)}
    folders = {node.ledger_folder for node in platform.nodes.values() if node.ledger_folder is not None}
    entries = [entry for folder in folders for entry in find_entries(folder, platform.federation_name)]
    return [entry for entry in entries if entry.task in ids]


def _describe_node(
    overview: Overview, completeness: Completeness, id_: int, entries: Iterable[LedgerEntry]
) -> dict[str, Any]:
    """Return what a node contributed. Facts that its ledger does not contain are None."""
    own_entries = [entry for entry in entries if entry.organization == id_ and entry.verdict == "left"]
    databases = {item.label: item for entry in own_entries for item in entry.databases if item.rows is not None}
    rows = next(iter(databases.values())).rows if len(databases) == 1 else None
    rows_used = _count_rows_used([entry for entry in own_entries if entry.databases], rows)
    failure = completeness.missing.get(id_)
    return {
        "organization": _show_organization(overview, id_),
        "contributed": id_ in completeness.contributed,
        "error": show_failure(failure),
        "databases": [{"label": item.label, "rows": item.rows, "columns": item.columns} for item in databases.values()],
        "rows": rows,
        "rows_used": rows_used,
        "rows_missing": None if rows is None or rows_used is None else max(0, rows - rows_used),
        "withheld_cells": sum(entry.hidden for entry in own_entries) if own_entries else None,
    }


def _count_rows_used(entries: Sequence[LedgerEntry], rows: int | None) -> int | None:
    """Return the largest number of rows behind a number of the results; None if a number may have more rows.

    That is the case for a number without evidence, for the records of which only some have a part in the number (a sum
    of booleans counts the true ones), and for groups, whose rows together are more than those of the largest group.
    """
    if any(database.persons is not None for entry in entries for database in entry.databases):
        return None  # the records are persons
    row_sets: dict[tuple[str, ...], set[bytes]] = {}
    for entry in entries:
        for numbers in entry.numbers:
            if not _may_omit_rows(entry, numbers) and numbers.row_set is not None:
                row_sets.setdefault(numbers.columns, set()).add(entry.row_sets[numbers.row_set])
    counts = [count_records(sketch) for sketches in row_sets.values() for sketch in sketches]
    largest = max(counts, default=None)
    if largest is not None and largest == rows:
        return rows
    has_other_rows = any(entry.undeclared for entry in entries) or any(len(group) > 1 for group in row_sets.values())
    return None if has_other_rows else largest


def _may_omit_rows(entry: LedgerEntry, numbers: NumbersEntry) -> bool:
    """Return whether rows that the function used may be absent in the set of rows of a number.

    A sum or mean of booleans has only the rows that are true, which have equal shares in it.
    """
    if numbers.row_set is None or numbers.row_set >= len(entry.row_sets):
        return True
    if numbers.largest_share is None:
        return numbers.records == 0
    return math.isclose(numbers.largest_share * numbers.records, 1)


def _show_completeness(overview: Overview, completeness: Completeness) -> dict[str, Any]:
    return {
        "expected": list(completeness.expected),
        "contributed": list(completeness.contributed),
        "missing": [
            {
                "organization": _show_organization(overview, id_),
                "error": show_failure(failure),
            }
            for id_, failure in completeness.missing.items()
        ],
    }


def _show_organization(overview: Overview, id_: int) -> dict[str, Any]:
    return {"id": id_, "name": overview.names[id_]}


def show_failure(failure: Failure | None) -> dict[str, Any] | None:
    """Return the public part of a failure; None without a failure."""
    return None if failure is None else {"code": failure.exit_code, "message": failure.message}


def add_offset(time: str | None) -> str | None:
    """Return a time of the server, which is in UTC, with its offset; None for a time that is not known."""
    return f"{time}+00:00" if time else None
