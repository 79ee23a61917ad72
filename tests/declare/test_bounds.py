"""Bounds of pydantic and annotated-types are checked, or the declaration is refused."""

import dataclasses
import datetime
import decimal
import re
from typing import Annotated, Any, Literal

import annotated_types
import msgspec
import numpy as np
import pydantic
import pydantic.dataclasses
import pytest
from annotated_types import Ge, Gt, Interval, Len, Lt, MaxLen, MinLen, MultipleOf, Predicate, Timezone
from pydantic import Field

from algotools import rpc
from algotools.declare.arguments import Specification, specify
from algotools.errors import ArgumentsError, DeclarationError


def specify_argument(annotation: Any) -> Specification:
    """Return the specification of a function with one argument."""

    def function(value: annotation) -> int:
        return 1

    return specify(function, "rpc")


def get_refusal(annotation: Any) -> str:
    def function(value: annotation) -> int:
        return 1

    with pytest.raises(DeclarationError) as refused:
        rpc(function)
    assert refused.value.rule == "unchecked-bounds"
    return str(refused.value)


@dataclasses.dataclass
class Bounded:
    size: Annotated[int, Ge(0)] = 0
    share: Annotated[float | None, Field(gt=0, lt=1)] = None
    names: list[Annotated[str, MinLen(2)]] = dataclasses.field(default_factory=list)


HOLD: dict[str, tuple[Any, object, object, str]] = {
    "Ge": (Annotated[int, Ge(0)], 0, -1, "expected int >= 0"),
    "Gt": (Annotated[float, Gt(0)], 0.5, 0.0, "expected float > 0.0"),
    "Lt": (Annotated[float, Lt(1)], 0.5, 1.0, "expected float < 1.0"),
    "a bound that is a float": (Annotated[int, Ge(1.0)], 1, 0, "expected int >= 1"),
    "a bound of numpy": (Annotated[int, Ge(np.int64(1))], 1, 0, "expected int >= 1"),
    "a step": (Annotated[float, MultipleOf(0.5)], 1.5, 1.6, "expected float that's a multiple of 0.5"),
    "two lower bounds": (Annotated[int, Gt(3), Ge(3), Ge(1)], 4, 3, "expected int >= 4"),
    "Interval": (Annotated[int, Interval(ge=1, le=4)], 4, 5, "expected int <= 4"),
    "MultipleOf": (Annotated[int, MultipleOf(3)], 6, 7, "expected int that's a multiple of 3"),
    "Len": (Annotated[list[int], Len(1, 2)], [1], [], "expected array of length >= 1"),
    "MaxLen": (Annotated[str, MaxLen(2)], "ab", "abc", "expected str of length <= 2"),
    "Timezone": (Annotated[datetime.datetime, Timezone(...)], "2020-01-01T00:00:00Z", "2020-01-01T00:00:00",
                 "expected datetime with a timezone component"),
    "pydantic.Field": (Annotated[int, Field(ge=0, description="a size")], 0, -1, "expected int >= 0"),
    "a pattern of pydantic.Field": (Annotated[str, Field(pattern="^a")], "ab", "b", "expected str matching regex '^a'"),
    "PositiveInt": (pydantic.PositiveInt, 1, 0, "expected int >= 1"),
    "conint": (pydantic.conint(ge=1), 1, 0, "expected int >= 1"),
    "StringConstraints": (Annotated[str, pydantic.StringConstraints(max_length=1)], "a", "ab",
                          "expected str of length <= 1"),
    "an optional": (Annotated[int | None, Ge(0)], None, -1, "expected int >= 0"),
    "a union of numbers": (Annotated[int | float, Ge(0)], 1, -0.5, "expected float >= 0.0"),
    "items": (list[pydantic.PositiveInt], [1], [1, 0], "expected int >= 1 at [1]"),
    "keys": (dict[Annotated[str, MinLen(2)], int], {"ab": 1}, {"a": 1}, "expected str of length >= 2 in a key"),
    "a field": (Bounded, {"size": 1}, {"size": -1}, "expected int >= 0 at .size"),
    "an optional field": (Bounded, {"share": 0.5}, {"share": 1}, "expected float < 1.0 at .share"),
    "items of a field": (Bounded, {"names": ["ab"]}, {"names": ["ab", "a"]},
                         "expected str of length >= 2 at .names[1]"),
    "a field in a list": (list[Bounded], [{}], [{}, {"size": -1}], "expected int >= 0 at [1].size"),
    "msgspec.Meta": (Annotated[int, msgspec.Meta(ge=0)], 0, -1, "expected int >= 0"),
}  # fmt: skip


@pytest.mark.parametrize(("annotation", "right", "wrong", "reason"), HOLD.values(), ids=HOLD)
def test_bounds_hold(annotation, right, wrong, reason):
    specification = specify_argument(annotation)
    specification.validate((), {"value": right})
    with pytest.raises(ArgumentsError) as refused:
        specification.validate((), {"value": wrong})
    assert str(refused.value).startswith(f"value: {reason} (the function takes ")


