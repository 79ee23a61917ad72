"""Read the tasks of a local federation: their state, their results, and the nodes that contributed to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from algotools.errors import Failure, FederationError
from algotools.federation._completeness import Completeness, measure_completeness
from algotools.federation._platform import LocalPlatform
from algotools.federation._results import explain_failure
from algotools.federation._versions import read_versions
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.federation.progress import Overview
from algotools.federation.report import find_ledger_entries, make_record
from algotools.payload import encode_plain


class TaskReader:
    """The calls of ``Federation`` that read tasks and their results."""

    _platform: LocalPlatform

    def organizations(self) -> dict[int, str]:
        """Return id and name of each organization of the collaboration."""
        return self._platform.organizations()

    def task(self, task_id: int) -> TaskRecord:
        """Return a task and its runs.

        Raises:
            FederationError: the id is unknown.
        """
        task = self._platform.store.task(task_id)
        if task is None:
            raise FederationError(f"unknown task {task_id}")
        return task

    def tasks(self) -> Sequence[TaskRecord]:
        """Return all tasks, in the order of their creation."""
        return self._platform.store.tasks()

    @property
    def last_task(self) -> TaskRecord:
        """The latest task of the researcher, for instance that of the last ``ask``; not a subtask.

        Raises:
            FederationError: the federation has no task yet.
        """
        tasks = [task for task in self.tasks() if task.parent_id is None]
        if not tasks:
            raise FederationError("the federation has no task yet; call run, ask or map first")
        return tasks[-1]

    def subtasks(self, task_id: int) -> Sequence[TaskRecord]:
        """Return the tasks that runs of a task created."""
        return self._platform.store.children(task_id)

    def answer(self, run: RunRecord) -> object:
        """Return the decoded result of a run."""
        return self._platform.contract.decode_output(run.output)

    def failure(self, run: RunRecord) -> Failure | None:
        """Return the reason why a run failed, with the details for its node's owner; None if the run did not fail."""
        return explain_failure(run)

    def completeness(self, task_id: int, run: RunRecord | None = None) -> Completeness:
        """Return the organizations whose data are in the results of a task, and those that are missing.

        With *run*, only the result of this run of the task counts, such as that of one of several masters.

        An organization is missing if its run of the task failed, if it failed in a subtask of a master, or if the task
        names it and the master sent it no subtask.

        Raises:
            FederationError: the id is unknown.
        """
        return measure_completeness(self._platform.store, self.task(task_id), run)

    def record(self, task_id: int, arguments: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Return everything about a finished task as values of JSON, as in the file of ``algotools run --output``.

        The record has the results, the nodes that contributed and those that are missing, the rows that were used and
        the cells that were withheld if the nodes have a ledger, and the versions.

        Args:
            task_id: id of the task.
            arguments: the arguments of the task, which the record repeats; None if they are not known.

        Raises:
            FederationError: the id is unknown.
            NotSerializable: an argument has no JSON form.
        """
        task = self.task(task_id)
        plain = None if arguments is None else json.loads(encode_plain(dict(arguments)).data)
        versions = read_versions(self._platform.algorithms, task.image)
        return make_record(Overview(self, task), plain, versions, find_ledger_entries(self._platform, task))
