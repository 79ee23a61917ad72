"""A schema, which any image may bring, reads as the annotation that ours was made from."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import Column, Organization, rpc
from algotools.arguments import describe as annotation_in_words
from algotools.arguments import specify
from algotools.cli.schema import in_words


class Unit(enum.Enum):
    PERSONS = "persons"
    VISITS = "visits"


@dataclass
class Group:
    column: Column
    inner: Group | None = None


@pytest.mark.usefixtures("nothing_registered")
@pytest.mark.parametrize(
    "annotation",
    [
        int, float, str, bool, list, dict, Any, int | None, Column, list[Column], list[Organization] | None,
        Literal["a", "b"], Literal[1, 2], Unit, Group, list[Group], dict[str, float], dict[str, list[int]],
        tuple[int, str], datetime.date,
    ],
)  # fmt: skip
def test_it_reads_as_the_annotation(annotation: Any) -> None:
    def function(argument: int) -> None:
        del argument

    function.__annotations__ = {"argument": annotation}
    schema = specify(rpc(function), "rpc").schema()
    properties, definitions = schema["properties"], schema.get("$defs", {})
    assert isinstance(properties, dict)
    assert isinstance(definitions, dict)
    assert in_words(properties["argument"], definitions) == annotation_in_words(annotation)


_KEYS = ["type", "anyOf", "items", "prefixItems", "enum", "$ref", "title", "additionalProperties", "format", "const"]
_VALUES = st.recursive(
    st.none() | st.integers() | st.sampled_from(["array", "object", "string", "#/$defs/a", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(_VALUES, st.dictionaries(st.sampled_from(["a", "b"]), _VALUES))
def test_whatever_an_image_brings_has_words(schema: object, definitions: dict[str, object]) -> None:
    assert in_words(schema, definitions)
