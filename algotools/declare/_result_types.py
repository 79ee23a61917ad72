"""Describe the result of a function from its annotation, for people."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union

_MOST_LEVELS = 8
"""Deeper levels of a nested type are shown as Any. A type that contains itself would not end otherwise."""


def describe_result_type(function: Callable[..., object]) -> tuple[str | None, dict[str, str]]:
    """Return the type of a function's result, and the fields of a dataclass, TypedDict or similar class.

    The annotations of the function can be resolved, because ``RegisteredFunction.specification`` has checked them.
    Both are written as in Python's source. The type is None if the function has no annotation for its result.
    """
    hints = typing.get_type_hints(function)
    if "return" not in hints:
        return None, {}
    hint = hints["return"]
    fields = _read_fields(hint)
    return format_type(hint), {name: format_type(field) for name, field in fields.items()}


def _read_fields(hint: Any) -> Mapping[str, Any]:
    """Return the fields of a class with annotated fields; empty for any other type."""
    is_structure = any(
        hasattr(hint, name) for name in ("__dataclass_fields__", "__struct_fields__", "__required_keys__", "_fields")
    )
    if not isinstance(hint, type) or not is_structure:
        return {}
    try:
        hints = typing.get_type_hints(hint)
    except (NameError, TypeError):  # an annotation that only type checkers resolve
        return {}
    return {name: field for name, field in hints.items() if typing.get_origin(field) is not typing.ClassVar}


def format_type(hint: Any, level: int = 0) -> str:
    """Return an annotation as in the source of Python."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if level > _MOST_LEVELS or hint is Any:
        return "Any"
    if hint is None or hint is type(None):
        return "None"
    if hint is ...:
        return "..."
    if origin is Annotated:
        return format_type(inner[0], level)
    if origin is Literal:
        return " | ".join(map(repr, inner))
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(format_type(part, level + 1) for part in inner))
    name = getattr(origin or hint, "__name__", None) or str(hint)
    if not inner or name == "ndarray":
        return name
    return f"{name}[{', '.join(format_type(part, level + 1) for part in inner)}]"
