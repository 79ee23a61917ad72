"""Runs on tables in Spark: every runner and the sandbox, pooled statistics, and what a researcher reads."""

from __future__ import annotations

from typing import Any

import ibis
import pandas as pd
import pytest

from algotools import Aggregator, Column, Database, Federation, federated, rpc
from algotools.errors import UnknownColumn

from ..conftest import ALGORITHMS, SECRET, fail_at_nodes
from ..processes import LIMIT, wait_until
from .spark import Spark

pytestmark = pytest.mark.cluster

IN_EVERY_FORM = ALGORITHMS / "in_every_form"
FORMS = ["pandas", "polars", "lazy", "arrow", "batches", "duckdb", "ibis"]
ROWS = {"age": [61, None, 38, 45, 70, 12, 33], "sex": ["f", "m", None, "m", "m", "f", "f"]}
PARTS = [slice(0, 2), slice(2, 4), slice(4, 7)]
ANSWER = [{"sum": 61, "count": 1}, {"sum": 83, "count": 2}, {"sum": 115, "count": 3}]

Nodes = list[Database]


@pytest.fixture(scope="module")
def nodes(spark: Spark) -> Nodes:
    """Three nodes with a part of one table each."""
    with spark.connect() as session:
        rows = [*zip(range(7), *ROWS.values(), strict=True)]
        session.createDataFrame(rows, "id INT, age INT, sex STRING").write.saveAsTable("people")
    where = [f"id >= {part.start} AND id < {part.stop}" for part in PARTS]
    return [make_database(spark, f"SELECT age, sex FROM people WHERE {condition} ORDER BY id") for condition in where]


def make_database(spark: Spark, query: str) -> Database:
    return Database("default", spark.uri, "sql", {**spark.login, "QUERY": query})


@rpc
def add_texts(data: ibis.Table, column: Column) -> float:
    return float(data[column].cast("int64").sum().to_pyarrow().as_py())


@federated
def summarize_in_spark(data: ibis.Table, total: Aggregator, column: Column) -> dict[str, Any]:
    x = data[column]
    return {"count": total.count(x), "sum": total.sum(x), "mean": total.mean(x), "variance": total.variance(x)}


@federated
def summarize_frame(data: pd.DataFrame, total: Aggregator, column: Column) -> dict[str, Any]:
    x = data[column]
    return {"count": total.count(x), "sum": total.sum(x), "mean": total.mean(x), "variance": total.variance(x)}


@pytest.mark.parametrize(("runner", "forms"), [("inline", FORMS), ("process", ["pandas", "duckdb", "ibis"])])
def test_every_form_gives_the_result_of_files(spark, nodes, runner, forms):
    with Federation(nodes, algorithm=IN_EVERY_FORM, runner=runner) as federation:
        for form in forms:
            assert federation.run(f"by_{form}", timeout=LIMIT, column="age") == ANSWER, form
    wait_until(lambda: not spark.find_sessions())


def test_a_confined_run_reaches_the_server(nodes):
    with Federation(nodes, algorithm=IN_EVERY_FORM, runner="process", confined=True) as federation:
        for form in ("arrow", "ibis"):
            assert federation.run(f"by_{form}", timeout=LIMIT, column="age") == ANSWER


def test_pooled_statistics_are_those_of_frames(nodes):
    frames = [pd.DataFrame({name: values[part] for name, values in ROWS.items()}) for part in PARTS]
    with Federation(frames, algorithm=[summarize_frame]) as federation:
        expected = federation.ask(summarize_frame, column="age")
    with Federation(nodes, algorithm=[summarize_in_spark]) as federation:
        assert federation.ask(summarize_in_spark, timeout=LIMIT, column="age") == pytest.approx(expected)
    assert expected["count"] == 6


def test_an_unknown_column_has_its_exit_code(spark, nodes):
    with Federation(nodes, algorithm=IN_EVERY_FORM) as federation:
        for form in ("pandas", "ibis"):
            failures = fail_at_nodes(federation, f"by_{form}", column="agee")
            assert {code for code, _ in failures.values()} == {UnknownColumn.exit_code}
    wait_until(lambda: not spark.find_sessions())


def test_a_failed_function_releases_its_session_and_shows_no_value(spark):
    node = make_database(spark, f"SELECT '{SECRET}' AS age")
    with Federation([node], algorithm=[add_texts]) as federation:
        task = federation.client().task.create(
            organizations=list(federation.organizations()),
            image="",
            input_={"method": "add_texts", "kwargs": {"column": "age"}},
            databases=[{"label": "default"}],
        )
        assert federation.wait(task["id"], LIMIT)
        (run,) = federation.task(task["id"]).runs
        failure = federation.failure(run)
    assert failure is not None
    assert "NumberFormatException" in run.log
    assert SECRET not in run.log + failure.message
    wait_until(lambda: not spark.find_sessions())
