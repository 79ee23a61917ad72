"""Assign the databases of a task to the parameters of a function, and read them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from algotools.data.names import RequestedNames, differs_only_in_case
from algotools.data.reading import Loaded
from algotools.declare.arguments import Parameter
from algotools.disclosure.facts import Permission
from algotools.disclosure.tables import ReadTables
from algotools.errors import PolicyError, UnknownColumn, UnknownLabel
from algotools.runtime.logs import note
from algotools.task import Database, Task


def assign_databases(parameters: tuple[Parameter, ...], task: Task) -> dict[str, Database]:
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
        note(f"not used by the function: database {', '.join(unused)}")
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


def load_data(
    parameters: tuple[Parameter, ...],
    databases: Mapping[str, Database],
    columns: list[str],
    stack: ExitStack,
    tables: ReadTables,
    permission: Permission,
    *,
    all_columns: bool,
) -> dict[str, object]:
    """Return the data of each parameter; *columns* are named by arguments, and each may be in any of the tables."""
    loaded = {
        p.name: _load_parameter(p, databases[p.name], columns, stack, permission, all_columns=all_columns)
        for p in parameters
    }
    readable = [p for p in parameters if loaded[p.name].columns is not None]
    for parameter in readable:
        _check_columns(parameter.columns.names or (), [parameter], loaded, databases)
    if readable:
        _check_columns(columns, readable, loaded, databases)
    values = {name: table.value for name, table in loaded.items()}
    if permission.is_judged:
        for p in parameters:
            label = databases[p.name].label
            person = permission.persons.get(label) if loaded[p.name].columns is not None else None
            selection = None if all_columns else p.columns.select(columns)
            keeps_person = selection is None or person in RequestedNames(selection)
            values[p.name] = tables.add(label, p.form, values[p.name], person, keeps_person=keeps_person)
    return values


def _load_parameter(
    parameter: Parameter,
    database: Database,
    columns: list[str],
    stack: ExitStack,
    permission: Permission,
    *,
    all_columns: bool,
) -> Loaded:
    """Return the data of a parameter, with the column of persons that the policy names for the database.

    Raises:
        PolicyError: the database does not have this column.
    """
    person = permission.persons.get(database.label)
    extra_columns = [] if person is None or not parameter.columns.select(columns) else [person]
    loaded = parameter.load(database, columns, stack, all_columns=all_columns, extra_columns=extra_columns)
    if person is not None and loaded.columns is not None and person not in map(str, loaded.columns):
        raise PolicyError(
            f"ALGOTOOLS_POLICY_PERSONS names a column of persons that database {database.label!r} does not have; "
            "the node's owner must correct the setting"
        )
    return loaded


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
