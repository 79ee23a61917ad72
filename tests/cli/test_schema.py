"""A JSON Schema is formatted as the Python annotation from which it was created."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import Argument, CategoryColumn, Column, NumericColumn, Organization, rpc
from algotools.cli._describe import format_type
from algotools.declare.annotations import format_annotation
from algotools.declare.arguments import specify


class CountUnit(enum.Enum):
    PERSONS = "persons"
    VISITS = "visits"


@dataclass
class NestedGroup:
    column: Column
    inner: NestedGroup | None = None


@pytest.mark.usefixtures("nothing_registered")
@pytest.mark.parametrize(
    "annotation",
    [
        int, float, str, bool, list, dict, Any, int | None, Column, NumericColumn, dict[str, CategoryColumn],
        list[Column], list[Organization] | None,
        Literal["a", "b"], Literal[1, 2], CountUnit, NestedGroup, list[NestedGroup], dict[str, float],
        dict[str, list[int]],
        tuple[int, str], datetime.date, np.ndarray, list[np.ndarray] | None, pd.Series, Argument[pd.DataFrame],
    ],
)  # fmt: skip
def test_a_schema_is_formatted_as_its_annotation(annotation: Any) -> None:
    def function(argument: int) -> None:
        del argument

    function.__annotations__ = {"argument": annotation}
    schema = specify(rpc(function), "rpc").schema()
    properties, definitions = schema["properties"], schema.get("$defs", {})
    assert isinstance(properties, dict)
    assert isinstance(definitions, dict)
    assert format_type(properties["argument"], definitions) == format_annotation(annotation)


_KEYS = ["type", "anyOf", "items", "prefixItems", "enum", "$ref", "title", "additionalProperties", "format", "const"]
_VALUES = st.recursive(
    st.none() | st.integers() | st.sampled_from(["array", "object", "string", "#/$defs/a", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(_VALUES, st.dictionaries(st.sampled_from(["a", "b"]), _VALUES))
def test_any_schema_of_an_image_can_be_formatted(schema: object, definitions: dict[str, object]) -> None:
    assert format_type(schema, definitions)
