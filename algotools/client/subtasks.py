"""The subtasks of a master: sent, waited for, and remembered until somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from algotools.client.connection import Connection, Item
from algotools.client.results import Results
from algotools.errors import ArgumentsError, UnknownOrganization, WrongRole
from algotools.report import log

Names = Callable[[str], Sequence[str]]
"""An rpc's method -> the names of the arguments that it takes by position."""


@runtime_checkable
class Registered(Protocol):
    """A decorated function, as far as a client must know it."""

    @property
    def method(self) -> str:
        """The name by which a task calls it."""
        ...

    @property
    def role(self) -> str:
        """``master`` or ``rpc``."""
        ...


class Subtasks:
    """What a master has asked for, over one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._sent: dict[int, tuple[str, list[int]]] = {}
        self._looked_at: set[int] = set()

    @cached_property
    def organizations(self) -> Mapping[int, str]:
        """Id and name of each organization of the collaboration."""
        return self.connection.organizations()

    @cached_property
    def _asked(self) -> list[int]:
        """The organizations that the master's own task was sent to."""
        return self.connection.asked()

    def address(
        self, organizations: Iterable[int] | None, arguments: Mapping[int | None, Mapping[str, object]]
    ) -> dict[int, Mapping[str, object]]:
        """Organization -> its arguments, in the order of the organizations.

        Args:
            organizations: ids; None means those that the arguments name, else those that the master was asked with.
            arguments: see ``by_organization``.

        Raises:
            UnknownOrganization: an id is not in the collaboration, or none is named.
            ArgumentsError: arguments are for others than those that are asked.
        """
        own = [organization for organization in arguments if organization is not None]
        asked = list(dict.fromkeys(own or self._asked if organizations is None else organizations))
        if strangers := not_members([*asked, *own], self.organizations):
            raise UnknownOrganization(strangers)
        if not asked:
            raise UnknownOrganization("no organization is named to send the task to")
        if own and set(own) != set(asked):
            raise ArgumentsError("`arguments` by organization must name just the organizations that are asked")
        common = arguments.get(None, {})
        return {o: {**common, **arguments[o]} if o in arguments else common for o in asked}

    def send(
        self, method: str, arguments: Mapping[int, Mapping[str, object]], name: str = "", description: str = ""
    ) -> Item:
        """Create a subtask; ``arguments`` are those of each organization, see ``address``.

        Raises:
            ProxyError: the task could not be sent.
        """
        task = self.connection.create(method, arguments, name, description)
        log(f"asked {len(arguments)} of {len(self.organizations)} organizations for {method}")
        self._sent[task["id"]] = (method, list(arguments))
        return task

    def results(
        self,
        task_id: int,
        *,
        timeout: float | None = None,
        quorum: int | None = None,
        interval: float | None = None,
    ) -> Results:
        """The results of a subtask, to be waited for from now on; see ``Results``.

        Raises:
            ArgumentsError: the limits cannot be, or the task is the master's own, which waits for the master.
            ProxyError: there is no such task, or the proxy does not answer.
        """
        if task_id not in self._sent and task_id == self.connection.identity.task_id:
            raise ArgumentsError(f"task {task_id} is the master's own, and ends after it: it cannot be waited for")
        asked = self._sent[task_id][1] if task_id in self._sent else self._asked_with(task_id)
        check_quorum(quorum, len(asked))
        if interval is not None and not interval >= 0:
            raise ArgumentsError("interval must be a number of seconds, not less than 0")
        names = {o: self.organizations.get(o, "organization") for o in asked}
        return Results(
            self.connection,
            task_id,
            names,
            timeout=timeout,
            quorum=quorum,
            interval=interval,
            looked=self.looked_at,
        )

    def _asked_with(self, task_id: int) -> list[int]:
        """The organizations of a task that somebody else has sent."""
        self.connection.task(task_id)
        return [run["organization"]["id"] for run in self.connection.runs_of(task_id)]

    def looked_at(self, task_id: int) -> None:
        """The author has wanted to know how a subtask is doing."""
        self._looked_at.add(task_id)

    def close(self) -> None:
        """The master has returned: say which results it never looked at, for their failures went unnoticed."""
        for task_id, (method, _) in self._sent.items():
            if task_id not in self._looked_at:
                log(f"the results of {method} were never looked at; whether it failed is not known")


