"""Annotations of tables: one table, a table that may be missing, and a dict with any number of tables."""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, Union

from algotools.data import find_form
from algotools.declare._bounds import unwrap_alias
from algotools.declare.annotations import ARGUMENT
from algotools.task import Database

_GROUPS = (dict, collections.abc.Mapping)


class TableAnnotation(NamedTuple):
    """The meaning of an annotation of tables."""

    form: str
    """The form of each table; see ``data.FORMS``."""
    metadata: tuple[Any, ...]
    """The metadata of the annotation and of its parts."""
    is_group: bool = False
    """Whether the annotation is a dict with the tables of several databases, by label."""
    is_optional: bool = False
    """Whether the value is None if there is no database."""


def read_table_annotation(annotation: Any) -> TableAnnotation | None:
    """Return the meaning of ``DataFrame``, ``DataFrame | None`` or ``dict[str, DataFrame]``; None for an argument.

    Metadata may be at any depth: ``dict[str, Annotated[DataFrame, Columns.of("sex")]]``.
    """
    part, is_optional, outer = _unwrap(annotation)
    inner: tuple[Any, ...] = ()
    arguments = typing.get_args(part)
    is_group = typing.get_origin(part) in _GROUPS and len(arguments) == 2 and arguments[0] is str
    if is_group:
        part, has_none, inner = _unwrap(arguments[1])
        if has_none:
            return None
    form = find_form(part)
    metadata = (*outer, *inner)
    if form is None or ARGUMENT in metadata:
        return None
    return TableAnnotation(form, metadata, is_group, is_optional)


def explain_group(tables: TableAnnotation) -> str:
    """Return the fault of the annotation of a group of tables; empty if it has none."""
    if tables.is_group and any(isinstance(item, Database) for item in tables.metadata):
        return (
            "a dict of tables receives all databases of the task that no other parameter takes; remove Database(…), or "
            "add a parameter for the database with this label"
        )
    return ""


def explain_groups(names: Sequence[str]) -> str:
    """Return the fault of several parameters for groups of tables; empty if they have none."""
    if len(names) < 2:
        return ""
    return (
        f"parameters {', '.join(names)}: a function has at most one dict of tables, because it receives all databases "
        "that no other parameter takes; remove one of them"
    )


def _unwrap(annotation: Any) -> tuple[Any, bool, tuple[Any, ...]]:
    """Return the class in an annotation, whether None is allowed, and the metadata."""
    part, is_optional, metadata = unwrap_alias(annotation), False, ()
    while True:
        origin, arguments = typing.get_origin(part), typing.get_args(part)
        if origin is Annotated:
            part, metadata = unwrap_alias(arguments[0]), (*metadata, *arguments[1:])
        elif origin in (Union, types.UnionType) and type(None) in arguments and len(arguments) == 2:
            [part] = [unwrap_alias(item) for item in arguments if item is not type(None)]
            is_optional = True
        else:
            return part, is_optional, metadata
