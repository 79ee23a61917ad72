"""The JSON Schema of arguments agrees with their validation."""

import dataclasses
import datetime
import enum
import json
import math
from typing import Annotated, Any, Literal, NamedTuple

import jsonschema
import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import Column, Organization
from algotools.declare.annotations import format_annotation
from algotools.declare.arguments import Specification, specify
from algotools.errors import ArgumentsError

from .values import Circle, Point, Sex, Square


class Dose(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Interval:
    """From low to high."""

    low: float
    high: float | None = None


class NamedPair(NamedTuple):
    left: int
    right: str = ""


class Patient(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    ranges: list[Interval] = []


def specify_argument(annotation: Any) -> Specification:
    """Return the specification of a function with one argument."""

    def function(data: pd.DataFrame, value: annotation) -> int:
        return 1

    return specify(function, "rpc")


def accepts(specification: Specification, arguments: dict[str, Any]) -> bool:
    """Whether validation accepts the arguments."""
    try:
        specification.validate((), arguments)
    except ArgumentsError:
        return False
    return True


def schema_accepts(specification: Specification, arguments: dict[str, Any]) -> bool:
    """Whether the JSON Schema accepts the arguments."""
    schema = json.loads(json.dumps(specification.schema(), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(arguments)


integers = st.integers(-(2**70), 2**70)
numbers = st.one_of(integers, st.floats().filter(lambda x: not (math.isfinite(x) and x.is_integer())))
"""JSON Schema accepts 3.0 as an integer, algotools does not."""
texts = st.text(max_size=5)
ranges = st.fixed_dictionaries({"low": numbers}, optional={"high": st.one_of(numbers, st.none())})

SHAPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, integers),
    (float, numbers),
    (bool, st.booleans()),
    (str, texts),
    (int | None, st.one_of(integers, st.none())),
    (int | str, st.one_of(integers, texts)),
    (list[float], st.lists(numbers, max_size=3)),
    (set[str], st.lists(texts, max_size=3, unique=True)),
    (tuple[int, str], st.tuples(integers, texts).map(list)),
    (tuple[int, ...], st.lists(integers, max_size=3)),
    (dict[str, list[int]], st.dictionaries(texts, st.lists(integers, max_size=2), max_size=2)),
    (Sex, st.sampled_from("fm")),
    (Dose, st.sampled_from([1, 2])),
    (Literal["a", 3], st.sampled_from(["a", 3])),
    (Interval, ranges),
    (Point, st.fixed_dictionaries({"x": integers, "y": integers})),
    (NamedPair, st.tuples(integers, texts).map(list)),
    (Patient, st.fixed_dictionaries({"name": texts}, optional={"ranges": st.lists(ranges, max_size=2)})),
    (list[Interval] | None, st.one_of(st.none(), st.lists(ranges, max_size=2))),
    (
        Circle | Square,
        st.one_of(
            st.fixed_dictionaries({"type": st.just("circle"), "radius": numbers}),
            st.fixed_dictionaries({"type": st.just("square"), "side": numbers}),
        ),
    ),
    (Annotated[int, msgspec.Meta(ge=0, lt=10)], st.integers(0, 9)),
    (Annotated[str, msgspec.Meta(min_length=1, max_length=3)], st.text(min_size=1, max_size=3)),
    (Annotated[list[int], msgspec.Meta(max_length=2)], st.lists(integers, max_size=2)),
    (Column, texts),
    (list[Column] | None, st.one_of(st.none(), st.lists(texts, max_size=2))),
    (Organization, integers),
    (Any, st.one_of(numbers, texts)),
]
SPECIFICATIONS = [(specify_argument(annotation), valid) for annotation, valid in SHAPES]

anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.sampled_from(["f", "m", "a", "circle", ""]), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from(["x", "y", "low", "high", "name", "type", "radius"]), texts), inner, max_size=3
        ),
    ),
    max_leaves=5,
)


@given(st.sampled_from(SPECIFICATIONS).flatmap(lambda shape: st.tuples(st.just(shape[0]), shape[1])))
def test_what_is_right_is_accepted_by_both(case):
    specification, value = case
    assert accepts(specification, {"value": value})
    assert schema_accepts(specification, {"value": value})


ALIKE = [shape for shape in SPECIFICATIONS if "set[str]" not in str(shape[0])]
"""A list that names something twice makes a set all the same, though the schema wants each once."""


@given(st.sampled_from(ALIKE), anything)
def test_whatever_comes_both_are_of_one_mind(shape, value):
    specification, _ = shape
    assert accepts(specification, {"value": value}) == schema_accepts(specification, {"value": value})


