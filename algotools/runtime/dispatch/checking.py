"""Check a call before any node runs it: method, role, arguments, databases, and the columns that arguments name.

A run checks the same facts with the same code, right before it reads data (``perform``). The local federation checks
them once, so that a mistake of the researcher is one error instead of one failure per node.

Nothing here reads a database: the caller compares the columns with the databases of the nodes.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Union

import msgspec

from algotools.declare.annotations import COLUMN, ORGANIZATION
from algotools.declare.arguments import Parameter, Specification
from algotools.declare.columns import RequiredKind, list_required_kinds
from algotools.declare.federated import ORGANIZATIONS, PooledFunction
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.declare.masters import find_named_rpcs, list_variables
from algotools.declare.tables import assign_databases
from algotools.declare.variables import find_faults
from algotools.errors import AlgotoolsError, Failure, UnknownLabel
from algotools.runtime.contract import get_contract
from algotools.runtime.contract.files import parse_object, read_call, remove_prefix
from algotools.runtime.dispatch._attribution import attribute_errors
from algotools.runtime.dispatch._worker_errors import rebuild_error
from algotools.runtime.dispatch.messages import LENGTH, RunFailure, wait_readable
from algotools.task import Database, Identity, Role, Task


class PreparedCall(NamedTuple):
    """The function that a task calls, and its validated arguments."""

    function: RegisteredFunction
    arguments: dict[str, object]
    columns: list[str]
    """The columns that arguments name."""
    folder: str
    """The folder of the author's code."""


def prepare_call(task: Task, algorithm: Algorithm) -> PreparedCall:
    """Find the function of a task, and validate the task's arguments.

    Raises:
        UnknownMethod, WrongRole: the algorithm has no such function.
        DeclarationError: the function's annotations cannot be resolved.
        ArgumentsError: the arguments do not fit the function's signature.
    """
    # Only v5 names the ids of a run beside its token, and only v5 names role and step by an action.
    function = algorithm.find(task.method, task.role, task.step, has_action=task.identity is not None)
    specification = function.specification
    folder = algorithm.folder or function.__code__.co_filename
    arguments = attribute_errors(
        lambda: specification.validate(task.args, task.kwargs),
        f"the arguments of {task.method}",
        folder,
        only_outside=True,
    )
    return PreparedCall(function, arguments, specification.find_marked(arguments, COLUMN), folder)


class NodeDatabases(msgspec.Struct, frozen=True):
    """The databases and variables of one node, as a task at this node has them. URIs and options are removed."""

    requested: tuple[Database, ...]
    configured: tuple[Database, ...] = ()
    variables: dict[str, str] = {}


class CheckedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call to check."""

    generation: str
    """The generation of the platform, which defines the format of the input."""
    input: bytes
    """The input of the task."""
    method: str = ""
    """The method, if the input does not name it (v5)."""
    role: Union[Role, None] = None
    """The role, if the input does not name it (v5)."""
    has_any_role: bool = False
    """Whether the caller does not know the role yet, so that the input does not name it."""
    nodes: tuple[NodeDatabases, ...] = ()
    """The databases of the nodes, without duplicates."""


class CallTable(msgspec.Struct, frozen=True):
    """A parameter for data, and the database that it receives."""

    parameter: str
    form: str
    label: str
    columns: tuple[str, ...] = ()
    """The columns that the annotation names."""


class CallFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check: facts that only the algorithm knows."""

    method: str = ""
    role: Union[Role, None] = None
    columns: tuple[str, ...] = ()
    """The columns that arguments name. For a master without tables, only those that its rpcs have to find."""
    kinds: tuple[RequiredKind, ...] = ()
    """The columns that arguments name, with the kinds that the function requires."""
    organizations: tuple[int, ...] = ()
    """The organizations that arguments of a master name."""
    tables: tuple[Union[tuple[CallTable, ...], None], ...] = ()
    """For each item of ``CheckedCall.nodes``, the table of each parameter; None if the node has no database for one."""
    variable_faults: tuple[str, ...] = ()
    """For each item of ``CheckedCall.nodes``, the missing and malformed variables; empty without a fault."""


