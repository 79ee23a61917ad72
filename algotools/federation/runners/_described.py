"""Check a call against the description of an algorithm that is not imported: the label of its image.

Only certain mistakes are refused. JSON Schema does not express everything that a signature does, so the container
checks the arguments again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from algotools.data import FORMS
from algotools.declare.arguments import Parameter
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.errors import ArgumentsError
from algotools.runtime.dispatch.checking import CallFacts, CheckedCall, CheckReply, assign_at_nodes, make_task
from algotools.task import Role, Step, Task


class _DescribedData(msgspec.Struct, frozen=True):
    parameter: str
    form: str
    label: str | None = None
    is_group: bool = msgspec.field(default=False, name="group")
    is_optional: bool = msgspec.field(default=False, name="optional")


class _DescribedArguments(msgspec.Struct, frozen=True):
    properties: dict[str, dict[str, Any]] = {}
    required: list[str] = []
    definitions: dict[str, Any] = msgspec.field(default_factory=dict, name="$defs")
    additional: bool = msgspec.field(default=True, name="additionalProperties")


class _DescribedVariable(msgspec.Struct, frozen=True):
    name: str


class _DescribedFunction(msgspec.Struct, frozen=True):
    """One function in a description, with the attributes of a ``RegisteredFunction`` that ``Algorithm.find`` reads."""

    method: str
    role: Role
    step: Step = "compute"
    function: str = ""
    """The name of the author's function, if it differs from the method."""
    variables: list[_DescribedVariable] = []
    databases: list[_DescribedData] = []
    arguments: _DescribedArguments = _DescribedArguments()
    derived_from: str | None = None

    @property
    def origin(self) -> tuple[str, str]:
        """Module and name of the author's function."""
        return "", self.function or self.method


def check_described(functions: Sequence[object], call: CheckedCall | None) -> CheckReply | None:
    """Check a call against described functions; None if the description is not that of this version of algotools.

    Raises:
        AlgotoolsError: every node would refuse the call.
    """
    try:
        described = msgspec.convert(functions, list[_DescribedFunction])
    except (msgspec.ValidationError, RecursionError):
        return None
    if not described:
        return None
    roles = {function.method: function.role for function in described}
    if call is None:
        return CheckReply(roles=roles, variables=_list_variables(described))
    task = make_task(call)
    by_method = cast("Mapping[str, RegisteredFunction]", {function.method: function for function in described})
    found = Algorithm("image", by_method).find(task.method, task.role, task.step, has_action=task.identity is not None)
    function = cast("_DescribedFunction", found)
    columns_by_argument = _check_arguments(function.arguments, task)
    forms = set(FORMS.values())
    is_known = all(database.form in forms for database in function.databases)
    parameters = tuple(map(_make_parameter, function.databases)) if is_known else ()
    tables = assign_at_nodes(call.generation, task.method, parameters, call.nodes)
    if function.role == "master" and not function.databases:  # an rpc may derive the other columns
        names = {name for rpc in described if rpc.role == "rpc" for name in _list_column_arguments(rpc.arguments)}
        columns_by_argument = {name: columns for name, columns in columns_by_argument.items() if name in names}
    columns = dict.fromkeys(column for columns in columns_by_argument.values() for column in columns)
    facts = CallFacts(method=task.method, role=function.role, columns=tuple(columns), tables=tables)
    return CheckReply(facts, roles=roles)


def _list_variables(functions: Sequence[_DescribedFunction]) -> dict[str, list[str]]:
    """Return method -> node variables. A description does not contain the rpcs of a master, so it has those of all."""
    names_by_method = {function.method: [variable.name for variable in function.variables] for function in functions}
    all_names = list(dict.fromkeys(name for names in names_by_method.values() for name in names))
    return names_by_method | {function.method: all_names for function in functions if function.role == "master"}


def _make_parameter(database: _DescribedData) -> Parameter:
    return Parameter(
        name=database.parameter,
        kind="data",
        annotation=None,
        positional_only=False,
        keyword_only=False,
        required=True,
        form=database.form,
        label=database.label,
        is_group=database.is_group,
        is_optional=database.is_optional,
    )


def _list_column_arguments(arguments: _DescribedArguments) -> list[str]:
    return [name for name, schema in arguments.properties.items() if _has_column(schema)]


