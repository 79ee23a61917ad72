"""One argument as the store describes it, from its JSON Schema.

The schema says which JSON form a value has, whatever the annotation is called; the store knows twelve forms.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from algotools.store.project import words

_FORMATS = {("string", "column"): "column", ("integer", "organization"): "organization"}

_SCALARS = {"string": "string", "integer": "integer", "number": "float", "boolean": "boolean"}

_LISTS = {"column", "organization", "string", "integer", "float"}
"""What the store has lists of."""

_Schema = Mapping[str, Any]


def argument(name: str, schema: _Schema, definitions: _Schema, *, required: bool, native: bool) -> dict[str, Any]:
    """An item of a function's ``arguments``.

    ``native`` says whether a default is written as the JSON value that it is (v5) or always as text (v4).
    """
    kind = kind_of(schema, definitions)
    allowed = _allowed(schema, definitions) if kind in {"string", "integer"} else []
    result: dict[str, Any] = {"name": name, "display_name": words(name)}
    if description := _description(schema):
        result["description"] = description
    result["type"] = kind
    if allowed:
        # As text, numbers too: the store keeps them so, and compares them with the text of the default.
        result["allowed_values"] = list(map(str, allowed))
    if not required:
        # Null where None is the default, or a value that JSON does not have. The UI then sends nothing, and the
        # function's own default holds.
        result |= {"has_default_value": True, "default_value": _default(schema, definitions, kind, native=native)}
    return result


def kind_of(schema: _Schema, definitions: _Schema) -> str:
    """The store's type of a value: the one that all of its forms but null have, else ``json``."""
    kinds = {_kind(form, definitions) for form in _forms(schema, definitions) if form.get("type") != "null"}
    if kinds == {"integer", "float"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "json"


def _forms(schema: _Schema, definitions: _Schema) -> Iterator[_Schema]:
    """The alternatives that a schema allows; None among an enum's values is one of its own."""
    if "$ref" in schema:
        yield from _forms(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    elif "anyOf" in schema:
        for form in schema["anyOf"]:
            yield from _forms(form, definitions)
    elif None in schema.get("enum", ()):
        yield {"type": "null"}
        yield {**schema, "enum": [value for value in schema["enum"] if value is not None]}
    else:
        yield schema


def _kind(form: _Schema, definitions: _Schema) -> str:
    if "enum" in form:
        kinds = {type(value) for value in form["enum"]}
        return {str: "string", int: "integer"}.get(kinds.pop(), "json") if len(kinds) == 1 else "json"
    if form.get("type") == "array":
        items = form.get("prefixItems") or [form.get("items") or {}]
        if any(part.get("type") in {"null", "array"} for item in items for part in _forms(item, definitions)):
            return "json"  # v4's store fails on a null in a list of numbers; arrays in arrays may have no end
        kind = kind_of({"anyOf": items}, definitions)
        return f"{kind}_list" if kind in _LISTS else "json"
    kind, meaning = str(form.get("type")), str(form.get("format"))
    return _FORMATS.get((kind, meaning)) or _SCALARS.get(kind, "json")


def _allowed(schema: _Schema, definitions: _Schema) -> list[Any]:
    """The values of an enumeration; none if any other form is possible as well."""
    forms = [form for form in _forms(schema, definitions) if form.get("type") != "null"]
    if not all("enum" in form for form in forms):
        return []
    return list(dict.fromkeys(value for form in forms for value in form["enum"]))


def _description(schema: _Schema) -> str:
    """The docstring's words, else those in the annotation: ``Annotated[int, Meta(description=…)]``."""
    if "description" in schema:
        return str(schema["description"])
    forms = schema.get("anyOf", ())
    return next((str(form["description"]) for form in forms if "description" in form), "")


def _default(schema: _Schema, definitions: _Schema, kind: str, *, native: bool) -> Any:
    value = schema.get("default")
    if value is None:
        return None
    if isinstance(value, list) and any("uniqueItems" in form for form in _forms(schema, definitions)):
        value = sorted(value, key=json.dumps)  # a set has another order each time
    if isinstance(value, str) and kind != "json":
        return value
    text = json.dumps(value, ensure_ascii=False)
    if kind == "float" and "e" in text:
        return format(Decimal(text), "f")  # the UI's field takes no exponents
    # The store reads a text of type json as JSON.
    return value if native and not isinstance(value, str) else text
