"""Run a task: find its function, read its data, call it and encode the result. The same for all generations."""

from __future__ import annotations

import contextlib
import itertools
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from algotools.data.names import differs_only_in_case
from algotools.data.reading import Loaded, check_again, is_memory_error
from algotools.declare.annotations import COLUMN, ORGANIZATION
from algotools.declare.arguments import Parameter
from algotools.declare.federated import PooledFunction
from algotools.errors import (
    AlgotoolsError,
    FunctionRaised,
    UnknownColumn,
    UnknownLabel,
    UnknownOrganization,
)
from algotools.payload import encode_plain, encode_rich, show_path
from algotools.runtime.client import (
    AlgorithmClient,
    Connection,
    FindNames,
    PackArguments,
    unknown_organizations_message,
)
from algotools.runtime.dispatch._attribution import attribute_errors
from algotools.runtime.dispatch.limits import build_memory_error
from algotools.runtime.dispatch.messages import Declaration
from algotools.runtime.logs import log
from algotools.task import Database, Identity, RunInfo, Task

if TYPE_CHECKING:
    from algotools.declare.functions import Algorithm, RegisteredFunction

Load = Callable[[], "Algorithm"]
"""Imports the algorithm."""

_MOST_NULLS_LOGGED = 5


class NodeAccess:
    """A run's access to its node. This class is for a process that has everything that the node provides.

    Args:
        connect: connects a master to the node's proxy.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect

    def declare(self, declaration: Declaration) -> None:
        """Report which parts of the node the function's signature names; called before all other methods."""

    def connect(self) -> Connection:
        """Connect a master to the node's proxy."""
        return self._connect()

    def read_identity(self) -> Identity:
        """Return the run's ids, which v3 and v4 name only in the token."""
        with contextlib.closing(self.connect()) as connection:
            return connection.identity

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
        raise build_memory_error(task.method, traceback.format_exc()) from None


def _perform(task: Task, load: Load, node: NodeAccess) -> bytes:
    algorithm = load()
    if task.step == "data_extraction":
        from algotools.runtime.extraction import add_readers  # here, because few runs need them

        algorithm = add_readers(algorithm)
    # Only v5 names the ids of a run beside its token, and only v5 names role and step by an action.
    function = algorithm.find(task.method, task.role, task.step, has_action=task.identity is not None)
    specification = function.specification
    # v3 and v4 name a run's ids only in its token.
    needs_client, needs_ids = specification.injects("client"), specification.injects("run_info") and not task.identity
    labels = tuple(p.label for p in specification.data if p.label is not None)
    node.declare(Declaration(token=needs_client, identity=needs_ids, labels=labels))
    folder = algorithm.folder or function.__code__.co_filename
    arguments = attribute_errors(
        lambda: specification.validate(task.args, task.kwargs),
        f"the arguments of {task.method}",
        folder,
        only_outside=True,
    )
    with ExitStack() as stack:
        injected: dict[str, object] = {}
        identity = task.identity
        if needs_client:
            connection = node.connect()
            stack.callback(connection.close)
            _check_organizations(specification.find_marked(arguments, ORGANIZATION), connection)
            clients = [p.name for p in specification.parameters if p.kind == "client"]
            lookups = _make_name_lookup(algorithm), _make_packing(algorithm)
            injected = {name: AlgorithmClient(connection, *lookups) for name in clients}
            identity = identity or connection.identity
        elif needs_ids:
            identity = node.read_identity()
        if identity:
            info = _build_run_info(task, identity)
            injected |= {p.name: info for p in specification.parameters if p.kind == "run_info"}
        columns = specification.find_marked(arguments, COLUMN)
        databases = _assign_databases(specification.data, task)
        databases = {name: node.open_database(database) for name, database in databases.items()}
        reads_all_columns = task.step != "compute"  # a table made from another table keeps all of its columns
        injected |= _load_data(specification.data, databases, columns, stack, all_columns=reads_all_columns)
        only_columns = [] if reads_all_columns or not specification.data else columns
        sources = [task.args, task.kwargs, *(p.columns.names for p in specification.data)]
        try:
            result = _call(function, {**arguments, **injected}, folder, only_columns, _find_texts(sources))
            for client in injected.values():
                if isinstance(client, AlgorithmClient):
                    client.close()
            return attribute_errors(
                lambda: _encode(result, task, function), f"the result of {task.method}", folder, _find_texts(sources)
            )
        except FunctionRaised as error:
            check_again(stack, error)  # a lazy form reads the data now, and the data may be the cause
            raise


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
        temporary_folder=task.temporary_folder,
        variables=task.variables,
    )


def _check_organizations(ids: list[int], connection: Connection) -> None:
    """Raise ``UnknownOrganization`` if an argument names an organization outside the collaboration."""
    if ids and (message := unknown_organizations_message(ids, connection.list_organizations())):
        raise UnknownOrganization(message)


