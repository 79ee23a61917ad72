"""Convert the JSON value of an argument, and describe its faults without the values in it."""

from __future__ import annotations

import enum
import typing
from typing import Any, Literal

import msgspec

from algotools.declare._arrays import ArrayRefused
from algotools.declare._nested import Part, Walk, list_members
from algotools.declare.annotations import convert, format_annotation


def convert_argument(value: object, annotation: Any) -> tuple[Any, list[str]]:
    """Return the converted value of an argument, and its faults; without faults the list is empty."""
    converted: Any = None
    faults: list[str] = []
    walk = Walk()
    try:
        converted = convert(value, annotation)
    except (RecursionError, OverflowError):
        return None, ["nested too deeply, or a number is too large"]
    except Exception as error:  # the `__post_init__` of an author's class can raise any exception
        faults.append(_format_error(error, Part(value, annotation), walk))
    nested_problems = list(walk.find_problems(value, annotation, lambda part: _find_fault(part, walk)))
    if nested_problems and faults == [_UNKNOWN_FIELD]:
        faults = []
    return converted, list(dict.fromkeys([*faults, *nested_problems]))


_UNKNOWN_FIELD = "object with an unknown field"


def _find_fault(part: Part, walk: Walk) -> str:
    """Return the fault of a part of a value; empty without a fault."""
    try:
        convert(part.value, part.annotation)
    except Exception as error:
        return _format_error(error, part, walk)
    return ""


def _fits(value: Any, annotation: Any) -> bool:
    try:
        convert(value, annotation)
    except Exception:
        return False
    return True


def _format_error(error: Exception, part: Part, walk: Walk) -> str:
    """Format an error of msgspec without the values in it.

    Msgspec quotes the value of an enum, the tag of a union and an unknown key. A value may come from data and must not
    appear in a message, so these messages are replaced. A path is safe: instead of a key, msgspec writes ``[...]``.
    """
    if isinstance(error, (RecursionError, OverflowError)):
        return "nested too deeply, or a number is too large"
    text = str(error)
    if text.startswith("Object contains unknown field"):
        return _UNKNOWN_FIELD
    inner = walk.find_failure(part.value, part.annotation, _fits)
    inner = inner._replace(location=part.location + inner.location)
    position = f" at {inner.location}" if inner.location else ""
    if isinstance(error.__cause__, ArrayRefused):
        return f"{error.__cause__}{position}"
    if not isinstance(error, msgspec.ValidationError) or error.__cause__ is not None:
        raised = error if error.__cause__ is None else error.__cause__
        return f"not a valid {format_annotation(inner.annotation)} ({type(raised).__name__}){position}"
    if text.startswith("Invalid enum value"):
        if text.rpartition(" - at ")[2].startswith("`key`"):
            keys = typing.get_args(walk.select(inner.value, inner.annotation))[:1] or (inner.annotation,)
            return f"not an allowed value ({format_annotation(keys[0])}) in a key{position.replace(' at ', ' of ')}"
        return f"not an allowed value ({format_annotation(inner.annotation)}){position}"
    if text.startswith("Invalid value"):
        tags = [
            fields.tag for m in list_members(inner.annotation) if (fields := walk.fields_of(m)) and fields.tag_field
        ]
        return f"object of an unknown type (choose from {', '.join(map(repr, tags))}){position}"
    text, _, path = text.partition(" - at ")
    if path.startswith("`key`"):
        location = part.location + path.partition(" in ")[2].strip("`").removeprefix("$")
        position = f" in a key of {location}" if location else " in a key"
    else:
        location = part.location + path.strip("`").removeprefix("$")
        position = f" at {location}" if location else ""
        if location == inner.location and location and _has_choices(inner.annotation):
            position = f" ({format_annotation(inner.annotation)}){position}"
    return f"{text[0].lower()}{text[1:].replace('`', '')}{position}"


def _has_choices(annotation: Any) -> bool:
    """Whether an annotation lists values: a Literal or an enum."""
    return any(
        typing.get_origin(member) is Literal or (isinstance(member, type) and issubclass(member, enum.Enum))
        for member in list_members(annotation)
    )