def _has_column(schema: Mapping[str, Any]) -> bool:
    parts = schema.get("anyOf")
    inner = [schema.get("items"), *(parts if isinstance(parts, list) else ())]
    return schema.get("format") == "column" or any(_has_column(part) for part in inner if isinstance(part, Mapping))


def _check_arguments(arguments: _DescribedArguments, task: Task) -> dict[str, list[str]]:
    """Refuse arguments that the schema certainly excludes; return argument -> the columns that it names.

    Raises:
        ArgumentsError: lists all problems, like ``Specification.validate``.
    """
    values = {**dict(zip(arguments.properties, task.args, strict=False)), **task.kwargs}
    problems = []
    if not arguments.additional and (unknown := [name for name in values if name not in arguments.properties]):
        problems.append(f"unknown: {', '.join(name if name.isidentifier() else repr(name[:60]) for name in unknown)}")
    if not task.args and (missing := [name for name in arguments.required if name not in values]):
        problems.append(f"missing: {', '.join(missing)}")
    columns: dict[str, list[str]] = {}
    for name, schema in arguments.properties.items():
        if name not in values:
            default = schema.get("default")
            columns[name] = _find_columns(default, schema) if default is not None else []
            continue
        if fault := _find_fault(values[name], schema, arguments.definitions):
            problems.append(f"{name}: {fault}")
        columns[name] = _find_columns(values[name], schema)
    if problems:
        accepted = (name if name in arguments.required else f"[{name}]" for name in arguments.properties)
        raise ArgumentsError(f"{'; '.join(problems)} (the function takes {', '.join(accepted) or 'no arguments'})")
    return columns


_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "string": ("str", (str,)),
    "integer": ("int", (int, float)),
    "number": ("float", (int, float)),
    "boolean": ("bool", (bool,)),
    "array": ("array", (list,)),
    "object": ("object", (dict,)),
    "null": ("null", (type(None),)),
}
"""Type in JSON Schema -> its name in a message, and the Python types of its values."""

_KINDS = {str: "str", bool: "bool", int: "int", float: "float", list: "array", dict: "object", type(None): "null"}


def _find_fault(value: object, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return why a value cannot have a type; empty if it may have it."""
    kind = schema.get("type")
    if "format" in schema and schema["format"] != "column":
        return ""  # an array, a date, …: several JSON forms
    if isinstance(choices := schema.get("enum"), list):
        is_choice = any(value == choice and type(value) is type(choice) for choice in choices)
        is_number = isinstance(value, (int, float))
        return "" if is_choice or is_number else f"not an allowed value ({' | '.join(map(repr, choices))})"
    if isinstance(parts := schema.get("anyOf"), list):
        faults = [_find_fault(value, part, definitions) if isinstance(part, Mapping) else "" for part in parts]
        if not all(faults):
            return ""
        names = [_TYPES[str(part.get("type"))][0] for part in parts if str(part.get("type")) in _TYPES]
        return f"expected {' | '.join(names)}, got {_KINDS.get(type(value), 'another value')}"
    if not isinstance(kind, str) or kind not in _TYPES:
        return ""
    name, types = _TYPES[kind]
    is_wrong_boolean = isinstance(value, bool) and kind in ("integer", "number")
    is_fraction = kind == "integer" and isinstance(value, float) and not value.is_integer()
    if not isinstance(value, types) or is_wrong_boolean or is_fraction:
        return f"expected {name}, got {_KINDS.get(type(value), 'another value')}"
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, Mapping):
        faults = [
            f"{fault} at [{i}]" for i, item in enumerate(value) if (fault := _find_fault(item, items, definitions))
        ]
        return faults[0] if faults else ""
    return ""


def _find_columns(value: object, schema: Mapping[str, Any]) -> list[str]:
    """Return the names of columns in a value, as far as the schema is simple enough to be certain."""
    return list(dict.fromkeys(_iterate_columns(value, schema)))


def _iterate_columns(value: object, schema: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(parts := schema.get("anyOf"), list):
        parts = [part for part in parts if isinstance(part, Mapping) and part.get("type") != "null"]
        if value is not None and len(parts) == 1:
            yield from _iterate_columns(value, parts[0])
    elif schema.get("format") == "column" and isinstance(value, str):
        yield value
    elif isinstance(value, list) and isinstance(items := schema.get("items"), Mapping):
        for item in value:
            yield from _iterate_columns(item, items)
