"""Send the tasks of ``Federation.run`` and ``Federation.ask``, and wait for their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from algotools.errors import FederationError
from algotools.federation._answers import Answers
from algotools.federation._platform import LocalPlatform
from algotools.federation._results import Labels, Members, MethodCall, Requested, find_ids, parse_databases
from algotools.federation.contract.rest import TaskRecord
from algotools.federation.progress.waiting import Watch


class PlannedTask(NamedTuple):
    """A task before it is sent."""

    call: MethodCall
    organizations: Sequence[int]
    """The ids of the organizations, in the order of the results."""
    databases: Sequence[Requested]
    arguments: Mapping[str, object]


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
    call, names = _find_method(platform, function), platform.organizations()
    ids = list(names) if at is None else find_ids(at, names)
    return PlannedTask(call, ids, parse_databases(databases), arguments)


def run_at_all(platform: LocalPlatform, planned: PlannedTask, timeout: float | None, watch: Watch) -> Answers:
    """Run the function at the node of each organization, and wait for the results; see ``Federation.run``."""
    __tracebackhide__ = True  # pytest then shows the line of the author's test
    task = send(platform, planned)
    with platform.kill_unless_awaited(task):
        results = platform.wait_for_results(task, task.runs, timeout, watch)
    names = platform.organizations()
    return Answers(results, {id_: names[id_] for id_ in planned.organizations})


def run_at_one(platform: LocalPlatform, planned: PlannedTask, timeout: float | None, watch: Watch) -> Any:
    """Run the function at one node, and return its result; see ``Federation.ask``."""
    __tracebackhide__ = True
    call, ids = planned.call, planned.organizations
    if call.role == "rpc" and len(ids) > 1:
        raise FederationError(
            f"{call.method} is an rpc, which has a separate result at each node: use run, or name one organization "
            "with at="
        )
    first = next((id_ for id_ in ids if not platform.nodes[id_].faults), ids[0])
    task = send(platform, planned, only_organization=first)
    with platform.kill_unless_awaited(task):
        try:
            runs = [run for run in task.runs if run.organization_id == first]
            return platform.wait_for_results(task, runs, timeout, watch)[0]
        finally:
            for run in task.runs:
                if run.organization_id != first:
                    platform.store.finish(run, "killed by user")


def send(platform: LocalPlatform, planned: PlannedTask, only_organization: int | None = None) -> TaskRecord:
    """Create a task as a researcher does; for ``only_organization`` see ``Store.create``."""
    call = planned.call
    packed = platform.algorithms.pack_arguments(call.method, planned.arguments)
    content: dict[str, object] = {"method": call.method, "kwargs": packed}
    if call.role is not None:
        content["master"] = call.role == "master"
    contract = platform.contract
    request = contract.make_request(contract.add_query(content, planned.databases))
    return platform.create_task(
        planned.organizations, request, planned.databases, name=call.method, only_organization=only_organization
    )


def _find_method(platform: LocalPlatform, function: Callable[..., Any] | str) -> MethodCall:
    """Return the method of a function; if its role is unknown, the runs report the reason."""
    platform.algorithms.check_definition(function)
    if not isinstance(function, str):
        return MethodCall.from_function(function)
    if platform.algorithms.default is None:
        raise FederationError("this federation has no algorithm; create it with algorithm=")
    return MethodCall(function, platform.find_role(function))
