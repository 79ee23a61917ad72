"""The same function with every form of data has the same result, with several nodes, runners and generations."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from algotools import Database, Federation, rpc
from algotools.declare.functions import Algorithm
from algotools.errors import FederationError, RunsFailed, UnknownColumn
from algotools.federation.runners._template_process import _uses_library

from ..conftest import ALGORITHMS, fail_at_nodes
from ..processes import LIMIT

IN_EVERY_FORM = ALGORITHMS / "in_every_form"
FORMS = ["pandas", "polars", "lazy", "arrow", "batches", "duckdb", "ibis"]
ROWS = [
    {"id": [1, 2, 3], "age": [61, None, 38], "sex": ["f", "m", None]},
    {"id": [4, 5, 6, 7], "age": [45, 70, 12, 33], "sex": ["m", "m", "f", "f"]},
]
ANSWER = [{"sum": 99, "count": 2}, {"sum": 160, "count": 4}]


def as_csv(rows: Any, folder: Path) -> Any:
    pl.DataFrame(rows).write_csv(folder / "x.csv")
    return folder / "x.csv"


def as_parquet(rows: Any, folder: Path) -> Any:
    pl.DataFrame(rows).write_parquet(folder / "x.parquet")
    return folder / "x.parquet"


SOURCES = {
    "csv": as_csv,
    "parquet": as_parquet,
    "pandas": lambda rows, _: pd.DataFrame(rows),
    "polars": lambda rows, _: pl.DataFrame(rows),
    "arrow": lambda rows, _: pa.table(rows),
}


@pytest.fixture(params=SOURCES)
def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> list[Any]:
    """The same rows as files or as tables in memory."""
    folders = [tmp_path / str(number) for number in range(len(ROWS))]
    for folder in folders:
        folder.mkdir()
    return [SOURCES[request.param](rows, folder) for rows, folder in zip(ROWS, folders, strict=True)]


@pytest.mark.parametrize("contract", ["v4", "v5"])  # on v5 every table is a Parquet file
def test_every_form_gives_the_same_result(nodes, contract):
    with Federation(nodes, algorithm=IN_EVERY_FORM, contract=contract) as federation:
        for form in FORMS:
            assert federation.run(f"by_{form}", column="age") == ANSWER, form


def test_every_form_works_with_the_process_runner(tmp_path):
    nodes = [SOURCES["polars"](rows, tmp_path) for rows in ROWS]
    with Federation(nodes, algorithm=IN_EVERY_FORM, runner="process") as federation:
        for form in FORMS:
            assert federation.run(f"by_{form}", column="age") == ANSWER, form


def test_an_unknown_column_is_named_for_every_form(nodes):
    with Federation(nodes, algorithm=IN_EVERY_FORM) as federation:
        for form in FORMS:
            with pytest.raises(UnknownColumn, match="no node has a column 'height'"):  # before a run
                federation.run(f"by_{form}", column="height")
            failures = fail_at_nodes(federation, f"by_{form}", column="height")
            assert set(failures.values()) == {(16, "no column 'height' in database 'default'")}, form


def test_a_frame_has_only_the_requested_columns(nodes):
    with Federation(nodes, algorithm=IN_EVERY_FORM) as federation:
        assert federation.run("columns_in_polars", column="age") == [["age", "sex"]] * 2


def test_two_tables_are_assigned_by_label(tmp_path):
    patients = pl.DataFrame({"id": [1, 2], "age": [61, 38]})
    visits = pl.DataFrame({"patient": [1, 1, 2], "day": [3, 4, 5]})
    with Federation([{"patients": patients, "visits": visits}], algorithm=IN_EVERY_FORM) as federation:
        for order in (["patients", "visits"], ["visits", "patients"]):
            databases = [Database(label) for label in order]
            assert federation.run("joined", databases=databases, column="age") == [{"sum": 160}]


@pytest.mark.parametrize("library", ["duckdb", "ibis"])
def test_two_tables_of_an_engine_can_be_joined(tmp_path, library):
    pl.DataFrame({"id": [1, 2], "age": [61, 38]}).write_csv(tmp_path / "patients.csv")
    visits = pd.DataFrame({"patient": [1, 1, 2], "day": [3, 4, 5]})
    with Federation([{"patients": tmp_path / "patients.csv", "visits": visits}], algorithm=IN_EVERY_FORM) as federation:
        assert federation.run(f"joined_by_{library}", databases=["patients", "visits"]) == [160]


def test_a_function_can_request_the_path_of_a_file(tmp_path):
    (tmp_path / "notes.txt").write_text("one\ntwo\n")
    with Federation([Database("default", str(tmp_path / "notes.txt"), "other")], algorithm=IN_EVERY_FORM) as federation:
        assert federation.run("lines") == [2]
    missing = Database("default", str(tmp_path / "no.txt"), "other")
    with (
        Federation([missing], algorithm=IN_EVERY_FORM) as federation,
        pytest.raises(RunsFailed, match="does not exist"),
    ):
        federation.run("lines")


def test_run_accepts_databases_in_the_format_of_a_task(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "x.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE people (age INTEGER)")
        connection.execute("INSERT INTO people VALUES (50), (71)")
    requested = {"label": "default", "query": "select age from people where age < 60; -- the young"}
    with Federation([tmp_path / "x.sqlite"], algorithm=IN_EVERY_FORM) as federation:
        for form in FORMS:
            for databases in (requested, [requested]):
                assert federation.run(f"by_{form}", databases=databases, column="age") == [{"sum": 50, "count": 1}]


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_master_receives_tables_from_its_rpcs(runner):
    with Federation([pd.DataFrame(rows) for rows in ROWS], algorithm=IN_EVERY_FORM, runner=runner) as federation:
        assert federation.run("pooled_tables") == [3, 3]


@rpc
def heights(data: pl.DataFrame) -> int:
    return data.height


def test_the_process_runner_refuses_functions_of_a_process_that_uses_polars():
    assert pl.DataFrame({"a": [1, 2]}).filter(pl.col("a") > 1).height == 1
    with (
        Federation([pd.DataFrame({"a": [1]})], algorithm=[heights], runner="process") as federation,
        pytest.raises(FederationError, match=r"use polars, which hangs in a copy .*; use runner inline"),
    ):
        federation.run(heights)


@pytest.mark.parametrize(
    ("value", "is_use"),
    [(pl, True), (pl.col, True), (pl.read_csv, True), (pl.Series, True), (pl.DataFrame({"a": [1]}), True), (1, False)],
)
def test_the_process_runner_detects_polars_among_global_variables(value, is_use):
    # Comparing an array or a DataFrame with == returns no boolean.
    variables = {
        "__name__": "functions",
        "rpc": rpc,
        "array": np.ones(2),
        "frame": pd.DataFrame({"a": [1, 2]}),
        "value": value,
    }
    exec("@rpc\ndef one() -> int:\n    return 1\n", variables)
    assert _uses_library(Algorithm.from_functions([variables["one"]]), "polars") is is_use


@pytest.mark.parametrize("library", ["polars", "arrow", "duckdb", "ibis"])
def test_a_function_may_return_a_table_of_any_library_for_a_session(tmp_path, library):
    paths = [tmp_path / "1.csv", tmp_path / "2.csv"]
    for rows, path in zip(ROWS, paths, strict=True):
        pl.DataFrame(rows).write_csv(path)
    with Federation(paths, algorithm=IN_EVERY_FORM, contract="v5") as federation:
        client = federation.client()
        table = client.dataframe.create("default", method="read_csv")
        table = client.dataframe.preprocess(table["id"], method=f"grown_by_{library}")
        assert federation.wait(table["last_session_task"]["id"], LIMIT)
        databases = [{"dataframe_id": table["id"]}]
        task = client.task.create(1, [2, 3], method="by_lazy", arguments={"column": "age"}, databases=databases)
        assert federation.wait(task["id"], LIMIT)
        runs = federation.task(task["id"]).runs
        assert [federation.failure(run) for run in runs] == [None, None]
        assert [federation.answer(run) for run in runs] == [{"sum": 61, "count": 1}, {"sum": 115, "count": 2}]
