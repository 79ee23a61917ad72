"""The subtasks of a master: check their arguments, send them, and remember which results were read."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol, SupportsIndex, runtime_checkable

from algotools.errors import ArgumentsError, UnknownOrganization, WrongRole
from algotools.runtime.client._limits import Limits
from algotools.runtime.client._organizations import find_organizations, to_id
from algotools.runtime.client._polling import Pace
from algotools.runtime.client._results import Results
from algotools.runtime.client._runs import SubtaskRuns
from algotools.runtime.client.connection import Connection, Item
from algotools.runtime.logs import format_count, note

FindNames = Callable[[str], Sequence[str]]
"""A function: an rpc's method -> the names of the arguments that the rpc takes by position."""

PackArguments = Callable[[str, Mapping[str, object]], Mapping[str, object]]
"""A function: an rpc's method and arguments -> the arguments with arrays encoded, where the rpc declares arrays."""


def _keep_arguments(_method: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
    return arguments


@runtime_checkable
class DecoratedFunction(Protocol):
    """A function decorated with ``@rpc`` or ``@master``."""

    @property
    def method(self) -> str:
        """The name by which a task calls the function."""
        ...

    @property
    def role(self) -> str:
        """``master`` or ``rpc``."""
        ...


class _Sent(NamedTuple):
    """A subtask that the master has sent."""

    method: str
    names: Mapping[int, str]
    runs: SubtaskRuns


class Subtasks:
    """The subtasks that a master has created over one connection."""

    def __init__(self, connection: Connection, pack: PackArguments = _keep_arguments) -> None:
        self.connection = connection
        self._pack = pack
        self._pace = Pace()
        self._durations: dict[str, float] = {}
        self._sent: dict[int, _Sent] = {}
        self._read: set[int] = set()
        self._awaited: dict[int, Results] = {}
        """Id and results of each subtask that may have unfinished runs; empty if nodes do not lose results."""
        self._sending = threading.Lock()
        """Held while a subtask is sent: an author may send subtasks in several threads."""
        self._thread = threading.get_ident()
        self._context = contextvars.copy_context()

    def log(self, text: str) -> None:
        """Write a line to the master's log, also from a thread that the author has started."""
        if threading.get_ident() == self._thread:
            note(text)
        else:
            self._context.copy().run(note, text)

    @cached_property
    def organizations(self) -> Mapping[int, str]:
        """Id and name of each organization of the collaboration."""
        self._pace.count_request(time.monotonic())
        return self.connection.list_organizations()

    @cached_property
    def recipients(self) -> list[int]:
        """The organizations that the master's own task was sent to."""
        self._pace.count_request(time.monotonic())
        return self.connection.list_recipients()

    def assign_arguments(
        self, organizations: Iterable[SupportsIndex | str] | None, arguments: Mapping[int | None, Mapping[str, object]]
    ) -> dict[int, Mapping[str, object]]:
        """Return the arguments of each organization that a subtask is sent to, in the order of the organizations.

        Args:
            organizations: ids or names of organizations; None for those in *arguments*, otherwise the recipients of
                the master's own task.
            arguments: see ``split_arguments``.

        Raises:
            UnknownOrganization: an organization is not in the collaboration, or the list of recipients is empty.
            ArgumentsError: a value is neither an id nor a name, or the organizations in *arguments* are not those in
                *organizations*.
        """
        with_arguments = [organization for organization in arguments if organization is not None]
        default = with_arguments or self.recipients
        recipients = find_organizations(default if organizations is None else organizations, self.organizations)
        find_organizations(with_arguments, self.organizations)
        if not recipients:
            raise UnknownOrganization("the task has no organization to be sent to; name at least one")
        if with_arguments and set(with_arguments) != set(recipients):
            raise ArgumentsError("`arguments` by organization must name exactly the organizations of the task")
        common = arguments.get(None, {})
        return {o: {**common, **arguments[o]} if o in arguments else common for o in recipients}

    def send(
        self,
        method: str,
        arguments: Mapping[int, Mapping[str, object]],
        name: str = "",
        description: str = "",
        limits: Limits | None = None,
    ) -> tuple[Item, Results]:
        """Create a subtask with the arguments of each organization (see ``assign_arguments``).

        A node of v5 may lose a result if two of its runs finish at the same time. So at v5 the call first waits until
        no earlier subtask of this master has an unfinished run at the organizations.

        Returns:
            The task, and its results.

        Raises:
            ArgumentsError: a limit is not valid.
            TotalRefused: the subtask has fewer organizations than its limits require.
            ProxyError: the task could not be sent.
            NotSerializable, ResultTooLarge: an argument cannot be sent.
        """
        limits = limits or Limits()
        limits.check(len(arguments))
        distinct = {id(values): values for values in arguments.values()}  # most often all organizations share one
        packed = {key: self._pack(method, values) for key, values in distinct.items()}
        arguments = {organization: packed[id(values)] for organization, values in arguments.items()}
        is_logged = False
        while True:
            with self._sending:
                earlier = self._find_earlier(arguments)
                if earlier is None:
                    return self._create(method, arguments, name, description, limits)
            if not is_logged:
                self.log(
                    f"{method} is sent after earlier runs at the same nodes: v5's nodes may lose simultaneous results"
                )
                is_logged = True
            earlier.check_all()

    def _find_earlier(self, organizations: Collection[int]) -> Results | None:
        """Return the results of a subtask that has unfinished runs at the organizations; None if there is none."""
        self._awaited = {id_: results for id_, results in self._awaited.items() if results.awaits(self.organizations)}
        return next((results for results in self._awaited.values() if results.awaits(organizations)), None)

    def _create(
        self, method: str, arguments: Mapping[int, Mapping[str, object]], name: str, description: str, limits: Limits
    ) -> tuple[Item, Results]:
        def send_again(organization: int) -> int:
            repetition = {organization: arguments[organization]}
            self._pace.count_request(time.monotonic())
            again = self.connection.create_task(
                method, repetition, name, description, recipients=tuple(arguments), resend_of=int(task["id"])
            )
            return int(again["id"])

        task = self.connection.create_task(method, arguments, name, description)
        self._pace.count_request(time.monotonic())
        total = format_count(len(self.organizations), "organization")
        self.log(f"sent {method} to {len(arguments)} of {total}")
        names = self.find_names(arguments)
        self._sent[task["id"]] = _Sent(method, names, self._make_runs(task["id"], method, names, send_again))
        return task, self.get_results(task["id"], limits)

    def get_results(self, task_id: int, limits: Limits | None = None) -> Results:
        """Return the results of a subtask, which are fetched when they are read; the timeout starts now.

        Raises:
            ArgumentsError: a limit is not valid, or the task is the master's own.
            ProxyError: the task does not exist, or the proxy does not respond.
        """
        limits = limits or Limits()
        if task_id in self._sent:
            _, names, runs = self._sent[task_id]
        elif task_id == self.connection.identity.task_id:
            raise ArgumentsError(
                f"task {task_id} is the master's own task, which finishes after the master; wait for a subtask instead"
            )
        else:
            names = self.find_names(self._find_recipients(task_id))
            runs = self._make_runs(task_id, "", names, None)
        limits.check(len(names))
        results = Results(runs, names, limits, self._pace, on_read=self.mark_as_read, log=self.log)
        if self.connection.may_lose_results:
            self._awaited[task_id] = results
        return results

    def _make_runs(
        self, task_id: int, method: str, names: Mapping[int, str], send_again: Callable[[int], int] | None
    ) -> SubtaskRuns:
        return SubtaskRuns(self.connection, task_id, method, names, self._pace, self._durations, send_again, self.log)

    def find_names(self, organizations: Iterable[int]) -> dict[int, str]:
        """Return id and name of organizations, in their order."""
        return {o: self.organizations.get(o, "organization") for o in organizations}

    def _find_recipients(self, task_id: int) -> list[int]:
        """Return the organizations of a task that another client has sent."""
        self.connection.read_task(task_id)
        return [run["organization"]["id"] for run in self.connection.list_runs(task_id)]

    def mark_as_read(self, task_id: int) -> None:
        """Remember that the author's code has read the state or the results of a task."""
        self._read.add(task_id)

    def log_unread_results(self) -> None:
        """Log the subtasks whose results were never read, so that their failures do not go unnoticed."""
        for task_id, sent in self._sent.items():
            if task_id not in self._read:
                note(f"the results of {sent.method} were never read, so a failure would go unnoticed")


def find_method(function: Callable[..., Any] | str) -> str:
    """Return the name by which a task calls an rpc.

    Raises:
        WrongRole: the function is not an rpc.
    """
    if isinstance(function, str):
        return function
    if not isinstance(function, DecoratedFunction):
        raise WrongRole(
            f"{getattr(function, '__qualname__', function)} is not decorated with @rpc, so no node can run it"
        )
    if function.role != "rpc":
        raise WrongRole(f"{function.method} is a {function.role}; a master runs rpcs at other nodes")
    return function.method


def split_arguments(
    arguments: Mapping[Any, Any] | None, keywords: Mapping[str, object]
) -> dict[int | None, Mapping[str, object]]:
    """Return the arguments of each organization id; the arguments that all have in common are under None.

    Raises:
        ArgumentsError: *arguments* has the wrong shape, or an argument is given twice.
    """
    arguments = {} if arguments is None else arguments
    shape = "`arguments` must be a mapping by argument's name, or of such mappings by organization's id"
    if not isinstance(arguments, Mapping):
        raise ArgumentsError(shape)
    if all(isinstance(key, str) for key in arguments):
        if duplicates := arguments.keys() & keywords.keys():
            raise ArgumentsError(f"given twice: {', '.join(sorted(duplicates))}")
        return {None: {**arguments, **keywords}}
    by_organization: dict[int | None, Mapping[str, object]] = {None: dict(keywords)}
    for key, value in arguments.items():
        if (id_ := to_id(key)) is None or not isinstance(value, Mapping):
            raise ArgumentsError(shape)
        by_organization[id_] = dict(value)
    return by_organization


def parse_input(input_: Mapping[str, object], find_names: FindNames) -> tuple[str, dict[str, object]]:
    """Return method and arguments of an input in v4's format: ``method``, and optionally ``args`` and ``kwargs``.

    Positional arguments get their names, because v5 has only arguments by name.

    Raises:
        ArgumentsError: the input has the wrong shape, passes an argument twice, or has too many positional arguments.
        WrongRole: the input calls a master.
        UnknownMethod: the input has positional arguments, but the algorithm has no function of that name.
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
        raise WrongRole(f"`input_` calls {method} as a master; a master runs rpcs at other nodes")
    method_name = find_method(method)
    if not args:
        return method_name, dict(kwargs)
    parameters = find_names(method_name)
    if len(args) > len(parameters):
        raise ArgumentsError(f"{len(args)} positional arguments where {method_name} takes {len(parameters)}")
    by_name = dict(zip(parameters, args, strict=False))
    if duplicates := by_name.keys() & kwargs.keys():
        raise ArgumentsError(f"given twice: {', '.join(sorted(duplicates))}")
    return method_name, {**by_name, **kwargs}
