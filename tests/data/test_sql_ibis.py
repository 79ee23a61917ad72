"""Ibis on PostgreSQL: the work is done in the server, and its rows stay there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import ibis
import pytest

from algotools import data
from algotools.errors import DatabaseUnreadable, InputError
from algotools.task import Database

from .postgres import Postgres


@pytest.fixture(scope="module")
def clinic(postgres: Postgres) -> str:
    name = postgres.new_database()
    with postgres.connect(name) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
        connection.execute("CREATE DOMAIN years AS integer")
        connection.execute("CREATE SCHEMA ward")
        connection.execute("CREATE TABLE ward.\"Beds\" AS SELECT 'free'::text AS state")
        connection.execute("""
            CREATE TABLE patients AS SELECT g AS id, (g % 80)::years AS age, g / 4.0 AS price, 'x' || g AS name,
                'good'::mood AS mood, timestamptz '2020-01-01 10:00+00' + g * interval '1 day' AS seen,
                '{1,2}'::int[] AS list, '{"a": 1}'::jsonb AS json, gen_random_uuid() AS uuid, repeat('y', 500) AS wide
            FROM generate_series(1, 5000) AS g
        """)
    return postgres.uri(name)


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def load(
    uri: str, closing: ExitStack, query: str | None = "SELECT * FROM patients", columns: Any = None, **options: str
) -> Any:
    return data.load(Database("clinic", uri, "sql", options, query), "ibis", columns, closing)


def test_the_types_are_the_databases(clinic, closing):
    schema = load(clinic, closing).value.schema()
    assert {name: str(kind.copy(nullable=True)).replace(", 6", "") for name, kind in schema.items()} == {
        "id": "int32", "age": "int32", "price": "decimal", "name": "string", "mood": "string",
        "seen": "timestamp('UTC')", "list": "array<int32>", "json": "jsonb", "uuid": "uuid", "wide": "string",
    }  # fmt: skip


def test_the_server_does_the_work_and_only_its_answer_leaves(postgres, clinic, closing):
    with postgres.statements() as asked:
        table = load(clinic, closing, columns=frozenset(["age", "name"])).value
        assert table.columns == ("age", "name")
        assert table.filter(table.age > 70).age.mean().execute() == pytest.approx(75)
    told = [statement for statement in asked if "patients" in statement]
    assert "LIMIT 0" in told[0]
    [work] = told[1:]
    assert "AVG(" in work
    with postgres.connect(clinic.rpartition("/")[2]) as connection:
        plan = [row[0] for row in connection.execute("EXPLAIN " + work.partition(": ")[2])]
    assert plan[0].startswith("Aggregate")
    assert any("Seq Scan on patients" in line for line in plan)
    assert any("rows=1 " in line for line in plan[:1])


def test_how_much_is_sent_does_not_grow_with_the_rows(clinic, closing):
    table = load(clinic, closing).value
    grouped = table.group_by(table.age % 2).agg(n=table.count(), wide=table.wide.length().max())
    assert grouped.execute().sort_values("n")["n"].tolist() == [2500, 2500]


def test_names_of_all_columns_are_known(clinic, closing):
    loaded = load(clinic, closing, columns=frozenset(["wide", "no such column"]))
    assert loaded.value.columns == ("wide",)
    assert loaded.columns == ["id", "age", "price", "name", "mood", "seen", "list", "json", "uuid", "wide"]


def test_a_configured_table(clinic, closing):
    assert load(clinic, closing, None, TABLE="ward.Beds").value.state.max().execute() == "free"


def test_the_connection_ends_with_the_function(clinic):
    with ExitStack() as closing:
        table = load(clinic, closing).value
    with pytest.raises(Exception, match="closed"):
        table.count().execute()


def test_the_author_cannot_write_either(clinic, closing):
    backend = load(clinic, closing).value.get_backend()
    with pytest.raises(Exception, match="read-only transaction"):
        backend.create_table("taken", schema=ibis.schema({"a": "int64"}))


@pytest.mark.parametrize("query", ["SELECT 1 AS a, 2 AS a"])
def test_two_columns_of_one_name(clinic, closing, query):
    with pytest.raises(DatabaseUnreadable, match="two columns of one name"):
        load(clinic, closing, query)


def test_what_cannot_be_part_of_a_query_is_read_up(clinic, closing):
    assert load(clinic, closing, "SHOW server_encoding").value.server_encoding.max().execute() == "UTF8"


def test_without_a_query_it_is_said_how_to_give_one(clinic, closing):
    with pytest.raises(InputError, match="or a whole table as `table`"):
        load(clinic, closing, None)


@pytest.mark.parametrize(("scheme", "package"), [("trino", "trino"), ("clickhouse", "clickhouse")])
def test_a_cluster_engine_wants_its_package(closing, scheme, package):
    with pytest.raises(
        DatabaseUnreadable, match=f"put this package into the algorithm's dependencies: .*{package}"
    ) as failed:
        load(f"{scheme}://bob:hunter2-4711@127.0.0.1:1/db", closing)
    assert "hunter2" not in str(failed.value) + failed.value.detail
