"""A query gives what pandas makes of it; nothing can be written, and no password is told."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from algotools import data
from algotools.errors import DatabaseUnreadable, InputError
from algotools.task import Database

from .conftest import same

SECRET = "Jane-Doe-4711"
PASSWORD = "hunter2-4711"


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    path = tmp_path / "the clinic%20?#.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE patients (name TEXT, age INTEGER, weight REAL, photo BLOB, born DATE)")
        rows = [(SECRET, 71, 70.5, b"\0\xff", "1953-01-01"), ("100%", None, None, None, None), ("é", 58, 80, b"", None)]
        connection.executemany("INSERT INTO patients VALUES (?, ?, ?, ?, ?)", rows)
    return path


@pytest.fixture
def reference(clinic: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(clinic)) as connection:
        yield connection


def load(
    uri: object, query: str | None = "SELECT * FROM patients", columns: frozenset[str] | None = None
) -> data.Loaded:
    return data.load(Database("clinic", str(uri), "sql", query=query), "pandas", columns)


def failure(uri: object, query: str = "SELECT * FROM patients") -> DatabaseUnreadable:
    with pytest.raises(DatabaseUnreadable) as failed:
        load(uri, query)
    assert str(failed.value).startswith("database 'clinic': ")
    assert SECRET not in str(failed.value)
    return failed.value


QUERIES = [
    "SELECT * FROM patients",
    "SELECT name, age + 1 AS next FROM patients ORDER BY age DESC",
    "SELECT name FROM patients WHERE name LIKE '%0%' OR name = ':x' OR name = '%(y)s'",
    "SELECT count(*) FROM patients",
    "SELECT name, name FROM patients",
    "SELECT * FROM patients WHERE age > 1000",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_gives_what_pandas_reads(clinic, reference, query):
    loaded = load(clinic, query)
    same(loaded.value, pd.read_sql_query(query, reference))
    assert loaded.columns == list(loaded.value.columns)


def test_every_form_of_the_place_is_understood(clinic, reference, tmp_path):
    plain = tmp_path / "clinic.db"
    plain.write_bytes(clinic.read_bytes())
    expected = pd.read_sql_query(QUERIES[0], reference)
    for uri in (clinic, plain, f"sqlite:///{plain}", f"sqlite+pysqlite:///{plain}", f"file://{plain}"):
        same(load(uri).value, expected)


def test_only_the_asked_columns_are_given(clinic, reference):
    loaded = load(clinic, columns=frozenset(["age", "name", "no such column"]))
    same(loaded.value, pd.read_sql_query(QUERIES[0], reference)[["name", "age"]])
    assert loaded.columns == ["name", "age", "weight", "photo", "born"]


def test_a_database_in_memory_can_be_asked():
    assert load("sqlite://", "SELECT 1 AS one").value.to_dict("list") == {"one": [1]}


@pytest.mark.parametrize("query", [None, ""])
def test_without_a_query_it_is_said_how_to_give_one(clinic, query):
    with pytest.raises(InputError, match=r"the task gives no query for it; give one: .*\"query\": \"SELECT"):
        load(clinic, query)


@pytest.mark.parametrize("query", ["DELETE FROM patients", "DROP TABLE patients", "CREATE TABLE x (a)"])
def test_nothing_can_be_written(clinic, query):
    before = clinic.read_bytes()
    assert "refuses the task's query" in str(failure(clinic, query))
    assert "readonly" in failure(clinic, query).detail
    assert clinic.read_bytes() == before


def test_a_statement_that_gives_no_table_is_named(clinic):
    assert "the task's query gives no table" in str(failure("sqlite://", "CREATE TABLE x (a)"))


def test_a_query_that_fails_is_not_quoted(clinic):
    error = failure(clinic, f"SELECT '{SECRET}' FROM nowhere")
    assert str(error) == "database 'clinic': it cannot be reached, or refuses the task's query (OperationalError)"
    assert "no such table: nowhere" in error.detail


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "x.sqlite"
    path.write_bytes(SECRET.encode() * 1000)
    assert "(DatabaseError)" in str(failure(path))


def test_a_file_that_does_not_exist_is_named_and_not_made(tmp_path):
    for uri in (tmp_path / SECRET / "x.sqlite", tmp_path / "x.db", f"sqlite:///{tmp_path}/x.db"):
        assert "its file does not exist" in str(failure(uri))
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_ending_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    assert "it is neither a URI nor a file of SQLite or DuckDB" in str(failure(tmp_path / "x.csv"))


@pytest.mark.parametrize(
    ("scheme", "package"),
    [
        ("mssql+pyodbc", "pyodbc"),
        ("mysql", "mysqlclient"),
        ("oracle+oracledb", "oracledb"),
        ("mssql+pymssql", "pymssql"),
    ],
)
def test_a_missing_driver_is_named_by_its_package(scheme, package):
    error = failure(f"{scheme}://bob:{PASSWORD}@host/db?password={PASSWORD}")
    assert f"put this package into the algorithm's dependencies: {package}" in str(error)
    for text in (str(error), error.detail):
        assert PASSWORD not in text
    assert "bob" not in str(error)
    assert f"{scheme}://bob:***@host/db" in error.detail


def test_a_server_that_is_not_there_is_named_without_its_password():
    error = failure(f"postgresql://bob:{PASSWORD}@127.0.0.1:1/db")
    assert "it cannot be reached, or refuses the task's query (OperationalError)" in str(error)
    assert "127.0.0.1" in error.detail
    assert PASSWORD not in str(error) + error.detail
    assert "bob" not in str(error)


def test_a_dialect_that_nobody_knows_is_named():
    error = failure(f"nosuchdb://bob:{PASSWORD}@host/db")
    assert "SQLAlchemy's dialect 'nosuchdb'" in str(error)
    assert PASSWORD not in str(error) + error.detail


@pytest.mark.parametrize(
    "uri", [f"://bob:{PASSWORD}@host", f"postgresql://bob:{PASSWORD}@host:port/db", f"a b://{PASSWORD}"]
)
def test_a_uri_that_cannot_be_understood_is_not_shown(uri):
    error = failure(uri)
    assert "its URI cannot be understood" in str(error)
    assert PASSWORD not in str(error) + error.detail
