"""The client of a master: run functions at other nodes, and read their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from algotools.declare.annotations import Injected
from algotools.errors import ArgumentsError
from algotools.runtime.client._limits import Limits
from algotools.runtime.client._organizations import check_id, unknown_organizations_message
from algotools.runtime.client._results import Results
from algotools.runtime.client._subclients import Collaboration, Organizations, Runs, TaskResults, Tasks
from algotools.runtime.client._subtasks import (
    DecoratedFunction,
    FindNames,
    PackArguments,
    Subtasks,
)
from algotools.runtime.client.connection import Connection, Item, RunState

__all__ = [
    "AlgorithmClient",
    "Connection",
    "DecoratedFunction",
    "FindNames",
    "Item",
    "PackArguments",
    "Results",
    "RunState",
    "unknown_organizations_message",
]


def _refuse_positional(method: str) -> Sequence[str]:
    raise ArgumentsError(f"pass the arguments of {method} by name, under kwargs")


class AlgorithmClient(Injected, kind="client"):
    """Client of a master; injected into a parameter with this annotation.

    ``client.run(function, argument=…)`` runs an rpc at other nodes. Code written for v4's tools can use
    ``client.task.create`` and ``client.wait_for_results``.
    """

    def __init__(
        self, connection: Connection, find_names: FindNames = _refuse_positional, pack: PackArguments | None = None
    ) -> None:
        self._connection = connection
        self._subtasks = Subtasks(connection, pack) if pack else Subtasks(connection)
        self._find_names = find_names

    @cached_property
    def run(self) -> Runs:
        """Run an rpc at other nodes: ``client.run(function, argument=…)``."""
        return Runs(self._subtasks)

    @cached_property
    def task(self) -> Tasks:
        """Create and read tasks, as with v4's and v5's tools."""
        return Tasks(self._subtasks, self._find_names)

    @cached_property
    def result(self) -> TaskResults:
        """Read the results of tasks."""
        return TaskResults(self._subtasks)

    @cached_property
    def organization(self) -> Organizations:
        """Read the organizations of the collaboration."""
        return Organizations(self._subtasks)

    @cached_property
    def collaboration(self) -> Collaboration:
        """Read the collaboration."""
        return Collaboration(self._subtasks)

    def wait_for_results(
        self,
        task_id: int,
        interval: float | None = None,
        *,
        timeout: float | None = None,
        quorum: int | None = None,
        grace: float | None = None,
        wait_for_all: bool = False,
    ) -> list[Any]:
        """Wait for the results of a task and return them, in the order of the task's organizations.

        Args:
            task_id: the task's id, as in ``task["id"]``.
            interval: the longest time between two polls, in seconds; see ``run``.
            timeout: seconds from now after which an unfinished run counts as failed; see ``run``.
            quorum: the number of results that are enough; default: all. Failed runs are then logged.
            grace: seconds for which other results are awaited after the quorum was reached; see ``run``.
            wait_for_all: wait until every run has finished, also after a failure; see ``run``.

        Raises:
            PartialFailure: runs failed; the message names the organizations and the reasons.
            ProxyError: the task does not exist.
        """
        limits = Limits(timeout=timeout, quorum=quorum, grace=grace, wait_for_all=wait_for_all, interval=interval)
        return list(self._subtasks.get_results(check_id(task_id, "task_id"), limits))

    @property
    def organizations(self) -> Mapping[int, str]:
        """Id and name of each organization of the collaboration."""
        return self._subtasks.organizations

    @property
    def task_organizations(self) -> Mapping[int, str]:
        """Id and name of each organization that the master's own task was sent to; ``run`` sends to them by default."""
        return self._subtasks.find_names(self._subtasks.recipients)

    @property
    def recipients(self) -> list[int]:
        """The ids of ``task_organizations``, in the order of the task."""
        return list(self._subtasks.recipients)

    @property
    def task_id(self) -> int:
        """The id of the master's own task."""
        return self._connection.identity.task_id

    @property
    def image(self) -> str:
        """The image of the algorithm, which subtasks run as well."""
        return self._connection.identity.image

    @cached_property
    def databases(self) -> list[Item]:
        """The databases that the task requests, each with its ``label``; subtasks use the same databases."""
        return self._connection.list_databases()

    @property
    def node_id(self) -> int:
        """The id of the node at which the master runs."""
        return self._connection.identity.node_id

    @property
    def organization_id(self) -> int:
        """The id of that node's organization."""
        return self._connection.identity.organization_id

    @property
    def collaboration_id(self) -> int:
        """The id of the task's collaboration."""
        return self._connection.identity.collaboration_id

    @property
    def study_id(self) -> int | None:
        """The id of the study that the task belongs to, if any (v4, v5)."""
        return self._connection.identity.study_id

    @property
    def store_id(self) -> int | None:
        """The id of the algorithm store that the algorithm comes from, if any (v4, v5)."""
        return self._connection.identity.store_id

    def close(self) -> None:
        """Log the subtasks whose results the master never read; called after the master has returned."""
        self._subtasks.log_unread_results()
