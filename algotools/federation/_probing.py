"""Runs of a local federation that are repeated as at a node that probes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from algotools.disclosure import POLICY_PREFIX
from algotools.errors import Failure
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.federation.policy import NodePolicy
from algotools.federation.runners import Cancellation

_POLLING_INTERVAL = 0.1

_UNDECLARED = f"{POLICY_PREFIX}_UNDECLARED"


class _Input(msgspec.Struct):
    """The input of a task on v3 and v4."""

    method: str = ""


def read_method(task: TaskRecord, run: RunRecord) -> str:
    """Return the method of a task; empty for an input that is not JSON."""
    if task.method:
        return task.method
    try:
        return msgspec.json.decode(run.input.removeprefix(b"json."), type=_Input).method  # the prefix of v3
    except msgspec.DecodeError:
        return ""


def select_completed(tasks: Iterable[TaskRecord]) -> dict[str, tuple[TaskRecord, RunRecord]]:
    """Return method -> the first task that calls it and has a completed run, and that run."""
    runs: dict[str, tuple[TaskRecord, RunRecord]] = {}
    for task in tasks:
        completed = [run for run in task.runs if run.status == "completed"]
        if completed and task.step == "compute" and (method := read_method(task, completed[0])):
            runs.setdefault(method, (task, completed[0]))
    return runs


def describe_refusal(failure: Failure | None) -> str:
    """Return the reason of a refusal; empty if a value was not found to depend on few records."""
    if failure is None or any(f"(rule {rule})" in failure.message for rule in ("large", "unprobed")):
        return ""
    return failure.message.replace(": result withheld: ", ": ", 1)


def make_probing_policy(policy: NodePolicy) -> Mapping[str, str] | None:
    """Return the variables of a policy that probes; None if probing would find nothing more, or write into a ledger."""
    settings = policy.parse()
    if settings.ledger or not settings.judges_structure_only:
        return None
    return {**policy.variables, _UNDECLARED: "probe"}


@contextmanager
def cancel_if_stopped(is_stopped: Callable[[], bool]) -> Iterator[Cancellation]:
    """Yield a cancellation that is requested as soon as *is_stopped* returns true within the context."""
    cancellation, has_finished = Cancellation(), threading.Event()

    def watch() -> None:
        while not has_finished.wait(_POLLING_INTERVAL):
            if is_stopped():
                cancellation.request()
                return

    watcher = threading.Thread(target=watch, name="probing", daemon=True)
    watcher.start()
    try:
        yield cancellation
    finally:
        has_finished.set()
        watcher.join()
