"""Any other database that SQLAlchemy reaches, on a real MariaDB: the same values in every form but Ibis'."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pandas as pd
import pytest
import sqlalchemy

from algotools import data
from algotools.errors import AlgotoolsError, DatabaseUnreadable
from algotools.task import Database

from .conftest import same
from .forms import TABLES, read
from .mariadb import PASSWORD, USER, connect, server

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
FORMS = [form for form in TABLES if form != "ibis"]  # whose backend has a driver that must be compiled


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with server() as port:
        with connect(port) as connection, connection.cursor() as cursor:
            cursor.execute(TABLE)
            cursor.execute(ROWS.replace("%%", "%"))
        yield f"mysql+pymysql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/clinic?charset=utf8mb4"


def clinic(uri: str, query: str = QUERY) -> Database:
    return Database("clinic", uri, "sql", query=query)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_values(uri, form):
    found = read(clinic(uri), form)
    assert {name: found[name] for name in EXPECTED} == EXPECTED
    assert found["name"] == ["Zoë 日本", None, f"{SECRET} 100%"]
    assert [born and str(born)[:10] for born in found["born"]] == ["1969-12-31", None, "2020-02-29"]
    assert found["gone"] == [None] * 3


def test_a_frame_is_what_pandas_reads(uri):
    engine = sqlalchemy.create_engine(uri)
    with engine.connect() as connection:
        expected = pd.read_sql_query(QUERY, connection)
    engine.dispose()
    same(data.load(clinic(uri), "pandas", None).value, expected)
    loaded = data.load(clinic(uri), "pandas", frozenset({"name", "age"}))
    same(loaded.value, expected[["age", "name"]])
    assert loaded.columns == list(expected.columns)


@pytest.mark.parametrize("form", FORMS)
def test_only_the_asked_columns_are_there_and_all_are_known(uri, form):
    assert read(clinic(uri), form, frozenset({"dose", "age"})) == {name: EXPECTED[name] for name in ("age", "dose")}


@pytest.mark.parametrize("form", FORMS)
def test_a_type_that_only_late_rows_tell_is_waited_for(uri, form):
    numbers = "SELECT seq, IF(seq < 200000, NULL, seq / 2) AS late FROM clinic_numbers"
    query = numbers.replace("clinic_numbers", "seq_1_to_200001")
    found = read(clinic(uri, query), form, frozenset({"late"}))["late"]
    assert found[:199_999] == [None] * 199_999
    assert found[199_999:] == [100_000, 100_000.5]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("query", ["DELETE FROM patients", "DROP TABLE patients", "CREATE TABLE x (a INT)"])
def test_nothing_is_written(uri, form, query):
    with pytest.raises(AlgotoolsError):
        read(clinic(uri, query), form)
    assert read(clinic(uri), "pandas")["id"] == EXPECTED["id"]


@pytest.mark.parametrize("form", FORMS)
def test_what_goes_wrong_quotes_nothing(uri, form):
    with pytest.raises(DatabaseUnreadable, match="refuses the task's query") as failed:
        read(clinic(uri, f"SELECT '{SECRET}' FROM nowhere"), form)
    assert SECRET not in str(failed.value)
    with pytest.raises(DatabaseUnreadable, match="cannot be reached") as failed:
        read(clinic(uri.replace("%404711", "").replace("4711", "4712")), form)
    assert "hunter2" not in str(failed.value) + failed.value.detail
