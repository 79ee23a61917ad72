"""Run a task: find its function, read its data, call it and encode the result. The same for all generations."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from algotools.data import ahead
from algotools.data.reading import check_again, is_memory_error
from algotools.declare.annotations import ORGANIZATION
from algotools.declare.columns import list_required_kinds
from algotools.declare.federated import PooledFunction
from algotools.declare.locate import list_source_texts
from algotools.declare.results import explain_mismatch
from algotools.declare.tables import AssignedTable
from algotools.declare.variables import read_variables
from algotools.disclosure.facts import Matches, Permission, TableFacts
from algotools.disclosure.register import Register, use_register
from algotools.disclosure.tables import ReadTables
from algotools.errors import (
    AlgotoolsError,
    FunctionRaised,
    UnknownOrganization,
    format_author_traceback,
)
from algotools.payload import encode_plain, encode_rich, show_path
from algotools.runtime.dispatch._attribution import attribute_errors
from algotools.runtime.dispatch._facts import make_intent, match_result
from algotools.runtime.dispatch._load import assign, load_data
from algotools.runtime.dispatch.checking import prepare_call
from algotools.runtime.dispatch.limits import build_memory_error
from algotools.runtime.dispatch.messages import Declaration
from algotools.runtime.dispatch.unread import UnreadColumns
from algotools.runtime.logs import note
from algotools.task import Database, Identity, RunInfo, Task

if TYPE_CHECKING:
    from algotools.declare.arguments import Specification
    from algotools.declare.functions import Algorithm, RegisteredFunction
    from algotools.runtime.client import Connection, FindNames, PackArguments
    from algotools.runtime.dispatch.probing import Prober

Load = Callable[[], "Algorithm"]
"""Imports the algorithm."""

MatchLine = Callable[[str], Matches]
"""Returns the numbers of a line that are cells, and the texts in the algorithm's source."""

_MOST_NULLS_LOGGED = 5


class NodeAccess:
    """A run's access to its node. This class is for a process that has everything that the node provides.

    Args:
        connect: connects a master to the node's proxy.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect

    def declare(self, declaration: Declaration) -> Permission:
        """Report which parts of the node the function's signature names; called before all other methods.

        Raises:
            Withheld: the policy of the node's owner refuses the function.
        """
        del declaration
        return Permission()

    def report_tables(self, tables: tuple[TableFacts, ...]) -> None:
        """Report the tables that the function receives, before its call."""

    def report_matches(self, matches: Matches) -> None:
        """Report the values of the result that are cells of the tables."""

    def judge_lines(self, match: MatchLine) -> None:
        """Judge the author's log lines and messages from now on; *match* finds values of a line that are cells."""

    def connect(self, *, with_signatures: bool = False) -> Connection:
        """Connect a master to the node's proxy; the supervisor signs its subtasks if the policy has a key."""
        connection = self._connect()
        if with_signatures:
            connection.use_signatures(self.sign)
        return connection

    def read_identity(self) -> Identity:
        """Return the run's ids, which v3 and v4 name only in the token."""
        with contextlib.closing(self.connect()) as connection:
            return connection.identity

    def sign(self, method: str, input_hash: str, organizations: Sequence[int]) -> str:
        """Return the supervisor's signature of a subtask; empty without a key."""
        del method, input_hash, organizations
        return ""

    def open_database(self, database: Database) -> Database:
        """Return a database that this process can open: the given one, or a copy of it."""
        return database


def perform(task: Task, load: Load, node: NodeAccess) -> bytes:
    """Find the task's function, check its arguments, read its data, call it, and return the encoded result.

    The node's proxy is connected only if the function needs the platform.

    Raises:
        AlgotoolsError: for every failure, including those of the author's code.
    """
    try:
        return _perform(task, load, node)
    except AlgotoolsError:
        raise
    except Exception as error:  # raised while reading data; `attribute_errors` handles those of the author's code
        if not is_memory_error(error):
            raise
        raise build_memory_error(task.method, format_author_traceback(error)) from None


