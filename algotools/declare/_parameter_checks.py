"""The checks of one parameter of a declaration: an argument of the task, or a node variable."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import msgspec

from algotools.declare._arrays import ArrayRefused, describe_schema, encode_array, is_array_type
from algotools.declare._bounds import BoundsRefused, explain_bounds, translate_bounds
from algotools.declare._conversion import convert_argument
from algotools.declare._markers import check_arrays
from algotools.declare._nested import check_bounds
from algotools.declare.annotations import format_annotation
from algotools.declare.variables import VariableRefused, check_variable_type, find_variable
from algotools.errors import DeclarationError
from algotools.payload import encode_arguments


def make_declaration_error(
    function: Callable[..., object], reason: str, *, rule: str = "declaration"
) -> DeclarationError:
    """Return the error of a declaration; *rule* is the rule of ``algotools check``."""
    return DeclarationError(f"{getattr(function, '__qualname__', function)}: {reason}", rule=rule)


def check_variable(function: Callable[..., object], parameter: inspect.Parameter, annotation: Any) -> tuple[str, Any]:
    """Return the name of a node variable and its annotation with bounds that msgspec checks.

    The name is empty, and the annotation unchanged, for a parameter that is not a node variable.
    """
    try:
        variable = find_variable(annotation)
        if variable is None:
            return "", annotation
        return variable.name, check_variable_type(annotation, parameter.default)
    except VariableRefused as refused:
        raise make_declaration_error(function, f"parameter {parameter.name}: {refused}") from None


def check_argument(function: Callable[..., object], parameter: inspect.Parameter, annotation: Any) -> Any:
    """Return the annotation of an argument, with bounds that msgspec checks."""
    try:
        check_bounds(annotation, parameter.default)
        annotation = translate_bounds(annotation)
    except BoundsRefused as refused:
        reason = f"parameter {parameter.name}: {refused}"
        raise make_declaration_error(function, reason, rule="unchecked-bounds") from None
    try:
        check_arrays(annotation)
        msgspec.json.schema(annotation, schema_hook=describe_schema)
    except ArrayRefused as refused:
        reason = f"parameter {parameter.name}: {refused}"
        raise make_declaration_error(function, reason, rule="no-json-form") from None
    except (TypeError, ValueError) as error:
        if reason := explain_bounds(error):
            reason = f"parameter {parameter.name}: {reason}"
            raise make_declaration_error(function, reason, rule="unchecked-bounds") from None
        raise make_declaration_error(
            function,
            f"parameter {parameter.name}: {format_annotation(annotation)} cannot be written as JSON, so a task cannot "
            "pass it; use numbers, texts, lists, dicts, dataclasses or enums",
            rule="no-json-form",
        ) from None
    if parameter.default is not parameter.empty:
        try:
            _, faults = convert_argument(_convert_default(parameter.default, encode_array), annotation)
        except TypeError:
            faults = ["not JSON"]
        if faults:
            raise make_declaration_error(
                function,
                f"parameter {parameter.name}: the default is not of type {format_annotation(annotation)}; "
                "correct the default, or widen the annotation (`| None`)",
                rule="wrong-default",
            ) from None
    return annotation


def make_default_schema(default: object) -> dict[str, object]:
    """Return a default for JSON Schema; empty if JSON cannot express it (infinity)."""
    try:
        default = _convert_default(default, lambda array: json.loads(encode_arguments(array)))
        json.dumps(default, allow_nan=False)
    except ValueError:
        return {}
    return {"default": default}


def _convert_default(default: Any, encode: Callable[[Any], Any]) -> Any:
    """Return a default as a JSON value; *encode* is called with each array and table."""

    def encode_known(value: Any) -> Any:
        if not is_array_type(type(value)):
            raise TypeError
        return encode(value)

    return msgspec.to_builtins(default, str_keys=True, enc_hook=encode_known)
