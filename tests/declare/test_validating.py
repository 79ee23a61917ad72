"""Arguments are validated strictly. The message lists all problems and contains no value."""

import dataclasses
import datetime
import decimal
import math
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import Column, Organization
from algotools.declare.arguments import Specification, specify
from algotools.errors import ArgumentsError

from .values import Circle, Point, Sex, Square


@dataclasses.dataclass
class Range:
    low: float
    high: float = 10.0


class Person(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    ranges: list[Range] = []


class Pair(NamedTuple):
    left: int
    right: int


@dataclasses.dataclass
class Picky:
    """Raise an error with the value in its text, an error without a text, or a KeyError, by the length of the text."""

    text: str

    def __post_init__(self) -> None:
        if len(self.text) % 3 == 0:
            raise ValueError(f"{self.text} is refused")
        if len(self.text) % 3 == 1:
            raise ValueError
        raise KeyError(self.text)


def specify_argument(annotation: Any) -> Specification:
    """Return the specification of a function with one argument."""

    def function(data: pd.DataFrame, value: annotation) -> int:
        return 1

    return specify(function, "rpc")


def get_refusal(check: Callable[[], object]) -> str:
    with pytest.raises(ArgumentsError) as refused:
        check()
    assert not refused.value.detail
    return str(refused.value)


ACCEPTED = [
    (int, 3, 3),
    (int, 10**30, 10**30),
    (float, 3, 3.0),
    (float, 2.5, 2.5),
    (float, math.inf, math.inf),
    (str, "3", "3"),
    (bool, True, True),
    (int | None, None, None),
    (int | str, "x", "x"),
    (list[int], [1, 2], [1, 2]),
    (set[str], ["a", "b", "a"], {"a", "b"}),
    (tuple[int, str], [1, "a"], (1, "a")),
    (dict[str, float], {"a": 1}, {"a": 1.0}),
    (dict[int, float], {"3": 1.5}, {3: 1.5}),
    (dict[Sex, int], {"f": 1}, {Sex.FEMALE: 1}),
    (Sex, "f", Sex.FEMALE),
    (Literal["a", "b"], "b", "b"),
    (Range, {"low": 1}, Range(1.0, 10.0)),
    (Point, {"x": 1, "y": 2}, {"x": 1, "y": 2}),
    (Pair, [1, 2], Pair(1, 2)),
    (Person, {"name": "n", "ranges": [{"low": 0, "high": 1}]}, Person("n", [Range(0.0, 1.0)])),
    (Circle | Square, {"type": "square", "side": 2}, Square(2.0)),
    (datetime.date, "2024-02-29", datetime.date(2024, 2, 29)),
    (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
    (Any, {"what": ["ever"]}, {"what": ["ever"]}),
    (Column, "age", "age"),
    (Organization, 3, 3),
]


@pytest.mark.parametrize(("annotation", "sent", "expected"), ACCEPTED)
def test_a_value_is_converted_to_the_annotation(annotation, sent, expected):
    value = specify_argument(annotation).validate((), {"value": sent})["value"]
    assert value == expected
    assert type(value) is type(expected)


def test_nan_is_a_float():
    assert math.isnan(specify_argument(float).validate((), {"value": math.nan})["value"])


REFUSED = [
    (int, "3", "expected int, got str"),
    (int, True, "expected int, got bool"),
    (int, 3.0, "expected int, got float"),
    (int, None, "expected int, got null"),
    (float, "2.5", "expected float, got str"),
    (float, False, "expected float, got bool"),
    (float, 10**400, "number out of range"),
    (str, 3, "expected str, got int"),
    (bool, 1, "expected bool, got int"),
    (bool, "true", "expected bool, got str"),
    (int | None, "none", "expected int | null, got str"),
    (list[int], "123", "expected array, got str"),
    (list[int], [1, "2"], "expected int, got str at [1]"),
    (dict[str, int], {"a": "1"}, "expected int, got str at [...]"),
    (dict[int, float], {"a": 1.0}, "expected int, got str in a key"),
    (tuple[int, str], [1], "expected array of length 2, got 1"),
    (Sex, "x", "not an allowed value ('f' | 'm')"),
    (list[Sex], ["f", "x"], "not an allowed value ('f' | 'm') at [1]"),
    (dict[Sex, int], {"x": 1}, "not an allowed value ('f' | 'm') in a key"),
    (Literal["a", "b"], "c", "not an allowed value ('a' | 'b')"),
    (Literal[1, 2] | None, 3, "not an allowed value (1 | 2 | None)"),
    (Range, {"high": 1}, "object missing required field low"),
    (Range, {"low": "1"}, "expected float, got str at .low"),
    (Point, {"x": 1}, "object missing required field y"),
    (Person, {"name": "n", "age": 3}, "unknown field age (Person has name, ranges)"),
    (Person, {"name": "n", "ranges": [{"low": "0"}]}, "expected float, got str at .ranges[0].low"),
    (Circle | Square, {"type": "star"}, "object of an unknown type (choose from 'circle', 'square')"),
    (Picky, {"text": "abc"}, "not a valid Picky (ValueError)"),
    (Picky, {"text": "a"}, "not a valid Picky (ValueError)"),
    (Picky, {"text": "ab"}, "not a valid Picky (KeyError)"),
    (Annotated[int, msgspec.Meta(ge=3)], 2, "expected int >= 3"),
    (datetime.date, "yesterday", "invalid RFC3339 encoded date"),
]


@pytest.mark.parametrize(("annotation", "sent", "reason"), REFUSED)
def test_a_value_of_another_type_is_refused(annotation, sent, reason):
    message = get_refusal(lambda: specify_argument(annotation).validate((), {"value": sent}))
    assert message.startswith(f"value: {reason} (the function takes value: ")


class Tree(msgspec.Struct):
    children: "list[Tree]"


def test_an_infinitely_nested_value_is_refused():
    tree: dict[str, Any] = {"children": []}
    tree["children"].append(tree)
    message = get_refusal(lambda: specify_argument(Tree).validate((), {"value": tree}))
    assert message.startswith("value: nested too deeply, or a number is too large (")


def three(data: pd.DataFrame, column: Column, limit: int, ratio: float = 0.5) -> int:
    return 1


THREE = specify(three, "rpc")


def test_the_message_lists_all_problems():
    message = get_refusal(lambda: THREE.validate((), {"limit": "x", "ratio": "y", "colunm": "age", "other thing": 1}))
    assert message == (
        "unknown: colunm, 'other thing'; missing: column; limit: expected int, got str; "
        "ratio: expected float, got str (the function takes column: Column, limit: int, [ratio: float])"
    )


def test_an_injected_parameter_is_not_an_argument():
    assert "unknown: data" in get_refusal(lambda: THREE.validate((), {"data": 1, "column": "age", "limit": 1}))


def test_arguments_are_accepted_by_position_and_by_name():
    assert THREE.validate(("age", 3), {}) == {"column": "age", "limit": 3}
    assert THREE.validate(("age",), {"limit": 3}) == {"column": "age", "limit": 3}
    assert THREE.validate((), {"limit": 3, "column": "age"}) == {"column": "age", "limit": 3}


def test_an_argument_with_a_default_is_optional():
    assert "ratio" not in THREE.validate(("age", 3), {})
    assert THREE.validate(("age", 3), {"ratio": 1})["ratio"] == 1.0


def test_too_many_positional_arguments_are_refused():
    message = get_refusal(lambda: THREE.validate(("age", 3, 0.5, 7, 8), {}))
    assert message.startswith("5 positional arguments, but the function takes 3 (")


def test_an_argument_by_position_and_by_name_is_refused():
    message = get_refusal(lambda: THREE.validate(("age", 3), {"limit": 4}))
    assert message.startswith("limit: passed twice, by position and by name (")


def test_a_keyword_only_argument_is_refused_by_position():
    def function(column: Column, *, limit: int) -> int:
        return limit

    specification = specify(function, "rpc")
    assert specification.validate(("age",), {"limit": 3}) == {"column": "age", "limit": 3}
    message = get_refusal(lambda: specification.validate(("age", 3), {}))
    assert message.startswith("2 positional arguments, but the function takes 1; missing: limit (")


def test_a_positional_only_argument_is_accepted_by_name():
    def function(column: Column, limit: int = 1, /) -> int:
        return limit

    specification = specify(function, "rpc")
    assert specification.validate((), {"column": "age"}) == {"column": "age"}
    assert specification.validate(("age",), {"limit": 3}) == {"column": "age", "limit": 3}


def test_the_message_about_a_function_without_arguments():
    def function(data: pd.DataFrame) -> int:
        return 1

    specification = specify(function, "rpc")
    assert specification.validate((), {}) == {}
    assert (
        get_refusal(lambda: specification.validate((), {"limit": 1}))
        == "unknown: limit (the function takes no arguments)"
    )


def test_an_unknown_name_cannot_add_lines_to_the_message():
    message = get_refusal(lambda: THREE.validate(("age", 3), {"limit\ninfo > all is well" + "!" * 10_000: 1}))
    assert "\n" not in message
    assert len(message) < 300


MARK = "Jane-Doe-4711"

secrets = st.text(alphabet=st.characters(codec="utf-8"), max_size=12).map(lambda text: f"{text}{MARK}{text}")
"""Strings with a secret, alone and inside of texts that look like messages of msgspec."""

crafted = st.sampled_from(
    ["{}", "{} - at `$.{}`", "`{}`", "' - at `key` in `$.{}", "{}`, got `{}`", "$.{}[0]"]
).flatmap(lambda form: secrets.map(lambda secret: form.replace("{}", secret)))

leaves = st.one_of(crafted, st.none(), st.booleans(), st.integers(), st.floats())
fields = st.sampled_from(["low", "high", "x", "y", "name", "ranges", "type", "radius", "text", "age"])
values = st.recursive(
    crafted,
    lambda inner: st.one_of(
        st.lists(st.one_of(inner, leaves), min_size=1, max_size=3),
        st.dictionaries(st.one_of(crafted, fields), st.one_of(inner, leaves), min_size=1, max_size=3),
        st.fixed_dictionaries({"type": inner}),
        st.fixed_dictionaries({"text": inner}),
        st.fixed_dictionaries({"name": st.just("n")}, optional={"ranges": inner}),
    ),
    max_leaves=6,
)

QUOTING = [
    *(int, float, bool, int | None, list[int], list[str], set[int], tuple[int, int], tuple[str, ...]),
    *(dict[str, int], dict[int, str], dict[str, dict[str, int]], dict[Sex, int], list[dict[str, bool]]),
    *(
        Sex,
        Literal["a", "b"],
        Literal[1, 2],
        Range,
        Point,
        Pair,
        Person,
        list[Person],
        Circle | Square,
        Picky,
        list[Picky],
    ),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, decimal.Decimal, bytes),
    *(Annotated[str, msgspec.Meta(max_length=3)], Annotated[str, msgspec.Meta(pattern="^[0-9]$")], Organization),
    dict[Annotated[str, msgspec.Meta(max_length=3)], int],
]
SPECIFICATIONS = [specify_argument(annotation) for annotation in QUOTING]


def get_error(specification: Specification, value: object) -> ArgumentsError | None:
    try:
        specification.validate((), {"value": value})
    except ArgumentsError as error:
        return error
    return None


@given(st.sampled_from(SPECIFICATIONS), values)
def test_the_message_contains_no_value_and_no_key(specification, value):
    error = get_error(specification, value)
    assert MARK not in str(error)
    assert error is None or MARK not in error.detail


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=map(str, QUOTING))
def test_each_type_refuses_the_secret(specification):
    sent = [MARK, [MARK], {MARK: MARK}, {"text": MARK}, {"type": MARK}, {"name": "n", MARK: MARK}]
    errors = [error for value in sent if (error := get_error(specification, value))]
    assert errors
    assert not any(MARK in str(error) for error in errors)


@given(values)
def test_the_message_contains_no_value_if_several_are_wrong(value):
    with pytest.raises(ArgumentsError) as refused:
        THREE.validate((value, value), {"limit": value, "ratio": value, "extra": value})
    assert MARK not in str(refused.value)