def _perform(task: Task, load: Load, node: NodeAccess) -> bytes:
    algorithm = load()
    if task.step == "data_extraction":
        from algotools.runtime.extraction import add_readers  # here, because few runs need them

        algorithm = add_readers(algorithm)
    function, arguments, columns, folder = prepare_call(task, algorithm)
    specification = function.specification
    # v3 and v4 name a run's ids only in its token.
    needs_client, needs_ids = specification.injects("client"), specification.injects("run_info") and not task.identity
    arguments |= read_variables(specification.variables, task.variables)
    assigned = assign(specification.data, task)
    declaration = Declaration(
        intent=make_intent(function, [table.database.label for table in assigned], columns, algorithm),
        token=needs_client,
        identity=needs_ids,
        labels=tuple(p.label for p in specification.data if p.label is not None),
        source=str(folder),
    )
    permission = node.declare(declaration)
    register = Register(permission, tables := ReadTables())
    list_texts = functools.cache(lambda: list_source_texts(algorithm.folder, [function, *algorithm.functions.values()]))
    if permission.is_judged:
        node.judge_lines(lambda line: tables.match_line(line, list_texts()))
    with ExitStack() as stack:
        injected = _connect(algorithm, function, task, arguments, node, permission, stack)
        assigned = [table._replace(database=node.open_database(table.database)) for table in assigned]
        kinds = list_required_kinds(specification, arguments)
        unread = UnreadColumns()
        reads_all_columns = task.step != "compute"  # a table made from another table keeps all of its columns
        injected |= load_data(
            specification.data,
            assigned,
            columns,
            kinds,
            stack,
            tables,
            permission,
            unread,
            all_columns=reads_all_columns,
        )
        ahead.stop_all()  # of data that the function reads itself
        if permission.is_judged:
            node.report_tables(tables.describe(with_lazy=False))
        labels = [database.label for database in task.databases]
        sources = [task.args, task.kwargs, labels, *(p.columns.names for p in specification.data)]
        is_judged = permission.is_judged and task.step == "compute" and bool(function.role == "rpc" or assigned)
        values = {**arguments, **injected}
        prober = _make_prober(function, task, values, assigned, tables, permission, stack) if is_judged else None
        try:
            result = _call(
                function,
                values,
                folder,
                _find_texts(sources),
                lambda error: unread.explain(error, list_texts()),
                permission,
                register,
            )
            data, notes = attribute_errors(
                lambda: _encode(result, task, function), f"the result of {task.method}", folder, _find_texts(sources)
            )
            _close_clients(specification, injected)  # after a refusal of unread results, which needs no further message
        except FunctionRaised as error:
            check_again(stack, error)  # a lazy form reads the data now, and the data may be the cause
            raise
        if mismatch := explain_mismatch(function, result):
            notes = (mismatch, *notes)
        matches = match_result(data, tables, declaration.intent, list_texts, register) if is_judged else None
        _report(node, prober.add_changes(matches, data) if prober and matches else matches, notes)
        return data


def _close_clients(specification: Specification, injected: Mapping[str, Any]) -> None:
    for parameter in specification.parameters:
        if parameter.kind == "client":
            injected[parameter.name].close()


def _connect(
    algorithm: Algorithm,
    function: RegisteredFunction,
    task: Task,
    arguments: dict[str, object],
    node: NodeAccess,
    permission: Permission,
    stack: ExitStack,
) -> dict[str, object]:
    """Return the client and the information about the run that the function's parameters request."""
    specification = function.specification
    injected: dict[str, object] = {}
    identity = task.identity
    if specification.injects("client"):
        from algotools.runtime.client import AlgorithmClient  # here, because an rpc starts faster without it

        connection = node.connect(with_signatures=permission.signs_subtasks)
        stack.callback(connection.close)
        _check_organizations(specification.find_marked(arguments, ORGANIZATION), connection)
        clients = [p.name for p in specification.parameters if p.kind == "client"]
        lookups = _make_name_lookup(algorithm), _make_packing(algorithm)
        injected = {name: AlgorithmClient(connection, *lookups) for name in clients}
        identity = identity or connection.identity
    elif specification.injects("run_info") and not identity:
        identity = node.read_identity()
    if identity:
        info = _build_run_info(task, identity)
        injected |= {p.name: info for p in specification.parameters if p.kind == "run_info"}
    return injected


