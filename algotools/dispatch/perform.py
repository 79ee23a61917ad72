"""From a task to the encoded result of its function. Knows no generation of the platform."""

from __future__ import annotations

import contextlib
import itertools
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from algotools import data, locate
from algotools.arguments import COLUMN, ORGANIZATION, Columns, Parameter
from algotools.client import AlgorithmClient, Connection, Names, not_members
from algotools.dispatch.limits import out_of_memory
from algotools.errors import (
    AlgotoolsError,
    FunctionExited,
    FunctionRaised,
    UnknownColumn,
    UnknownLabel,
    UnknownOrganization,
    UserError,
)
from algotools.payload import encode_plain, encode_rich
from algotools.payload.path import show
from algotools.report import log
from algotools.task import Database, Identity, RunInfo, Task

if TYPE_CHECKING:
    from algotools.functions import Algorithm, RegisteredFunction

Load = Callable[[], "Algorithm"]
Connect = Callable[[], Connection]
Reach = Callable[[Database], Database]


def perform(task: Task, load: Load, connect: Connect, reach: Reach | None = None) -> bytes:
    """Find the function, check its arguments, load its data, call it and encode what it returns.

    ``connect`` opens the token and is called only if the function asks for what the token gives. ``reach`` gives each
    database that is about to be read as this process can read it.

    Raises:
        AlgotoolsError: whatever went wrong, named.
    """
    try:
        return _perform(task, load, connect, reach)
    except AlgotoolsError:
        raise
    except MemoryError:  # while reading data or encoding the result; the function's own is named where it is called
        raise out_of_memory(task.method, traceback.format_exc()) from None


def _perform(task: Task, load: Load, connect: Connect, reach: Reach | None) -> bytes:
    algorithm = load()
    if task.step == "data_extraction":
        from algotools.extraction import with_readers  # here, because few runs need them

        algorithm = with_readers(algorithm)
    function = algorithm.find(task.method, task.role, task.step)
    specification = function.specification
    arguments = specification.validate(task.args, task.kwargs)
    with ExitStack() as stack:
        injected: dict[str, object] = {}
        connection: Connection | None = None
        if specification.injects("client") or (specification.injects("run_info") and task.identity is None):
            connection = connect()
            stack.callback(connection.close)
        if connection and specification.injects("client"):
            _check_organizations(specification.marked(arguments, ORGANIZATION), connection)
            clients = [p.name for p in specification.parameters if p.kind == "client"]
            injected = {name: AlgorithmClient(connection, _positional(algorithm)) for name in clients}
        if identity := task.identity or (connection.identity if connection else None):
            info = _run_info(task, identity)
            injected |= {p.name: info for p in specification.parameters if p.kind == "run_info"}
        columns = specification.marked(arguments, COLUMN)
        chosen = _choose(specification.data, task)
        if reach is not None:
            chosen = {name: reach(database) for name, database in chosen.items()}
        whole = task.step != "compute"  # a table that is made of another is made of all of it
        injected |= _load(specification.data, chosen, columns, stack, whole=whole)
        where = algorithm.folder or function.__code__.co_filename
        narrowed = [] if whole or not specification.data else columns
        result = _call(function, {**arguments, **injected}, where, narrowed)
        for client in injected.values():
            if isinstance(client, AlgorithmClient):
                client.close()
        return _encode(result, task, function)


def _positional(algorithm: Algorithm) -> Names:
    """Tells the names of the arguments that an rpc takes by position."""
    return lambda method: algorithm.find(method, "rpc").specification.positional


def _run_info(task: Task, identity: Identity) -> RunInfo:
    """What the environment tells of the run (v5), else its token."""
    if task.temporary_folder is not None:
        with contextlib.suppress(OSError):  # a real node has made it
            task.temporary_folder.mkdir(parents=True, exist_ok=True)
    return RunInfo(
        task_id=identity.task_id,
        node_id=identity.node_id,
        organization_id=identity.organization_id,
        collaboration_id=identity.collaboration_id,
        temporary_folder=task.temporary_folder,
        variables=task.variables,
    )


def _check_organizations(named: list[int], connection: Connection) -> None:
    if not named:
        return
    if strangers := not_members(named, connection.organizations()):
        raise UnknownOrganization(strangers)


def _choose(parameters: tuple[Parameter, ...], task: Task) -> dict[str, Database]:
    """Parameter -> database: by its label, else the next of those that the task asks for."""
    if not parameters:
        return {}
    by_label = {database.label: database for database in (*task.configured, *task.databases)}
    for database in task.databases:
        if not database.uri:
            there = ", ".join(sorted(label for label, d in by_label.items() if d.uri)) or "none"
            raise UnknownLabel(f"this node has no database {database.label!r}; it has: {there}")
    taken = {p.label for p in parameters}
    given = [database for database in task.databases if database.label not in taken]
    unlabelled = iter(_for_parameters(given, sum(p.label is None for p in parameters)))
    chosen: dict[str, Database] = {}
    for parameter in parameters:
        found = next(unlabelled, None) if parameter.label is None else by_label.get(parameter.label)
        if found is None:
            wanted = f"a database {parameter.label!r}" if parameter.label else f"{len(parameters)} database(s)"
            asked = ", ".join(repr(database.label) for database in task.databases) or "none"
            there = ", ".join(sorted(by_label)) or "none"
            raise UnknownLabel(f"the function takes {wanted}, the task asks for {asked}; this node has: {there}")
        chosen[parameter.name] = found
    if left := [d.label for d in given if d not in chosen.values()]:
        log(f"not used by the function: database {', '.join(left)}")
    return chosen


