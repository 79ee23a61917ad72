"""Record the tasks of a federation in a history.

Recording never stops a run: a problem is reported once, and the tasks are then not recorded.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from algotools.federation._completeness import measure_completeness
from algotools.federation._file_hashes import hash_texts
from algotools.federation._fingerprints import DataFingerprints
from algotools.federation._results import Requested
from algotools.federation._source_hashes import describe_versions
from algotools.federation._store import Store
from algotools.federation.algorithms import Algorithms
from algotools.federation.configuration import Configuration
from algotools.federation.contract import Request, decode_input
from algotools.federation.contract.rest import TaskRecord
from algotools.federation.folders import identify_process
from algotools.federation.history import (
    Fingerprint,
    HistoryEntry,
    HistoryProblem,
    StoredTask,
    TaskHistory,
    hash_secret,
)
from algotools.federation.policy import NodePolicy
from algotools.task import Database


class Surroundings(NamedTuple):
    """The parts of a federation on which the results of its tasks depend."""

    configuration: Configuration
    algorithms: Algorithms
    policy: NodePolicy
    faults: str
    temporary: Path
    """The folder of the federation's own files."""
    call: dict[str, Any] | None
    """The options with which an equal federation can be made again; None if that is impossible."""


Plan = tuple[Request, Sequence[Requested], Sequence[int]]
"""Request, databases and organizations of a task that is not created yet."""


class State(NamedTuple):
    """The data of the nodes and the versions at one moment."""

    data: dict[str, dict[str, Fingerprint]]
    versions: dict[str, str]
    unknown: str
    """The reason why a part that results depend on is unknown; empty if all is known."""


class Reusable(NamedTuple):
    """The stored results of tasks that need not run again."""

    tasks: dict[int, StoredTask]
    """Position of a task -> its stored results."""
    unknown: str = ""
    """The reason why none of the tasks in the history can be reused; empty if there is no such reason."""


class Recorder:
    """Records the tasks of one federation.

    Args:
        history: the history; None records nothing.
        surroundings: the parts of the federation on which results depend.
    """

    def __init__(self, history: TaskHistory | None, surroundings: Surroundings) -> None:
        self._history = history
        self._surroundings = surroundings
        self._fingerprints: DataFingerprints | None = None
        if history is not None:
            members = surroundings.configuration.members
            self._fingerprints = DataFingerprints(members, history, surroundings.temporary)
        self._lock = threading.RLock()
        self._entries: dict[int, tuple[HistoryEntry, Request, State, str]] = {}
        """Id of a task that is not finished -> its entry, its request, the state at its start, the id of the image."""
        self._numbers: dict[int, int] = {}
        self._store: Store | None = None

    @property
    def history(self) -> TaskHistory | None:
        """The history; None if nothing is recorded, also after a problem."""
        return self._history

    def find_number(self, task_id: int) -> int | None:
        """Return the number of a task in the history; None if it is not recorded."""
        return self._numbers.get(task_id)

    def begin(
        self,
        store: Store,
        task: TaskRecord,
        request: Request,
        databases: Sequence[Requested],
        only_organization: int | None,
        image_id: str,
    ) -> None:
        """Record a task that has started; for ``only_organization`` see ``Store.create``."""
        with self._lock:
            if self._history is None:
                return
            try:
                self._store = store
                recipients = [run.organization_id for run in task.runs]
                state = self.read_state(image_id)
                entry = self.describe(store, request, databases, recipients, only_organization, state)
                entry.started, entry.method = task.created_at, entry.method or task.name
                entry.number = self._history.add(entry, identify_process())
                self._entries[task.id] = (entry, request, state, image_id)
                self._numbers[task.id] = entry.number
            except Exception as problem:  # whatever it is, the run is more important
                self._give_up(problem)

    def read_state(self, image_id: str) -> State:
        """Return the current fingerprints and versions.

        Raises:
            HistoryProblem: the history cannot be used.
        """
        data = self._fingerprints.read() if self._fingerprints is not None else {}
        versions, unknown = describe_versions(self._surroundings.algorithms, image_id)
        for organization, labels in data.items():
            for label, fingerprint in labels.items():
                if not fingerprint.hash:
                    unknown = unknown or f"the content of database {label} of {organization} is unknown"
        return State(data, versions, unknown)

    def describe(
        self,
        store: Store,
        request: Request,
        databases: Sequence[Requested],
        recipients: Sequence[int],
        only_organization: int | None,
        state: State,
    ) -> HistoryEntry:
        """Return the entry of a task that may not be created yet."""
        parts = self._surroundings
        method, arguments, text = read_call(request)
        requested = [_remove_empty(msgspec.to_builtins(item)) for item in databases]
        names = {organization.id: organization.name for organization in store.organizations()}
        data, versions, unknown = state
        contract = parts.algorithms.contract.name
        values = {member.name: dict(member.variables) for member in parts.configuration.members}
        variables = hash_secret(_to_json(values)) if any(values.values()) else values  # a value can be a password
        policy = [dict(parts.policy.variables), parts.policy.file]
        environment = [versions, data, names, list(recipients), only_organization, contract, variables, policy]
        environment.append(parts.algorithms.limits)
        by_label = all(isinstance(item, Database) for item in databases)
        return HistoryEntry(
            started="",
            method=method,
            arguments=arguments,
            question=hash_texts(method, text, _to_json(requested)),
            conditions=hash_texts(_to_json(environment), parts.faults) if by_label and not unknown else "",
            organizations=names,
            recipients=list(recipients),
            asked=only_organization,
            databases=requested,
            contract=contract,
            runner=parts.algorithms.runner_name,
            versions=versions,
            data=data,
            call=parts.call if by_label else None,
        )

    def find_completed(
        self, store: Store, tasks: Sequence[Plan], only_organization: int | None, image_id: str
    ) -> Reusable:
        """Return the stored results of the tasks that were completed with the same data and versions.

        Args:
            store: the store of the federation.
            tasks: request, databases and organizations of each task.
            only_organization: see ``Store.create``.
            image_id: the id of the image of the algorithm, if it is one.
        """
        with self._lock:
            if self._history is None:
                return Reusable({})
            try:
                state = self.read_state(image_id)
                entries = [self.describe(store, *task, only_organization, state) for task in tasks]
                stored = self._history.find_completed((entry.question, entry.conditions) for entry in entries)
                stored_tasks = {
                    i: stored[entry.question] for i, entry in enumerate(entries) if entry.question in stored
                }
                if any(entry.conditions for entry in entries) or not self._was_completed(entries):
                    return Reusable(stored_tasks)
                return Reusable(stored_tasks, state.unknown or "tables of a session have no fingerprint")
            except Exception as problem:
                self._give_up(problem)
                return Reusable({})

    def _was_completed(self, entries: Sequence[HistoryEntry]) -> bool:
        """Whether the history has a completed task with the question of one of the entries."""
        history = self._history
        if history is None or not history.exists():
            return False
        return any(history.find_previous(entry.question, sys.maxsize, lambda _: True) is not None for entry in entries)

    def update(self, task: TaskRecord) -> str | None:
        """Record the state of a task; return a warning if other nodes contributed to the same question before."""
        with self._lock:
            if self._history is None or self._store is None or task.id not in self._entries:
                return None
            entry, request, state, image_id = self._entries[task.id]
            try:
                tree = self._store.list_task_tree(task)
                runs = [run for run in task.runs if entry.asked in (None, run.organization_id)]
                entry.finished = max((run.finished_at or "" for run in runs), default="") or None
                entry.status = msgspec.structs.replace(task, runs=runs).status
                completeness = measure_completeness(self._store, task)
                entry.expected, entry.missing = list(completeness.expected), dict(completeness.missing)
                if task.complete and entry.conditions and self.read_state(image_id) != state:
                    entry.conditions = ""  # data or code changed during the task: which of them it used is unknown
                self._history.finish(entry, request.data, request.role, tree)
                if task.complete:
                    del self._entries[task.id]
                    previous = self._find_changed(entry)
                    return None if previous is None else describe_change(entry, previous)
            except Exception as problem:
                self._give_up(problem)
            return None

    def close(self) -> None:
        """Record the final state of the tasks that nobody has waited for."""
        for task_id in list(self._entries):
            if self._store is not None and (task := self._store.task(task_id)) is not None:
                self.update(task)

    def _find_changed(self, entry: HistoryEntry) -> HistoryEntry | None:
        """Return the previous completed task with the same question, if other nodes contributed to it."""
        if self._history is None or entry.status != "completed":
            return None
        previous = self._history.find_previous(entry.question, entry.number, lambda item: _share_data(item, entry))
        if previous is None or set(previous.contributors) == set(entry.contributors):
            return None
        return previous

    def _give_up(self, problem: Exception) -> None:
        """Report a problem, and record nothing more."""
        self._history = None
        self._entries.clear()
        reason = str(problem) if isinstance(problem, HistoryProblem) else f"{type(problem).__name__}: {problem}"
        if sys.stderr is not None:
            sys.stderr.write(f"note: {reason}; tasks are not recorded\n")


