"""Queries are read as pandas reads them. They cannot write, and no error shows the password."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from algotools import data
from algotools.data.reading import Loaded
from algotools.errors import DatabaseUnreadable, InputError
from algotools.task import Database

from .conftest import assert_same

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


def load(uri: object, query: str | None = "SELECT * FROM patients", columns: frozenset[str] | None = None) -> Loaded:
    return data.load(Database("clinic", str(uri), "sql", query=query), "pandas", columns)


def failure(uri: object, query: str = "SELECT * FROM patients") -> DatabaseUnreadable:
    with pytest.raises(DatabaseUnreadable) as excinfo:
        load(uri, query)
    assert str(excinfo.value).startswith("database 'clinic': ")
    assert SECRET not in str(excinfo.value)
    return excinfo.value


QUERIES = [
    "SELECT * FROM patients",
    "SELECT name, age + 1 AS next FROM patients ORDER BY age DESC",
    "SELECT name FROM patients WHERE name LIKE '%0%' OR name = ':x' OR name = '%(y)s'",
    "SELECT count(*) FROM patients",
    "SELECT name, name FROM patients",
    "SELECT * FROM patients WHERE age > 1000",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_read_as_pandas_reads_it(clinic, reference, query):
    loaded = load(clinic, query)
    assert_same(loaded.value, pd.read_sql_query(query, reference))
    assert loaded.columns == list(loaded.value.columns)


def test_a_file_can_be_a_path_or_a_uri(clinic, reference, tmp_path):
    plain = tmp_path / "clinic.db"
    plain.write_bytes(clinic.read_bytes())
    expected = pd.read_sql_query(QUERIES[0], reference)
    for uri in (clinic, plain, f"sqlite:///{plain}", f"sqlite+pysqlite:///{plain}", f"file://{plain}"):
        assert_same(load(uri).value, expected)


def test_only_the_requested_columns_are_returned(clinic, reference):
    loaded = load(clinic, columns=frozenset(["age", "name", "no such column"]))
    assert_same(loaded.value, pd.read_sql_query(QUERIES[0], reference)[["name", "age"]])
    assert loaded.columns == ["name", "age", "weight", "photo", "born"]


def test_a_database_in_memory_can_be_queried():
    assert load("sqlite://", "SELECT 1 AS one").value.to_dict("list") == {"one": [1]}


@pytest.mark.parametrize("query", [None, ""])
def test_a_missing_query_is_explained(clinic, query):
    with pytest.raises(InputError, match=r"needs a query, which the task does not specify; add .*\"query\": \"SELECT"):
        load(clinic, query)


@pytest.mark.parametrize("query", ["DELETE FROM patients", "DROP TABLE patients", "CREATE TABLE x (a)"])
def test_a_query_cannot_write(clinic, query):
    before = clinic.read_bytes()
    assert "refuses the task's query" in str(failure(clinic, query))
    assert "readonly" in failure(clinic, query).detail
    assert clinic.read_bytes() == before


def test_a_statement_that_does_not_return_a_table_is_refused(clinic):
    assert "the task's query does not return a table" in str(failure("sqlite://", "CREATE TABLE x (a)"))


def test_a_failing_query_is_not_quoted(clinic):
    error = failure(clinic, f"SELECT '{SECRET}' FROM nowhere")
    assert str(error) == "database 'clinic': it cannot be reached, or refuses the task's query (OperationalError)"
    assert "no such table: nowhere" in error.detail


def test_a_file_that_is_not_a_database_is_refused(tmp_path):
    path = tmp_path / "x.sqlite"
    path.write_bytes(SECRET.encode() * 1000)
    assert "(DatabaseError)" in str(failure(path))


def test_a_missing_file_is_refused_and_not_created(tmp_path):
    for uri in (tmp_path / SECRET / "x.sqlite", tmp_path / "x.db", f"sqlite:///{tmp_path}/x.db"):
        assert "its file does not exist" in str(failure(uri))
    assert not list(tmp_path.iterdir())


def test_a_file_with_another_suffix_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    assert "it is neither a URI nor a SQLite or DuckDB file" in str(failure(tmp_path / "x.csv"))


@pytest.mark.parametrize(
    ("scheme", "package"),
    [
        ("mssql+pyodbc", "pyodbc"),
        ("mysql", "mysqlclient"),
        ("oracle+oracledb", "oracledb"),
        ("mssql+pymssql", "pymssql"),
    ],
)
def test_the_package_of_a_missing_driver_is_named(scheme, package):
    error = failure(f"{scheme}://bob:{PASSWORD}@host/db?password={PASSWORD}")
    assert f"add this package to the algorithm's dependencies: {package}" in str(error)
    for text in (str(error), error.detail):
        assert PASSWORD not in text
    assert "bob" not in str(error)
    assert f"{scheme}://bob:***@host/db" in error.detail


def test_an_unreachable_server_is_reported_without_the_password():
    error = failure(f"postgresql://bob:{PASSWORD}@127.0.0.1:1/db")
    assert "it cannot be reached, or refuses the task's query (OperationalError)" in str(error)
    assert "127.0.0.1" in error.detail
    assert PASSWORD not in str(error) + error.detail
    assert "bob" not in str(error)


def test_the_owner_reads_an_unknown_dialect():
    error = failure(f"nosuchdb://bob:{PASSWORD}@host/db")
    assert "the package with SQLAlchemy's dialect for the URI's scheme" in str(error)
    assert "nosuchdb" not in str(error)
    assert "nosuchdb" in error.detail
    assert PASSWORD not in str(error) + error.detail


@pytest.mark.parametrize(
    "uri", [f"://bob:{PASSWORD}@host", f"postgresql://bob:{PASSWORD}@host:port/db", f"a b://{PASSWORD}"]
)
def test_an_invalid_uri_is_not_shown(uri):
    error = failure(uri)
    assert "its URI is not valid" in str(error)
    assert PASSWORD not in str(error) + error.detail