def check_quorum(quorum: int | None, asked: int) -> None:
    """Refuse a quorum that no number of results can be.

    Raises:
        ArgumentsError: it is less than 1, or more than the organizations that are asked.
    """
    if quorum is not None and not 1 <= quorum <= asked:
        raise ArgumentsError(f"quorum must be from 1 to {asked}, the number of organizations that are asked")


def check_id(id_: object, what: str) -> int:
    """An id as the platform has them.

    Raises:
        ArgumentsError: it is no positive integer.
    """
    if not isinstance(id_, int) or isinstance(id_, bool) or id_ < 1:
        raise ArgumentsError(f"{what} must be an id, a positive integer; a task's is task['id']")
    return id_


def not_members(organizations: Iterable[int], members: Mapping[int, str]) -> str:
    """Which organizations are not in the collaboration, and which are; an empty text if all of them are."""
    unknown = [str(o) for o in dict.fromkeys(organizations) if o not in members]
    known = ", ".join(f"{o} ({name})" for o, name in members.items())
    return f"not in the collaboration: {', '.join(unknown)}; it has {known}" if unknown else ""


def method_of(function: Callable[..., Any] | str) -> str:
    """The name by which a task calls an rpc.

    Raises:
        WrongRole: the function is no rpc.
    """
    if isinstance(function, str):
        return function
    if not isinstance(function, Registered):
        raise WrongRole(
            f"{getattr(function, '__qualname__', function)} is not decorated with @rpc, so no node can run it"
        )
    if function.role != "rpc":
        raise WrongRole(f"{function.method} is a {function.role}; a master runs rpcs at other nodes")
    return function.method


def by_organization(
    arguments: Mapping[Any, Any] | None, keywords: Mapping[str, object]
) -> dict[int | None, Mapping[str, object]]:
    """Organization -> its own arguments; under None those that all have in common.

    Raises:
        ArgumentsError: the arguments have another shape, or one is given twice.
    """
    arguments = {} if arguments is None else arguments
    shape = "`arguments` must be a mapping by argument's name, or of such mappings by organization's id"
    if not isinstance(arguments, Mapping):
        raise ArgumentsError(shape)
    if all(isinstance(key, str) for key in arguments):
        if both := arguments.keys() & keywords.keys():
            raise ArgumentsError(f"given twice: {', '.join(sorted(both))}")
        return {None: {**arguments, **keywords}}
    if not all(isinstance(key, int) and isinstance(value, Mapping) for key, value in arguments.items()):
        raise ArgumentsError(shape)
    return {None: dict(keywords), **{organization: dict(own) for organization, own in arguments.items()}}


def from_input(input_: Mapping[str, object], names: Names) -> tuple[str, dict[str, object]]:
    """Method and arguments of what v4's tools call an input: ``method``, and ``args`` and ``kwargs`` if need be.

    Arguments by position get their names, which not every generation can do without.

    Raises:
        ArgumentsError: it has another shape, or an argument is given twice or too many are given.
        WrongRole: it asks for a master.
        UnknownMethod: arguments by position are for a function that is not there.
    """
    if not isinstance(input_, Mapping):
        raise ArgumentsError("`input_` must be a mapping with method, args and kwargs")
    if unknown := sorted(map(str, input_.keys() - {"method", "args", "kwargs", "master"})):
        raise ArgumentsError(f"`input_` takes method, args and kwargs, not {', '.join(unknown)}")
    method, args, kwargs = input_.get("method"), input_.get("args") or (), input_.get("kwargs") or {}
    if not isinstance(method, str) and not callable(method):
        raise ArgumentsError("`method` of `input_` must be a text" if "method" in input_ else "`input_` has no method")
    if (
        not isinstance(args, (list, tuple))
        or not isinstance(kwargs, Mapping)
        or not all(isinstance(name, str) for name in kwargs)
    ):
        raise ArgumentsError("in `input_`, args must be a list, and kwargs a mapping by argument's name")
    if input_.get("master"):
        raise WrongRole(f"{method} is asked for as a master; a master runs rpcs at other nodes")
    called = method_of(method)
    if not args:
        return called, dict(kwargs)
    places = names(called)
    if len(args) > len(places):
        raise ArgumentsError(f"{len(args)} positional arguments where {called} takes {len(places)}")
    placed = dict(zip(places, args, strict=False))
    if both := placed.keys() & kwargs.keys():
        raise ArgumentsError(f"given twice: {', '.join(sorted(both))}")
    return called, {**placed, **kwargs}
