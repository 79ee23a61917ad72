"""The tables in results, and the results of several organizations as one DataFrame."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from algotools import Federation, rpc
from algotools.federation import Answers
from algotools.federation.result_tables import read_table
from algotools.payload import encode_plain

ORGANIZATIONS = {2: "north", 3: "south"}

PATIENTS = pd.DataFrame(
    {"sex": list("ffmmfm"), "smoker": [True, False, True, False, True, True], "age": [50, 62, 68, 40, 55, 85]}
)


def send(value: object) -> Any:
    """Return a value as a researcher receives it."""
    return json.loads(encode_plain(value).data)


def make_frame(*results: object) -> pd.DataFrame:
    return Answers(map(send, results), ORGANIZATIONS).to_frame()


def test_numbers_have_one_column() -> None:
    expected = pd.DataFrame({"result": [1.5, 2.0]}, index=pd.Index(["north", "south"], name="organization"))
    assert_frame_equal(make_frame(1.5, 2), expected)


def test_mappings_have_a_column_for_each_key() -> None:
    frame = make_frame({"sum": 253, "by": {"f": 1, "m": None}}, {"sum": 173, "by": {"f": 3}})
    assert list(frame.columns) == ["sum", "by.f", "by.m"]
    assert frame["sum"].to_dict() == {"north": 253, "south": 173}
    assert frame["by.f"].mean() == 2.0
    assert frame["by.m"].isna().all()


def test_equal_names_of_columns_lose_no_value() -> None:
    frame = make_frame({"a": {"b": 1}, "a.b": 2, "a.b_2": 3}, {"a.b": 20, "a": {"b": 10}})
    assert list(frame.columns) == ["a.b", "a.b_3", "a.b_2"]
    assert frame.loc["north"].tolist() == [1, 2, 3]
    assert frame.loc["south"].tolist()[:2] == [10, 20]
    twice = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]).to_dict("tight")
    assert make_frame(twice).loc["north"].to_numpy().tolist() == [[1, 2], [3, 4]]
    assert make_frame({"n": 1, "table": twice}).loc["north"].tolist() == [1, 1, 2, 3, 4]


def test_tables_have_the_labels_of_their_rows_in_the_index() -> None:
    table = PATIENTS.groupby("sex")["age"].agg(["count", "mean"])
    frame = make_frame(table, table.iloc[:1])
    assert frame.index.tolist() == [("north", "f"), ("north", "m"), ("south", "f")]
    assert frame.index.names == ["organization", "row"]
    assert_frame_equal(frame.loc["north"].rename_axis("sex"), table)


def test_tables_with_several_levels_are_restored() -> None:
    table = PATIENTS.groupby(["sex", "smoker"]).agg({"age": ["mean", "count"]})
    frame = make_frame(table, table)
    assert frame.index.names == ["organization", "sex", "smoker"]
    assert_frame_equal(frame.loc["south"], table, check_names=True)


@pytest.mark.parametrize(
    ("results", "shape"),
    [
        ([[1, 2], [3]], (2, 1)),
        ([{"a": 1}, 2], (2, 1)),
        ([PATIENTS.describe(), 2], (2, 1)),
        ([None, None], (2, 1)),
        ([PATIENTS.iloc[:0], PATIENTS.iloc[:0]], (2, 3)),
    ],
)
def test_other_and_mixed_results_stay_in_their_cells(results: list[Any], shape: tuple[int, int]) -> None:
    frame = make_frame(*results)
    assert frame.shape == shape
    assert list(frame.index) == ["north", "south"]


def test_the_answers_of_a_federation() -> None:
    @rpc
    def describe(data: pd.DataFrame) -> pd.DataFrame:
        return data.groupby("sex")["age"].agg(["sum", "count"])

    with Federation({"a": PATIENTS, "b": PATIENTS}, algorithm=[describe], policy="off") as federation:
        frame = federation.run(describe).to_frame()
    assert frame.groupby(level="row").sum()["count"].to_dict() == {"f": 6, "m": 6}


LABELS = st.lists(st.text(max_size=5), min_size=2, max_size=4, unique=True)


@given(LABELS, LABELS, st.integers(0, 10**6))
def test_every_table_of_pandas_is_found_again(rows: list[str], columns: list[str], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(len(rows), len(columns))).round(3)
    table = read_table(send(pd.DataFrame(values, index=rows, columns=columns)))
    assert table is not None
    assert [list(row) for row in table.rows] == values.tolist()
    if not any(name.startswith("[") for name in (*rows, *columns)):
        assert [label for (label,) in table.labels] == rows
        assert [label for (label,) in table.columns] == columns


@pytest.mark.parametrize(
    "value", [1, "x", [], {}, [1, 2], {"a": 1}, {"a": {"b": {}}}, {"a": {"x": 1}, "b": {"y": 1}, "c": {"z": 2}}]
)
def test_other_values_are_not_tables(value: object) -> None:
    assert read_table(value) is None