def examine(algorithm: Algorithm, call: CheckedCall) -> CallFacts:
    """Check a call as a node would, up to the reading of data.

    Raises:
        AlgotoolsError: a node would refuse the call; see ``prepare_call``.
        UnknownLabel: no node has a database for each parameter.
    """
    task = make_task(call)
    prepared = prepare_call(task, algorithm)
    specification = prepared.function.specification
    reader = _find_reader(prepared)
    has_client = specification.injects("client")  # otherwise a run does not know the organizations
    return CallFacts(
        method=task.method,
        role=prepared.function.role,
        columns=tuple(prepared.columns if reader.data else _select_columns_of_rpcs(prepared, algorithm)),
        organizations=tuple(specification.find_marked(prepared.arguments, ORGANIZATION)) if has_client else (),
        kinds=tuple(list_required_kinds(specification, prepared.arguments)),
        tables=assign_at_nodes(call.generation, task.method, reader.data, call.nodes),
        variable_faults=tuple(_find_variable_faults(reader, node) for node in call.nodes),
    )


def _select_columns_of_rpcs(prepared: PreparedCall, algorithm: Algorithm) -> list[str]:
    """Return the columns in arguments that an rpc has as a column, too.

    Another column may be derived by an rpc: the data does not have the column, and the run still succeeds.
    """
    function = prepared.function
    named_rpcs = [*find_named_rpcs(function)] if function.role == "master" else []
    rpcs = named_rpcs or [other for other in algorithm.functions.values() if other.role == "rpc"]  # named as a text
    names = {name for rpc in rpcs for name in rpc.specification.list_marked(COLUMN)}
    rpc_arguments = tuple(p for p in function.specification.arguments if p.name in names)
    return Specification(rpc_arguments).find_marked(prepared.arguments, COLUMN)


def _find_reader(prepared: PreparedCall) -> Specification:
    """Return the parameters of the function that reads data: that of the call, or the rpc of a pooled function.

    The master of a pooled function runs its rpc with its own arguments at all organizations of the task. If an argument
    names the organizations, these may be others, so only the runs know their data.
    """
    function = prepared.function
    if isinstance(function, PooledFunction) and not prepared.arguments.get(ORGANIZATIONS):
        return function.partial.specification
    return function.specification


def _find_variable_faults(reader: Specification, node: NodeDatabases) -> str:
    return "; ".join(dict.fromkeys(fault.message for fault in find_faults(reader.variables, node.variables)))


def make_task(call: CheckedCall) -> Task:
    """Return a call as the task of a node without databases.

    Raises:
        InputError, PickleRefused: the input is not that of a task.
    """
    contract = get_contract(call.generation)
    data = remove_prefix(call.input, contract.prefix)
    content = parse_object(data)
    nowhere = Path()
    if contract.has_sessions:  # only the arguments; those with a colon belong to algotools
        kwargs = {name: value for name, value in content.items() if ":" not in name}
        ids = Identity(task_id=0, node_id=0, organization_id=0, collaboration_id=0)
        return Task(
            method=call.method,
            role=None if call.has_any_role else call.role,
            kwargs=kwargs,
            identity=ids,
            input_file=nowhere,
            output_file=nowhere,
        )
    role: Role | None = None
    if not call.has_any_role and (call.generation == "v3" or content.get("master") is not None):
        role = "master" if content.get("master") else "rpc"
    return Task(role=role, **read_call(content, data), input_file=nowhere, output_file=nowhere)


def assign_at_nodes(
    generation: str, method: str, parameters: tuple[Parameter, ...], nodes: Sequence[NodeDatabases]
) -> tuple[tuple[CallTable, ...] | None, ...]:
    """Return the table of each parameter at each node; None for a node without a database for one of them.

    Raises:
        UnknownLabel: no node has a database for each parameter.
    """
    outcomes = [_assign(parameters, node) for node in nodes]
    errors = [outcome for outcome in outcomes if isinstance(outcome, UnknownLabel)]
    if nodes and len(errors) == len(nodes):
        raise _explain_labels(generation, method, parameters, nodes) or errors[0]
    return tuple(None if isinstance(outcome, UnknownLabel) else outcome for outcome in outcomes)


def _assign(parameters: tuple[Parameter, ...], node: NodeDatabases) -> tuple[CallTable, ...] | UnknownLabel:
    try:
        tables = assign_databases(parameters, node.requested, node.configured).tables
    except UnknownLabel as error:
        return error
    return tuple(_make_table(table.parameter, table.database) for table in tables)


def _make_table(parameter: Parameter, database: Database) -> CallTable:
    return CallTable(parameter.name, parameter.form, database.label, parameter.columns.names or ())


