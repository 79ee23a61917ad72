"""JSON Schema of annotations: what msgspec writes, and what algotools checks in addition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from algotools.declare._arrays import describe_schema
from algotools.declare._nested import Walk


def build_schemas(annotations: Sequence[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the JSON Schema of each annotation, and the definitions that the schemas refer to.

    Objects refuse unknown keys, and fields have the bounds that msgspec does not know.
    """
    walk = Walk()
    fields = []
    for annotation in annotations:
        for cls in walk.find_classes(annotation):
            known = walk.fields_of(cls)
            fields += [(cls, key, bounded) for key, bounded in (known.bounded.items() if known else ())]
    # One call for all types, because msgspec chooses the names of the definitions.
    types = [*annotations, *(cls for cls, _, _ in fields), *(bounded for _, _, bounded in fields)]
    components, definitions = msgspec.json.schema_components(
        types, schema_hook=describe_schema, ref_template="#/$defs/{name}"
    )
    schemas = list(components)
    references, bounds = schemas[len(annotations) : -len(fields) or None], schemas[len(schemas) - len(fields) :]
    for (_, key, _), reference, bound in zip(fields, references, bounds, strict=True):
        properties = definitions[reference["$ref"].rpartition("/")[2]].get("properties", {})
        if key in properties:
            properties[key] = {**bound, **{k: v for k, v in properties[key].items() if k in ("default", "description")}}
    for definition in definitions.values():
        if "properties" in definition:
            definition.setdefault("additionalProperties", False)
    return schemas[: len(annotations)], definitions
