"""Databases without special support, on a real MariaDB: every form except Ibis' has the same values."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pandas as pd
import pytest
import sqlalchemy

from algotools import data
from algotools.errors import AlgotoolsError, DatabaseUnreadable
from algotools.task import Database

from .conftest import assert_same
from .forms import TABLES, read
from .mariadb import PASSWORD, USER, connect, start_server

SECRET = "Jane-Doe-4711"
ROWS = f"""
INSERT INTO patients VALUES
    (1, 61, 70.5, 12.50, '{SECRET} 100%%', '2020-02-29', '2020-02-29 10:11:12', NULL),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, 45, 81.25, 0.10, 'Zoë 日本', '1969-12-31', '1969-12-31 23:59:59', NULL)
"""
TABLE = """
CREATE TABLE patients (
    id BIGINT PRIMARY KEY, age INT, weight DOUBLE, dose DECIMAL(10, 2), name VARCHAR(40), born DATE, seen DATETIME,
    gone INT
)
"""
QUERY = "SELECT * FROM patients ORDER BY id DESC"
EXPECTED = {"id": [3, 2, 1], "age": [45, None, 61], "weight": [81.25, None, 70.5], "dose": [0.1, None, 12.5]}
FORMS = [form for form in TABLES if form != "ibis"]  # the driver of Ibis' backend must be compiled


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with start_server() as port:
        with connect(port) as connection, connection.cursor() as cursor:
            cursor.execute(TABLE)
            cursor.execute(ROWS.replace("%%", "%"))
        yield f"mysql+pymysql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/clinic?charset=utf8mb4"


def clinic(uri: str, query: str = QUERY) -> Database:
    return Database("clinic", uri, "sql", query=query)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_values(uri, form):
    values = read(clinic(uri), form)
    assert {name: values[name] for name in EXPECTED} == EXPECTED
    assert values["name"] == ["Zoë 日本", None, f"{SECRET} 100%"]
    assert [born and str(born)[:10] for born in values["born"]] == ["1969-12-31", None, "2020-02-29"]
    assert values["gone"] == [None] * 3


def test_a_frame_equals_the_frame_that_pandas_reads(uri):
    engine = sqlalchemy.create_engine(uri)
    with engine.connect() as connection:
        expected = pd.read_sql_query(QUERY, connection)
    engine.dispose()
    assert_same(data.load(clinic(uri), "pandas", None).value, expected)
    loaded = data.load(clinic(uri), "pandas", frozenset({"name", "age"}))
    assert_same(loaded.value, expected[["age", "name"]])
    assert loaded.columns == list(expected.columns)


@pytest.mark.parametrize("form", FORMS)
def test_only_the_requested_columns_are_read(uri, form):
    assert read(clinic(uri), form, frozenset({"dose", "age"})) == {name: EXPECTED[name] for name in ("age", "dose")}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_read_until_a_column_has_a_type(uri, form):
    last = 70_000  # more rows than a batch has
    query = f"SELECT seq, IF(seq < {last}, NULL, seq / 2) AS late FROM seq_1_to_{last + 1}"
    values = read(clinic(uri, query), form, frozenset({"late"}))["late"]
    assert values[: last - 1] == [None] * (last - 1)
    assert values[last - 1 :] == [35_000, 35_000.5]


@pytest.mark.parametrize("form", FORMS)
def test_a_query_cannot_write(uri, form):
    for query in ("DELETE FROM patients", "DROP TABLE patients", "CREATE TABLE x (a INT)"):
        with pytest.raises(AlgotoolsError):
            read(clinic(uri, query), form)
        assert read(clinic(uri), "pandas")["id"] == EXPECTED["id"]


@pytest.mark.parametrize("form", FORMS)
def test_an_error_quotes_no_data_and_no_password(uri, form):
    with pytest.raises(DatabaseUnreadable, match="refuses the task's query") as excinfo:
        read(clinic(uri, f"SELECT '{SECRET}' FROM nowhere"), form)
    assert SECRET not in str(excinfo.value)
    with pytest.raises(DatabaseUnreadable, match="cannot be reached") as excinfo:
        read(clinic(uri.replace("%404711", "").replace("4711", "4712")), form)
    assert "hunter2" not in str(excinfo.value) + excinfo.value.detail


@pytest.mark.parametrize("form", ["arrow", "batches", "polars"])
def test_a_late_value_of_another_type_is_refused_without_the_name_of_the_column(uri, form, monkeypatch):
    monkeypatch.setattr("algotools.data._sql_arrow.ROWS", 2)
    rows = [f"SELECT CAST({value} AS UNSIGNED) AS insulin" for value in (1, 1, 2**64 - 1)]
    query = " UNION ALL ".join(rows)
    with pytest.raises(
        DatabaseUnreadable, match="a column has values of another type than in its first rows"
    ) as excinfo:
        read(clinic(uri, query), form)
    assert "insulin" not in str(excinfo.value)
    assert "insulin" in excinfo.value.detail
