"""Markers and arrays in annotations, and the values of marked parts.

A value may have millions of items. So the annotation decides, once, whether and where a value must be searched.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal, Union

import msgspec

from algotools.data import find_form
from algotools.declare._arrays import ArrayRefused, encode_array, is_array_type, read_array_type
from algotools.declare._bounds import unwrap_alias
from algotools.declare._nested import read_fields, unwrap
from algotools.declare.annotations import ARGUMENT, Marker, convert, format_annotation, get_marker


def list_parts(annotation: Any) -> Iterator[tuple[Any, bool]]:
    """Yield an annotation, its parts and those of the fields of classes, each with whether it is in ``Argument``."""
    pending, visited = [(annotation, False)], list[tuple[Any, bool]]()
    while pending:
        part, is_argument = pending.pop()
        part = unwrap_alias(part)
        if (part, is_argument) in visited:
            continue
        visited.append((part, is_argument))
        yield part, is_argument
        origin, inner = typing.get_origin(part), typing.get_args(part)
        if origin is Annotated:
            pending.append((inner[0], is_argument or get_marker(part) == ARGUMENT))
        elif origin is not Literal and not is_array_type(part):
            fields = read_fields(part)
            pending += [(child, is_argument) for child in (*inner, *(fields.by_key.values() if fields else ()))]


@functools.lru_cache(maxsize=4096)
def _can_contain(annotation: Any, marker: Marker | None) -> bool:
    return any(
        is_array_type(part) if marker is None else marker.covers(get_marker(part)) for part, _ in list_parts(annotation)
    )


def can_contain(annotation: Any, marker: Marker | None) -> bool:
    """Whether a part of an annotation has the marker; for None, whether a part is an array or a table."""
    try:
        return _can_contain(annotation, marker)
    except TypeError:  # metadata inside the annotation is not hashable
        return _can_contain.__wrapped__(annotation, marker)


def check_arrays(annotation: Any) -> None:
    """Refuse an array that cannot be checked, and a form of data of which it is unclear whether the task sends it.

    Raises:
        ArrayRefused: the text is the reason and the fix.
    """
    for part, is_argument in list_parts(annotation):
        array, form = read_array_type(part), find_form(part)
        inner = typing.get_args(unwrap(part))
        origin = typing.get_origin(unwrap(part))
        keys = inner[:1] if isinstance(origin, type) and issubclass(origin, (AbstractSet, Mapping)) else ()
        if any(can_contain(key, None) for key in keys):
            raise ArrayRefused("an array or a table cannot be a key or an item of a set; use a list")
        if form is None:
            continue
        name = ".".join((part.__module__.partition(".")[0], part.__name__))
        if is_argument and array is None:
            raise ArrayRefused(f"a task cannot send a {name}; use Argument[pandas.DataFrame] or a dataclass")
        if not is_argument:
            raise ArrayRefused(
                f"a {name} inside {format_annotation(annotation)} is neither data of the node nor an argument; write "
                f"Argument[{name}] if the task sends it, or a parameter with the annotation {name}, {name} | None or "
                f"dict[str, {name}] for data of the node"
            )


@functools.lru_cache(maxsize=1024)
def _resolve_class_hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def find_marked_values(annotation: Any, value: Any, marker: Marker) -> Iterator[Any]:
    """Yield the parts of a value whose annotation has the marker."""
    if value is None or not can_contain(annotation, marker):
        return
    annotation = unwrap_alias(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        if marker.covers(get_marker(annotation)):
            yield value
        else:
            yield from find_marked_values(arguments[0], value, marker)
    elif getattr(origin, "_name", "") in _QUALIFIERS:
        yield from find_marked_values(arguments[0], value, marker)
    elif origin in (Union, types.UnionType):
        for member in arguments:
            if _fits(value, member):
                yield from find_marked_values(member, value, marker)
                return
    elif isinstance(value, Mapping) and len(arguments) == 2:
        for key, item in value.items():
            yield from find_marked_values(arguments[0], key, marker)
            yield from find_marked_values(arguments[1], item, marker)
    elif isinstance(value, (list, tuple, set, frozenset)) and arguments:
        has_fixed_length = origin is tuple and arguments[-1] is not ...
        if not has_fixed_length and marker.covers(get_marker(arguments[0])):
            yield from (item for item in value if item is not None)
            return
        for position, item in enumerate(value):
            yield from find_marked_values(arguments[position] if has_fixed_length else arguments[0], item, marker)
    elif isinstance(cls := origin or annotation, type):
        # For a generic class, ``Box[Column]``, replace the type variables in the annotations of its fields.
        substitutions = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
        for name, hint in _resolve_class_hints(cls).items():
            part = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
            variables = getattr(hint, "__parameters__", ())
            field_type = substitutions.get(hint)
            if field_type is None:
                field_type = hint[tuple(map(substitutions.get, variables))] if variables else hint
            yield from find_marked_values(field_type, part, marker)


_QUALIFIERS = ("Required", "NotRequired", "ReadOnly", "Final")
"""Qualifiers of fields, compared by name because ``typing`` and ``typing_extensions`` define separate objects."""


def _fits(value: object, annotation: Any) -> bool:
    try:
        convert(msgspec.to_builtins(value, str_keys=True, enc_hook=encode_array), annotation)
    except (msgspec.ValidationError, TypeError):
        return False
    return True
