"""What a master's client offers under ``run``, ``task``, ``result``, ``organization`` and ``collaboration``.

All but the call ``client.run(…)`` are those of v4's tools, with their shapes at nodes of every generation. Runs and
results come in the order in which the organizations were named, where v4's server has the newest first; and of what
failed, nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from algotools.client.connection import Item
from algotools.client.results import Results
from algotools.client.subtasks import (
    Names,
    Subtasks,
    by_organization,
    check_id,
    check_quorum,
    from_input,
    method_of,
    not_members,
)
from algotools.errors import ArgumentsError, UnknownOrganization


class Runs:
    """``client.run(function, …)`` runs an rpc at other nodes; ``client.run.from_task`` tells how runs are doing."""

    def __init__(self, subtasks: Subtasks) -> None:
        self._subtasks = subtasks

    def __call__(
        self,
        function: Callable[..., Any] | str,
        /,
        *,
        organizations: Iterable[int] | None = None,
        timeout: float | None = None,
        quorum: int | None = None,
        arguments: Mapping[str, object] | Mapping[int, Mapping[str, object]] | None = None,
        **keywords: object,
    ) -> Results:
        """Run an rpc at other nodes.

        The task is sent at once; the results are waited for when they are looked at, so that two runs can
        go on at the same time.

        Args:
            function: an ``@rpc`` function of this algorithm, or its method's name.
            organizations: ids; by default those that the master's own task was sent to.
            timeout: seconds after which a run without an answer counts as failed. Without it we wait as
                long as the work takes, but give up on nodes that stay offline.
            quorum: how many results are enough; by default all.
            arguments: more arguments, as a mapping by name, or a mapping of such by organization.
            **keywords: the function's arguments, the same at every node.

        Returns:
            The results in the order of the organizations; see ``Results``.

        Raises:
            UnknownOrganization: an id is not in the collaboration.
            ProxyError: the task could not be sent.
            PartialFailure: raised by the results when they are looked at.
        """
        method = method_of(function)
        addressed = self._subtasks.address(organizations, by_organization(arguments, keywords))
        check_quorum(quorum, len(addressed))
        task = self._subtasks.send(method, addressed)
        return self._subtasks.results(task["id"], timeout=timeout, quorum=quorum)

    def from_task(self, task_id: int) -> list[Item]:
        """All runs of a task, each with ``id``, ``organization``, ``status``, ``log`` and what else v4 tells.

        Raises:
            ProxyError: there is no such task.
        """
        subtasks = self._subtasks
        subtasks.looked_at(check_id(task_id, "task_id"))
        return subtasks.connection.runs_of(task_id)

    def get(self, id_: int) -> Item:
        """One run; see ``from_task``.

        Raises:
            ProxyError: there is no such run.
        """
        return self._subtasks.connection.run(check_id(id_, "id_"))


class Tasks:
    """Subtasks, created and looked at as with v4's and v5's tools."""

    def __init__(self, subtasks: Subtasks, names: Names) -> None:
        self._subtasks = subtasks
        self._names = names

    def create(
        self,
        input_: Mapping[str, object] | None = None,
        organizations: Iterable[int] | None = None,
        name: str = "subtask",
        description: str | None = None,
        *,
        method: Callable[..., Any] | str | None = None,
        arguments: Mapping[str, object] | Mapping[int, Mapping[str, object]] | None = None,
    ) -> Item:
        """Send an rpc to other nodes; ``client.wait_for_results`` gives what they answer.

        Args:
            input_: what is called, as in v4: ``{"method": "partial", "args": […], "kwargs": {…}}``.
            organizations: ids; by default those that the master's own task was sent to.
            name: what people see of the task.
            description: the same, at more length.
            method: in place of ``input_``, as in v5: an rpc's name, or the function itself.
            arguments: the method's arguments by name; or a mapping of such by organization.

        Returns:
            The task, with ``id``, ``status`` and what else v4 tells.

        Raises:
            UnknownOrganization: an id is not in the collaboration, or none is named.
            ArgumentsError: the input has another shape.
            WrongRole: what is called is no rpc.
            ProxyError: the task could not be sent.
        """
        if (input_ is None) == (method is None) or (input_ is not None and arguments is not None):
            raise ArgumentsError("say what to call by `input_` alone, or by `method` and `arguments`")
        if input_ is not None:
            called, keywords = from_input(input_, self._names)
        else:
            called, keywords = method_of(method or ""), {}
        addressed = self._subtasks.address(organizations, by_organization(arguments, keywords))
        return self._subtasks.send(called, addressed, name, description or "")

    def get(self, task_id: int) -> Item:
        """A task of the same job: ``status`` and what else v4 tells.

        Raises:
            ProxyError: there is no such task.
        """
        self._subtasks.looked_at(check_id(task_id, "task_id"))
        return self._subtasks.connection.task(task_id)


class TaskResults:
    """What subtasks have given."""

    def __init__(self, subtasks: Subtasks) -> None:
        self._subtasks = subtasks

    def from_task(self, task_id: int) -> list[Any]:
        """The results of a task, in the order of the organizations; those that are not there yet are waited for.

        Raises:
            PartialFailure: a run failed; it says at which organization, and why.
            ProxyError: there is no such task.
        """
        return list(self._subtasks.results(check_id(task_id, "task_id")))


class Organizations:
    """Who is in the collaboration."""

    def __init__(self, subtasks: Subtasks) -> None:
        self._subtasks = subtasks

    def list(self) -> list[Item]:
        """The organizations of the collaboration, or of the study: ``id``, ``name`` and what else v4 tells."""
        return self._subtasks.connection.members()

    def get(self, id_: int) -> Item:
        """One organization; see ``list``.

        Raises:
            UnknownOrganization: it is not in the collaboration.
        """
        found = next((item for item in self.list() if item["id"] == id_), None)
        if found is None:
            raise UnknownOrganization(not_members([check_id(id_, "id_")], self._subtasks.organizations))
        return found


class Collaboration:
    """The collaboration that the master's task belongs to."""

    def __init__(self, subtasks: Subtasks) -> None:
        self._subtasks = subtasks

    def get(self) -> Item:
        """Its ``id``, ``name``, whether it is ``encrypted``, and what else v4 tells."""
        return self._subtasks.connection.collaboration()
