"""A requested name finds its column in every source and form, however a program wrote the name."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import Column, Columns, Federation, data, rpc
from algotools.data.names import RequestedNames, find_name, find_renames, normalize
from algotools.data.reading import Unreadable
from algotools.errors import DatabaseUnreadable, UnknownColumn
from algotools.task import Database

from ..conftest import fail_at_nodes
from .forms import TABLES, read
from .postgres import Postgres

COMPOSED, DECOMPOSED = "gr\u00f6\u00dfe", "gro\u0308\u00dfe"


def list_names(
    database: Database, form: str, columns: frozenset[str] | None, names: Collection[str] = ()
) -> list[object]:
    with contextlib.ExitStack() as stack:
        return list(data.load(database, form, columns, stack, names).columns or ())


SPELLINGS = {
    "decomposed": (COMPOSED, DECOMPOSED),
    "composed": (DECOMPOSED, COMPOSED),
    "a blank at the end": ("age", "age "),
    "a blank at the start": ("age", " age"),
    "a requested blank": ("age ", "age"),
    "two blanks": ("blood pressure", "blood  pressure"),
    "a no-break space": ("blood pressure", "blood\u00a0pressure"),
    "a no-break space at the end": ("age", "age\u00a0"),
    "a byte order mark": ("age", "\ufeffage"),
    "a zero-width space": ("age", "age\u200b"),
    "an ideographic space": ("age", "age\u3000"),
}


def write_csv(folder: Path, frame: pd.DataFrame) -> Database:
    # An encoding without a byte order mark of its own: pandas removes the first one from a file in UTF-8.
    frame.to_csv(folder / "x.csv", index=False, encoding="utf-8-sig")
    return Database("clinic", str(folder / "x.csv"))


def write_parquet(folder: Path, frame: pd.DataFrame) -> Database:
    frame.to_parquet(folder / "x.parquet")
    return Database("clinic", str(folder / "x.parquet"))


def write_parts(folder: Path, frame: pd.DataFrame) -> Database:
    for number in range(2):
        part = folder / f"x/{number}.parquet"
        part.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pandas(frame.iloc[number : number + 1], preserve_index=False), part)
    return Database("clinic", str(folder / "x"))


def write_excel(folder: Path, frame: pd.DataFrame) -> Database:
    frame.to_excel(folder / "x.xlsx", index=False)
    return Database("clinic", str(folder / "x.xlsx"))


def write_sqlite(folder: Path, frame: pd.DataFrame) -> Database:
    with contextlib.closing(sqlite3.connect(folder / "x.sqlite")) as base:
        frame.to_sql("people", base, index=False)
    return Database("clinic", str(folder / "x.sqlite"), options={"TABLE": "people"})


def write_duckdb(folder: Path, frame: pd.DataFrame) -> Database:
    import duckdb

    with duckdb.connect(str(folder / "x.duckdb")) as base:
        base.from_df(frame).create("people")
    return Database("clinic", str(folder / "x.duckdb"), options={"TABLE": "people"})


SOURCES: list[Callable[[Path, pd.DataFrame], Database]] = [
    write_csv, write_parquet, write_parts, write_excel, write_sqlite, write_duckdb,
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "spelling"),
    [
        (write, spelling)
        for write in SOURCES
        for spelling in (SPELLINGS if write is write_csv else ("decomposed", "a blank at the end"))
    ],
)
@pytest.mark.parametrize("form", TABLES)
def test_a_column_has_the_requested_name(form, write, spelling, tmp_path):
    requested, written = SPELLINGS[spelling]
    database = write(tmp_path, pd.DataFrame({"id": [1, 2], written: [50, 61]}))
    assert read(database, form, frozenset({requested})) == {requested: [50, 61]}
    assert read(database, form, frozenset({"id"})) == {"id": [1, 2]}


@pytest.mark.parametrize("form", TABLES)
def test_a_column_of_postgresql_has_the_requested_name(form, postgres: Postgres):
    name = postgres.new_database()
    with postgres.connect(name) as connection:
        connection.execute(f'CREATE TABLE people AS SELECT 1 AS id, 50 AS "{DECOMPOSED}"'.encode())
    database = Database("clinic", postgres.uri(name), options={"TABLE": "people"})
    assert read(database, form, frozenset({COMPOSED})) == {COMPOSED: [50]}


@pytest.mark.parametrize("form", TABLES)
def test_a_column_has_the_name_that_a_function_uses_if_all_columns_are_read(form, tmp_path):
    database = write_parquet(tmp_path, pd.DataFrame({"id": [1], "age ": [50]}))
    assert list_names(database, form, None, {"age"}) == ["id", "age"]
    assert list_names(database, form, None) == ["id", "age "]


@pytest.mark.parametrize("write", SOURCES)
@pytest.mark.parametrize("form", TABLES)
def test_a_name_may_have_any_characters(form, write, tmp_path):
    names = [
        "age.1",
        "a b",
        "1.5",
        "select",
        'a"b',
        "a'b",
        "a,b",
        "a[0]",
        "a*",
        "*",
        "^.*$",
        "%s",
        "{x}",
        "\u00e9\u00f1",
    ]
    expected = {name: [number, -number] for number, name in enumerate(names)}
    database = write(tmp_path, pd.DataFrame({"id": [1, 2], **expected}))
    assert read(database, form, frozenset(names)) == expected
    assert read(database, form, frozenset(f" {name} " for name in names)) == {f" {n} ": v for n, v in expected.items()}
    assert read(database, form, frozenset({"*"})) == {"*": expected["*"]}


@pytest.mark.parametrize("write", SOURCES)
@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("name", [COMPOSED, DECOMPOSED])
def test_two_columns_with_one_normal_form_are_refused_if_a_task_means_one(name, form, write, tmp_path):
    database = write(tmp_path, pd.DataFrame({COMPOSED: [1], DECOMPOSED: [2], "id": [3]}))
    assert read(database, form, frozenset({"id"})) == {"id": [3]}
    with pytest.raises(DatabaseUnreadable, match="the names of two columns differ only in blanks") as excinfo:
        read(database, form, frozenset({name, "id"}))
    assert name not in str(excinfo.value)


@pytest.mark.parametrize("form", TABLES)
def test_case_matters(form, tmp_path):
    database = write_csv(tmp_path, pd.DataFrame({"id": [1], "Age": [50]}))
    assert list_names(database, form, frozenset({"age", "id"})) == ["id", "Age"]
    assert read(database, form, frozenset({"age", "id"})) == {"id": [1]}


@pytest.mark.parametrize("form", TABLES)
def test_a_step_of_preprocessing_finds_its_column(form, tmp_path):
    steps = [{"function": "filter_range", "parameters": {"column": COMPOSED, "min_": 55}}]
    database = write_csv(tmp_path, pd.DataFrame({"id": [1, 2], DECOMPOSED: [50, 61]}))
    database = msgspec.structs.replace(database, preprocessing=json.dumps(steps))
    assert read(database, form, frozenset({"id"})) == {"id": [2]}
    assert read(database, form, frozenset({COMPOSED})) == {COMPOSED: [61]}
    assert read(database, form) == {"id": [2], DECOMPOSED: [61]}


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("labels", [[2023, 2024], [1.5, 2.5], pd.to_datetime(["2023-01-31", "2024-01-31"])])
def test_names_of_a_parquet_file_are_texts(labels: Any, form, tmp_path):
    database = write_parquet(tmp_path, pd.DataFrame([[7, 8]], columns=labels))
    names = pq.read_schema(database.uri).names
    assert read(database, form) == {names[0]: [7], names[1]: [8]}
    assert read(database, form, frozenset({names[1]})) == {names[1]: [8]}


def test_a_name_with_levels_can_be_requested_as_in_the_file(tmp_path):
    labels = pd.MultiIndex.from_tuples([("age", "mean"), ("age", "sd")])
    database = write_parquet(tmp_path, pd.DataFrame([[50, 5]], columns=labels))
    for form in TABLES:
        assert read(database, form, frozenset({"('age', 'sd')"})) == {"('age', 'sd')": [5]}
    assert data.load(database, "pandas", None).columns == list(labels)


@pytest.mark.parametrize("write", [write_csv, write_excel])
@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("requested", [COMPOSED, DECOMPOSED])
def test_an_option_of_the_owner_finds_its_column(requested, form, write, tmp_path):
    database = write(tmp_path, pd.DataFrame({"id": [1, 2], DECOMPOSED: ["007", "012"]}))
    for option in (COMPOSED, DECOMPOSED, f"{COMPOSED} "):
        with_option = msgspec.structs.replace(database, options={"DTYPE": json.dumps({option: "str"})})
        assert read(with_option, form, frozenset({requested})) == {requested: ["007", "012"]}


@pytest.mark.parametrize("option", ["DTYPE", "PARSE_DATES"])
@pytest.mark.parametrize("form", TABLES)
def test_an_option_that_names_no_column_is_refused_in_every_form(form, option, tmp_path):
    database = write_csv(tmp_path, pd.DataFrame({"id": [1, 2], "day": ["2024-01-02", "2024-12-31"]}))
    for name, columns in (("dey", frozenset({"id"})), ("dey", None)):
        value = name if option == "PARSE_DATES" else json.dumps({name: "str"})
        with_option = msgspec.structs.replace(database, options={option: value})
        with pytest.raises(DatabaseUnreadable, match=rf"its option {option} names 1 column\(s\) that it does not"):
            read(with_option, form, columns)


# --- In a federation. ---


@rpc
def sum_renamed(data: pd.DataFrame, column: Column) -> float:
    return float(data[column].sum())


@rpc
def sum_of_all_columns(data: Annotated[pl.DataFrame, Columns.all()], column: Column) -> float:
    return float(data[column].sum())


@rpc
def fixed(data: Annotated[pd.DataFrame, Columns.of("age")]) -> float:
    return float(data["age"].sum())


@pytest.fixture
def federation() -> Iterator[Federation]:
    nodes = [pd.DataFrame({"age": [50], COMPOSED: [1]}), pd.DataFrame({"age\u00a0": [61], DECOMPOSED: [2]})]
    with Federation(nodes, algorithm=[sum_renamed, sum_of_all_columns, fixed]) as opened:
        yield opened


def test_a_name_that_passes_the_check_is_there_in_the_function(federation):
    assert federation.run(sum_renamed, column=COMPOSED) == [1, 2]
    assert federation.run(sum_renamed, column="age") == [50, 61]
    assert federation.run(sum_of_all_columns, column=DECOMPOSED) == [1, 2]
    assert federation.run(fixed) == [50, 61]


def test_another_case_is_unknown_and_the_message_mentions_the_case(federation):
    with pytest.raises(UnknownColumn, match="did you mean 'age'"):  # before a run
        federation.run(sum_renamed, column="AGE")
    failures = fail_at_nodes(federation, "sum_renamed", column="AGE")
    assert {code for code, _ in failures.values()} == {UnknownColumn.exit_code}
    for _, message in failures.values():
        assert "no column 'AGE' in database 'default'; the name of a column differs only" in message


# --- The rule. ---


@given(st.text(max_size=8))
def test_normal_forms_are_stable_and_found(name):
    assert normalize(normalize(name)) == normalize(name)
    assert name in RequestedNames([name])
    assert find_name(name, [name]) == name
    if normalize(name):
        assert normalize(name) in RequestedNames([name])
        assert f" {name}\u00a0" in RequestedNames([name])
        assert find_renames([f"{name} "], {name}) == {f"{name} ": name}


def test_an_equal_name_is_preferred():
    assert find_renames(["age"], {"age", " age"}) == {}
    assert find_name("age", ["age ", "age"]) == "age"


def test_names_of_blanks_are_equal_only_to_themselves():
    assert " " not in RequestedNames([""])
    assert find_renames(["", " ", "  "], {" "}) == {}


def test_similar_names_are_refused_without_quoting():
    with pytest.raises(Unreadable, match="rename one of them") as excinfo:
        find_renames(["age", "age ", "id"], {"age"})
    assert excinfo.value.detail == "'age' and 'age '"
    assert find_renames(["age", "age ", "id"], {"id"}) == {}
