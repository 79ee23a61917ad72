"""The description of the values that leave a node, from the annotation of the result."""

import dataclasses
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Optional, TypedDict, Union

import msgspec
import numpy as np
import pandas as pd
import pytest

from algotools import Aggregator, Database, federated, master, rpc
from algotools.declare.description import GATE_NOTE, add_default_policy, describe
from algotools.declare.functions import Algorithm
from algotools.disclosure.policy import Policy


@dataclasses.dataclass
class Moments:
    n: int
    powers: list[float]


class Sums(TypedDict, total=False):
    total: float
    by: dict[str, "Sums"]


class Pair(NamedTuple):
    low: float
    high: Optional[float]


class Fit(msgspec.Struct):
    version: ClassVar[int] = 1
    beta: np.ndarray


class Unresolved(TypedDict):
    n: "NoSuchName"  # type: ignore[name-defined]  # noqa: F821


def describe_one(function: Any) -> dict[str, Any]:
    return describe(Algorithm.from_functions([function]))["functions"][0]


TYPES: dict[str, tuple[Any, str, dict[str, str]]] = {
    "a number": (float, "float", {}),
    "a dict": (dict[str, float], "dict[str, float]", {}),
    "nested": (dict[str, list[tuple[int, ...]]], "dict[str, list[tuple[int, ...]]]", {}),
    "optional": (Optional[float], "float | None", {}),
    "a union": (Union[int, str], "int | str", {}),
    "another union": (int | None, "int | None", {}),
    "annotated": (Annotated[int, msgspec.Meta(ge=0)], "int", {}),
    "a literal": (Literal["a", 1], "'a' | 1", {}),
    "nothing": (None, "None", {}),
    "anything": (Any, "Any", {}),
    "a frame": (pd.DataFrame, "DataFrame", {}),
    "an array": (np.ndarray, "ndarray", {}),
    "a dataclass": (Moments, "Moments", {"n": "int", "powers": "list[float]"}),
    "a typed dict": (Sums, "Sums", {"total": "float", "by": "dict[str, Sums]"}),
    "a named tuple": (Pair, "Pair", {"low": "float", "high": "float | None"}),
    "a struct": (Fit, "Fit", {"beta": "ndarray"}),
    "fields of unknown types": (Unresolved, "Unresolved", {}),
    "a list of objects": (list[Moments], "list[Moments]", {}),
    "a text": ("dict[str, int]", "dict[str, int]", {}),
}


@pytest.mark.parametrize(("hint", "text", "fields"), TYPES.values(), ids=TYPES)
def test_the_annotation_of_the_result_is_what_leaves(hint, text, fields):
    def count(data):
        return None

    count.__annotations__ = {"data": pd.DataFrame, "return": hint}
    assert describe_one(rpc(count))["leaves"] == {"type": text, "fields": fields}


def test_a_result_without_an_annotation_has_no_type():
    def count(data: pd.DataFrame):
        return len(data)

    assert describe_one(rpc(count))["leaves"] == {"type": None, "fields": {}}


def test_the_table_of_a_session_stays_at_the_node():
    def extract(source: Database) -> pd.DataFrame:
        return pd.DataFrame()

    assert describe_one(rpc(step="data_extraction")(extract))["leaves"] is None


def test_a_master_has_the_type_of_its_result():
    def combine(values: list[float]) -> dict[str, float]:
        return {"sum": sum(values)}

    assert describe_one(master(combine))["leaves"] == {"type": "dict[str, float]", "fields": {}}


def test_the_rpc_of_a_pooled_function_contributes_to_totals():
    def mean(data: pd.DataFrame, total: Aggregator) -> float:
        return total.mean(data)

    first, second = describe(Algorithm.from_functions([federated(mean)]))["functions"]
    assert first["leaves"] == {"type": "float", "fields": {}}
    assert second["leaves"] == {"type": "contributions to totals", "fields": {}}


def test_the_description_names_the_default_policy():
    note = describe(Algorithm.from_functions([]))["gate"]
    assert note == GATE_NOTE
    assert f"no number of fewer than {Policy().minimum_cell} records leaves a node" in note


SENTENCE = "By default, no number of fewer than 3 records leaves a node."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SENTENCE),
        ("The average of a column", f"The average of a column. {SENTENCE}"),
        ("Averages.\n", f"Averages. {SENTENCE}"),
        ("Is it safe?", f"Is it safe? {SENTENCE}"),
        ("Averages; by default, no number of fewer than 3 records leaves a node", None),
    ],
)
def test_the_default_policy_is_added_once_to_the_authors_description(text, expected):
    once = add_default_policy(text)
    assert once == (expected or text)
    assert once.startswith(text.rstrip())
    assert add_default_policy(once) == once
