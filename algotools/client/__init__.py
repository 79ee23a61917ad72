"""How a master reaches the other nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from algotools.client.connection import Connection, RunState
from algotools.client.results import Results
from algotools.errors import ArgumentsError, UnknownOrganization, WrongRole
from algotools.report import log

__all__ = ["AlgorithmClient", "Connection", "Results", "RunState"]


@runtime_checkable
class Registered(Protocol):
    """A decorated function, as far as a client must know it."""

    @property
    def method(self) -> str: ...
    @property
    def role(self) -> str: ...


class AlgorithmClient:
    """Injected into a master that annotates a parameter with it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._given: list[tuple[str, Results]] = []

    @cached_property
    def organizations(self) -> Mapping[int, str]:
        """Id and name of each organization of the collaboration."""
        return self._connection.organizations()

    @cached_property
    def _asked(self) -> list[int]:
        """The organizations that the master's own task was sent to."""
        return self._connection.asked()

    def run(
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
        method = _method(function)
        names = self.organizations
        by_organization = _by_organization(arguments, keywords)
        asked = self._organizations(organizations, by_organization, names)
        if quorum is not None and not 1 <= quorum <= len(asked):
            raise ArgumentsError(f"quorum must be from 1 to {len(asked)}, the number of organizations that are asked")
        per_organization = {o: {**by_organization.get(None, {}), **by_organization.get(o, {})} for o in asked}
        task_id = self._connection.create(method, per_organization)
        log(f"asked {len(asked)} of {len(names)} organizations for {method}")
        results = Results(self._connection, task_id, {o: names[o] for o in asked}, timeout=timeout, quorum=quorum)
        self._given.append((method, results))
        return results

    def close(self) -> None:
        """The master has returned: say which results it never looked at, for their failures went unnoticed."""
        for method, results in self._given:
            if not results.looked_at:
                log(f"the results of {method} were never looked at; whether it failed is not known")

    def _organizations(
        self, given: Iterable[int] | None, arguments: Mapping[int | None, object], names: Mapping[int, str]
    ) -> list[int]:
        own = [organization for organization in arguments if organization is not None]
        asked = list(dict.fromkeys(own or self._asked if given is None else given))
        if strangers := not_members([*asked, *own], names):
            raise UnknownOrganization(strangers)
        if not asked:
            raise UnknownOrganization("no organization is named to send the task to")
        if own and set(own) != set(asked):
            raise ArgumentsError("`arguments` by organization must name just the organizations that are asked")
        return asked


def not_members(organizations: Iterable[int], members: Mapping[int, str]) -> str:
    """Which organizations are not in the collaboration, and which are; an empty text if all of them are."""
    unknown = [str(o) for o in dict.fromkeys(organizations) if o not in members]
    known = ", ".join(f"{o} ({name})" for o, name in members.items())
    return f"not in the collaboration: {', '.join(unknown)}; it has {known}" if unknown else ""


def _method(function: Callable[..., Any] | str) -> str:
    if isinstance(function, str):
        return function
    if not isinstance(function, Registered):
        raise WrongRole(
            f"{getattr(function, '__qualname__', function)} is not decorated with @rpc, so no node can run it"
        )
    if function.role != "rpc":
        raise WrongRole(f"{function.method} is a {function.role}; a master runs rpcs at other nodes")
    return function.method


def _by_organization(
    arguments: Mapping[Any, Any] | None, keywords: Mapping[str, object]
) -> dict[int | None, dict[str, object]]:
    """Organization -> its own arguments; under None those that all have in common."""
    arguments = arguments or {}
    if all(isinstance(key, str) for key in arguments):
        common = dict(arguments)
        if both := common.keys() & keywords.keys():
            raise ArgumentsError(f"given twice: {', '.join(sorted(both))}")
        return {None: {**common, **keywords}}
    if not all(isinstance(key, int) and isinstance(value, Mapping) for key, value in arguments.items()):
        raise ArgumentsError(
            "`arguments` must be a mapping by argument's name, or of such mappings by organization's id"
        )
    return {None: dict(keywords), **{organization: dict(own) for organization, own in arguments.items()}}
