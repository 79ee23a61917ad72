"""The metadata of an algorithm for an algorithm store, from signatures and docstrings; see also ``metadata``.

The result is the body of the store's ``POST /algorithm``. v3 has no store. ``docs/store.md`` is the page for authors.
"""

from __future__ import annotations

import enum
import itertools
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal

import docstring_parser

from algotools.data.kinds import KINDS
from algotools.declare.annotations import KIND_KEY
from algotools.declare.arguments import Parameter
from algotools.declare.description import add_default_policy, describe
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.declare.masters import find_named_rpcs
from algotools.project.metadata import Metadata, humanize
from algotools.task import Role

Generation = Literal[4, 5]


class StoreChoice(str, enum.Enum):
    """The generations with a store, as choices of the command line. Python callers pass a ``Generation``."""

    V4 = "4"
    V5 = "5"


_VERSIONS: dict[Generation, str] = {4: "4.15", 5: "5.0"}
"""Generation -> the version of vantage6 whose store accepts the metadata (the tests check it)."""

_STEPS: dict[Generation, tuple[str, dict[Role, str]]] = {
    4: ("type", {"master": "central", "rpc": "federated"}),
    5: ("step_type", {"master": "central_compute", "rpc": "federated_compute"}),
}

_FORMATS = {("string", "column"): "column", ("integer", "organization"): "organization"}
_SCALARS = {"string": "string", "integer": "integer", "number": "float", "boolean": "boolean"}
_LISTS = {"column", "organization", "string", "integer", "float"}
"""The types that have a list type in the store."""

_Schema = Mapping[str, Any]


def build_metadata(algorithm: Algorithm, metadata: Metadata, generation: Generation) -> dict[str, Any]:
    """Return the metadata of an algorithm for the store of a generation, as JSON-compatible values."""
    described = {function["method"]: function for function in describe(algorithm)["functions"]}
    result: dict[str, Any] = {
        "name": metadata.name,
        "description": add_default_policy(metadata.description or ""),
        "image": metadata.image,
        "partitioning": metadata.partitioning,
        "vantage6_version": _VERSIONS[generation],
        "code_url": metadata.code_url,
        "documentation_url": metadata.documentation_url,
        "functions": [
            _describe_function(function, described, algorithm, generation)
            for function in algorithm.functions.values()
            if generation >= 5 or function.step == "compute"  # v4 has no session steps
        ],
    }
    return {key: value for key, value in result.items() if value is not None}


def _describe_function(
    function: RegisteredFunction, descriptions: Mapping[str, Any], algorithm: Algorithm, generation: Generation
) -> dict[str, Any]:
    key, steps = _STEPS[generation]
    described = descriptions[function.method]
    schema = described["arguments"]
    methods = [reader.method for reader in (function, *_find_readers(function, algorithm))]
    variables = _describe_variables(methods, descriptions)
    return {
        "name": function.method,
        "display_name": humanize(function.method),
        "description": "\n\n".join(filter(None, (described["description"], variables))),
        key: steps[function.role] if function.step == "compute" else function.step,
        "standalone": function.standalone,
        "databases": _list_databases(function, algorithm, generation),
        "arguments": [
            _describe_argument(
                name, form, schema.get("$defs", {}), required=name in schema["required"], generation=generation
            )
            for name, form in schema["properties"].items()
        ],
    }


def _describe_variables(methods: list[str], described: Mapping[str, Any]) -> str:
    """Return a sentence about the node variables of functions, because the store has no field for them."""
    texts: dict[str, str] = {}
    for variable in (variable for method in methods for variable in described[method]["variables"]):
        schema = variable["schema"]
        default = "required" if variable["required"] else f"default {json.dumps(schema.get('default'))}"
        text = f"{variable['name']} ({variable['type']}, {default})"
        meaning = str(schema.get("description", "")).rstrip(".")
        texts.setdefault(variable["name"], f"{text}: {meaning}" if meaning else text)
    return f"Variables that the node's owner sets: {'; '.join(texts.values())}." if texts else ""


def _list_databases(function: RegisteredFunction, algorithm: Algorithm, generation: Generation) -> list[dict[str, Any]]:
    """Return the databases that a task must name: those of the function, and those of a master's subtasks.

    A subtask gets its databases from the task of the master. As in the dispatcher, a parameter with a label selects the
    database with the label; parameters without a label get the first databases of the task, in order.
    """
    databases: dict[str | int, dict[str, Any]] = {}
    groups: dict[str | int, bool] = {}
    for reader in (function, *_find_readers(function, algorithm)):
        descriptions = {p.arg_name: p.description or "" for p in docstring_parser.parse(reader.__doc__ or "").params}
        positions = itertools.count()
        for parameter in reader.specification.data:
            key = next(positions) if parameter.label is None else parameter.label
            name = humanize(parameter.name) if parameter.label is None else parameter.label
            used_names = {database["name"] for used_key, database in databases.items() if used_key != key}
            # The UI identifies databases by name, so names must be unique.
            item = {"name": f"{name} ({len(databases) + 1})" if name in used_names else name}
            if description := " ".join((*descriptions.get(parameter.name, "").split(), *_describe_use(parameter))):
                item["description"] = description
            groups[key] = groups.get(key, False) or parameter.is_group
            databases.setdefault(key, item)
    if generation < 5:
        return list(databases.values())
    return [{**database, "multiple": groups[key]} for key, database in databases.items()]


