"""How a master reaches the other nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from algotools.client.connection import Connection, Item, RunState
from algotools.client.results import Results
from algotools.client.subclients import Collaboration, Organizations, Runs, TaskResults, Tasks
from algotools.client.subtasks import Names, Registered, Subtasks, check_id, not_members
from algotools.errors import ArgumentsError

__all__ = ["AlgorithmClient", "Connection", "Item", "Names", "Registered", "Results", "RunState", "not_members"]


def _no_names(method: str) -> Sequence[str]:
    raise ArgumentsError(f"give the arguments of {method} by name, under kwargs")


class AlgorithmClient:
    """Injected into a master that annotates a parameter with it.

    ``client.run(function, argument=…)`` asks the other nodes. Those who come from v4's tools find
    ``client.task.create`` and ``client.wait_for_results`` as they know them.
    """

    def __init__(self, connection: Connection, names: Names = _no_names) -> None:
        self._connection = connection
        self._subtasks = Subtasks(connection)
        self._names = names

    @cached_property
    def run(self) -> Runs:
        """Runs an rpc at other nodes: ``client.run(function, argument=…)``."""
        return Runs(self._subtasks)

    @cached_property
    def task(self) -> Tasks:
        """Creates tasks as v4's and v5's tools do."""
        return Tasks(self._subtasks, self._names)

    @cached_property
    def result(self) -> TaskResults:
        """Gives the results of tasks."""
        return TaskResults(self._subtasks)

    @cached_property
    def organization(self) -> Organizations:
        """Tells who is in the collaboration."""
        return Organizations(self._subtasks)

    @cached_property
    def collaboration(self) -> Collaboration:
        """Tells what the collaboration is."""
        return Collaboration(self._subtasks)

    def wait_for_results(
        self,
        task_id: int,
        interval: float | None = None,
        *,
        timeout: float | None = None,
        quorum: int | None = None,
    ) -> list[Any]:
        """The results of a task, in the order in which its organizations were named.

        Args:
            task_id: the task's id, as in ``task["id"]``.
            interval: the longest pause between two looks, in seconds. Pauses grow with the time waited so far, by
                default up to 15 s.
            timeout: seconds from now after which a run without an answer counts as failed; see ``run``.
            quorum: how many results are enough; by default all. Those who failed are told in the log then.

        Raises:
            PartialFailure: a run failed; it says at which organization, and why.
            ProxyError: there is no such task.
        """
        limits = {"timeout": timeout, "interval": interval}
        return list(self._subtasks.results(check_id(task_id, "task_id"), quorum=quorum, **limits))

    @property
    def organizations(self) -> Mapping[int, str]:
        """Id and name of each organization of the collaboration."""
        return self._subtasks.organizations

    @property
    def image(self) -> str:
        """The image of the algorithm, which subtasks run, too."""
        return self._connection.identity.image

    @cached_property
    def databases(self) -> list[Item]:
        """The databases that the task asks for, each with its ``label``; subtasks use the same."""
        return self._connection.databases()

    @property
    def node_id(self) -> int:
        """The node at which the master runs."""
        return self._connection.identity.node_id

    @property
    def organization_id(self) -> int:
        """The organization of that node."""
        return self._connection.identity.organization_id

    @property
    def collaboration_id(self) -> int:
        """The collaboration of the task."""
        return self._connection.identity.collaboration_id

    @property
    def study_id(self) -> int | None:
        """The study that the task belongs to, if it does (v4, v5)."""
        return self._connection.identity.study_id

    @property
    def store_id(self) -> int | None:
        """The algorithm store that the algorithm comes from, if it does (v4, v5)."""
        return self._connection.identity.store_id

    def close(self) -> None:
        """The master has returned: say which results it never looked at, for their failures went unnoticed."""
        self._subtasks.close()
