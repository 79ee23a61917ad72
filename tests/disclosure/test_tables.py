"""Every form of data reports the same facts: rows, persons, and how many records have a value of the result."""

from __future__ import annotations

from collections import Counter
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.disclosure.tables import ReadTables
from algotools.payload import encode_plain

FORMS = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "arrow": pa.Table.from_pandas,
    "lazy": lambda frame: pl.from_pandas(frame).lazy(),
    "duckdb": lambda frame: duckdb.connect().from_df(frame),
    "ibis": ibis.memtable,
    "batches": lambda frame: pa.Table.from_pandas(frame).to_reader(max_chunksize=3),
}
WITH_CELLS = ("pandas", "polars", "arrow")
WITH_TEXTS = (*WITH_CELLS, "lazy", "duckdb", "ibis")

PATIENTS = pd.DataFrame(
    {
        "patient": [1, 1, 2, 2, 3, 3, 4, 4],
        "weight": [70.5, 60.1, 60.1, 60.1, 55.0, 81.0, 82.25, np.nan],
        "age": [30, 40, 50, 60, 70, 80, 91, 91],
        "group": ["a", "a", "b", "b", "b", "c", "c", "d"],
    }
)


def read(form: str, frame: pd.DataFrame, person: str | None = None, *, keeps_person: bool = True) -> tuple[Any, Any]:
    """Return the tables of a run that reads a frame, and the value for the function."""
    tables = ReadTables()
    value = tables.add("default", form, FORMS[form](frame), person, keeps_person=keeps_person)
    if form == "batches":
        value = value.read_all()
    return tables, value


def match(tables: ReadTables, result: object) -> Any:
    return tables.match_result(encode_plain(result).data, (), tuple)


@pytest.mark.parametrize("form", FORMS)
def test_rows_persons_and_columns_are_counted(form: str) -> None:
    tables, _ = read(form, PATIENTS, "patient")
    (facts,) = tables.describe(with_lazy=True)
    assert (facts.rows, facts.persons, facts.records) == (8, 4, 4)
    assert facts.columns == tuple(PATIENTS)


@pytest.mark.parametrize("form", FORMS)
def test_the_column_of_persons_is_not_given_to_a_function_that_does_not_request_it(form: str) -> None:
    _, value = read(form, PATIENTS, "patient", keeps_person=False)
    names = value.collect_schema().names() if form == "lazy" else getattr(value, "column_names", None) or value.columns
    assert [str(name) for name in names] == ["weight", "age", "group"]


@pytest.mark.parametrize("form", ["path", "database"])
def test_the_rows_of_a_path_are_unknown(form: str) -> None:
    tables = ReadTables()
    assert tables.add("default", form, "somewhere") == "somewhere"
    assert tables.describe(with_lazy=True)[0].rows is None


@pytest.mark.parametrize("form", WITH_CELLS)
def test_numbers_are_found_with_their_records(form: str) -> None:
    tables, _ = read(form, PATIENTS)
    matches = match(tables, {"x": [70.5, 60.1, 91, 5.5, 82.25]})
    assert matches.numbers == {70.5: 1, 60.1: 3, 91.0: 2, 82.25: 1}
    assert matches.extremes == {91.0: 2, 82.25: 1}


@pytest.mark.parametrize("form", WITH_CELLS)
def test_records_are_persons_if_the_owner_names_their_column(form: str) -> None:
    tables, _ = read(form, PATIENTS, "patient")
    assert match(tables, [60.1, 91]).numbers == {60.1: 2, 91.0: 1}


@pytest.mark.parametrize("form", WITH_TEXTS)
@pytest.mark.parametrize(("person", "records"), [(None, [2, 3, 2, 1]), ("patient", [1, 2, 2, 1])])
def test_texts_are_found_with_their_records(form: str, person: str | None, records: list[int]) -> None:
    tables, _ = read(form, PATIENTS, person)
    (level,) = match(tables, {"b": 0.5}).levels
    assert (level.column, level.level_count, level.row_count) == ("group", 4, 8)
    assert level.records == dict(zip("abcd", records, strict=True))


@pytest.mark.parametrize("form", WITH_TEXTS)
def test_only_the_texts_of_the_result_are_reported_of_a_column_with_many_values(form: str) -> None:
    names = pd.DataFrame({"name": [f"Person {i // 2}" for i in range(4000)]})
    tables, _ = read(form, names)
    (level,) = match(tables, ["Person 7", "Nobody"]).levels
    assert (level.level_count, level.records) == (2000, {"Person 7": 2})


def test_a_function_that_adds_columns_does_not_change_the_facts() -> None:
    tables, value = read("pandas", PATIENTS.copy())
    value["weight"] = value["weight"] * 2
    value["extra"] = 1.75
    matches = match(tables, [60.1, 1.75])
    assert matches.numbers == {60.1: 3}
    assert matches.tables[0].columns == tuple(PATIENTS)


@given(
    st.lists(st.sampled_from([0.0, -0.0, 1.5, -2.25, 3.0, 1e300, 70.1, float("nan")]), min_size=1, max_size=40),
    st.sets(st.sampled_from([0.0, 1.5, -2.25, 3.0, 1e300, 70.1, 9.5])),
)
def test_each_form_counts_a_number_as_python_does(cells: list[float], wanted: set[float]) -> None:
    counts = Counter(cell for cell in cells if cell == cell)  # noqa: PLR0124 - NaN is not equal to itself
    expected = {number: counts[number] for number in wanted if counts[number]}
    for form in WITH_CELLS:
        tables, _ = read(form, pd.DataFrame({"x": cells}))
        assert tables.match_numbers(wanted).numbers == expected
