"""A task from its beginning to its end in one call: what it takes, and the error that names all that went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from algotools.client import Registered
from algotools.contract import Contract
from algotools.contract.platform import Run, Task
from algotools.errors import Failure, FederationError, RunsFailed, TimedOut
from algotools.federation.faults import Faults
from algotools.federation.naming import asked as asked_databases
from algotools.federation.posting import Posting, Texts
from algotools.federation.store import Store
from algotools.task import Database

if TYPE_CHECKING:
    from algotools.federation import Federation

Members = Union[int, str, Iterable[Union[int, str]]]
"""Organizations, by their ids or names."""

Labels = Union[str, Database, Mapping[str, object], Sequence[Union[str, Database, Mapping[str, object]]]]
"""The databases that a task asks for: by label, or with what it asks of them."""


class Called(NamedTuple):
    """What of an algorithm a task calls."""

    method: str
    role: str | None = None

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Called:
        """A decorated function.

        Raises:
            FederationError: it is not decorated.
        """
        if not isinstance(function, Registered):
            name = getattr(function, "__qualname__", function)
            raise FederationError(f"{name} is decorated neither with @rpc nor with @master, so no task can call it")
        if getattr(function, "step", "compute") != "compute":
            raise FederationError(
                f"{function.method} makes a table: call it with client.dataframe.create or .preprocess"
            )
        return cls(function.method, function.role)


class Asking:
    """Sends tasks to the nodes of a federation, and waits for their answers."""

    def __init__(
        self, federation: Federation, store: Store, contract: Contract, posting: Posting, faults: Mapping[int, Faults]
    ) -> None:
        self._federation = federation
        self._store = store
        self._contract = contract
        self._posting = posting
        self._faults = faults
        self._names = federation.organizations()

    def members(self, given: Members | None) -> list[int]:
        """The ids of organizations; by default of all. See ``ids_of``."""
        return list(self._names) if given is None else ids_of(given, self._names)

    def send(
        self,
        called: Called,
        asked: Sequence[int],
        labels: Labels,
        arguments: Mapping[str, object],
        only: int | None = None,
    ) -> Task:
        """Create a task as a researcher does; for ``only`` see ``Store.create``."""
        content: dict[str, object] = {"method": called.method, "kwargs": arguments}
        if called.role is not None:
            content["master"] = called.role == "master"
        databases = asked_databases(labels)
        return self._posting.send(asked, self._contract.request(content), databases, Texts(called.method), only=only)

    def answers(self, task: Task, runs: Sequence[Run], timeout: float | None) -> list[Any]:
        """The answers of runs of a task, when all are there; of a dead node's none is waited for.

        Raises:
            RunsFailed: one failed, or is missing.
        """
        __tracebackhide__ = True
        self._store.wait((run for run in runs if not self._faults[run.organization_id].dead), timeout)
        failures = {run.organization_id: why for run in runs if (why := self._why(run, timeout)) is not None}
        if not failures:
            return [self._federation.answer(run) for run in runs]
        failed = [run for run in runs if run.organization_id in failures]
        below = [subrun for run in failed for subrun in self._subruns(run) if self._federation.failure(subrun)]
        details = ((run.organization_id, run.detail) for run in (*below, *failed))
        raise _failed(task.name, len(runs), self._names, failures, details)

    def _why(self, run: Run, timeout: float | None) -> Failure | None:
        """Why there is no answer of a run; None if there is one."""
        if run.status == "completed":
            return None
        if (failure := self._federation.failure(run)) is not None:
            return failure
        faults = self._faults[run.organization_id]
        if faults.dead:
            return Failure(TimedOut.exit_code, "no answer, for its node is dead")
        notes = [f"status: {run.status}", *([f"its node is {faults}"] if str(faults) else [])]
        notes += [f"it waits for {self._missing(other)}" for other in self._subruns(run) if not other.finished_at]
        return Failure(TimedOut.exit_code, f"no answer within {timeout:g} s ({'; '.join(notes)})")

    def _missing(self, run: Run) -> str:
        faults = str(self._faults[run.organization_id])
        return _named(run.organization_id, self._names) + (f", whose node is {faults}" if faults else "")

    def _subruns(self, run: Run) -> list[Run]:
        """The runs that a master's run has asked for."""
        subtasks = self._federation.subtasks(run.task_id)
        return [r for task in subtasks if task.init_organization_id == run.organization_id for r in task.runs]


def ids_of(given: Members, names: Mapping[int, str]) -> list[int]:
    """The ids of organizations that are named by id or by name, in the order given.

    Raises:
        FederationError: one is not in the collaboration, is named twice, or none is named.
    """
    asked = [given] if isinstance(given, (int, str)) else list(given)
    by_name: dict[object, int] = {**{id_: id_ for id_ in names}, **{name: id_ for id_, name in names.items()}}
    if strangers := [str(item) for item in asked if item not in by_name]:
        known = ", ".join(f"{id_} ({name})" for id_, name in names.items())
        raise FederationError(f"not in the collaboration: {', '.join(strangers)}; it has {known}")
    ids = [by_name[item] for item in asked]
    if not ids or len(set(ids)) < len(ids):
        raise FederationError("name each organization once, and at least one")
    return ids


def arguments_of(mapping: Mapping[str, object] | None, keywords: Mapping[str, object]) -> dict[str, object]:
    """A function's arguments, from a mapping and from keywords.

    Raises:
        FederationError: one is given twice.
    """
    if both := sorted(keywords.keys() & (mapping or {}).keys()):
        raise FederationError(f"given twice: {', '.join(both)}")
    return {**(mapping or {}), **keywords}


def _failed(
    method: str,
    asked: int,
    names: Mapping[int, str],
    failures: Mapping[int, Failure],
    details: Iterable[tuple[int, str]],
) -> RunsFailed:
    """The error for a task of which runs failed.

    Args:
        method: what was called.
        asked: how many organizations it was asked of.
        names: id and name of each organization of the collaboration.
        failures: organization -> why its run failed.
        details: organization and what only its owner sees, of the task's runs and of their subtasks'; subtasks first.
    """
    by_reason: dict[str, list[int]] = {}
    for organization, (code, message, _) in failures.items():
        by_reason.setdefault(f"{message} [exit code {code}]", []).append(organization)
    by_detail: dict[str, list[int]] = {}
    for organization, detail in details:
        if detail.strip():
            by_detail.setdefault(detail.rstrip(), []).append(organization)

    def listed(organizations: Iterable[int]) -> str:
        return ", ".join(_named(id_, names) for id_ in dict.fromkeys(organizations))

    head = f"{method} failed at {len(failures)} of {asked} organization{'' if asked == 1 else 's'}"
    message = "\n".join([head, *(f"  {listed(whose)}: {reason}" for reason, whose in by_reason.items())])
    detail = "\n\n".join(f"{listed(whose)}:\n{text}" for text, whose in by_detail.items())
    return RunsFailed(message, detail=detail, failures=failures)


def _named(organization: int, names: Mapping[int, str]) -> str:
    return f"{names[organization]} (id {organization})"
