"""Compare the result of a function with its annotation, as far as the difference is certain."""

from __future__ import annotations

import inspect
import numbers
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union

from algotools.declare._result_types import format_type
from algotools.declare.functions import RegisteredFunction
from algotools.errors import find_named_class

_KINDS: dict[str, tuple[type, ...]] = {
    "number": (numbers.Number,),
    "text": (str,),
    "mapping": (dict, Mapping),
    "list": (list, tuple),
}
"""The kinds of results that are compared, with their classes. Any other class fits each annotation."""

_MISMATCH = re.compile(
    r"^info > (\S+ returned (?:None|a value of the type \w+), but its result is annotated as .+)$", re.MULTILINE
)
"""A line of ``explain_mismatch`` in a log."""


def read_return_hint(function: Callable[..., object]) -> Any:
    """Return the annotation of a function's result; ``Any`` if there is none, or if it cannot be resolved."""
    try:
        return typing.get_type_hints(function, include_extras=True).get("return", Any)
    except Exception:  # an annotation is any expression
        return Any


def may_be_none(hint: Any) -> bool:
    """Return whether an annotation allows None, or is not certain to refuse it."""
    return _may_have_class(hint, type(None))


def explain_mismatch(function: RegisteredFunction, result: object) -> str:
    """Return a line for the log if a result does not fit the annotation of the function; empty otherwise.

    Only the kind of the result counts: None, a number, a text, a mapping or a list. The line contains no value.
    """
    author_function = function.__wrapped__
    if function.derived_from is not None or inspect.unwrap(author_function) is not author_function:
        return ""  # an rpc of algotools, or a result that another decorator may have changed
    hint = read_return_hint(author_function)
    if _may_have_class(hint, type(result)):
        return ""
    name = "None" if result is None else f"a value of the type {find_named_class(type(result)).__name__}"
    advice = "; is a `return` missing?" if result is None else ""
    return f"{function.method} returned {name}, but its result is annotated as {format_type(hint)}{advice}"


def find_mismatches(log: str) -> list[str]:
    """Return the lines of ``explain_mismatch`` in the log of a run."""
    return [match[1] for match in _MISMATCH.finditer(log)]


def _find_kind(cls: type) -> str | None:
    """Return the kind of a class; None for a class that is not compared, such as an array."""
    return next((kind for kind, bases in _KINDS.items() if issubclass(cls, bases)), None)


def _may_have_class(hint: Any, cls: type) -> bool:
    """Return whether an annotation allows values of a class, or is not certain to refuse them."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _may_have_class(inner[0], cls)
    if origin in (Union, types.UnionType):
        return any(_may_have_class(member, cls) for member in inner)
    if origin is Literal:
        return any(_may_have_class(type(value), cls) for value in inner)
    if hint is None:
        return cls is type(None)
    allowed = origin or hint
    if not isinstance(allowed, type) or allowed is object:
        return True
    kind = _find_kind(allowed)
    if cls is not type(None):
        return None in (kind, _find_kind(cls)) or kind == _find_kind(cls)
    try:
        return kind is None and isinstance(None, allowed)
    except TypeError:  # a protocol that cannot be checked
        return True