def _for_parameters(given: list[Database], wanted: int) -> list[Database]:
    """The databases in the order in which parameters get them.

    Each argument of the task is a parameter's: of several tables that it groups (v5) the first. Only where the task has
    fewer arguments than the function parameters is a group taken apart.
    """
    groups = [list(group) for _, group in itertools.groupby(enumerate(given), _argument)]
    firsts = [group[0][1] for group in groups]
    return firsts if len(firsts) >= wanted else given


def _argument(placed: tuple[int, Database]) -> object:
    """To which argument of the task a database belongs."""
    place, database = placed
    return ("alone", place) if database.group is None else ("group", database.group)


def _load(
    parameters: tuple[Parameter, ...],
    chosen: Mapping[str, Database],
    named: list[str],
    closing: ExitStack,
    *,
    whole: bool,
) -> dict[str, object]:
    """Read what each parameter asks for, or all of it. With several tables, a named column may be in any of them."""
    wanted = {p.name: None if whole else _wanted(p.columns, named) for p in parameters}
    loaded = {p.name: data.load(chosen[p.name], p.form, wanted[p.name], closing) for p in parameters}
    tables = [p for p in parameters if loaded[p.name].columns is not None]
    for parameter in tables:
        _check_columns(parameter.columns.names or (), [parameter], loaded, chosen)
    if tables:
        _check_columns(named, tables, loaded, chosen)
    return {name: table.value for name, table in loaded.items()}


def _wanted(columns: Columns, named: list[str]) -> frozenset[str] | None:
    """The columns to read: those named by arguments and by the annotation; None for all."""
    if columns.names is None or not (named or columns.names):
        return None
    return frozenset((*named, *columns.names))


def _check_columns(
    names: Iterable[str], tables: list[Parameter], loaded: Mapping[str, data.Loaded], chosen: Mapping[str, Database]
) -> None:
    """Refuse columns that are in none of the tables: the researcher sees which, the owner what there is."""
    found = {chosen[p.name].label: list(map(str, loaded[p.name].columns or ())) for p in tables}
    if missing := [name for name in names if not any(name in columns for columns in found.values())]:
        raise UnknownColumn(
            f"no column {', '.join(map(repr, missing))} in database {', '.join(map(repr, found))}",
            detail="\n".join(f"columns of {label}: {', '.join(columns)}" for label, columns in found.items()),
        )


def _call(function: RegisteredFunction, values: Mapping[str, Any], folder: str, columns: list[str]) -> object:
    """Call the author's function; whatever it raises is named without quoting it."""
    positional = [values.get(p.name, p.default) for p in function.specification.parameters if p.positional_only]
    keywords = {
        p.name: values[p.name] for p in function.specification.parameters if not p.positional_only and p.name in values
    }
    try:
        return function(*positional, **keywords)
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        raise FunctionExited(
            f"{function.method} ended the process (SystemExit) instead of returning", detail=traceback.format_exc()
        ) from error
    except MemoryError as error:
        if isinstance(error, AlgotoolsError):
            raise
        where = locate.source_line(error, folder)
        raise out_of_memory(f"{function.method}{where}", traceback.format_exc()) from error
    except BaseException as error:
        if isinstance(error, UserError) or (isinstance(error, AlgotoolsError) and _is_ours(error)):
            raise
        where = locate.source_line(error, folder)
        read = (
            f"only these columns were read: {', '.join(columns)}; ask for more with Columns.of(…) beside the DataFrame"
        )
        detail = traceback.format_exc() + (read if columns and isinstance(error, KeyError) else "")
        raise FunctionRaised(f"{type(error).__name__} in {function.method}{where}", detail=detail) from error


def _is_ours(error: BaseException) -> bool:
    """Whether our own code raised an error, whose message then holds no value from data; an author's may."""
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    return Path(innermost.filename).is_relative_to(Path(__file__).parents[1])


def _encode(result: object, task: Task, function: RegisteredFunction) -> bytes:
    """The result in the encoding that the task asks for; a table that stays at the node as Parquet."""
    known = function.literals()
    if task.step != "compute":
        from algotools.data import parquet

        return parquet.encode(result)
    if task.encoding == "rich":
        return encode_rich(result, known)
    plain = encode_plain(result, known)
    for path in plain.nulls[:_MOST_NULLS_TOLD]:
        log(f"{show(path, known)} is NaN, infinite or missing, which JSON does not have; the answer has null")
    if (more := len(plain.nulls) - _MOST_NULLS_TOLD) > 0:
        log(f"and {more} more places")
    return plain.data


_MOST_NULLS_TOLD = 5
