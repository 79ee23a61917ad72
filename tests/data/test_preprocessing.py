"""v4's preprocessing steps, which a task applies to a table before the function receives the table."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import data
from algotools.data import _preprocessing
from algotools.errors import InputError, UnknownColumn
from algotools.task import Database

from ..conftest import SECRET


def database(path: Any, *steps: object) -> Database:
    return Database("default", str(path), "csv", preprocessing=json.dumps(list(steps)))


def between(**parameters: object) -> dict[str, object]:
    return {"function": "filter_range", "parameters": {"column": "age", **parameters}}


@pytest.fixture
def people(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(f"name,age,sex\n{SECRET},71,f\nJohn,58,m\nKid,9,m\nUnknown,,f\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"min_": 18}, [SECRET, "John"]),
        ({"min_": 58}, [SECRET]),
        ({"min_": 58, "include_min": True}, [SECRET, "John"]),
        ({"max_": 58}, ["Kid"]),
        ({"max_": 58, "include_max": True}, ["John", "Kid"]),
        ({"min_": 10, "max_": 60}, ["John"]),
        ({}, [SECRET, "John", "Kid", "Unknown"]),
        ({"min_": 1000}, []),
    ],
)
def test_rows_between_bounds_are_kept(people, parameters, names):
    assert data.load(database(people, between(**parameters)), "pandas", None).value["name"].tolist() == names


def test_steps_are_applied_in_order(people):
    steps = [{"function": "dummy_preprocess"}, between(min_=10), between(max_=60)]
    assert data.load(database(people, *steps), "pandas", None).value["name"].tolist() == ["John"]


def test_the_column_of_a_step_is_not_passed_to_the_function(people):
    loaded = data.load(database(people, between(min_=18)), "pandas", frozenset({"sex"}))

    assert loaded.value.to_dict("list") == {"sex": ["f", "m"]}
    assert loaded.columns == ["name", "age", "sex"]


INVALID = "the parameters of the task's preprocessing are invalid"


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        (
            [{"function": "drop_all"}],
            InputError,
            r"unknown preprocessing function 'drop_all' \(choose from filter_range, dummy",
        ),
        ([{"function": "filter_range", "parameters": {}}], InputError, INVALID),
        ([between(lowest=3)], InputError, INVALID),
        ([between(column="weight", min_=3)], UnknownColumn, "no column 'weight' in database 'default'"),
        ([between(column="name", min_=3)], InputError, "cannot be compared with the values of column 'name'"),
        (["filter_range"], InputError, INVALID),
    ],
)
def test_an_invalid_step_is_refused_without_quoting_data(people, steps, error, message):
    with pytest.raises(error, match=message) as excinfo:
        data.load(database(people, *steps), "pandas", None)
    assert SECRET not in excinfo.value.message


@given(
    values=st.lists(st.none() | st.floats(-1e6, 1e6)),
    bounds=st.tuples(st.none() | st.floats(-1e6, 1e6), st.none() | st.floats(-1e6, 1e6)),
    included=st.tuples(st.booleans(), st.booleans()),
)
def test_any_bounds_keep_the_rows_within_them(values, bounds, included):
    least, most = bounds
    step = _preprocessing.FilterRange("x", least, most, *included)
    remaining = step.apply(pd.DataFrame({"x": pd.Series(values, dtype=float)}))["x"].tolist()

    def above(value: float) -> bool:
        return least is None or value > least or (included[0] and value == least)

    def below(value: float) -> bool:
        return most is None or value < most or (included[1] and value == most)

    present = [value for value in values if value is not None]
    expected = [value for value in present if above(value) and below(value)]
    assert [value for value in remaining if value == value] == expected  # noqa: PLR0124 - NaN is a row without a value
