"""Why a function's declaration was refused, as the name of a rule."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any

import msgspec

from algotools.client import AlgorithmClient
from algotools.data import form_of
from algotools.errors import DeclarationError
from algotools.functions import RegisteredFunction
from algotools.task import Role, RunInfo, Step

_WAYS_TO_WAIT = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def rule_of(function: Callable[..., object], role: Role, step: Step = "compute") -> str:
    """The rule that a refused function breaks first: looked for in the order in which algotools refuses."""
    if isinstance(function, RegisteredFunction) or not inspect.isfunction(function):
        return "not-plain"
    if any(waits(function) for waits in _WAYS_TO_WAIT):
        return "not-plain"
    hints, unresolved = _hints(function)
    sources = 0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return "star-arguments"
        if parameter.annotation is parameter.empty:
            return "no-annotation"
        annotation = hints.get(parameter.name, parameter.annotation)
        if not isinstance(annotation, str) and (rule := _broken(annotation, parameter.default, role)):
            return rule
        sources += form_of(_bare(annotation)) is not None
    return unresolved or ("same-name" if step == "compute" or sources == 1 else "table-source")


def in_words(error: DeclarationError) -> tuple[str, str]:
    """Reason and way out: algotools writes both into the message, with a semicolon between them."""
    reason, _, way_out = error.message.partition("; ")
    return reason, f"{way_out[:1].upper()}{way_out[1:]}." if way_out else ""


def _hints(function: Callable[..., object]) -> tuple[dict[str, Any], str]:
    """The resolved annotations; where they cannot be, none, and the rule for that."""
    bare = SimpleNamespace(
        __annotations__=function.__annotations__, __globals__=getattr(inspect.unwrap(function), "__globals__", {})
    )
    try:
        return typing.get_type_hints(bare, include_extras=True), ""
    except NameError:
        return {}, "hidden-annotation"
    except Exception:  # an annotation is any expression
        return {}, "declaration"


def _bare(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _broken(annotation: Any, default: object, role: Role) -> str:
    bare = _bare(annotation)
    if bare is AlgorithmClient:
        return "rpc-with-client" if role == "rpc" else ""
    if bare is RunInfo or form_of(bare):
        return ""
    try:
        msgspec.json.schema(annotation)
    except (TypeError, NameError):
        return "no-json-form"
    if default is not inspect.Parameter.empty:
        try:
            msgspec.convert(msgspec.to_builtins(default, str_keys=True), annotation, strict=True, str_keys=True)
        except (msgspec.ValidationError, TypeError):
            return "wrong-default"
    return ""