def _assign_databases(parameters: tuple[Parameter, ...], task: Task) -> dict[str, Database]:
    """Return the database of each parameter: the one with its label, otherwise the task's next database."""
    if not parameters:
        return {}
    by_label = {database.label: database for database in (*task.configured, *task.databases)}
    for database in task.databases:
        if not database.uri:
            existing = (*task.configured, *(d for d in task.databases if d.uri))
            node_labels = ", ".join(sorted({d.label for d in existing})) or "none"
            raise UnknownLabel(f"this node has no database {database.label!r}; it has: {node_labels}")
    labels = {p.label for p in parameters}
    without_label = [database for database in task.databases if database.label not in labels]
    next_databases = iter(_select_for_parameters(without_label, sum(p.label is None for p in parameters)))
    databases: dict[str, Database] = {}
    for parameter in parameters:
        match = next(next_databases, None) if parameter.label is None else by_label.get(parameter.label)
        if match is None:
            count = f"{len(parameters)} databases" if len(parameters) > 1 else "1 database"
            needs = f"a database {parameter.label!r}" if parameter.label else count
            requested = ", ".join(repr(database.label) for database in task.databases) or "none"
            node_labels = ", ".join(sorted(by_label)) or "none"
            raise UnknownLabel(
                f"the function takes {needs}, the task requests {requested}; this node has: {node_labels}"
            )
        databases[parameter.name] = match
    if unused := [d.label for d in without_label if d not in databases.values()]:
        log(f"not used by the function: database {', '.join(unused)}")
    return databases


def _select_for_parameters(databases: list[Database], parameter_count: int) -> list[Database]:
    """Return the first database of each argument, or all databases if there are more parameters than arguments."""
    # One argument of a task belongs to one parameter. In v5 an argument may be a group of several tables, of which the
    # parameter receives the first. If there are more parameters than arguments, each table gets its own parameter.
    groups = [list(group) for _, group in itertools.groupby(enumerate(databases), _make_argument_key)]
    first_databases = [group[0][1] for group in groups]
    return first_databases if len(first_databases) >= parameter_count else databases


def _make_argument_key(numbered: tuple[int, Database]) -> object:
    """Return a key that the databases of one argument share; *numbered* is a database with its position."""
    number, database = numbered
    return ("alone", number) if database.group is None else ("group", database.group)


def _load_data(
    parameters: tuple[Parameter, ...],
    databases: Mapping[str, Database],
    columns: list[str],
    stack: ExitStack,
    *,
    all_columns: bool,
) -> dict[str, object]:
    """Return the data of each parameter; *columns* are named by arguments, and each may be in any of the tables."""
    loaded = {p.name: p.load(databases[p.name], columns, stack, all_columns=all_columns) for p in parameters}
    tables = [p for p in parameters if loaded[p.name].columns is not None]
    for parameter in tables:
        _check_columns(parameter.columns.names or (), [parameter], loaded, databases)
    if tables:
        _check_columns(columns, tables, loaded, databases)
    return {name: table.value for name, table in loaded.items()}


def _check_columns(
    names: Iterable[str], tables: list[Parameter], loaded: Mapping[str, Loaded], databases: Mapping[str, Database]
) -> None:
    """Refuse columns that no table has: the researcher reads the missing ones, the owner also the existing ones."""
    columns_by_label = {databases[p.name].label: loaded[p.name].columns or () for p in tables}
    existing_names = [name for columns in columns_by_label.values() for name in columns]
    if missing_columns := [name for name in names if name not in existing_names]:
        has_other_case = any(differs_only_in_case(name, existing_names) for name in missing_columns)
        raise UnknownColumn(
            f"no column {', '.join(map(repr, missing_columns))} in database {', '.join(map(repr, columns_by_label))}"
            f"{'; the name of a column differs only in upper and lower case' if has_other_case else ''}",
            detail="\n".join(
                f"columns of {label}: {', '.join(map(str, columns))}" for label, columns in columns_by_label.items()
            ),
        )


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
    only_columns: list[str],
    task_texts: Iterator[str],
) -> object:
    """Call the author's function. An error names the exception and its line, but not its text, which may quote data.

    *task_texts* is read only for a ``UserError``, because the arguments of a task may have millions of items.
    """
    positional = [values.get(p.name, p.default) for p in function.specification.parameters if p.positional_only]
    keywords = {
        p.name: values[p.name] for p in function.specification.parameters if not p.positional_only and p.name in values
    }
    columns = ", ".join(only_columns)
    hint = f"only these columns were read: {columns}; to read more, annotate the DataFrame with Columns.of(…)"

    def call() -> object:
        if isinstance(function, PooledFunction):
            from algotools.runtime.pooled import rounds  # here, because it imports pandas

            return rounds.call(function, values)
        return function(*positional, **keywords)

    return attribute_errors(call, function.method, folder, task_texts, hint if only_columns else "")


def _encode(result: object, task: Task, function: RegisteredFunction) -> bytes:
    """Encode the result as the task requests. A table that stays at the node is encoded as Parquet."""
    literals = function.collect_literals()
    if task.step != "compute":
        from algotools.data import parquet

        return parquet.encode(result)
    if task.encoding == "rich":
        return encode_rich(result, literals)
    plain = encode_plain(result, literals)
    for path in plain.nulls[:_MOST_NULLS_LOGGED]:
        log(f"{show_path(path, literals)} is NaN, infinite or missing; JSON has no such value, so the result has null")
    if (remaining := len(plain.nulls) - _MOST_NULLS_LOGGED) > 0:
        log(f"{remaining} more {'value is' if remaining == 1 else 'values are'} null for the same reason")
    return plain.data