WRONG = [
    (int, "3"),
    (int, True),
    (int, 2.5),
    (float, "2.5"),
    (str, 3),
    (bool, 1),
    (int | None, "x"),
    (list[int], [1, "2"]),
    (list[int], 3),
    (tuple[int, str], [1]),
    (tuple[int, str], [1, "a", 2]),
    (dict[str, int], {"a": "1"}),
    (Sex, "x"),
    (Dose, 3),
    (Literal["a", 3], "b"),
    (Interval, {"high": 1}),
    (Interval, {"low": "1"}),
    (Point, {"x": 1}),
    (NamedPair, ["a"]),
    (Patient, {"name": "n", "more": 1}),
    (Patient, {"name": "n", "ranges": [{}]}),
    (Circle | Square, {"type": "star", "side": 1}),
    (Circle | Square, {"type": "circle", "side": 1}),
    (Annotated[int, msgspec.Meta(ge=0)], -1),
    (Column, 3),
    (list[Column], "age"),
    (Organization, "3"),
    (Organization, True),
]


@pytest.mark.parametrize(("annotation", "value"), WRONG)
def test_what_is_wrong_is_refused_by_both(annotation, value):
    assert not accepts(specify_argument(annotation), {"value": value})
    assert not schema_accepts(specify_argument(annotation), {"value": value})


def example(
    data: pd.DataFrame,
    column: Column,
    organizations: list[Organization],
    sex: Sex = Sex.FEMALE,
    area: Interval | None = None,
    weights: dict[int, float] = {1: 0.5},  # noqa: B006 - nobody changes it
    since: datetime.date = datetime.date(2024, 1, 31),
    *,
    upper: float = math.inf,
) -> int:
    return 1


EXAMPLE = specify(example, "rpc")


@pytest.mark.parametrize(
    "arguments",
    [
        {"column": "a"},
        {},
        {"column": "a", "organizations": [1], "data": 1},
        {"column": "a", "organizations": [1], "z": 1},
    ],
)
def test_missing_and_extra_arguments_are_refused_by_both(arguments):
    assert not accepts(EXAMPLE, arguments)
    assert not schema_accepts(EXAMPLE, arguments)


def test_absent_arguments_with_a_default_are_accepted_by_both():
    assert accepts(EXAMPLE, {"column": "a", "organizations": [1]})
    assert schema_accepts(EXAMPLE, {"column": "a", "organizations": [1]})


def test_the_schema_contains_formats_types_and_defaults():
    assert EXAMPLE.schema() == {
        "type": "object",
        "properties": {
            "column": {"type": "string", "format": "column"},
            "organizations": {"type": "array", "items": {"type": "integer", "format": "organization"}},
            "sex": {"$ref": "#/$defs/Sex", "default": "f"},
            "area": {"anyOf": [{"$ref": "#/$defs/Interval"}, {"type": "null"}], "default": None},
            "weights": {"type": "object", "additionalProperties": {"type": "number"}, "default": {"1": 0.5}},
            "since": {"type": "string", "format": "date", "default": "2024-01-31"},
            "upper": {"type": "number"},
        },
        "required": ["column", "organizations"],
        "additionalProperties": False,
        "$defs": {
            "Sex": {"title": "Sex", "enum": ["f", "m"]},
            "Interval": {
                "title": "Interval",
                "description": "From low to high.",
                "type": "object",
                "properties": {
                    "low": {"type": "number"},
                    "high": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
                },
                "required": ["low"],
                "additionalProperties": False,
            },
        },
    }


def test_the_schema_is_json():
    assert json.loads(json.dumps(EXAMPLE.schema(), allow_nan=False)) == EXAMPLE.schema()


@pytest.mark.parametrize(("annotation", "default"), [(float, math.nan), (list[float], [1.0, -math.inf])])
def test_a_default_without_a_json_form_is_omitted(annotation, default):
    def function(value: annotation = default) -> int:
        return 1

    schema = specify(function, "rpc").schema()
    assert "default" not in schema["properties"]["value"]
    assert schema["required"] == []


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (None, "None"),
        (type(None), "None"),
        (int | None, "int | None"),
        (Column, "Column"),
        (list[Column], "list[Column]"),
        (list[Organization] | None, "list[Organization] | None"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Literal["a", 1] | None, "'a' | 1 | None"),
        (Sex, "'f' | 'm'"),
        (Interval, "Interval"),
        (Annotated[int, msgspec.Meta(ge=0)], "int"),
        (Any, "Any"),
        (pd.DataFrame, "DataFrame"),
    ],
)
def test_an_annotation_is_formatted_as_python_code(annotation, text):
    assert format_annotation(annotation) == text