REFUSED: dict[str, tuple[Any, str]] = {
    "a predicate": (Annotated[int, Predicate(abs)], "Predicate cannot be checked"),
    "IsFinite": (annotated_types.IsFinite[float], "Predicate cannot be checked"),
    "AfterValidator": (Annotated[int, pydantic.AfterValidator(abs)], "AfterValidator cannot be checked"),
    "a conversion": (Annotated[str, pydantic.StringConstraints(to_upper=True)], "to_upper cannot be checked"),
    "an alias": (Annotated[int, Field(alias="size")], "Field with alias"),
    "a default in the annotation": (Annotated[int, Field(default=3)], "Field with default cannot be checked"),
    "FiniteFloat": (pydantic.FiniteFloat, "AllowInfNan cannot be checked"),
    "a bound that is a date": (Annotated[datetime.date, Ge(datetime.date(2020, 1, 1))], "is not a number"),
    "a bound of a Decimal": (Annotated[decimal.Decimal, Ge(0)], "can only set ge on a numeric type"),
    "a bound of a Literal": (Annotated[Literal[1, 2], Ge(2)], "can only set ge on a numeric type"),
    "a step that is not exact": (Annotated[float, MultipleOf(0.1)], "is not exact in binary numbers"),
    "a step of an optional": (Annotated[float | None, MultipleOf(0.1)], "is not exact in binary numbers"),
    "the size of a set": (Annotated[set[int], MinLen(2)], "a set of at least 2 items cannot be checked"),
    "the size of a set, by msgspec": (list[Annotated[set[int], msgspec.Meta(min_length=2)]], "use a list"),
    "flags of a pattern": (
        Annotated[str, Field(pattern=re.compile("^a", re.IGNORECASE))],
        "a pattern with flags cannot be",
    ),
    "msgspec.Meta of an optional": (Annotated[int | None, msgspec.Meta(ge=0)], "Annotated[int, …] | None"),
    "a fraction as a bound of an integer": (Annotated[int, msgspec.Meta(ge=0.5)], "must be an integer"),
    "a bound that is too large": (Annotated[int, msgspec.Meta(ge=2**70)], "less than 2**63"),
}


@pytest.mark.parametrize(("annotation", "reason"), REFUSED.values(), ids=REFUSED)
def test_bounds_that_cannot_be_checked_are_refused(annotation, reason):
    message = get_refusal(annotation)
    assert "parameter value: " in message
    assert reason in message


class BoundedModel(pydantic.BaseModel):
    size: int


@pydantic.dataclasses.dataclass
class ModelDataclass:
    size: Annotated[int, Field(ge=0)] = 0


@dataclasses.dataclass
class HasModel:
    model: BoundedModel


@pytest.mark.parametrize(
    "annotation", [BoundedModel, list[BoundedModel], BoundedModel | None, dict[str, BoundedModel], HasModel]
)
def test_a_model_of_pydantic_is_refused_with_the_way_out(annotation):
    message = get_refusal(annotation)
    assert "BoundedModel is a type of pydantic" in message
    assert (
        "declare dict[str, Any] and call BoundedModel.model_validate in the function, or write a dataclass" in message
    )


@pytest.mark.parametrize("annotation", [ModelDataclass, pydantic.SecretStr])
def test_another_type_of_pydantic_is_refused(annotation):
    assert "use a dataclass or a type of the standard library" in get_refusal(annotation)


def test_bounds_of_a_field_that_cannot_be_checked_name_the_field():
    @dataclasses.dataclass
    class Checked:
        size: Annotated[int, Predicate(abs)] = 1

    assert "field size of Checked: Predicate cannot be checked" in get_refusal(list[Checked])


def test_a_default_made_with_pydantic_is_refused():
    @dataclasses.dataclass
    class Defaulted:
        size: int = Field(ge=0, default=3)

    assert "field size of Defaulted: FieldInfo as a default is not checked" in get_refusal(Defaulted)

    def function(value: int = Field(ge=0)) -> int:
        return value

    with pytest.raises(DeclarationError, match="parameter value: FieldInfo as a default is not checked"):
        rpc(function)


def test_a_default_outside_the_bounds_is_refused():
    def function(value: Annotated[int, Ge(0)] = -1) -> int:
        return value

    with pytest.raises(DeclarationError, match="parameter value: the default is not of type int"):
        rpc(function)


def test_notes_are_not_bounds():
    assert specify_argument(Annotated[int, "a size", annotated_types.Unit("m")]).validate((), {"value": -1})


def test_the_schema_contains_the_bounds():
    schema = specify_argument(Annotated[int, Ge(0)]).schema()
    assert schema["properties"] == {"value": {"type": "integer", "minimum": 0}}
    definitions = specify_argument(list[Bounded]).schema()["$defs"]
    assert isinstance(definitions, dict)
    assert definitions["Bounded"]["properties"]["size"] == {"type": "integer", "minimum": 0, "default": 0}
