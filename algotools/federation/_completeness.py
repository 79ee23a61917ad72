"""The organizations whose data are in the result of a task, and those whose data are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Union

from algotools.errors import Failure, TimedOut
from algotools.federation._results import explain_failure
from algotools.federation._store import Store
from algotools.federation.contract import decode_input
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.runtime.contract.v5 import RESEND_OF
from algotools.runtime.logs import format_count


class Completeness(NamedTuple):
    """The organizations that a result should contain, and those that are missing in it."""

    expected: tuple[int, ...]
    """The organizations of the task and of its subtasks, in the order of the task."""
    missing: Mapping[int, Failure | None]
    """Organization -> the reason why its data are missing; None if the master did not send it a subtask."""

    @property
    def contributed(self) -> tuple[int, ...]:
        """The organizations whose data are in the result."""
        return tuple(id_ for id_ in self.expected if id_ not in self.missing)

    @property
    def is_complete(self) -> bool:
        """Whether no organization is missing."""
        return not self.missing

    def describe(self, names: Mapping[int, str]) -> str:
        """Return one line with the missing organizations and the reasons; empty if no organization is missing.

        The reasons are the public messages of the runs.
        """
        if self.is_complete:
            return ""
        by_reason: dict[str, list[str]] = {}
        for id_, failure in self.missing.items():
            reason = "not asked" if failure is None else f"failed: {failure.message} [exit code {failure.exit_code}]"
            by_reason.setdefault(reason, []).append(names.get(id_, f"organization {id_}"))
        reasons = "; ".join(f"{', '.join(members)} {reason}" for reason, members in by_reason.items())
        expected = format_count(len(self.expected), "organization")
        return f"incomplete: {len(self.contributed)} of {expected}; {reasons}"


def measure_completeness(store: Store, task: TaskRecord, run: RunRecord | None = None) -> Completeness:
    """Return the completeness of the results of a task, or of one run. An organization that misses in one is missing.

    A killed, failed or unfinished run of the task has no result, so no organization contributes to it.
    """
    expected: dict[int, None] = {}
    missing: dict[int, Failure | None] = {}
    for member in task.fetched_runs if run is None else [run]:
        part = _measure_run(store, task, member)
        expected |= dict.fromkeys(part.expected)
        missing = {**part.missing, **missing}
    return Completeness(tuple(expected), {id_: missing[id_] for id_ in expected if id_ in missing})


def _measure_run(store: Store, task: TaskRecord, run: RunRecord) -> Completeness:
    """Return the completeness of the result of one run of a task.

    The result of a run without subtasks contains the data of its own node. A master's result contains the data of the
    nodes that it sent subtasks to. If the task names several organizations, they are the ones that the researcher
    wants, unless arguments of the task choose exactly the organizations of the subtasks. If the task names one
    organization, it only selects the node that runs the master.
    """
    subtasks = [child for child in store.children(task.id) if child.init_organization_id == run.organization_id]
    expected, missing = [run.organization_id], dict[int, Union[Failure, None]]()
    if subtasks:
        tree = [member for subtask in subtasks for member in store.list_task_tree(subtask)]
        recipients = list(dict.fromkeys(subrun.organization_id for member in tree for subrun in member.runs))
        task_members = [member.organization_id for member in task.runs]
        not_asked = [id_ for id_ in task_members if id_ not in recipients]
        is_chosen = len(task_members) == 1 or (bool(not_asked) and _has_chosen(task, run, set(recipients), store))
        missing = _find_missing(store, run, tree) | dict.fromkeys([] if is_chosen else not_asked)
        expected = recipients if is_chosen else list(dict.fromkeys([*task_members, *recipients]))
    if run.status != "completed":
        reason = explain_failure(run) or _make_timeout(store, run)
        missing = {id_: missing.get(id_) or reason for id_ in expected}
    return Completeness(tuple(expected), {id_: missing[id_] for id_ in expected if id_ in missing})


def _find_missing(store: Store, run: RunRecord, tree: Sequence[TaskRecord]) -> dict[int, Failure | None]:
    """Return the organizations whose result is missing in a subtask of a master, with the reasons."""
    missing: dict[int, Failure | None] = {}
    for position, subtask in enumerate(tree):
        is_read = any(subrun.id in store.read_run_ids for subrun in subtask.runs)
        for subrun in subtask.runs:
            has_result = subrun.status == "completed" and (
                subrun.id in store.read_run_ids if is_read else _has_finished_before(subrun, run)
            )
            if has_result or subrun.organization_id in missing:
                continue
            if not any(_is_repetition(later, subtask, subrun) for later in tree[position + 1 :]):
                reason = explain_failure(subrun) if _has_finished_before(subrun, run) else None
                if reason is None and run.status != "completed" and store.node_status(subrun.node_id) != "offline":
                    continue  # the end of the master stopped the run, so the master's failure is the reason
                missing[subrun.organization_id] = reason or _make_timeout(store, subrun)
    return missing


def _has_finished_before(subrun: RunRecord, run: RunRecord) -> bool:
    """Return whether the run of a subtask finished before its master; "~" sorts after every time."""
    return subrun.finished_at is not None and subrun.finished_at <= (run.finished_at or "~")


def _is_repetition(later: TaskRecord, subtask: TaskRecord, run: RunRecord) -> bool:
    """Return whether a later subtask repeated the request of a failed run at the same node, with success.

    The same request counts as a repetition, and so does any request that only failed organizations received: a master
    may ask them with other arguments, or with another rpc.
    """
    repeated = next((subrun for subrun in later.runs if subrun.organization_id == run.organization_id), None)
    if repeated is None or repeated.status != "completed":
        return False
    failed = {subrun.organization_id for subrun in subtask.runs if subrun.status != "completed"}
    if {subrun.organization_id for subrun in later.runs} <= failed:
        return True
    has_same_input = repeated.input == run.input or (decode_input(repeated.input) or {}).get(RESEND_OF) == subtask.id
    return later.method == subtask.method and has_same_input


def _has_chosen(task: TaskRecord, run: RunRecord, recipients: set[int], store: Store) -> bool:
    """Return whether arguments of a task choose exactly these organizations.

    The annotation ``Organization`` says which arguments are organizations. Without it, the name of an argument does: a
    list of numbers with another name may be equal by chance.
    """
    if task.chosen_organizations:
        return set(task.chosen_organizations) == recipients
    content = decode_input(run.input) or {}
    arguments = content.get("kwargs", content)
    items = arguments.items() if isinstance(arguments, dict) else ()
    return _lists_organizations({name: value for name, value in items if "org" in name.lower()}, recipients, store)


def _lists_organizations(arguments: object, recipients: set[int], store: Store) -> bool:
    """Return whether arguments contain a list of exactly these organizations, by id or by name."""
    ids: dict[object, int] = {}
    for organization in store.organizations():
        ids |= {organization.id: organization.id, organization.name: organization.id}

    def is_list_of_them(value: object) -> bool:
        if isinstance(value, dict):
            return any(map(is_list_of_them, value.values()))
        if not isinstance(value, list):
            return False
        if all(isinstance(item, (int, str)) for item in value):
            return {ids.get(item) for item in value} == recipients
        return any(map(is_list_of_them, value))

    return is_list_of_them(arguments)


def _make_timeout(store: Store, run: RunRecord) -> Failure:
    state = "its node is offline" if store.node_status(run.node_id) == "offline" else f"status: {run.status}"
    return Failure(TimedOut.exit_code, f"no result when the master finished ({state})")
