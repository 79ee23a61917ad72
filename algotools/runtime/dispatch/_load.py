"""Assign the databases of a task to the parameters of a function, and read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from algotools.data.names import RequestedNames, differs_only_in_case
from algotools.data.reading import Loaded
from algotools.declare.arguments import Parameter
from algotools.declare.columns import RequiredKind, check_kinds
from algotools.declare.tables import AssignedTable, assign_databases, collect_values
from algotools.disclosure.facts import Permission
from algotools.disclosure.tables import ReadTables
from algotools.errors import PolicyError, UnknownColumn
from algotools.runtime.dispatch.unread import UnreadColumns
from algotools.runtime.logs import note
from algotools.task import Task


def assign(parameters: tuple[Parameter, ...], task: Task) -> list[AssignedTable]:
    """Return the database of each parameter; see ``assign_databases``. Log what is unused or missing."""
    assignment = assign_databases(parameters, task.databases, task.configured)
    if assignment.unused:
        note(f"not used by the function: database {', '.join(assignment.unused)}")
    for parameter in assignment.missing:
        label = "" if parameter.label is None else f" {parameter.label!r}"
        note(f"no database{label} for parameter {parameter.name}, which is None")
    return assignment.tables


def load_data(
    parameters: tuple[Parameter, ...],
    assigned: list[AssignedTable],
    columns: list[str],
    kinds: list[RequiredKind],
    stack: ExitStack,
    tables: ReadTables,
    permission: Permission,
    unread: UnreadColumns,
    *,
    all_columns: bool,
) -> dict[str, object]:
    """Return the data of each parameter.

    Args:
        parameters: the parameters for data.
        assigned: the database of each table.
        columns: the columns that arguments name. Each may be in any of the tables.
        kinds: the kinds that arguments require of these columns.
        stack: see ``data.load``.
        tables: receives the tables, if the result is judged.
        permission: the decisions of the node's policy.
        unread: receives the columns that are not read.
        all_columns: whether every column is read.

    Raises:
        UnknownColumn: no table has a column.
        WrongColumnKind: a table has a column of another kind.
        AlgotoolsError: see ``data.load``.
    """
    loaded = [(table, _load_table(table, columns, stack, permission, all_columns=all_columns)) for table in assigned]
    known_columns = [
        (table, loaded_table.columns) for table, loaded_table in loaded if loaded_table.columns is not None
    ]
    for parameter in parameters:
        if own_columns := [pair for pair in known_columns if pair[0].parameter is parameter]:
            _check_columns(parameter.columns.names or (), own_columns)
    if known_columns:
        _check_columns(columns, known_columns)
    for table, existing in [] if all_columns else known_columns:
        unread.add(table.parameter, existing, columns)
    for table, loaded_table in loaded:
        check_kinds(kinds, table.database.label, table.parameter.form, loaded_table.value, loaded_table.columns)
    values: list[tuple[str, str | None, object]] = []
    for table, loaded_table in loaded:
        value = loaded_table.value
        if permission.is_judged:
            label, parameter = table.database.label, table.parameter
            person = permission.persons.get(label) if loaded_table.columns is not None else None
            selection = None if all_columns else parameter.columns.select(columns)
            keeps_person = selection is None or person in RequestedNames(selection)
            value = tables.add(label, parameter.form, value, person, keeps_person=keeps_person)
        values.append((table.parameter.name, table.key, value))
    return collect_values(parameters, values)


def _load_table(
    table: AssignedTable,
    columns: list[str],
    stack: ExitStack,
    permission: Permission,
    *,
    all_columns: bool,
) -> Loaded:
    """Return a table, with the column of persons that the policy names for its database.

    Raises:
        PolicyError: the database does not have this column.
    """
    parameter, database = table
    person = permission.persons.get(database.label)
    extra_columns = [] if person is None or not parameter.columns.select(columns) else [person]
    loaded = parameter.load(database, columns, stack, all_columns=all_columns, extra_columns=extra_columns)
    if person is not None and loaded.columns is not None and person not in map(str, loaded.columns):
        raise PolicyError(
            f"ALGOTOOLS_POLICY_PERSONS names a column of persons that database {database.label!r} does not have; "
            "the node's owner must correct the setting"
        )
    return loaded


def _check_columns(names: Iterable[str], tables: Sequence[tuple[AssignedTable, Sequence[object]]]) -> None:
    """Refuse columns that no table has: the researcher reads the missing ones, the owner also the existing ones."""
    columns_by_label = {table.database.label: columns for table, columns in tables}
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