def _describe_use(parameter: Parameter) -> Iterator[str]:
    """Yield sentences about a parameter that receives several tables or None, for which v4 has no field."""
    if parameter.is_group:
        yield "Any number of databases, by label."
    if parameter.is_optional:
        yield "Optional."


def _find_readers(function: RegisteredFunction, algorithm: Algorithm) -> list[RegisteredFunction]:
    """Return the rpcs that a master may call: the rpcs that its code names, or all rpcs if it names none."""
    if not function.specification.injects("client"):
        return []
    functions = algorithm.functions.values()
    rpcs = [candidate for candidate in functions if candidate.role == "rpc" and candidate.step == "compute"]
    origins = {rpc.origin for rpc in find_named_rpcs(function)}
    return [rpc for rpc in rpcs if rpc.origin in origins] or rpcs


def _describe_argument(
    name: str, schema: _Schema, definitions: _Schema, *, required: bool, generation: Generation
) -> dict[str, Any]:
    """Return an item of a function's ``arguments``; *definitions* are the ``$defs`` of the argument's JSON Schema."""
    kind = _find_type(schema, definitions)
    allowed = _list_allowed_values(schema, definitions) if kind in {"string", "integer"} else []
    result: dict[str, Any] = {"name": name, "display_name": humanize(name)}
    if description := _find_description(schema):
        result["description"] = description
    result["type"] = kind
    if allowed:
        # The store compares allowed values with the text of the default, so numbers are written as text, too.
        result["allowed_values"] = list(map(str, allowed))
    if not required:
        # The default is null if it is None, or a value that JSON does not have. For null the UI omits the argument, and
        # the function uses its own default.
        default = _encode_default(schema, definitions, kind, generation)
        result |= {"has_default_value": True, "default_value": default}
    return result


def _find_type(schema: _Schema, definitions: _Schema) -> str:
    """Return the store's type for a schema: the common type of its forms except null, or ``json`` if they differ."""
    kinds = {
        _find_form_type(form, definitions) for form in _split_forms(schema, definitions) if form.get("type") != "null"
    }
    if kinds == {"integer", "float"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "json"


def _split_forms(schema: _Schema, definitions: _Schema) -> Iterator[_Schema]:
    """Yield the alternatives of a schema. A null among the values of an enum is an alternative, too."""
    if "$ref" in schema:
        yield from _split_forms(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    elif "anyOf" in schema:
        for form in schema["anyOf"]:
            yield from _split_forms(form, definitions)
    elif None in schema.get("enum", ()):
        yield {"type": "null"}
        yield {**schema, "enum": [value for value in schema["enum"] if value is not None]}
    else:
        yield schema


def _find_form_type(form: _Schema, definitions: _Schema) -> str:
    if "enum" in form:
        kinds = {type(value) for value in form["enum"]}
        return {str: "string", int: "integer"}.get(kinds.pop(), "json") if len(kinds) == 1 else "json"
    if form.get("type") == "array":
        items = form.get("prefixItems") or [form.get("items") or {}]
        if any(part.get("type") in {"null", "array"} for item in items for part in _split_forms(item, definitions)):
            return "json"  # v4's store fails for a null in a list of numbers, and nested arrays may be recursive
        kind = _find_type({"anyOf": items}, definitions)
        return f"{kind}_list" if kind in _LISTS else "json"
    kind, format_name = str(form.get("type")), str(form.get("format"))
    return _FORMATS.get((kind, format_name)) or _SCALARS.get(kind, "json")


def _list_allowed_values(schema: _Schema, definitions: _Schema) -> list[Any]:
    """Return the values of an enumeration; empty if the schema allows any other value."""
    forms = [form for form in _split_forms(schema, definitions) if form.get("type") != "null"]
    if not all("enum" in form for form in forms):
        return []
    return list(dict.fromkeys(value for form in forms for value in form["enum"]))


def _find_description(schema: _Schema) -> str:
    """Return the description from the docstring, or from the annotation ``Annotated[int, Meta(description=…)]``.

    The stores have no field for the kind of a column, so the description names the kind.
    """
    forms = (schema, *schema.get("anyOf", ()))
    text = next((str(form["description"]) for form in forms if "description" in form), "")
    kinds = {form[KIND_KEY] for part in forms for form in (part, part.get("items") or {}) if KIND_KEY in form}
    end = "." if text and text[-1] not in ".!?:;" and kinds else ""
    return " ".join(filter(None, (f"{text}{end}", *(f"Needs {KINDS[kind]}." for kind in sorted(kinds)))))


def _encode_default(schema: _Schema, definitions: _Schema, kind: str, generation: Generation) -> Any:
    value = schema.get("default")
    if value is None:
        return None
    if isinstance(value, list) and any("uniqueItems" in form for form in _split_forms(schema, definitions)):
        value = sorted(value, key=json.dumps)  # the order of a set varies between processes
    if isinstance(value, str) and kind != "json":
        return value
    text = json.dumps(value, ensure_ascii=False)
    if kind == "float" and "e" in text:
        return format(Decimal(text), "f")  # the UI's input field refuses an exponent, as in 1e-05
    # v4 stores every default as text. Both stores parse the text of a json argument as JSON, so a string is quoted.
    return value if generation >= 5 and not isinstance(value, str) else text