def _explain_labels(
    generation: str, method: str, parameters: tuple[Parameter, ...], nodes: Sequence[NodeDatabases]
) -> UnknownLabel | None:
    """Return the error for a call with fewer databases than parameters; None if another mistake is more likely."""
    needed = [p for p in parameters if p.label is None and not p.is_optional]
    unlabelled = [p.name for p in needed]
    least = "at least " if any(p.is_group for p in needed) else ""
    requested = [database.label for database in nodes[0].requested]
    if len(unlabelled) < 2 or len(requested) >= len(unlabelled):
        return None
    needs = f"{method} takes {least}{len(unlabelled)} databases ({', '.join(unlabelled)})"
    if generation == "v3":
        # A dict cannot have a label, so it takes the database that the task requests.
        names = [p.name for p in needed if not p.is_group][0 if least else 1 :]
        examples = ", ".join(f'{name}: Annotated[…, Database("{name.upper()}")]' for name in names)
        return UnknownLabel(
            f"{needs}, but a task of v3 requests only one database; the author gives the other parameters a label: "
            f"{examples}"
        )
    available = [d.label for d in (*nodes[0].requested, *nodes[0].configured)]
    available = [label for label in dict.fromkeys(available) if all(label in _list_labels(node) for node in nodes)]
    is_enough = len(available) == len(unlabelled) or (least and len(available) > len(unlabelled))
    labels = available if is_enough else [name.upper() for name in unlabelled]
    request = f"databases={labels!r} (--database {' --database '.join(labels)})".replace("'", '"')
    existing = f"; the nodes have: {', '.join(available)}" if labels is not available and available else ""
    return UnknownLabel(
        f"{needs}, the task requests "
        f"{', '.join(map(repr, requested)) or 'none'}; name one for each, in this order: {request}{existing}"
    )


def _list_labels(node: NodeDatabases) -> set[str]:
    return {database.label for database in (*node.requested, *node.configured)}


# --- A worker that checks a call, because the author's code must not run in the caller's process. ---


class CheckRequest(msgspec.Struct):
    """To the worker, as the first message: the call to check; None for the roles alone."""

    call: Union[CheckedCall, None] = None


class CheckReply(msgspec.Struct):
    """From the worker, as its only message: the facts or the error, and the declarations of the algorithm's methods."""

    facts: Union[CallFacts, None] = None
    failure: Union[Failure, None] = None
    roles: dict[str, Role] = {}
    """Empty if the algorithm cannot be imported."""
    variables: dict[str, list[str]] = {}
    """Method -> the node variables of the function and of the rpcs that it calls."""
    arrays: dict[str, dict[str, str]] = {}
    """Method -> argument -> ``numpy.ndarray``, for arguments that are arrays or tables as a whole."""

    def get_facts(self) -> CallFacts:
        """Return the facts.

        Raises:
            AlgotoolsError: the error of the check.
        """
        __tracebackhide__ = True
        if self.failure is not None:
            raise rebuild_error(RunFailure(*self.failure))
        return self.facts or CallFacts()


def check(
    load: Callable[[], Algorithm],
    call: CheckedCall | None,
    explain: Callable[[AlgotoolsError], AlgotoolsError] | None = None,
) -> CheckReply:
    """Import an algorithm and check a call; without a call, report only the declarations of its methods.

    *explain* adds a hint to an error.
    """
    reply = CheckReply()
    try:
        algorithm = load()
        reply.roles = {method: function.role for method, function in algorithm.functions.items()}
        reply.variables = list_variables(algorithm)
        reply.arrays = {m: arrays for m, f in algorithm.functions.items() if (arrays := f.specification.list_arrays())}
        reply.facts = None if call is None else examine(algorithm, call)
    except AlgotoolsError as error:
        reply.failure = (explain(error) if explain else error).failure()
    return reply


def receive_reply(channel: socket.socket, output: int, timeout: float) -> CheckReply | None:
    """Return the reply of a worker; None if it does not reply in time, or exits without a reply.

    Prints of the author's code, on the pipe *output*, are dropped: each run prints them again.
    """
    data = bytearray()
    deadline = time.monotonic() + timeout
    ends: list[socket.socket | int] = [channel, output]
    while channel in ends and (remaining := deadline - time.monotonic()) > 0 and len(data) < _LARGEST_REPLY:
        for end in wait_readable(ends, remaining):
            chunk = os.read(end, _CHUNK) if isinstance(end, int) else end.recv(_CHUNK)
            if not chunk:
                ends.remove(end)
            elif end is channel:
                data += chunk
        if len(data) >= LENGTH.size and len(data) == LENGTH.size + LENGTH.unpack_from(data)[0]:
            with contextlib.suppress(msgspec.DecodeError):  # the author's code wrote into the channel
                return msgspec.msgpack.decode(data[LENGTH.size :], type=CheckReply)
            return None
    return None


_CHUNK = 1 << 16
_LARGEST_REPLY = 1 << 24
"""Bytes of the largest reply."""
