"""Ibis with PostgreSQL: expressions are computed in the server, and the rows stay there."""

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
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def load(
    uri: str, stack: ExitStack, query: str | None = "SELECT * FROM patients", columns: Any = None, **options: str
) -> Any:
    return data.load(Database("clinic", uri, "sql", options, query), "ibis", columns, stack)


def test_the_types_are_those_of_the_database(clinic, stack):
    schema = load(clinic, stack).value.schema()
    assert {name: str(kind.copy(nullable=True)).replace(", 6", "") for name, kind in schema.items()} == {
        "id": "int32", "age": "int32", "price": "float64", "name": "string", "mood": "string",
        "seen": "timestamp('UTC')", "list": "array<int32>", "json": "jsonb", "uuid": "string", "wide": "string",
    }  # fmt: skip


def test_the_server_computes_an_aggregate(postgres, clinic, stack):
    with postgres.statements() as statements:
        table = load(clinic, stack, columns=frozenset(["age", "name"])).value
        assert table.columns == ("age", "name")
        assert table.filter(table.age > 70).age.mean().execute() == pytest.approx(75)
    queries = [statement for statement in statements if "patients" in statement]
    assert "LIMIT 0" in queries[0]
    [aggregate] = queries[1:]
    assert "AVG(" in aggregate
    with postgres.connect(clinic.rpartition("/")[2]) as connection:
        plan = [row[0] for row in connection.execute("EXPLAIN " + aggregate.partition(": ")[2])]
    assert plan[0].startswith("Aggregate")
    assert any("Seq Scan on patients" in line for line in plan)
    assert any("rows=1 " in line for line in plan[:1])


def test_groups_are_computed_in_the_server(clinic, stack):
    table = load(clinic, stack).value
    grouped = table.group_by(table.age % 2).agg(n=table.count(), wide=table.wide.length().max())
    assert grouped.execute().sort_values("n")["n"].tolist() == [2500, 2500]


def test_the_names_of_all_columns_are_returned(clinic, stack):
    loaded = load(clinic, stack, columns=frozenset(["wide", "no such column"]))
    assert loaded.value.columns == ("wide",)
    assert loaded.columns == ["id", "age", "price", "name", "mood", "seen", "list", "json", "uuid", "wide"]


def test_the_owner_can_configure_a_table(clinic, stack):
    assert load(clinic, stack, None, TABLE="ward.Beds").value.state.max().execute() == "free"


def test_the_connection_is_closed_after_the_function(clinic):
    with ExitStack() as stack:
        table = load(clinic, stack).value
    with pytest.raises(Exception, match="closed"):
        table.count().execute()


def test_the_authors_backend_cannot_write(clinic, stack):
    backend = load(clinic, stack).value.get_backend()
    with pytest.raises(Exception, match="read-only transaction"):
        backend.create_table("taken", schema=ibis.schema({"a": "int64"}))


@pytest.mark.parametrize("query", ["SELECT 1 AS a, 2 AS a"])
def test_two_columns_with_the_same_name_are_refused(clinic, stack, query):
    with pytest.raises(DatabaseUnreadable, match="two columns with the same name"):
        load(clinic, stack, query)


def test_a_query_that_cannot_be_an_inner_query_is_read_by_pandas(clinic, stack):
    assert load(clinic, stack, "SHOW server_encoding").value.server_encoding.max().execute() == "UTF8"


def test_a_missing_query_is_explained(clinic, stack):
    with pytest.raises(InputError, match="to configure a `query` or a `table`"):
        load(clinic, stack, None)


@pytest.mark.parametrize("scheme", ["trino", "clickhouse"])
def test_the_owner_reads_the_scheme_of_a_missing_driver(stack, scheme):
    with pytest.raises(DatabaseUnreadable, match="add this package to the algorithm's dependencies") as excinfo:
        load(f"{scheme}://bob:hunter2-4711@127.0.0.1:1/db", stack)
    assert "hunter2" not in str(excinfo.value) + excinfo.value.detail
    assert scheme in excinfo.value.detail
    assert scheme not in str(excinfo.value)
