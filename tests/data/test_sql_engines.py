"""Engines without a dialect of SQLAlchemy, and addresses of Spark: everything that needs no server.

Ibis' engine of Polars is the example, because its package is installed here.
"""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from algotools.data import _sql_errors
from algotools.data._spark import _refuse_programs
from algotools.data._spark_uri import parse_address, redact
from algotools.data.forms.ibis import _write_again
from algotools.data.reading import Unreadable
from algotools.errors import AlgotoolsError, DatabaseUnreadable
from algotools.runtime.sandbox.local import find_ports
from algotools.task import Database

from .forms import TABLES, read

PASSWORD = "hunter2@:/4711"
ENCODED = "hunter2%40%3A%2F4711"


def polars(query: str | None, **options: str) -> Database:
    return Database("clinic", "polars://", "sql", options, query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a", "SELECT 1 AS a;", "SELECT 1 AS a -- comment", "SELECT 1 AS a /* comment */", "(SELECT 1 AS a)",
        "SELECT a FROM (SELECT 1 AS a, '); DROP TABLE t; --' AS b)",
    ],
)  # fmt: skip
def test_a_query_is_an_inner_query(query):
    assert read(polars(query), "ibis") == {"a": [1]}


def test_a_query_with_a_common_table_expression_is_an_inner_query():
    # Polars 2.0, the last for Python 3.10, has no such expressions in an inner query.
    query = _write_again("WITH x AS (SELECT 1 AS a) SELECT * FROM x", "duckdb")
    assert duckdb.sql(query).fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("DROP TABLE t", "does not only read"),
        ("INSERT INTO t VALUES (1)", "does not only read"),
        ("CREATE TABLE t AS SELECT 1 AS a", "does not only read"),
        ("SET a = 1", "does not only read"),
        ("SHOW TABLES", "does not only read"),
        ("EXPLAIN SELECT 1", "does not only read"),
        ("COPY (SELECT 1) TO '/tmp/algotools-taken'", "does not only read"),
        ("SELECT 1 AS a INTO t", "does not only read"),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "does not only read"),
        ("SELECT 1 AS a; DROP TABLE t", "not a single statement"),
        ("SELECT 1 AS a) AS t; DROP TABLE t; SELECT * FROM (SELECT 1 AS a", "cannot be parsed"),
        ("SELECT 1 AS a) --", "cannot be parsed"),
        ("SELECT 1 AS a) AS t /*", "cannot be parsed"),
    ],
)
def test_a_query_is_never_a_statement_of_its_own(query, reason):
    with pytest.raises(DatabaseUnreadable, match=reason):
        read(polars(query), "ibis")


def test_the_name_of_the_owners_table_is_quoted():
    with pytest.raises(DatabaseUnreadable, match="refuses the task's query") as excinfo:
        read(polars(None, TABLE="the beds"), "ibis")
    assert "the beds" in excinfo.value.detail


@pytest.mark.parametrize("form", [form for form in TABLES if form != "ibis"])
def test_other_forms_of_an_engine_name_the_form_to_use(form):
    with pytest.raises(DatabaseUnreadable, match=r"or use ibis\.Table, if Ibis has the engine"):
        read(polars("SELECT 1 AS a"), form)


def test_an_unknown_engine_is_named_to_the_owner():
    with pytest.raises(DatabaseUnreadable, match="Ibis has no engine for the scheme of its URI") as excinfo:
        read(Database("clinic", f"nosuch://bob:{ENCODED}@h/x", "sql", query="SELECT 1"), "ibis")
    assert "nosuch" in excinfo.value.detail
    assert "hunter2" not in str(excinfo.value) + excinfo.value.detail


# --- Addresses of Spark. ---


def clinic(uri: str, **options: str) -> Database:
    return Database("clinic", uri, "sql", options, "SELECT 1 AS a")


