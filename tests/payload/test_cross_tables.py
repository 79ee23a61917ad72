"""Tables with several levels of labels: the researcher can restore the table, and a master gets the same object."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal

from algotools.errors import NotSerializable
from algotools.payload import decode_rich, encode_plain, encode_rich

PATIENTS = pd.DataFrame(
    {
        "sex": ["f", "m", "f", "m", "f"],
        "smoker": [True, False, False, None, True],
        "age": [50, 61, 45, 70, 38],
        "weight": [61.5, 80.0, math.nan, 75.2, 66.0],
    }
)
AGES = pd.cut(PATIENTS["age"], [0, 40, 60, 80])


def plain(value: object) -> Any:
    return json.loads(encode_plain(value).data)


def restore(value: object) -> Any:
    """Return the table from the JSON form, as a researcher restores it."""
    return pd.DataFrame.from_dict(plain(value), orient="tight")


def check_in_master(table: Any) -> None:
    """Check that a master gets the same table. The levels of an index are compared by row, as they are sent."""
    result = decode_rich(encode_rich({"table": table}))["table"]
    assert type(result) is type(table)
    for restored, labels in zip(result.axes, table.axes, strict=True):
        assert type(restored) is type(labels)
        for level in range(labels.nlevels):
            assert_index_equal(restored.get_level_values(level), labels.get_level_values(level), exact=True)
    check = assert_frame_equal if isinstance(table, pd.DataFrame) else assert_series_equal
    check(result, table, check_exact=True, check_index_type=False)


TABLES: dict[str, Any] = {
    "a count": PATIENTS.groupby(["sex", "smoker"]).size(),
    "a count with missing values": PATIENTS.groupby(["sex", "smoker"], dropna=False).size(),
    "a mean with a name": PATIENTS.groupby(["sex", "age"])["weight"].mean(),
    "a frame of means": PATIENTS.groupby(["sex", "smoker"])[["age", "weight"]].mean(),
    "several statistics": PATIENTS.groupby(["sex", "smoker"]).agg({"age": ["mean", "count"], "weight": ["max"]}),
    "statistics by one column": PATIENTS[["sex", "age", "weight"]].groupby("sex").describe(),
    "a cross table of three columns": pd.crosstab(PATIENTS["sex"], [PATIENTS["smoker"], PATIENTS["age"]]),
    "a cross table with totals": pd.crosstab([PATIENTS["sex"], PATIENTS["age"]], PATIENTS["smoker"], margins=True),
    "a pivot table": PATIENTS.pivot_table(["age", "weight"], "sex", "smoker"),
    "an unstacked table": PATIENTS.groupby(["sex", "age"])[["weight"]].mean().unstack(),  # noqa: PD010 - this result has levels of columns
    "a stacked table": pd.crosstab(PATIENTS["sex"], PATIENTS["smoker"]).stack(),  # noqa: PD013 - this result has the names
    "counts of pairs": PATIENTS[["sex", "age"]].value_counts(),
    "no rows": PATIENTS.groupby(["sex", "smoker"]).size().iloc[:0],
    "no columns": PATIENTS.groupby(["sex", "smoker"]).size().to_frame()[[]],
    "one level": pd.Series([1, 2], pd.MultiIndex.from_arrays([["a", "b"]], names=["one"])),
    "repeated labels": pd.Series([1, 2], pd.MultiIndex.from_tuples([("a", 1), ("a", 1)])),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_researcher_can_restore_a_table(name):
    table = TABLES[name]
    expected = table if isinstance(table, pd.DataFrame) else table.to_frame(table.name)

    result = restore(table)

    assert list(result.index.names) == list(expected.index.names)
    assert list(result.columns.names) == list(expected.columns.names)
    expected = expected.copy()
    for labels in ("index", "columns"):  # an index of one level is restored as an index without levels
        index = getattr(expected, labels)
        if isinstance(index, pd.MultiIndex) and index.nlevels == 1:
            setattr(expected, labels, index.get_level_values(0))
    # JSON has no NaN, so both tables are compared with None.
    result, expected = (frame.astype(object).where(frame.notna(), None) for frame in (result, expected))
    assert_frame_equal(result, expected, check_column_type=False, check_index_type=False)


@pytest.mark.parametrize("name", TABLES)
def test_a_master_gets_the_same_table(name):
    check_in_master(TABLES[name])


def test_the_form_has_the_labels_the_cells_and_the_names():
    counts = PATIENTS.groupby(["sex", "smoker"], dropna=False).size()
    encoded = encode_plain({"counts": counts})

    assert json.loads(encoded.data)["counts"] == {
        "index": [["f", False], ["f", True], ["m", False], ["m", None]],
        "columns": [None],
        "data": [[1], [2], [1], [1]],
        "index_names": ["sex", "smoker"],
        "column_names": [None],
    }
    paths = [[getattr(step, "key", step) for step in path] for path in encoded.nulls]
    assert paths == [["counts", "index", 3, 1]]


def test_groups_periods_and_times_as_labels_are_texts():
    months = pd.PeriodIndex(["2020-01", "2020-02", "2020-01", "2020-02", "2020-01"], freq="M")
    days = pd.to_datetime(["2020-01-01"] * 5)
    counts = PATIENTS.groupby([AGES, months, days], observed=True).size()

    assert plain(counts)["index"][0] == ["(0, 40]", "2020-01", "2020-01-01T00:00:00"]
    check_in_master(counts)


def test_a_table_with_one_level_keeps_its_form():
    table = pd.crosstab(PATIENTS["sex"], PATIENTS["age"] > 50)

    assert plain(table) == {"false": {"f": 3, "m": 0}, "true": {"f": 0, "m": 2}}
    check_in_master(table)
    assert decode_rich(encode_rich(table)).columns.name == "age"


def test_a_dict_by_two_columns_has_lists_as_keys():
    counts = PATIENTS.groupby(["sex", "age"]).size().to_dict()

    assert {tuple(json.loads(key)): count for key, count in plain(counts).items()} == counts
    assert decode_rich(encode_rich(counts)) == counts


@pytest.mark.parametrize("encode", [encode_plain, encode_rich])
def test_a_cell_without_an_encoding_is_refused_without_its_labels(encode):
    table = PATIENTS.groupby(["sex", "smoker"])["age"].apply(set)

    with pytest.raises(NotSerializable) as excinfo:
        encode({"table": table}, source_texts=["table"])

    assert excinfo.value.message.startswith("result['table'][")
    assert "a set " in excinfo.value.message
    assert "'f'" not in excinfo.value.message


labels = st.text(max_size=3) | st.integers(-5, 5) | st.booleans()


@given(st.data())
def test_any_table_with_levels_can_be_restored(data: st.DataObject) -> None:
    def draw_labels(size: int, levels: int) -> pd.Index:
        rows = st.lists(st.tuples(*[labels] * levels), min_size=size, max_size=size)
        names = data.draw(st.lists(st.none() | st.text(max_size=3), min_size=levels, max_size=levels))
        arrays = list(zip(*data.draw(rows), strict=True)) or [[]] * levels
        return pd.MultiIndex.from_arrays([pd.Index(list(array), dtype=object) for array in arrays], names=names)

    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    table = pd.DataFrame(np.arange(shape[0] * shape[1]).reshape(shape))
    table.index = draw_labels(shape[0], data.draw(st.integers(2, 3)))
    table.columns = draw_labels(shape[1], data.draw(st.integers(2, 3)))

    result = restore(table)

    assert result.index.tolist() == table.index.tolist()
    assert result.columns.tolist() == table.columns.tolist()
    assert list(result.index.names) == list(table.index.names)
    assert result.to_numpy().tolist() == table.to_numpy().tolist()
    check_in_master(table)
