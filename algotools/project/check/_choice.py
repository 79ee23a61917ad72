"""The databases and the arguments of a trial call, if the author has chosen none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from algotools import data
from algotools.data.kinds import explain_kind
from algotools.data.reading import find_path
from algotools.declare.annotations import CATEGORY_COLUMN, COLUMN, NUMERIC_COLUMN, Marker, get_marker
from algotools.declare.arguments import Parameter
from algotools.declare.functions import RegisteredFunction
from algotools.declare.tables import assign_databases
from algotools.errors import UnknownLabel
from algotools.federation.configuration import Member
from algotools.project.check._exceptions import read_table
from algotools.task import Database

_LARGEST_TRIAL = 20_000_000
"""Bytes of a data file; a trial call on a larger file would take too long."""


class DatabasesRefused(Exception):
    """The databases of a node are not those of a trial call; the text is the reason."""


def choose_databases(function: RegisteredFunction, member: Member) -> tuple[Database, ...]:
    """Return the node's first databases for the parameters without a label.

    Raises:
        DatabasesRefused: a database is missing, is not a file, or is too large.
    """
    parameters = function.specification.data
    labels = {p.label for p in parameters if p.label is not None}
    databases = [d for label, d in member.databases.items() if label not in labels]
    if not any(p.is_group for p in parameters):  # a dict takes all databases
        databases = databases[: sum(p.label is None for p in parameters)]
    try:
        tables = assign_databases(parameters, databases, member.databases.values()).tables
    except UnknownLabel as error:
        needs = error.message.partition(", the task requests")[0]
        existing = ", ".join(sorted(member.databases)) or "none"
        raise DatabasesRefused(f"{needs}; the databases of {member.name} in federation.yaml: {existing}") from None
    for table in tables:
        if fault := _explain_file(table.database):
            raise DatabasesRefused(f"the database {table.database.label!r} of {member.name} {fault}")
    return tuple(databases)


def _explain_file(database: Database) -> str:
    """Return why a database cannot be used in a trial call; empty if it can."""
    path = find_path(database.uri)
    if path is None:
        return "is not a file"
    try:
        size = Path(path).stat().st_size
    except (OSError, ValueError):
        return "has a file that does not exist or may not be read"
    return "" if size <= _LARGEST_TRIAL else f"is larger than {_LARGEST_TRIAL // 1_000_000} MB"


def choose_arguments(function: RegisteredFunction, databases: Sequence[Database]) -> dict[str, object] | None:
    """Return columns as the required arguments; None if a required argument is not a column."""
    required: list[Parameter] = [p for p in function.specification.arguments if p.required]
    if not required:
        return {}
    markers = {p.name: marker for p in required if (marker := _get_column_marker(p)) is not None}
    if not databases or len(markers) < len(required):
        return None
    if all(p.form in data.UNREAD for p in function.specification.data):
        return None
    frame = read_table(databases[0])
    columns = [] if frame is None else _sort_columns(frame)
    if len(columns) < len(required):
        return None
    groups = _list_groups(required)
    chosen: dict[str, object] = {}
    # Parameters for groups and for a kind of columns choose first, because other parameters can take any column.
    for parameter in sorted(required, key=lambda p: (p not in groups, markers[p.name].kind is None)):
        kind = markers[parameter.name].kind
        suitable = [name for name in columns if kind is None or not explain_kind("pandas", frame, name, kind)]
        if not suitable:
            return None
        name = min(suitable, key=lambda column: _rank_group(frame[column])) if parameter in groups else suitable[0]
        columns.remove(name)
        chosen[parameter.name] = name if _is_one_column(parameter) else [name]
    return {p.name: chosen[p.name] for p in required}


def _get_column_marker(parameter: Parameter) -> Marker | None:
    """Return the marker of a parameter for a column or a list of columns; None for any other parameter."""
    annotation = parameter.annotation if _is_one_column(parameter) else (*get_args(parameter.annotation), None)[0]
    is_column = COLUMN.covers(marker := get_marker(annotation))
    return marker if is_column and (_is_one_column(parameter) or get_origin(parameter.annotation) is list) else None


def _is_one_column(parameter: Parameter) -> bool:
    return COLUMN.covers(get_marker(parameter.annotation))


_GROUPS = re.compile(r"(?:^|_)(by|groups?|sex|gender|arm|strat\w*|level|class|category|factor|treatment|site)(?:$|_)")
"""Names of parameters for a column with groups."""

_MEASURES = frozenset({"x", "y", "outcome", "value", "values", "weight", "weights", "time", "event", "score", "target"})
"""Names of parameters for a column of numbers."""

_MOST_GROUPS = 20


def _list_groups(required: Sequence[Parameter]) -> list[Parameter]:
    """Return the parameters for a column with groups: by their names, otherwise the second one."""
    columns = [p for p in required if _is_one_column(p) and get_marker(p.annotation) != NUMERIC_COLUMN]
    group_parameters = [p for p in columns if _GROUPS.search(p.name) or get_marker(p.annotation) == CATEGORY_COLUMN]
    return group_parameters or [p for p in columns[1:2] if p.name not in _MEASURES]


def _rank_group(column: Any) -> int:
    """Return a number that is low if the values of a column are probably groups."""
    from pandas.api.types import is_numeric_dtype

    has_few = 1 < column.map(str).nunique() <= _MOST_GROUPS
    return (0 if has_few else 2) + int(is_numeric_dtype(column))


def _sort_columns(frame: Any) -> list[str]:
    """Return the names of a table's columns, numeric columns first."""
    from pandas.api.types import is_numeric_dtype

    columns = [column for column in frame.columns if isinstance(column, str)]
    return sorted(columns, key=lambda column: not is_numeric_dtype(frame[column]))
