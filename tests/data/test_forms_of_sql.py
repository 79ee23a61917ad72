"""Every form of a query has the same values. Lazy forms are computed in the database as far as possible."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import ExitStack
from typing import Any

import duckdb
import polars as pl
import pytest

from algotools import data
from algotools.errors import AlgotoolsError, DatabaseUnreadable, InputError
from algotools.task import Database

from ..conftest import SECRET
from ..processes import wait_until
from .forms import TABLES, read, to_lists
from .postgres import Postgres

STATEMENTS = [
    "CREATE TABLE patients (age INTEGER, weight DOUBLE PRECISION, name VARCHAR(20))",
    "INSERT INTO patients VALUES (61, 70.5, 'Zoë'), (45, NULL, '100%'), (NULL, 81.25, NULL), (70, 64.0, 'x')",
]
EXPECTED = {"age": [61, 45, None, 70], "weight": [70.5, None, 81.25, 64.0], "name": ["Zoë", "100%", None, "x"]}
WHOLE = "SELECT * FROM patients"


@pytest.fixture(scope="module")
def in_postgresql(postgres: Postgres) -> str:
    name = postgres.new_database()
    with postgres.connect(name) as connection:
        for statement in STATEMENTS:
            connection.execute(statement)  # type: ignore[call-overload]  # a text that is not literal
    return postgres.uri(name)


@pytest.fixture(scope="module")
def in_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sqlite") / "x.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in STATEMENTS:
            connection.execute(statement)
    return str(path)


@pytest.fixture(scope="module")
def in_duckdb(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("duckdb") / "x.duckdb"
    with duckdb.connect(str(path)) as connection:
        for statement in STATEMENTS:
            connection.execute(statement)
    return str(path)


@pytest.fixture(scope="module", params=["in_postgresql", "in_sqlite", "in_duckdb"])
def uri(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def clinic(uri: str, query: str | None = WHOLE, **options: Any) -> Database:
    return Database("clinic", uri, "sql", query=query, **options)


@pytest.mark.parametrize("form", TABLES)
class TestEveryForm:
    def test_has_the_same_values(self, uri, form):
        assert read(clinic(uri), form) == EXPECTED

    def test_has_the_requested_columns_in_the_order_of_the_query(self, uri, form):
        with ExitStack() as stack:
            loaded = data.load(clinic(uri), form, frozenset({"name", "age", "no such column"}), stack)
            assert to_lists(form, loaded.value) == {name: EXPECTED[name] for name in ("age", "name")}
            assert loaded.columns == list(EXPECTED)

    def test_uses_the_query_of_the_nodes_owner(self, uri, form):
        with_query = clinic(uri, None, options={"QUERY": "SELECT age FROM patients WHERE age > 50 ORDER BY age;"})
        assert read(with_query, form) == {"age": [61, 70]}
        assert read(clinic(uri, None, options={"TABLE": "patients"}), form) == EXPECTED

    def test_without_a_query_explains_how_to_specify_it(self, uri, form):
        with pytest.raises(InputError, match="needs a query, which the task does not specify"):
            read(clinic(uri, None), form)

    def test_does_not_quote_a_query_that_fails(self, uri, form):
        with pytest.raises(DatabaseUnreadable, match="refuses the task's query") as excinfo:
            read(clinic(uri, f"SELECT '{SECRET}' FROM nowhere"), form)
        assert SECRET not in str(excinfo.value)

    def test_cannot_write(self, uri, form):
        for query in ("DELETE FROM patients", "DELETE FROM patients; COMMIT", "CREATE TABLE y (a INT)"):
            with pytest.raises(AlgotoolsError):
                read(clinic(uri, query), form)
        assert read(clinic(uri), "pandas") == EXPECTED


def test_an_expression_is_computed_in_the_server(in_postgresql, postgres):
    with postgres.statements() as statements, ExitStack() as stack:
        table: Any = data.load(clinic(in_postgresql), "ibis", {"age"}, stack).value
        assert table.aggregate(sum=table.age.sum(), count=table.age.count()).to_pyarrow().to_pylist() == [
            {"sum": 176, "count": 3}
        ]
    queries = [statement for statement in statements if "patients" in statement and "LIMIT 0" not in statement]
    assert len(queries) == 1
    assert "SUM(" in queries[0]
    assert "COUNT(" in queries[0]


def test_a_lazy_frame_queries_only_the_collected_columns(in_postgresql, postgres):
    with ExitStack() as stack:
        frame: Any = data.load(clinic(in_postgresql), "lazy", None, stack).value
        with postgres.statements() as statements:
            weight = frame.filter(pl.col("age") > 50).select(pl.col("weight").sum()).collect().item()
        assert weight == 134.5
        assert frame.head(1).collect().height == 1  # a lazy frame can be collected again
    queries = [s for s in statements if "patients" in s and "LIMIT 0" not in s]
    assert queries
    assert not [statement for statement in queries if '"name"' in statement]
    assert all('"age"' in statement and '"weight"' in statement for statement in queries)


@pytest.mark.parametrize("form", TABLES)
def test_the_connection_is_closed(in_postgresql, postgres, form):
    read(clinic(in_postgresql), form)
    query, names = "SELECT 1 FROM pg_stat_activity WHERE datname = %s", [in_postgresql.rpartition("/")[2]]
    with postgres.connect() as connection:  # the server needs a moment after the client has closed its socket
        wait_until(lambda: connection.execute(query, names).fetchone() is None)


@pytest.mark.parametrize("form", TABLES[1:])
def test_two_columns_with_the_same_name_are_refused(uri, form):
    with pytest.raises(DatabaseUnreadable, match="two columns with the same name"):
        read(clinic(uri, "SELECT age AS x, weight AS x FROM patients"), form, frozenset({"x"}))
