"""The columns that arguments name, and the kinds that the function requires of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from algotools.data.kinds import KINDS, ColumnKind, explain_kind
from algotools.declare.annotations import CATEGORY_COLUMN, NUMERIC_COLUMN
from algotools.errors import WrongColumnKind

if TYPE_CHECKING:
    from algotools.declare.arguments import Specification


class RequiredKind(NamedTuple):
    """A column that an argument names, and the kind that the argument requires."""

    name: str
    kind: ColumnKind


def list_required_kinds(specification: Specification, arguments: Mapping[str, object]) -> list[RequiredKind]:
    """Return the kinds of columns that validated arguments require."""
    return [
        RequiredKind(name, kind)
        for marker in (NUMERIC_COLUMN, CATEGORY_COLUMN)
        if (kind := marker.kind) is not None
        for name in specification.find_marked(arguments, marker)
    ]


def check_kinds(
    required: Iterable[RequiredKind], label: str, form: str, table: Any, columns: Collection[object] | None
) -> None:
    """Refuse a table with a column of another kind than an argument requires. A missing column is not an error here.

    Args:
        required: the columns and their kinds.
        label: the label of the table's database.
        form: the form of the table.
        table: the table.
        columns: the names of its columns; None if they are unknown.

    Raises:
        WrongColumnKind: the message names the column, its content in words and the kind. It contains no value.
    """
    for name, kind in required if columns else ():
        if name in (columns or ()) and (content := explain_kind(form, table, name, kind)):
            raise WrongColumnKind(
                f"column {name!r} in database {label!r} contains {content}, but the function needs {KINDS[kind]}"
            )
