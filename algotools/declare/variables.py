"""Node variables of a signature: their declaration, and the conversion of the texts that a node's owner sets.

The owner writes a text, because a node's configuration and an environment have only texts. The text becomes a JSON
value, which is then checked like an argument of a task, with the same bounds.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import inspect
import itertools
import json
import re
import typing
import uuid
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal

import msgspec

from algotools.declare._bounds import BoundsRefused, explain_bounds, translate_bounds
from algotools.declare._conversion import convert_argument
from algotools.declare._markers import list_parts
from algotools.declare._nested import check_bounds
from algotools.declare._schema import build_schemas
from algotools.declare._variable_texts import convert_text, is_list, list_choices, replace_paths
from algotools.declare.annotations import Marker, format_annotation
from algotools.errors import NodeVariableError
from algotools.task import NodeVariable, is_image_variable

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

RESERVED = frozenset(
    {
        "INPUT_FILE", "OUTPUT_FILE", "TOKEN_FILE", "TEMPORARY_FOLDER", "HOST", "PORT", "API_PATH", "DB_LABELS",
        "USER_REQUESTED_DATABASE_LABEL", "USER_REQUESTED_DATABASE_LABELS", "USER_REQUESTED_DATAFRAMES",
        "SESSION_FOLDER", "SESSION_FILE", "ALGORITHM_METHOD", "FUNCTION_ACTION", "TASK_ID", "NODE_ID",
        "ORGANIZATION_ID", "COLLABORATION_ID", "CONTAINER_TOKEN", "DATABASE_URI", "DATABASE_TYPE",
    }
)  # fmt: skip
"""The variables of the three contracts. No owner can set them (a test compares them with the contracts)."""

_RESERVED_PREFIXES = ("KUBERNETES_", "DB_PARAM_")
_RESERVED_SUFFIXES = ("_DATABASE_URI", "_DATABASE_TYPE")


def is_reserved(name: str) -> bool:
    """Return whether a variable belongs to a platform of one of the generations, or to the image."""
    return (
        name in RESERVED
        or is_image_variable(name)
        or name.startswith(_RESERVED_PREFIXES)
        or name.endswith(_RESERVED_SUFFIXES)
        or "_DB_PARAM_" in name  # the options of a database on v4, after its label
    )


_TEXTS = (
    str, PurePath, datetime.date, datetime.datetime, datetime.time, datetime.timedelta, uuid.UUID, decimal.Decimal
)  # fmt: skip
"""The types whose JSON value is the text itself."""

_SUPPORTED = (
    "int, float, bool, str, Literal, an enum, Path, date, datetime, a list, tuple or set of these, or one of these "
    "with `| None`"
)


class VariableRefused(Exception):
    """A node variable that is declared wrongly; the text is the reason and the fix."""


def find_variable(annotation: Any) -> NodeVariable | None:
    """Return the node variable that an annotation declares; None for any other annotation.

    Raises:
        VariableRefused: the annotation has several node variables, or one in a part of it, or the name is not valid.
    """
    metadata = typing.get_args(annotation)[1:] if typing.get_origin(annotation) is Annotated else ()
    variables = [item for item in metadata if isinstance(item, NodeVariable) or item is NodeVariable]
    if not variables:
        if any(
            isinstance(item, NodeVariable)
            for part, _ in list_parts(annotation)
            if typing.get_origin(part) is Annotated
            for item in typing.get_args(part)[1:]
        ):
            raise VariableRefused(
                'NodeVariable belongs to the whole annotation: Annotated[int | None, NodeVariable("NAME")]'
            )
        return None
    if len(variables) > 1:
        raise VariableRefused("the annotation has two node variables; keep one of them")
    variable = variables[0]
    name = getattr(variable, "name", None)
    if not isinstance(variable, NodeVariable) or not isinstance(name, str) or not _NAME.fullmatch(name):
        raise VariableRefused(
            "the name of a node variable consists of letters, digits and underscores, and does not begin with a digit: "
            'NodeVariable("MINIMUM_ROWS")'
        )
    if is_reserved(name) or name.startswith("ALGOTOOLS_"):
        raise VariableRefused(
            f"the variable {name} belongs to the platform, to algotools or to the image, so a node's owner cannot set "
            "it for algorithms; choose another name"
        )
    return variable


def check_variable_type(annotation: Any, default: object) -> Any:
    """Refuse a node variable whose type has no text form, and return its annotation with bounds that msgspec checks.

    *default* is ``inspect.Parameter.empty`` if the parameter has no default.

    Raises:
        VariableRefused: the text is the reason and the fix.
    """
    if any(
        isinstance(item, Marker)
        for part, _ in list_parts(annotation)
        if typing.get_origin(part) is Annotated
        for item in typing.get_args(part)[1:]
    ):
        raise VariableRefused("Column, Organization and Argument are for arguments of a task; use str or int")
    if not all(map(_is_supported, list_choices(annotation))):
        raise VariableRefused(
            f"{format_annotation(annotation)} cannot be written as the text of a node variable; use {_SUPPORTED}"
        )
    try:
        check_bounds(replace_paths(annotation), default)
        annotation = translate_bounds(annotation)
        msgspec.json.schema(replace_paths(annotation))
    except (BoundsRefused, TypeError, ValueError) as error:
        refusal = str(error) if isinstance(error, BoundsRefused) else explain_bounds(error)
        raise VariableRefused(
            refusal or f"{format_annotation(annotation)} has no JSON form; use {_SUPPORTED}"
        ) from None
    if default is not inspect.Parameter.empty and _find_faults(default, annotation):
        raise VariableRefused(
            f"the default is not of type {format_annotation(annotation)}; correct the default, or widen the annotation "
            "(`| None`)"
        )
    return annotation


def explain_conflict(parameters: Sequence[VariableParameter]) -> str:
    """Return the fault of two parameters that give one node variable two types; empty without a fault."""
    for first, second in itertools.combinations(parameters, 2):
        if first.variable and first.variable == second.variable and first.annotation != second.annotation:
            kinds = [format_annotation(p.annotation) for p in (first, second)]
            types_ = " and ".join(kinds) if kinds[0] != kinds[1] else f"{kinds[0]} with other bounds"
            return (
                f"the parameters {first.name} and {second.name} give the node variable {first.variable} two types "
                f"({types_}); use one annotation for both"
            )
    return ""


def _find_faults(default: object, annotation: Any) -> list[str]:
    try:
        return convert_argument(encode_default(default), replace_paths(annotation))[1]
    except TypeError:
        return ["not JSON"]


def encode_default(default: object) -> Any:
    """Return the default of a node variable as a JSON value.

    Raises:
        TypeError: the default has no JSON form.
    """

    def encode_path(value: object) -> str:
        if isinstance(value, PurePath):
            return str(value)
        raise TypeError

    return msgspec.to_builtins(default, str_keys=True, enc_hook=encode_path)


def _is_supported(bare: Any, *, in_list: bool = False) -> bool:
    origin, inner = typing.get_origin(bare), typing.get_args(bare)
    if is_list(bare):
        items = [item for item in inner if item is not ...]
        return not in_list and all(_is_supported(m, in_list=True) for item in items for m in list_choices(item))
    if origin is Literal:
        return True
    return isinstance(bare, type) and issubclass(bare, (bool, int, float, enum.Enum, *_TEXTS))


class VariableParameter(typing.Protocol):
    """A parameter of a signature that receives a node variable."""

    @property
    def name(self) -> str:
        """Name of the parameter."""

    @property
    def variable(self) -> str:
        """Name of the node variable."""

    @property
    def annotation(self) -> Any:
        """Type and bounds."""

    @property
    def required(self) -> bool:
        """Whether the parameter has no default."""

    @property
    def default(self) -> Any:
        """The default."""


class VariableFault(typing.NamedTuple):
    """A variable that is missing or malformed. The message contains no value; the detail is for the node's owner."""

    message: str
    detail: str = ""