@pytest.mark.parametrize(
    ("uri", "options", "address"),
    [
        ("sc://h", {}, ("sc://h/", None)),
        ("sc://h:15002", {}, ("sc://h:15002/", None)),
        ("sc://[::1]:15002/", {}, ("sc://[::1]:15002/", None)),
        ("sc://h/;use_ssl=true;token=a", {}, ("sc://h/;use_ssl=true;token=a", None)),
        ("sc://h/;connect_timeout=5", {"USER": "bob"}, ("sc://h/;user_id=bob", "5")),
        ("sc://h", {"TOKEN": PASSWORD}, (f"sc://h/;token={ENCODED}", None)),
        (f"sc://h/;token={ENCODED}", {}, (f"sc://h/;token={ENCODED}", None)),
    ],
)
def test_the_owners_options_are_parameters_of_the_address(uri, options, address):
    assert parse_address(clinic(uri, **options)) == address


@pytest.mark.parametrize(
    ("uri", "options", "reason"),
    [
        ("spark://h:7077", {}, "its URI begins with spark://, but only a server of Spark Connect can be read"),
        ("pyspark://h:15002", {}, "its URI begins with pyspark://, but only a server of Spark Connect can be read"),
        ("sc://", {}, "its URI is not valid"),
        ("sc://h:x", {}, "its URI is not valid"),
        ("sc://h:0", {}, "its URI is not valid"),
        ("sc://h;token=hunter2", {}, "its URI is not valid"),
        ("sc://h/db;token=hunter2", {}, "its URI is not valid"),
        ("sc://h/?token=hunter2", {}, "its URI is not valid"),
        ("sc://h/;token", {}, "its URI is not valid"),
        (
            "sc://bob:hunter2@h",
            {},
            "a login before the host, which Spark ignores; configure the options user and token",
        ),
        ("sc://h/;token=hunter2", {"TOKEN": "hunter3"}, "its option TOKEN and its URI both set the parameter token"),
        ("sc://h/;connect_timeout=soon", {}, "connect_timeout of its URI must be a number of seconds"),
        ("sc://h", {"PASSWORD": "hunter2"}, "its option PASSWORD has no effect .*; configure the option TOKEN"),
    ],
)
def test_a_wrong_address_is_explained_without_its_secrets(uri, options, reason):
    for form in ("pandas", "arrow", "ibis"):
        with pytest.raises(DatabaseUnreadable, match=reason) as excinfo:
            read(clinic(uri, **options), form)
        assert "hunter" not in str(excinfo.value) + excinfo.value.detail


def test_every_encoding_of_a_token_is_removed():
    database = clinic(f"sc://h:1/;user_id=bob;use_ssl=true;token={ENCODED};x-key=k3y-4711", TOKEN="t0ken-4711")
    uri, secrets = redact(database)
    assert uri == "sc://h:1"
    assert {PASSWORD, ENCODED, "k3y-4711", "t0ken-4711"} == secrets
    with pytest.raises(DatabaseUnreadable) as excinfo, _sql_errors.name_sql_errors(database):
        raise RuntimeError(f"{PASSWORD} {ENCODED} k3y-4711 t0ken-4711")
    assert "4711" not in excinfo.value.detail


def test_the_sandbox_opens_the_port_of_the_server():
    assert find_ports(["sc://h/;token=a", "sc://h:25002/;token=a"]) == {15002, 25002}


def test_omop_in_spark_is_refused():
    with pytest.raises(AlgotoolsError, match="type omop in Spark are not supported; configure the type sql"):
        read(Database("clinic", "sc://h", "omop", query="SELECT 1"), "arrow")


@pytest.mark.parametrize("query", ["SELECT identifier FROM t", "SELECT a FROM t JOIN u USING (b)", "SELECT reflection"])
def test_a_query_may_have_names_like_those_of_functions(query):
    _refuse_programs(query)


@pytest.mark.parametrize(
    "query", ["SELECT REFLECT ('a')", "SELECT identifier\u2003('reflect')('a')", "MAP a USING r'x'"]
)
def test_a_query_may_not_start_programs(query: Any):
    with pytest.raises(Unreadable, match="start"):
        _refuse_programs(query)
