"""What is written for a store is what that store accepts: checked by the released stores' own validators."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import datetime
import enum
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotools import AlgorithmClient, Column, Database, Organization, locate, master, rpc
from algotools.errors import AlgotoolsError
from algotools.functions import Algorithm, RegisteredFunction
from algotools.store import Facts, metadata

from ..conftest import ALGORITHMS
from .signatures import NOTHING, function_taking

FACTS = Facts(
    name="Demo",
    description="What it does",
    image=f"registry.example.org/demo/demo@sha256:{'0' * 64}",
    partitioning="vertical",
    code_url="https://git.example.org/demo",
    documentation_url="https://docs.example.org",
)


class Unit(enum.Enum):
    PERSONS = "persons"
    VISITS = "visits"


class Level(enum.IntEnum):
    LOW = -1
    HIGH = 2


@dataclasses.dataclass(frozen=True)
class Group:
    column: Column
    values: tuple[str, ...] = ()


texts = st.text(st.characters(exclude_categories=["Cs"]))
integers = st.integers(-(2**53), 2**53)
numbers = st.floats() | integers

FORMS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Column, texts),
    (Organization, integers),
    (str, texts),
    (int, integers),
    (float, numbers),
    (bool, st.booleans()),
    (int | float, numbers),
    (int | str, integers | texts),
    (Unit, st.sampled_from(Unit)),
    (Level, st.sampled_from(Level)),
    (Literal["a", "b c", ""], st.sampled_from(["a", "b c", ""])),
    (Literal[0, 1], st.sampled_from([0, 1])),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (datetime.date, st.dates()),
    (datetime.datetime, st.datetimes()),
    (bytes, st.binary()),
    (dict[str, float], st.dictionaries(texts, numbers)),
    (Group, st.builds(Group, texts, st.tuples(texts))),
]


@st.composite
def arguments(draw: st.DrawFn) -> tuple[Any, Any]:
    """An annotation, and a default that fits it, None or no default."""
    annotation, values = draw(st.sampled_from(FORMS))
    around = draw(st.sampled_from(["", "list", "set", "tuple", "pair", "optional items", "lists"]))
    if around == "list":
        annotation, values = list[annotation], st.lists(values)
    elif around == "set" and annotation != dict[str, float]:
        annotation, values = frozenset[annotation], st.frozensets(values)
    elif around == "tuple":
        annotation, values = tuple[annotation, ...], st.lists(values).map(tuple)
    elif around == "pair":
        annotation, values = tuple[annotation, annotation], st.tuples(values, values)
    elif around == "optional items":
        annotation, values = list[Optional[annotation]], st.lists(values | st.none())
    elif around == "lists":
        annotation, values = list[list[annotation]], st.lists(st.lists(values))
    if draw(st.booleans()):
        annotation, values = Optional[annotation], values | st.none()
    return annotation, draw(st.just(NOTHING) | values)


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., None]:
    taken = draw(st.lists(arguments(), max_size=4))
    parameters = {f"argument_{number}": one for number, one in enumerate(taken)}
    step = draw(st.sampled_from(["compute", "compute", "data_extraction", "preprocessing"]))
    if step != "compute":
        source = Database if step == "data_extraction" else pd.DataFrame
        return rpc(step=step)(function_taking({"source": (source, NOTHING), **parameters}))
    if draw(st.booleans()):
        parameters["data"] = (pd.DataFrame, NOTHING)
    if draw(st.booleans()):
        parameters["visits"] = (Annotated[pd.DataFrame, Database("visits")], NOTHING)
    if draw(st.booleans()):
        return master(function_taking({"client": (AlgorithmClient, NOTHING), **parameters}))
    return rpc(function_taking(parameters))


def of(*functions: RegisteredFunction, generation: Literal[4, 5]) -> dict[str, Any]:
    return metadata(Algorithm.of(functions), FACTS, generation)


@pytest.mark.parametrize("generation", [4, 5])
@settings(max_examples=200)
@given(function=functions())
def test_every_signature_is_accepted(stores, generation, function):
    document = of(function, generation=generation)
    assert stores[generation].errors(document) == {}


@pytest.mark.parametrize("generation", [4, 5])
@settings(max_examples=200)
@given(argument=arguments())
def test_what_the_ui_fills_in_is_the_functions_own_default(generation, argument):
    """The UI shows the text that the store keeps, and sends what it means; nothing where it is null."""
    function = rpc(function_taking({"one": argument}))
    (told,) = of(function, generation=generation)["functions"][0]["arguments"]
    _, default = argument
    if default is NOTHING:
        assert "default_value" not in told
        assert "has_default_value" not in told
        return
    kept = told["default_value"]
    if kept is None:
        return
    text = kept if isinstance(kept, str) else json.dumps(kept)
    read = {"string": str, "column": str, "float": float}.get(
        told["type"], json.loads
    )  # JavaScript's numbers are floats
    sent = read(text)
    assert function.specification.validate([], {"one": sent}) == {"one": default}
    assert text in told.get("allowed_values", [text])


@pytest.fixture
def real_algorithms(average: Path) -> dict[str, Algorithm]:
    found = {}
    for folder in [average, *sorted(ALGORITHMS.iterdir())]:
        with contextlib.suppress(AlgotoolsError):  # some are there because they do not load
            found[folder.name] = locate.load(locate.locate(folder))
    return found


@pytest.mark.parametrize(("generation", "other"), [(4, 5), (5, 4)])
def test_real_algorithms_are_accepted_by_their_generation_and_no_other(stores, real_algorithms, generation, other):
    assert {"average", "survey", "flat_layout"} <= set(real_algorithms)
    for algorithm in real_algorithms.values():
        document = metadata(algorithm, FACTS, generation)
        assert stores[generation].errors(document) == {}
        assert stores[other].errors(document)["functions"].keys() == set(map(str, range(len(document["functions"]))))


def without(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


def having(value: object, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


ARGUMENT = ("functions", 0, "arguments", 0)


@pytest.mark.parametrize(
    "change",
    [
        without("name"),
        without("image"),
        without("code_url"),
        without("vantage6_version"),
        without("functions"),
        without("functions", 0, "name"),
        without("functions", 0, "databases", 0, "name"),
        without(*ARGUMENT, "type"),
        without(*ARGUMENT, "has_default_value"),
        having("diagonal", "partitioning"),
        having("anything", "unknown"),
        having("number", *ARGUMENT, "type"),
        having("x", *ARGUMENT, "default_value"),
        having(["1", "2"], *ARGUMENT, "allowed_values"),
        having([None], *ARGUMENT, "allowed_values"),
        having("argument_1", "functions", 0, "arguments", 0, "name"),
    ],
)
@pytest.mark.parametrize("generation", [4, 5])
def test_a_broken_document_is_refused(stores, generation, change):
    parameters = {
        "argument_0": (int, 3),
        "argument_1": (str, NOTHING),
        "data": (pd.DataFrame, NOTHING),
    }
    document = of(rpc(function_taking(parameters)), generation=generation)
    assert stores[generation].errors(document) == {}
    broken = copy.deepcopy(document)
    change(broken)
    assert stores[generation].errors(broken) != {}


@pytest.mark.parametrize("generation", [4, 5])
def test_what_the_schema_alone_does_not_tell(stores, generation):
    """Facts that ``algotools.store.arguments`` rests on: were a release to change, these would say so."""

    def refuses(**argument: object) -> bool:
        document = of(rpc(function_taking({"one": (int, NOTHING)})), generation=generation)
        document["functions"][0]["arguments"] = [{"name": "one", "has_default_value": True, **argument}]
        return stores[generation].errors(document) != {}

    one = "1" if generation == 4 else 1
    assert refuses(type="integer", default_value=one, allowed_values=[1, 2])  # numbers are no text of a default
    assert not refuses(type="integer", default_value=one, allowed_values=["1", "2"])
    assert refuses(type="json", default_value="a")  # a text of type json is read as JSON
    assert not refuses(type="json", default_value='"a"')
    assert refuses(type="integer_list", default_value="[null]")  # v4 even fails
    assert refuses(type="boolean", default_value=False) is (generation == 4)
    assert not refuses(type="integer", default_value=None)
