"""The attributes ``run``, ``task``, ``result``, ``organization`` and ``collaboration`` of a master's client.

All methods except ``client.run(…)`` have the names and shapes of v4's tools, at nodes of every generation. Two things
differ: runs and results have the order of the task's organizations (v4's server lists the newest first), and failed
runs are never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, SupportsIndex

from algotools.errors import ArgumentsError, UnknownOrganization
from algotools.runtime.client._limits import Limits
from algotools.runtime.client._organizations import check_id, unknown_organizations_message
from algotools.runtime.client._results import Results
from algotools.runtime.client._subtasks import (
    FindNames,
    Subtasks,
    find_method,
    parse_input,
    split_arguments,
)
from algotools.runtime.client.connection import Item


class Runs:
    """``client.run(function, …)`` runs an rpc at other nodes; ``client.run.from_task`` returns the runs of a task."""

    def __init__(self, subtasks: Subtasks) -> None:
        self._subtasks = subtasks

    def __call__(
        self,
        function: Callable[..., Any] | str,
        /,
        *,
        organizations: Iterable[SupportsIndex | str] | None = None,
        timeout: float | None = None,
        quorum: int | None = None,
        grace: float | None = None,
        wait_for_all: bool = False,
        interval: float | None = None,
        minimum_organizations: int | None = None,
        arguments: Mapping[str, object] | Mapping[int, Mapping[str, object]] | None = None,
        **keywords: object,
    ) -> Results:
        """Run an rpc at other nodes.

        The call sends the task and returns at once. Reading the results waits for them. So several tasks can run at
        the same time. At v5, the call first waits for earlier runs of this master at the same nodes, because v5's nodes
        may lose results of runs that finish at the same time.

        Args:
            function: an ``@rpc`` function of this algorithm, or its method's name.
            organizations: ids or names of organizations; default: those that the master's own task was sent to.
            timeout: seconds after which an unfinished run counts as failed. Without a timeout, only runs at nodes that
                stay offline count as failed.
            quorum: the number of results that are enough; default: all. Without a quorum, the first failed run decides:
                reading the results raises ``PartialFailure`` at once, and the other runs continue at their nodes.
            grace: seconds for which other results are awaited after the quorum was reached; default: 10 s, or 10 % of
                the time until then, if that is longer.
            wait_for_all: wait until every run has finished, has failed or has exceeded its limit.
            interval: the longest time between two polls, in seconds; default: 1 s, or 2 % of the time waited so far, if
                that is longer, at most 15 s. The first polls follow faster.
            minimum_organizations: the fewest organizations; with fewer, nothing is sent. ``client.task_organizations``
                are the organizations that a subtask without ``organizations`` is sent to.
            arguments: more arguments: a mapping by name, or a mapping from organization id to such a mapping.
            **keywords: the function's arguments, the same at every node.

        Returns:
            The results in the order of the organizations; see ``Results``.

        Raises:
            UnknownOrganization: an id or a name is not in the collaboration.
            ArgumentsError: a value in ``organizations`` is neither an id nor a name, or a limit is not valid.
            TotalRefused: the subtask has fewer organizations than ``minimum_organizations``.
            ProxyError: the task could not be sent.
            PartialFailure: when the results are read.
        """
        method = find_method(function)
        assigned = self._subtasks.assign_arguments(organizations, split_arguments(arguments, keywords))
        limits = Limits(
            timeout=timeout,
            quorum=quorum,
            grace=grace,
            wait_for_all=wait_for_all,
            interval=interval,
            minimum_organizations=minimum_organizations,
        )
        return self._subtasks.send(method, assigned, limits=limits)[1]

    def from_task(self, task_id: int) -> list[Item]:
        """Return all runs of a task, each with ``id``, ``organization``, ``status``, ``log`` and v4's other fields.

        Raises:
            ProxyError: the task does not exist.
        """
        subtasks = self._subtasks
        task_id = check_id(task_id, "task_id")
        subtasks.mark_as_read(task_id)
        return subtasks.connection.list_runs(task_id)

    def get(self, id_: int) -> Item:
        """Return one run; see ``from_task``.

        Raises:
            ProxyError: the run does not exist.
        """
        return self._subtasks.connection.read_run(check_id(id_, "id_"))


class Tasks:
    """Create and read subtasks, as with v4's and v5's tools."""

    def __init__(self, subtasks: Subtasks, find_names: FindNames) -> None:
        self._subtasks = subtasks
        self._find_names = find_names

    def create(
        self,
        input_: Mapping[str, object] | None = None,
        organizations: Iterable[SupportsIndex | str] | None = None,
        name: str = "subtask",
        description: str | None = None,
        *,
        method: Callable[..., Any] | str | None = None,
        arguments: Mapping[str, object] | Mapping[int, Mapping[str, object]] | None = None,
    ) -> Item:
        """Send an rpc to other nodes; ``client.wait_for_results`` returns their results.

        Args:
            input_: method and arguments, as in v4: ``{"method": "partial", "args": […], "kwargs": {…}}``.
            organizations: ids or names of organizations; default: those that the master's own task was sent to.
            name: the task's name, as users see it.
            description: a longer text about the task.
            method: instead of ``input_``, as in v5: an rpc's name, or the function itself.
            arguments: the method's arguments: a mapping by name, or a mapping from organization id to such a mapping.

        Returns:
            The task, with ``id``, ``status`` and v4's other fields.

        Raises:
            UnknownOrganization: an id or a name is not in the collaboration, or the list is empty.
            ArgumentsError: the input has the wrong shape, or a value in ``organizations`` is neither an id nor a name.
            WrongRole: the function is not an rpc.
            ProxyError: the task could not be sent.
        """
        if (input_ is None) == (method is None) or (input_ is not None and arguments is not None):
            raise ArgumentsError("pass either `input_`, or `method` and `arguments`")
        if input_ is not None:
            method_name, keywords = parse_input(input_, self._find_names)
        else:
            method_name, keywords = find_method(method or ""), {}
        assigned = self._subtasks.assign_arguments(organizations, split_arguments(arguments, keywords))
        return self._subtasks.send(method_name, assigned, name, description or "")[0]

    def get(self, task_id: int) -> Item:
        """Return a task of the same job: ``status`` and v4's other fields.

        Raises:
            ProxyError: the task does not exist.
        """
        task_id = check_id(task_id, "task_id")
        self._subtasks.mark_as_read(task_id)
        return self._subtasks.connection.read_task(task_id)


class TaskResults:
    """Read the results of subtasks."""

    def __init__(self, subtasks: Subtasks) -> None:
        self._subtasks = subtasks

    def from_task(self, task_id: int) -> list[Any]:
        """Wait for the results of a task and return them, in the order of the organizations.

        Raises:
            PartialFailure: runs failed; the message names the organizations and the reasons.
            ProxyError: the task does not exist.
        """
        return list(self._subtasks.get_results(check_id(task_id, "task_id")))


class Organizations:
    """Read the organizations of the collaboration."""

    def __init__(self, subtasks: Subtasks) -> None:
        self._subtasks = subtasks

    def list(self) -> list[Item]:
        """Return the organizations of the collaboration or study: ``id``, ``name`` and v4's other fields."""
        return self._subtasks.connection.list_members()

    def get(self, id_: int) -> Item:
        """Return one organization; see ``list``.

        Raises:
            UnknownOrganization: the organization is not in the collaboration.
        """
        id_ = check_id(id_, "id_")
        organization = next((item for item in self.list() if item["id"] == id_), None)
        if organization is None:
            raise UnknownOrganization(unknown_organizations_message([id_], self._subtasks.organizations))
        return organization


class Collaboration:
    """Read the collaboration that the master's task belongs to."""

    def __init__(self, subtasks: Subtasks) -> None:
        self._subtasks = subtasks

    def get(self) -> Item:
        """Return the collaboration: ``id``, ``name``, ``encrypted`` and v4's other fields."""
        return self._subtasks.connection.read_collaboration()