def _share_data(first: HistoryEntry, second: HistoryEntry) -> bool:
    """Whether a node contributed the same databases to both tasks.

    Otherwise the federations are unrelated, such as one of ``--data a.csv`` and that of a ``federation.yaml``, and the
    difference of their results says nothing about one node. The content may differ, because data grow.
    """
    return any(
        _list_names(first.data.get(name)) == _list_names(second.data.get(name))
        for name in set(first.contributors) & set(second.contributors)
    )


def _list_names(fingerprints: Mapping[str, Fingerprint] | None) -> dict[str, str]:
    return {label: fingerprint.name for label, fingerprint in (fingerprints or {}).items()}


def describe_change(entry: HistoryEntry, previous: HistoryEntry) -> str:
    """Return the message for two runs of one question with different contributing nodes."""
    before, now = (", ".join(item.contributors) or "no node" for item in (previous, entry))
    return (
        f"the same question had other contributing nodes in task {previous.number} of the history: {before}; now "
        f"{now}. The difference between the two results can disclose the data of a node"
    )


def read_call(request: Request) -> tuple[str, Any, str]:
    """Return method and arguments of a request, and a text that is equal for equal arguments.

    The arguments are None if the input is not JSON.
    """
    content = decode_input(request.data)
    if content is None:
        return request.method, None, hash_texts(request.data.hex())
    if not request.method or content.get("method") == request.method:  # v3 and v4; on v5 the input is the arguments
        method = str(content.get("method", request.method))
        arguments = {f"[{i}]": value for i, value in enumerate(content.get("args") or [])}
        arguments |= content.get("kwargs") or {}
    else:
        method, arguments = request.method, content
    return method, arguments, _to_json(arguments)


def _remove_empty(item: Any) -> Any:
    """Return a requested database without the fields that a request does not have."""
    return (
        {key: value for key, value in item.items() if value not in (None, "", {})} if isinstance(item, dict) else item
    )


def _to_json(value: object) -> str:
    return json.dumps(msgspec.to_builtins(value, str_keys=True), sort_keys=True, ensure_ascii=False)
