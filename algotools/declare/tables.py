"""The tables of a function: which database of a task each parameter receives."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from algotools.declare.arguments import Parameter
from algotools.errors import UnknownLabel
from algotools.task import Database


class AssignedTable(NamedTuple):
    """A database and the parameter that receives its table."""

    parameter: Parameter
    database: Database

    @property
    def key(self) -> str | None:
        """The key of the table in the dict of a group; None for a parameter with one table."""
        return self.database.label if self.parameter.is_group else None


class Assignment(NamedTuple):
    """The tables of a function."""

    tables: list[AssignedTable]
    """The tables in the order of the parameters."""
    unused: list[str]
    """The labels of the requested databases that no parameter takes."""
    missing: list[Parameter]
    """The parameters that receive None, because there is no database."""


def assign_databases(
    parameters: Sequence[Parameter], requested: Sequence[Database], configured: Iterable[Database] = ()
) -> Assignment:
    """Assign the databases of a task to the parameters of a function.

    A parameter with a label takes the database with the label. The other parameters take the requested databases in
    order. A dict takes all databases that remain. On v5, if a task has one argument for each of these parameters, each
    parameter takes the tables of its argument.

    Args:
        parameters: the parameters for data.
        requested: the databases that the task requests.
        configured: the other databases of the node.

    Raises:
        UnknownLabel: the node does not have a database, or the task requests too few databases.
    """
    if not parameters:
        return Assignment([], [], [])
    by_label = {database.label: database for database in (*configured, *requested)}
    optional_labels = {p.label for p in parameters if p.is_optional and p.label is not None}
    for database in requested:
        if not database.uri and database.label not in optional_labels:
            existing = (*configured, *(d for d in requested if d.uri))
            node_labels = ", ".join(sorted({d.label for d in existing})) or "none"
            raise UnknownLabel(f"this node has no database {database.label!r}; it has: {node_labels}")
    labels = {p.label for p in parameters}
    without_label = [database for database in requested if database.label not in labels]
    unlabelled = _share(without_label, [p for p in parameters if p.label is None])
    tables: list[AssignedTable] = []
    missing: list[Parameter] = []
    for parameter in parameters:
        if parameter.label is None:
            own = unlabelled[parameter.name]
        else:
            match = by_label.get(parameter.label)
            # A requested database without URI is not at the node.
            own = [] if match is None or (match in requested and not match.uri) else [match]
        tables += [AssignedTable(parameter, database) for database in own]
        if own:
            continue
        if not parameter.is_optional:
            raise UnknownLabel(_explain_missing(parameter, parameters, requested, by_label))
        missing.append(parameter)
    used_labels = {table.database.label for table in tables}
    return Assignment(tables, [d.label for d in without_label if d.label not in used_labels], missing)


def collect_values(
    parameters: Iterable[Parameter], tables: Iterable[tuple[str, str | None, object]]
) -> dict[str, object]:
    """Return the value of each parameter: a table, a dict of tables, or None.

    Args:
        parameters: the parameters for data.
        tables: the name of a parameter, the key in its dict, and the table.
    """
    values: dict[str, Any] = {parameter.name: None for parameter in parameters}
    for name, key, table in tables:
        if key is None:
            values[name] = table
        else:
            values[name] = values[name] or {}
            values[name][key] = table
    return values


def _share(databases: list[Database], parameters: list[Parameter]) -> dict[str, list[Database]]:
    """Return the databases of each parameter without a label."""
    groups = [[d for _, d in group] for _, group in itertools.groupby(enumerate(databases), _make_argument_key)]
    has_group = any(p.is_group for p in parameters)
    if len(groups) == len(parameters):
        return {
            p.name: _drop_repeated(group) if p.is_group else group[:1]
            for p, group in zip(parameters, groups, strict=True)
        }
    # One argument of a task belongs to one parameter. In v5 an argument may be a group of several tables, of which a
    # parameter for one table receives the first. If there are more parameters than arguments, each table gets its own
    # parameter. A dict receives all tables that remain, so there the arguments do not matter.
    if not has_group and len(groups) > len(parameters):
        databases = [group[0] for group in groups]
    return _share_in_order(_drop_repeated(databases) if has_group else databases, parameters)


def _share_in_order(databases: list[Database], parameters: list[Parameter]) -> dict[str, list[Database]]:
    """Give each parameter its next databases. A parameter that may be None gets one only if enough remain."""
    spare = len(databases) - sum(not p.is_optional for p in parameters)
    counts: dict[str, int] = {}
    for parameter in sorted(parameters, key=lambda p: p.is_group):  # a dict takes what the others leave
        count = int(not parameter.is_optional)
        extra = max(0, spare if parameter.is_group else min(spare, int(parameter.is_optional)))
        spare -= extra
        counts[parameter.name] = count + extra
    remaining = iter(databases)
    return {p.name: list(itertools.islice(remaining, counts[p.name])) for p in parameters}


def _drop_repeated(databases: Iterable[Database]) -> list[Database]:
    """Return one database for each label, because a dict has one table for each label."""
    return list({database.label: database for database in databases}.values())


def _make_argument_key(numbered: tuple[int, Database]) -> object:
    """Return a key that the databases of one argument share; *numbered* is a database with its position."""
    number, database = numbered
    return ("alone", number) if database.group is None else ("group", database.group)


def _explain_missing(
    parameter: Parameter, parameters: Sequence[Parameter], requested: Sequence[Database], by_label: Iterable[str]
) -> str:
    count = sum(not p.is_optional for p in parameters)
    least = "at least " if any(p.is_group for p in parameters) else ""
    needs = f"a database {parameter.label!r}"
    if parameter.label is None:
        needs = f"{least}{count} database{'' if count == 1 else 's'}"
    requested_labels = ", ".join(repr(database.label) for database in requested) or "none"
    node_labels = ", ".join(sorted(by_label)) or "none"
    return f"the function takes {needs}, the task requests {requested_labels}; this node has: {node_labels}"
