"""Send the tasks of ``Federation.run`` and ``Federation.ask``, and wait for their results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from algotools.declare.packing import pack_arrays
from algotools.errors import Failure, FederationError, RunsIncomplete, TimedOut
from algotools.federation._answers import Answers
from algotools.federation._check import check_request, read_declarations
from algotools.federation._completeness import measure_completeness
from algotools.federation._platform import LocalPlatform
from algotools.federation._results import (
    Labels,
    Members,
    MethodCall,
    Requested,
    explain_failure,
    find_ids,
    find_stacklevel,
    format_organization,
    make_runs_failed,
    parse_databases,
)
from algotools.federation.contract import Request
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.federation.mismatches import warn_about_mismatches
from algotools.federation.progress.waiting import Watch
from algotools.payload import has_arrays
from algotools.runtime.dispatch.checking import CallFacts


class PlannedTask(NamedTuple):
    """A task before it is sent."""

    call: MethodCall
    organizations: Sequence[int]
    """The ids of the organizations, in the order of the results."""
    databases: Sequence[Requested]
    arguments: Mapping[str, object]
    request: Request


def plan_task(
    platform: LocalPlatform,
    function: Callable[..., Any] | str,
    at: Members | None,
    databases: Labels,
    arguments: Mapping[str, object],
) -> PlannedTask:
    """Return the task for a call of ``Federation.run`` or ``Federation.ask``.

    Raises:
        FederationError: the call is invalid.
    """
    __tracebackhide__ = True
    platform.algorithms.check_definition(function)
    call, names = _find_method(platform, function), platform.organizations()
    ids = list(names) if at is None else find_ids(at, names)
    requested = parse_databases(databases)
    packed = _pack_arguments(platform, call.method, arguments)
    call, request = _prepare_call(platform, call, packed, ids, requested)
    return PlannedTask(call, ids, requested, arguments, request)


def _pack_arguments(platform: LocalPlatform, method: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
    """Return arguments with arrays encoded where the method declares arrays."""
    __tracebackhide__ = True
    if platform.algorithms.may_import or not has_arrays(arguments):
        return platform.algorithms.pack_arguments(method, arguments)
    declarations = read_declarations(platform)
    return pack_arrays(arguments, declarations.arrays.get(method, {}) if declarations else {}, method)


def prepare_request(
    platform: LocalPlatform,
    call: str | Request,
    arguments: Mapping[str, object],
    organizations: Sequence[int],
    databases: Sequence[Requested],
    image: str,
) -> Request:
    """Check a call once, and return its request; see ``Federation.prepare``."""
    __tracebackhide__ = True
    if isinstance(call, Request):
        return _add_facts(call, check_request(platform, call, organizations, databases, image=image))
    return _prepare_call(platform, MethodCall(call), arguments, organizations, databases, image)[1]


def _prepare_call(
    platform: LocalPlatform,
    call: MethodCall,
    arguments: Mapping[str, object],
    organizations: Sequence[int],
    databases: Sequence[Requested],
    image: str = "",
) -> tuple[MethodCall, Request]:
    """Check a call, and return it with its role, and its request."""
    __tracebackhide__ = True
    content: dict[str, object] = {"method": call.method, "kwargs": arguments}

    def make_request(role: str | None) -> Request:
        master = {} if role is None else {"master": role == "master"}
        return platform.contract.make_request(platform.contract.add_query({**content, **master}, databases))

    request = make_request(call.role)
    is_unknown = call.role is None
    facts = check_request(platform, request, organizations, databases, image=image, has_any_role=is_unknown)
    if is_unknown:
        role = facts.role if facts else platform.find_role(call.method)
        if role is not None:
            call, request = call._replace(role=role), make_request(role)
    return call, _add_facts(request, facts)


def _add_facts(request: Request, facts: CallFacts | None) -> Request:
    """Return the request with the organizations that its arguments name."""
    return request if facts is None else request._replace(chosen_organizations=facts.organizations)


def run_at_all(
    platform: LocalPlatform, planned: PlannedTask, timeout: float | None, watch: Watch, *, require_all: bool
) -> Answers:
    """Run the function at the node of each organization, and wait for the results; see ``Federation.run``."""
    __tracebackhide__ = True  # pytest then shows the line of the author's test
    task = send(platform, planned)
    with platform.kill_unless_awaited(task):
        results = wait_for_results(platform, task, task.runs, timeout, watch)
    check_completeness(platform, task, require_all=require_all)
    names = platform.organizations()
    return Answers(results, {id_: names[id_] for id_ in planned.organizations}, task.id)


def run_at_one(
    platform: LocalPlatform, planned: PlannedTask, timeout: float | None, watch: Watch, *, require_all: bool
) -> Any:
    """Run the function at one node, and return its result; see ``Federation.ask``."""
    __tracebackhide__ = True
    task = send(platform, planned, only_organization=choose_node(platform, planned))
    with platform.kill_unless_awaited(task):
        try:
            [result] = wait_for_results(platform, task, task.fetched_runs, timeout, watch)
        finally:
            platform.cancel_unfetched(task)
    check_completeness(platform, task, require_all=require_all)
    return result


def check_completeness(platform: LocalPlatform, task: TaskRecord, *, require_all: bool) -> None:
    """Warn about organizations that are missing in the results of a task.

    Raises:
        RunsIncomplete: an organization is missing, and *require_all* is true.
    """
    completeness = measure_completeness(platform.store, task)
    if completeness.is_complete:
        return
    incomplete = RunsIncomplete(completeness.describe(platform.organizations()), missing=completeness.missing)
    if require_all:
        raise incomplete
    warnings.warn(incomplete, stacklevel=find_stacklevel())


def choose_node(platform: LocalPlatform, planned: PlannedTask) -> int:
    """Return the organization whose node runs the task of ``Federation.ask``: the first without a fault.

    Raises:
        FederationError: an rpc is sent to several organizations.
    """
    call, ids = planned.call, planned.organizations
    if call.role == "rpc" and len(ids) > 1:
        raise FederationError(
            f"{call.method} is an rpc, which has a separate result at each node: use run, or name one organization "
            "with at="
        )
    return platform.choose_node(ids)


def send(platform: LocalPlatform, planned: PlannedTask, only_organization: int | None = None) -> TaskRecord:
    """Create a task as a researcher does; for ``only_organization`` see ``Store.create``."""
    return platform.create_task(
        planned.organizations,
        planned.request,
        planned.databases,
        name=planned.call.method,
        only_organization=only_organization,
    )


def wait_for_results(
    platform: LocalPlatform, task: TaskRecord, runs: Sequence[RunRecord], timeout: float | None, watch: Watch
) -> list[Any]:
    """Wait for runs of a task and return their results. Runs at dead nodes are reported without waiting.

    Raises:
        RunsFailed: a run failed, or is not finished in time.
    """
    __tracebackhide__ = True
    watch.wait(task, [run for run in runs if not platform.nodes[run.organization_id].faults.dead], timeout)
    warn_about_mismatches(platform.store.list_task_tree(task))
    reasons = ((run.organization_id, _explain_missing_result(platform, run, timeout)) for run in runs)
    failures = {organization: reason for organization, reason in reasons if reason is not None}
    if not failures:
        return [platform.contract.decode_output(run.output) for run in runs]
    failed = [run for run in runs if run.organization_id in failures]
    failed_subruns = [subrun for run in failed for subrun in _list_subruns(platform, run) if explain_failure(subrun)]
    details = ((run.organization_id, run.detail) for run in (*failed_subruns, *failed))
    raise make_runs_failed(task.name, len(runs), platform.organizations(), failures, details)


def _explain_missing_result(platform: LocalPlatform, run: RunRecord, timeout: float | None) -> Failure | None:
    """Return the reason why a run has no result; None if it has a result."""
    if run.status == "completed":
        return None
    if (failure := explain_failure(run)) is not None:
        return failure
    faults = platform.nodes[run.organization_id].faults
    if faults.dead:
        return Failure(TimedOut.exit_code, "no result, because its node is dead")
    notes = [f"status: {run.status}", *([f"its node is {faults}"] if str(faults) else [])]
    for subrun in _list_subruns(platform, run):
        if not subrun.finished_at:
            fault = str(platform.nodes[subrun.organization_id].faults)
            name = format_organization(subrun.organization_id, platform.organizations())
            notes.append(f"it waits for {name}{f', whose node is {fault}' if fault else ''}")
    if len(notes) == 1 and (position := platform.nodes[run.organization_id].find_position(run)):
        notes.append(f"it was{position}")
    return Failure(TimedOut.exit_code, f"no result within {timeout:g} s ({'; '.join(notes)})")


def _list_subruns(platform: LocalPlatform, run: RunRecord) -> list[RunRecord]:
    """Return the runs of the subtasks that a master's run created."""
    subtasks = platform.store.children(run.task_id)
    return [r for task in subtasks if task.init_organization_id == run.organization_id for r in task.runs]


def _find_method(platform: LocalPlatform, function: Callable[..., Any] | str) -> MethodCall:
    """Return the method of a function; the check finds the role of a method's name."""
    if not isinstance(function, str):
        return MethodCall.from_function(function)
    if platform.algorithms.default is None:
        raise FederationError("this federation has no algorithm; create it with algorithm=")
    return MethodCall(function)
