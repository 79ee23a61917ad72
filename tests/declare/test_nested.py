"""Arguments made of classes: unknown keys are refused by name and place, and a wrong value names its field."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import msgspec
import pytest

from algotools.declare.arguments import Specification, specify
from algotools.errors import ArgumentsError

T = TypeVar("T")


class Mass(enum.Enum):
    GRAM = "g"
    KILOGRAM = "kg"


@dataclasses.dataclass
class Limits:
    low: float = 0.0
    high: float = 100.0
    mode: Literal["open", "closed"] = "open"


class Typed(TypedDict, total=False):
    high: float


class Renamed(msgspec.Struct, rename="kebab"):
    low_value: int = 1
    child: "Renamed | None" = None


class Row(msgspec.Struct, array_like=True):
    left: int = 1


class LimitsPair(NamedTuple):
    limits: Limits
    weight: int = 1


class Tagged(msgspec.Struct, tag="tagged"):
    limits: Limits


class Other(msgspec.Struct, tag="other"):
    size: int = 1


@dataclasses.dataclass
class Box(Generic[T]):
    item: T


@dataclasses.dataclass
class LimitsBox(Box[Limits]):
    count: int = 0


@dataclasses.dataclass
class Weighed:
    unit: Mass = Mass.GRAM
    counts: dict[Mass, int] = dataclasses.field(default_factory=dict)
    limits: list[Limits] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class PositiveSize:
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"{self.size} is refused")


Named = NewType("Named", Limits)


def specify_argument(annotation: Any) -> Specification:
    """Return the specification of a function with one argument."""

    def function(value: annotation) -> int:
        return 1

    return specify(function, "rpc")


def get_refusal(annotation: Any, value: object) -> str:
    with pytest.raises(ArgumentsError) as refused:
        specify_argument(annotation).validate((), {"value": value})
    return str(refused.value).partition(" (the function takes ")[0]


TYPO = {"hihg": 5.0}

UNKNOWN: dict[str, tuple[Any, object, str]] = {
    "a dataclass": (Limits, TYPO, ""),
    "a TypedDict": (Typed, TYPO, ""),
    "a Struct": (Renamed, {"hihg": 1}, ""),
    "the name in Python of a renamed field": (Renamed, {"child": {"low_value": 1, "hihg": 1}}, " at .child"),
    "a NamedTuple": (LimitsPair, [TYPO], " at .limits"),
    "a list": (list[Limits], [{}, TYPO], " at [1]"),
    "a sequence": (Sequence[Limits], [TYPO], " at [0]"),
    "a tuple": (tuple[int, Limits], [1, TYPO], " at [1]"),
    "a tuple of any length": (tuple[Limits, ...], [{}, TYPO], " at [1]"),
    "a dict": (dict[str, list[Limits]], {"Jane": [TYPO]}, " at [...][0]"),
    "a mapping": (Mapping[str, Limits], {"Jane": TYPO}, " at [...]"),
    "an optional": (Limits | None, TYPO, ""),
    "a union": (Limits | str | list[int], TYPO, ""),
    "a tagged union": (Tagged | Other, {"type": "tagged", "limits": TYPO}, " at .limits"),
    "a generic class": (Box[Limits], {"item": TYPO}, " at .item"),
    "a class derived from a generic class": (LimitsBox, {"item": TYPO}, " at .item"),
    "a field": (Weighed, {"limits": [{}, TYPO]}, " at .limits[1]"),
    "a new type": (Named, TYPO, ""),
    "metadata": (Annotated[list[Annotated[Limits, "doc"]], "doc"], [TYPO], " at [0]"),
}


@pytest.mark.parametrize(("annotation", "value", "place"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_key_is_refused_by_name_and_place(annotation, value, place):
    message = get_refusal(annotation, value)
    assert message.startswith("value: unknown field ")
    assert "hihg (" in message
    assert message.endswith(f"){place}")


def test_the_message_about_an_unknown_key_lists_the_fields():
    assert get_refusal(Limits, TYPO) == "value: unknown field hihg (Limits has low, high, mode)"


def test_all_faults_of_a_value_are_listed():
    message = get_refusal(list[Limits], [{"low": "x", "hihg": 1}, {"lwo": 1}])
    assert message == (
        "value: expected float, got str at [0].low; value: unknown field hihg (Limits has low, high, mode) at [0]; "
        "value: unknown field lwo (Limits has low, high, mode) at [1]"
    )


def test_a_key_that_is_not_an_identifier_is_not_quoted():
    message = get_refusal(Limits, {"Jane Doe": 1, "hihg": 1})
    assert message.startswith("value: unknown field hihg, 1 with a name that is not an identifier (")


def test_more_values_than_the_fields_of_a_class_are_refused():
    assert get_refusal(Row, [1, 2]) == "value: 1 more values than Row has fields (left)"
    assert get_refusal(LimitsPair, [{}, 1, 2]) == "value: expected array of length 1 to 2, got 3"


ACCEPTED = [
    (Limits, {"low": 1}),
    (Limits | None, None),
    (Tagged | Other, {"type": "other", "size": 1}),
    (Other, {"type": "other"}),
    (dict[str, float], {"anything": 1.0}),
    (Renamed, {"low-value": 3, "child": {"low-value": 2}}),
    (Any, {"anything": 1}),
]


@pytest.mark.parametrize(("annotation", "value"), ACCEPTED)
def test_known_keys_are_accepted(annotation, value):
    assert "value" in specify_argument(annotation).validate((), {"value": value})


def test_a_deeply_nested_value_is_accepted():
    value: dict[str, Any] = {}
    for _ in range(500):
        value = {"child": value}
    assert specify_argument(Renamed).validate((), {"value": value})


WRONG = [
    (Limits, {"mode": "ajar"}, "not an allowed value ('open' | 'closed') at .mode"),
    (Limits, {"mode": 3}, "expected str, got int ('open' | 'closed') at .mode"),
    (Weighed, {"unit": "stone"}, "not an allowed value ('g' | 'kg') at .unit"),
    (Weighed, {"counts": {"stone": 1}}, "not an allowed value ('g' | 'kg') in a key of .counts"),
    (Weighed, {"counts": {"g": "x"}}, "expected int, got str at .counts[...]"),
    (Weighed, {"limits": [{}, {"mode": "ajar"}]}, "not an allowed value ('open' | 'closed') at .limits[1].mode"),
    (list[PositiveSize], [{}, {"size": -4711}], "not a valid PositiveSize (ValueError) at [1]"),
    (list[Tagged | Other], [{"type": "x"}], "object of an unknown type (choose from 'tagged', 'other') at [0]"),
]


@pytest.mark.parametrize(("annotation", "value", "reason"), WRONG)
def test_a_wrong_value_names_the_field_and_the_allowed_values(annotation, value, reason):
    assert get_refusal(annotation, value) == f"value: {reason}"


def test_the_schema_refuses_unknown_keys():
    definitions = specify_argument(list[Weighed]).schema()["$defs"]
    assert isinstance(definitions, dict)
    assert {name: d["additionalProperties"] for name, d in definitions.items() if "properties" in d} == {
        "Weighed": False,
        "Limits": False,
    }


@pytest.mark.parametrize("position", [0, 4095, 4096, 9999])
def test_the_place_in_a_long_list_is_named(position):
    objects: list[Any] = [{"low": 1.0, "high": 2.0} for _ in range(10_000)]
    objects[position] = {"low": 1.0, "hihg": 2.0}
    fault = f"unknown field hihg at [{position}] (Limits has low, high, mode)"
    assert fault.replace(f" at [{position}]", "") in get_refusal(list[Limits], objects)
    assert f"at [{position}]" in get_refusal(list[Limits], objects)
    objects[position] = {"mode": "shut"}
    assert f"at [{position}].mode" in get_refusal(list[Limits], objects)
    masses = ["g"] * 10_000
    masses[position] = "lb"
    assert f"not an allowed value ('g' | 'kg') at [{position}]" in get_refusal(list[Mass], masses)
    assert f"at [1][{position}]" in get_refusal(list[list[Mass]], [["g"], masses])
