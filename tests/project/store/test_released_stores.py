"""The released stores accept the metadata that algotools writes: their own validators check it."""

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

from algotools import AlgorithmClient, Column, Database, Organization, master, rpc
from algotools.declare import locate
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.errors import AlgotoolsError
from algotools.project.metadata import Metadata
from algotools.project.store import build_metadata

from ...conftest import ALGORITHMS, examples
from .signatures import NOTHING, function_taking

METADATA = Metadata(
    name="Demo",
    description="What it does",
    image=f"registry.example.org/demo/demo@sha256:{'0' * 64}",
    partitioning="vertical",
    code_url="https://git.example.org/demo",
    documentation_url="https://docs.example.org",
)


class StoreUnit(enum.Enum):
    PERSONS = "persons"
    VISITS = "visits"


class SignedLevel(enum.IntEnum):
    LOW = -1
    HIGH = 2


@dataclasses.dataclass(frozen=True)
class FrozenGroup:
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
    (StoreUnit, st.sampled_from(StoreUnit)),
    (SignedLevel, st.sampled_from(SignedLevel)),
    (Literal["a", "b c", ""], st.sampled_from(["a", "b c", ""])),
    (Literal[0, 1], st.sampled_from([0, 1])),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (datetime.date, st.dates()),
    (datetime.datetime, st.datetimes()),
    (bytes, st.binary()),
    (dict[str, float], st.dictionaries(texts, numbers)),
    (FrozenGroup, st.builds(FrozenGroup, texts, st.tuples(texts))),
]


@st.composite
def arguments(draw: st.DrawFn) -> tuple[Any, Any]:
    """Draw an annotation, and a default for the annotation: a value, None, or no default."""
    annotation, values = draw(st.sampled_from(FORMS))
    container = draw(st.sampled_from(["", "list", "set", "tuple", "pair", "optional items", "lists"]))
    if container == "list":
        annotation, values = list[annotation], st.lists(values)
    elif container == "set" and annotation != dict[str, float]:
        annotation, values = frozenset[annotation], st.frozensets(values)
    elif container == "tuple":
        annotation, values = tuple[annotation, ...], st.lists(values).map(tuple)
    elif container == "pair":
        annotation, values = tuple[annotation, annotation], st.tuples(values, values)
    elif container == "optional items":
        annotation, values = list[Optional[annotation]], st.lists(values | st.none())
    elif container == "lists":
        annotation, values = list[list[annotation]], st.lists(st.lists(values))
    if draw(st.booleans()):
        annotation, values = Optional[annotation], values | st.none()
    return annotation, draw(st.just(NOTHING) | values)


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., None]:
    drawn = draw(st.lists(arguments(), max_size=4))
    parameters = {f"argument_{number}": argument_form for number, argument_form in enumerate(drawn)}
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


def metadata_of(*functions: RegisteredFunction, generation: Literal[4, 5]) -> dict[str, Any]:
    return build_metadata(Algorithm.from_functions(functions), METADATA, generation)


@pytest.mark.parametrize("generation", [4, 5])
@settings(max_examples=examples(200))
@given(function=functions())
def test_every_signature_is_accepted(stores, generation, function):
    document = metadata_of(function, generation=generation)
    assert stores[generation].errors(document) == {}


@pytest.mark.parametrize("generation", [4, 5])
@settings(max_examples=examples(200))
@given(argument=arguments())
def test_the_default_in_the_ui_is_the_default_of_the_function(generation, argument):
    """The UI shows the stored text and sends its value. For null, the UI sends no argument."""
    function = rpc(function_taking({"one": argument}))
    (described,) = metadata_of(function, generation=generation)["functions"][0]["arguments"]
    _, default = argument
    if default is NOTHING:
        assert "default_value" not in described
        assert "has_default_value" not in described
        return
    stored = described["default_value"]
    if stored is None:
        return
    text = stored if isinstance(stored, str) else json.dumps(stored)
    parse = {"string": str, "column": str, "float": float}.get(
        described["type"], json.loads
    )  # JavaScript's numbers are floats
    value = parse(text)
    assert function.specification.validate([], {"one": value}) == {"one": default}
    assert text in described.get("allowed_values", [text])


@pytest.fixture
def real_algorithms(average: Path) -> dict[str, Algorithm]:
    algorithms = {}
    for folder in [average, *sorted(ALGORITHMS.iterdir())]:
        with contextlib.suppress(AlgotoolsError):  # some algorithms exist to fail when they are loaded
            algorithms[folder.name] = locate.load(locate.locate(folder))
    return algorithms


@pytest.mark.parametrize(("generation", "other"), [(4, 5), (5, 4)])
def test_real_algorithms_are_accepted_only_by_the_store_of_their_generation(stores, real_algorithms, generation, other):
    assert {"average", "survey", "flat_layout"} <= set(real_algorithms)
    for algorithm in real_algorithms.values():
        document = build_metadata(algorithm, METADATA, generation)
        assert stores[generation].errors(document) == {}
        assert stores[other].errors(document)["functions"].keys() == set(map(str, range(len(document["functions"]))))


def removing(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


def replacing(value: object, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


ARGUMENT = ("functions", 0, "arguments", 0)


@pytest.mark.parametrize(
    "change",
    [
        removing("name"),
        removing("image"),
        removing("code_url"),
        removing("vantage6_version"),
        removing("functions"),
        removing("functions", 0, "name"),
        removing("functions", 0, "databases", 0, "name"),
        removing(*ARGUMENT, "type"),
        removing(*ARGUMENT, "has_default_value"),
        replacing("diagonal", "partitioning"),
        replacing("anything", "unknown"),
        replacing("number", *ARGUMENT, "type"),
        replacing("x", *ARGUMENT, "default_value"),
        replacing(["1", "2"], *ARGUMENT, "allowed_values"),
        replacing([None], *ARGUMENT, "allowed_values"),
        replacing("argument_1", "functions", 0, "arguments", 0, "name"),
    ],
)
@pytest.mark.parametrize("generation", [4, 5])
def test_a_broken_document_is_refused(stores, generation, change):
    parameters = {
        "argument_0": (int, 3),
        "argument_1": (str, NOTHING),
        "data": (pd.DataFrame, NOTHING),
    }
    document = metadata_of(rpc(function_taking(parameters)), generation=generation)
    assert stores[generation].errors(document) == {}
    broken = copy.deepcopy(document)
    change(broken)
    assert stores[generation].errors(broken) != {}


@pytest.mark.parametrize("generation", [4, 5])
def test_the_stores_have_rules_beyond_their_schema(stores, generation):
    """``algotools.project.store`` depends on these rules. A release that changes one makes this test fail."""

    def refuses(**argument: object) -> bool:
        document = metadata_of(rpc(function_taking({"one": (int, NOTHING)})), generation=generation)
        document["functions"][0]["arguments"] = [{"name": "one", "has_default_value": True, **argument}]
        return stores[generation].errors(document) != {}

    default = "1" if generation == 4 else 1
    assert refuses(
        type="integer", default_value=default, allowed_values=[1, 2]
    )  # a number differs from the text of a default
    assert not refuses(type="integer", default_value=default, allowed_values=["1", "2"])
    assert refuses(type="json", default_value="a")  # the text of a json argument is parsed as JSON
    assert not refuses(type="json", default_value='"a"')
    assert refuses(type="integer_list", default_value="[null]")  # v4's store raises an exception
    assert refuses(type="boolean", default_value=False) is (generation == 4)
    assert not refuses(type="integer", default_value=None)