def read_variable(parameter: VariableParameter, variables: Mapping[str, str]) -> object:
    """Return the value of a parameter, its default if the variable is not set, or a ``VariableFault``."""
    name = parameter.variable
    if name not in variables:
        if not parameter.required:
            return copy.deepcopy(parameter.default)  # see `Specification.bind`: calls must not share a list
        return VariableFault(f"the node variable {name} ({format_annotation(parameter.annotation)}) is not set")
    value, faults = convert_text(variables[name], parameter.annotation)
    if faults:
        message = f"the node variable {name} is malformed: {', '.join(faults)}"
        return VariableFault(message, f"{name}={variables[name]!r}")
    return value


def find_faults(parameters: Sequence[VariableParameter], variables: Mapping[str, str]) -> list[VariableFault]:
    """Return the faults of a node's variables: those that a run would report, in the order of the parameters."""
    values = [read_variable(parameter, variables) for parameter in parameters]
    return [value for value in values if isinstance(value, VariableFault)]


def read_variables(parameters: Sequence[VariableParameter], variables: Mapping[str, str]) -> dict[str, object]:
    """Return the values of parameters by name.

    Raises:
        NodeVariableError: variables are missing or malformed. The message names them, and contains no value, because
            the values belong to the node's owner; the detail contains them.
    """
    values = {parameter.name: read_variable(parameter, variables) for parameter in parameters}
    faults = [value for value in values.values() if isinstance(value, VariableFault)]
    if faults:
        messages = "; ".join(dict.fromkeys(fault.message for fault in faults))
        raise NodeVariableError(
            f"{messages}. Only the node's owner sets it, among the node's variables for algorithms (`algorithm_env`; "
            "in a local federation `--variable NAME@ORGANIZATION=VALUE`)",
            detail="\n".join(fault.detail for fault in faults if fault.detail),
        )
    return values


def describe_variables(parameters: Sequence[VariableParameter]) -> list[dict[str, Any]]:
    """Return name, parameter, type and JSON Schema of each node variable."""
    described = []
    for parameter in parameters:
        (schema,), definitions = build_schemas([replace_paths(parameter.annotation)])
        schema = {**schema, **({"$defs": definitions} if definitions else {})}
        if not parameter.required:
            try:
                default = encode_default(parameter.default)
                json.dumps(default, allow_nan=False)
                schema["default"] = default
            except ValueError:  # JSON has no infinity
                pass
        described.append(
            {
                "name": parameter.variable,
                "parameter": parameter.name,
                "type": format_annotation(parameter.annotation),
                "required": parameter.required,
                "schema": schema,
            }
        )
    return described