def _make_prober(
    function: RegisteredFunction,
    task: Task,
    values: Mapping[str, object],
    assigned: list[AssignedTable],
    tables: ReadTables,
    permission: Permission,
    stack: ExitStack,
) -> Prober | None:
    """Return the object that calls the function on other rows; None if the policy does not require it."""
    if not permission.probe_groups:
        return None
    from algotools.runtime.dispatch.probing import Prober  # here, because few nodes probe

    def call(other_values: Mapping[str, object], other_tables: ReadTables) -> bytes:
        with use_register(Register(permission, other_tables, collects=False)):
            return _encode(_call_function(function, other_values, permission), task, function)[0]

    names = [(table.parameter.name, table.key) for table in assigned]
    samples = tables.make_samples(names, permission.probe_cells, stack)
    is_pooled = isinstance(function, PooledFunction)
    return Prober(call, values, samples, permission.probe_groups, is_pooled=is_pooled, key=permission.sketch_key)


def _report(node: NodeAccess, matches: Matches | None, notes: tuple[str, ...]) -> None:
    """Report the facts about a result that is judged; *notes* on it are written only if it leaves the node."""
    if matches is not None:
        node.report_matches(msgspec.structs.replace(matches, notes=notes))
    else:
        for text in notes:
            note(text)


def _make_name_lookup(algorithm: Algorithm) -> FindNames:
    """Return a function that looks up which arguments an rpc takes by position."""
    return lambda method: algorithm.find(method, "rpc").specification.positional


def _make_packing(algorithm: Algorithm) -> PackArguments:
    """Return a function that encodes the arrays in the arguments of an rpc. The node reports an unknown method."""

    def pack(method: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        function = algorithm.functions.get(method)
        return arguments if function is None else function.specification.pack(arguments, method)

    return pack


def _build_run_info(task: Task, identity: Identity) -> RunInfo:
    """Return the ``RunInfo`` of a run, and create its temporary folder."""
    if task.temporary_folder is not None:
        with contextlib.suppress(OSError, ValueError):  # a real node has created the folder
            task.temporary_folder.mkdir(parents=True, exist_ok=True)
    return RunInfo(
        task_id=identity.task_id,
        node_id=identity.node_id,
        organization_id=identity.organization_id,
        collaboration_id=identity.collaboration_id,
        variables=task.variables,
        **({} if task.temporary_folder is None else {"temporary_folder": task.temporary_folder}),
    )


def _check_organizations(ids: list[int], connection: Connection) -> None:
    """Raise ``UnknownOrganization`` if an argument names an organization outside the collaboration."""
    if not ids:
        return
    from algotools.runtime.client import unknown_organizations_message

    if message := unknown_organizations_message(ids, connection.list_organizations()):
        raise UnknownOrganization(message)


def _find_texts(value: object) -> Iterator[str]:
    """Return all strings in an argument of the task, at any depth. The researcher knows these texts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.items():
            yield from _find_texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _find_texts(item)


def _call(
    function: RegisteredFunction,
    values: Mapping[str, Any],
    folder: str,
    task_texts: Iterator[str],
    explain: Callable[[BaseException], str],
    permission: Permission,
    register: Register,
) -> object:
    """Call the author's function. An error names the exception and its line, but not its text, which may quote data.

    *task_texts* is read only for a ``UserError``, because the arguments of a task may have millions of items.
    """

    def call() -> object:
        return _call_function(function, values, permission)

    with use_register(register):
        return attribute_errors(call, function.method, folder, task_texts, explain)


def _call_function(function: RegisteredFunction, values: Mapping[str, Any], permission: Permission) -> object:
    if isinstance(function, PooledFunction):
        from algotools.runtime.pooled import rounds  # here, because it imports pandas

        return rounds.call(function, values, permission.minimum_records)
    positional, keywords = function.specification.bind(values)
    return function(*positional, **keywords)


def _encode(result: object, task: Task, function: RegisteredFunction) -> tuple[bytes, tuple[str, ...]]:
    """Encode the result as the task requests, and describe for the log which values the encoding has changed.

    A table that stays at the node is encoded as Parquet.
    """
    literals = function.collect_literals()
    if task.step != "compute":
        from algotools.data import parquet

        return parquet.encode(result), ()
    if task.encoding == "rich":
        return encode_rich(result, literals), ()
    plain = encode_plain(result, literals)
    notes = [
        f"{show_path(path, literals)} is NaN, infinite or missing; JSON has no such value, so the result has null"
        for path in plain.nulls[:_MOST_NULLS_LOGGED]
    ]
    if (remaining := len(plain.nulls) - _MOST_NULLS_LOGGED) > 0:
        notes.append(f"{remaining} more {'value is' if remaining == 1 else 'values are'} null for the same reason")
    return plain.data, tuple(notes)
