"""The result of a function and its annotation: only a difference that is certain is reported."""

from __future__ import annotations

import collections.abc
from typing import Annotated, Any, Literal, NamedTuple, Optional, Protocol, TypedDict, TypeVar, Union

import numpy as np
import pandas as pd
import pytest

from algotools import rpc
from algotools.declare.results import explain_mismatch, may_be_none

T = TypeVar("T")


class Fields(TypedDict):
    count: int


class Pair(NamedTuple):
    a: int
    b: int


class Sized(Protocol):
    size: int


NONE = {
    "a number": (float, False),
    "a list": (list[float], False),
    "a table": (pd.DataFrame, False),
    "an array": (np.ndarray, False),
    "a mapping": (collections.abc.Mapping[str, int], False),
    "fields": (Fields, False),
    "a literal": (Literal["a"], False),
    "a union": (Union[int, str], False),
    "metadata": (Annotated[int, "meta"], False),
    "a union with None": (Union[int, None], True),
    "optional": (Optional[float], True),
    "None": (None, True),
    "anything": (Any, True),
    "an object": (object, True),
    "hashable": (collections.abc.Hashable, True),
    "a protocol": (Sized, True),
    "a variable": (T, True),
}


@pytest.mark.parametrize(("hint", "expected"), NONE.values(), ids=NONE)
def test_annotations_that_allow_none(hint, expected):
    assert may_be_none(hint) is expected


@pytest.fixture(autouse=True)
def clean(nothing_registered: None) -> None:
    """Restore the registry."""


def explain(hint: object, result: object) -> str:
    def mean(data: pd.DataFrame):
        return result

    mean.__annotations__["return"] = hint
    return explain_mismatch(rpc(mean), result)


def test_a_forgotten_return_is_explained():
    assert explain(float, None) == "mean returned None, but its result is annotated as float; is a `return` missing?"


MISMATCHES = {
    "a dict for a number": (float, {"secret": 1}, "a value of the type dict, but its result is annotated as float"),
    "a number for a dict": (dict[str, float], np.float64(1), "a value of the type float64, but its result is"),
    "a text for a number": (int, "secret", "a value of the type str"),
    "a list for fields": (Fields, [1], "a value of the type list"),
    "a number for a union": (
        Union[str, list[int]],
        1,
        "a value of the type int, but its result is annotated as str | list",
    ),
}


@pytest.mark.parametrize(("hint", "result", "text"), MISMATCHES.values(), ids=MISMATCHES)
def test_a_result_of_another_kind_is_explained_without_its_value(hint, result, text):
    line = explain(hint, result)
    assert line.startswith(f"mean returned {text}")
    assert "secret" not in line


FITS = {
    "an integer for a float": (float, 1),
    "a float for an integer": (int, 1.0),
    "a number of numpy": (float, np.float32(1)),
    "a tuple for a list": (list[int], (1, 2)),
    "fields": (Fields, {"count": 1}),
    "a named tuple": (Pair, Pair(1, 2)),
    "an array for a list": (list[float], np.array([1.0])),
    "a list for an array": (np.ndarray, [1.0]),
    "a series for a dict": (dict[str, float], pd.Series([1.0])),
    "a text for a sequence": (collections.abc.Sequence[str], "ab"),
    "a union": (Union[str, dict[str, int]], {}),
    "an unknown annotation": ("Unknown", None),
}


@pytest.mark.parametrize(("hint", "result"), FITS.values(), ids=FITS)
def test_a_result_that_may_fit_is_not_reported(hint, result):
    assert explain(hint, result) == ""


def test_the_result_of_another_decorator_is_not_reported():
    import functools

    def wrapped() -> float:
        return 1.0

    @functools.wraps(wrapped)
    def wrapper() -> float:
        return None

    assert explain_mismatch(rpc(wrapper), None) == ""
