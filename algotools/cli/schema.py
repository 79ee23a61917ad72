"""A JSON Schema in a reader's words: ``list[Column]``, ``int | None``.

It may come from an image of whoever, so nothing in it is taken for granted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}

_FORMATS = {
    "column": "Column",
    "organization": "Organization",
    "date-time": "datetime",
    "date": "date",
    "time": "time",
    "duration": "timedelta",
    "uuid": "UUID",
    "decimal": "Decimal",
}

_DEEPEST = 8
"""A type that is nested deeper helps no reader, and one that holds itself has no end."""


def in_words(schema: object, definitions: Mapping[str, Any], depth: int = 0) -> str:
    """What a value must be."""
    if not isinstance(schema, Mapping) or not schema or depth > _DEEPEST:
        return "Any"

    def inner(part: object) -> str:
        return in_words(part, definitions, depth + 1)

    if isinstance(reference := schema.get("$ref"), str):
        name = reference.rpartition("/")[2]
        target = definitions.get(name)
        return inner(target) if isinstance(target, Mapping) and "enum" in target else name
    if isinstance(values := schema.get("enum"), list):
        return " | ".join(map(repr, values)) or "Any"
    if "const" in schema:
        return repr(schema["const"])
    for key in ("anyOf", "oneOf"):
        if isinstance(parts := schema.get(key), list):
            return " | ".join(dict.fromkeys(map(inner, parts))) or "Any"
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(dict.fromkeys(inner({**schema, "type": one}) for one in kind)) or "Any"
    if kind == "array":
        return _array(schema, inner)
    if kind == "object":
        return _object(schema, inner)
    return _FORMATS.get(str(schema.get("format"))) or _NAMES.get(str(kind), "Any")


def _array(schema: Mapping[str, Any], inner: Any) -> str:
    if isinstance(parts := schema.get("prefixItems"), Sequence):
        return f"tuple[{', '.join(map(inner, parts))}]"
    return f"list[{inner(schema['items'])}]" if schema.get("items") else "list"


def _object(schema: Mapping[str, Any], inner: Any) -> str:
    if isinstance(title := schema.get("title"), str):
        return title
    values = schema.get("additionalProperties")
    return f"dict[str, {inner(values)}]" if isinstance(values, Mapping) and values else "dict"
