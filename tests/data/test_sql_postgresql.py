"""PostgreSQL, with a real server: values as pandas reads them, only the requested columns, and no writing."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algotools import data
from algotools.data import _sql, _sql_arrow
from algotools.data.reading import Loaded, NeedsPandas
from algotools.errors import AlgotoolsError, DatabaseUnreadable
from algotools.task import Database

from ..conftest import examples
from .conftest import assert_same
from .postgres import PASSWORD, USER, Postgres

SECRET = "Jane-Doe-4711"

COLUMNS = {
    "i2": ("smallint", "7", "-32768"),
    "i4": ("integer", "7", "2147483647"),
    "Big One": ("bigint", "9223372036854775807", "-1"),
    "nu": ("numeric(10,2)", "4.50", "-0.01"),
    "un": ("numeric", "1e30", "0.1"),
    "f4": ("real", "1.5", "0.1"),
    "f8": ("double precision", "2.5", "0.1"),
    "te": ("text", f"'{SECRET} 100% é'", "''"),
    "vc": ("varchar(5)", "'abc'", "'%(x)s'"),
    "ch": ("char(3)", "'z'", "''"),
    "bo": ("boolean", "true", "false"),
    "da": ("date", "'2020-02-29'", "'1600-01-01'"),
    "ts": ("timestamp", "'2020-01-01 10:11:12.123456'", "'1969-12-31 23:59:59'"),
    "tz": ("timestamptz", "'2020-01-01 10:00+02'", "'2020-07-01 10:00+00'"),
    "iv": ("interval", "'40 days 3.000001 sec'", "'-1 hour'"),
    "ti": ("time", "'10:11:12.5'", "'00:00'"),
    "by": ("bytea", r"'\xff00'", r"'\x'"),
    "ia": ("integer[]", "'{1,2,NULL}'", "'{}'"),
    "fa": ("double precision[]", "'{1.5}'", "'{}'"),
    "ta": ("text[]", "'{a,NULL}'", "'{}'"),
    "na": ("numeric[]", "'{1.5}'", "'{}'"),
    "js": ("json", """'{"a": [1, null]}'""", "'1'"),
    "jb": ("jsonb", """'{"a": 1}'""", "'null'"),
    "uu": ("uuid", "'12345678-1234-5678-1234-567812345678'", "'00000000-0000-0000-0000-000000000000'"),
    "ip": ("inet", "'10.0.0.1'", "'::1'"),
    'a "quoted" name': ("integer", "1", "2"),
    "gone": ("integer", "NULL", "NULL"),
}
"""Name -> type and two values. Each column also has a missing value; the column ``id`` has none."""


@pytest.fixture(scope="session")
def clinic(postgres: Postgres) -> str:
    """A database with a table of all types, with two rows of values and a row of missing values."""
    name = postgres.new_database()
    quoted = {column: '"' + column.replace('"', '""') + '"' for column in COLUMNS}
    with postgres.connect(name) as connection:
        fields = [f"{quoted[column]} {kind}" for column, (kind, _, _) in COLUMNS.items()]
        connection.execute(f"CREATE TABLE patients (id integer NOT NULL, {', '.join(fields)})".encode())
        rows = zip(*([first, second, "NULL"] for _, first, second in COLUMNS.values()), strict=True)
        for row, values in enumerate(rows):
            connection.execute(f"INSERT INTO patients VALUES ({row}, {', '.join(values)})".encode())
        connection.execute(
            "CREATE SEQUENCE numbers; CREATE SCHEMA ward;"
            "CREATE TABLE ward.\"Beds\" AS SELECT 1 AS one, 'x'::text AS other"
        )
    return name


@pytest.fixture
def reference(postgres: Postgres, clinic: str) -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine(postgres.uri(clinic, "postgresql+psycopg"), poolclass=sqlalchemy.NullPool)
    with engine.connect().execution_options(no_parameters=True) as connection:
        yield connection


@pytest.fixture
def uri(postgres: Postgres, clinic: str) -> str:
    return postgres.uri(clinic)


def load(uri: str, query: str | None, columns: frozenset[str] | None = None, **options: str) -> Loaded:
    return data.load(Database("clinic", uri, "sql", options, query), "pandas", columns)


def stream(uri: str, query: str, columns: frozenset[str] | None = None) -> tuple[pa.Table, list[str]]:
    with ExitStack() as stack:
        reader, names = _sql_arrow.open_stream(Database("clinic", uri, "sql", query=query), columns, stack)
        return reader.read_all(), names


@pytest.fixture(params=["adbc", "rows"])
def sql_driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Name of the driver: ADBC's, or SQLAlchemy's as in an image without ADBC."""
    if request.param == "rows":
        monkeypatch.setattr(_sql_arrow, "open_adbc", lambda *_: None)
    return request.param


QUERIES = [
    "SELECT * FROM patients",
    "SELECT * FROM patients ORDER BY id DESC;",
    "SELECT * FROM patients WHERE te LIKE '%0\\%%' -- a comment at the end",
    "SELECT * FROM patients WHERE id > 1000",
    'WITH few AS (SELECT i4, te FROM patients WHERE i4 > 0) SELECT te AS "%s", i4 - 1, count(*) OVER () FROM few',
    "VALUES (1, 'a'), (2, 'b')",
    "TABLE patients",
    "SELECT id AS twice, nu AS twice, te FROM patients",
    "SHOW server_version",
    "SELECT 1 AS one, NULL AS nothing, array_agg(id) FROM patients",
]


class TestPandas:
    @pytest.mark.parametrize("query", QUERIES)
    def test_a_query_is_read_as_pandas_reads_it(self, uri, reference, query):
        loaded = load(uri, query)
        assert_same(loaded.value, pd.read_sql_query(query, reference))
        assert loaded.columns == list(loaded.value.columns)

    @pytest.mark.parametrize("query", QUERIES)
    @pytest.mark.parametrize("which", [slice(None), slice(1), slice(0), slice(1, None, 2), slice(None, None, -3)])
    def test_requested_columns_equal_the_columns_of_the_whole_frame(self, uri, reference, query, which):
        whole = pd.read_sql_query(query, reference)
        requested_columns = frozenset([*whole.columns[which], "no such column"])
        loaded = load(uri, query, requested_columns)
        assert_same(loaded.value, whole.loc[:, [name in requested_columns for name in whole.columns]])
        assert loaded.columns == list(whole.columns)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(40))
    @given(
        st.sets(st.sampled_from([*COLUMNS, "id"])), st.lists(st.sampled_from([*COLUMNS, "id"]), unique=True), st.data()
    )
    def test_any_columns_of_any_query_are_read_as_pandas_reads_them(
        self, uri, reference, requested_columns, chosen, draw
    ):
        names = ['"' + name.replace('"', '""') + '"' for name in chosen]
        renamed = [f"{name} AS {draw.draw(st.sampled_from([name, 'other']))}" for name in names]
        query = f"SELECT {', '.join(renamed)} FROM patients WHERE id < {draw.draw(st.integers(0, 3))} ORDER BY id DESC"
        whole = pd.read_sql_query(query, reference)
        assert_same(
            load(uri, query, frozenset(requested_columns)).value,
            whole.loc[:, [name in requested_columns for name in whole.columns]],
        )

    def test_only_the_requested_columns_leave_the_database(self, postgres, uri):
        with postgres.statements() as statements:
            load(uri, "SELECT * FROM patients", frozenset(["i4"]))
        [query] = [statement for statement in statements if "patients" in statement and "LIMIT 0" not in statement]
        assert query.endswith('SELECT "i4" FROM ( SELECT * FROM patients ) AS t')

    @pytest.mark.parametrize("driver", ["postgres", "postgresql", "postgresql+psycopg"])
    def test_the_scheme_can_name_the_driver(self, postgres, clinic, driver):
        assert load(postgres.uri(clinic, driver), "SELECT 1 AS one").value.to_dict("list") == {"one": [1]}


class TestStream:
    def test_the_types_are_those_of_the_database(self, uri, sql_driver):
        table, names = stream(uri, "SELECT * FROM patients ORDER BY id")
        assert names == ["id", *COLUMNS]
        types = {field.name: str(field.type) for field in table.schema}
        assert types == {
            "id": "int32", "i2": "int16", "i4": "int32", "Big One": "int64", "nu": "double", "un": "double",
            "f4": "float", "f8": "double", "te": "string", "vc": "string", "ch": "string", "bo": "bool",
            "da": "date32[day]", "ts": "timestamp[us]", "tz": "timestamp[us, tz=UTC]", "iv": "duration[us]",
            "ti": "time64[us]", "by": "binary", "ia": "list<item: int32>", "fa": "list<item: double>",
            "ta": "list<item: string>", "na": "list<item: double>", "js": "string", "jb": "string", "uu": "string",
            "ip": "string", 'a "quoted" name': "int32", "gone": "int32",
        }  # fmt: skip
        assert not any(field.metadata for field in table.schema)

    def test_the_values_equal_the_values_that_pandas_reads(self, uri, reference, sql_driver):
        query = "SELECT * FROM patients ORDER BY id"
        columns = [name for name in COLUMNS if name not in ("js", "jb", "uu", "ip")]
        theirs = pd.read_sql_query(query, reference)
        ours = stream(uri, query)[0].to_pandas()
        for name in columns:
            for our_value, their_value in zip(ours[name], theirs[name], strict=True):
                if not isinstance(their_value, list) and pd.isna(their_value):
                    assert pd.isna(our_value)
                elif isinstance(their_value, list):
                    assert [None if pd.isna(value) else value for value in our_value] == their_value
                elif COLUMNS[name][0] == "timestamptz":
                    assert pd.Timestamp(our_value) == pd.Timestamp(their_value)
                elif COLUMNS[name][0] == "real":
                    assert our_value == pytest.approx(their_value)
                else:
                    assert our_value == their_value, name
        assert ours["js"].tolist()[:2] == ['{"a": [1, null]}', "1"]
        assert ours["uu"][0] == "12345678-1234-5678-1234-567812345678"

    @pytest.mark.parametrize(
        "query", [query for query in QUERIES if not query.startswith(("SHOW", "SELECT id AS twice"))]
    )
    def test_both_drivers_return_the_same_table(self, uri, monkeypatch, query):
        through_adbc = stream(uri, query)
        monkeypatch.setattr(_sql_arrow, "open_adbc", lambda *_: None)
        through_rows = stream(uri, query)
        assert through_adbc[0].schema.equals(through_rows[0].schema, check_metadata=True)
        assert through_adbc == through_rows

    def test_only_the_requested_columns_leave_the_database(self, postgres, uri, sql_driver):
        with postgres.statements() as statements:
            table, names = stream(uri, "SELECT * FROM patients", frozenset(["nu", "i4"]))
        assert table.column_names == ["i4", "nu"]
        assert names == ["id", *COLUMNS]
        queries = [statement for statement in statements if "FROM patients" in statement and "LIMIT 0" not in statement]
        assert queries
        assert all(
            'SELECT "i4" AS "i4", "nu"::float8 AS "nu" FROM ( SELECT * FROM patients ) AS t' in s for s in queries
        )

    def test_no_rows_are_requested_before_the_first_batch(self, postgres, uri, sql_driver):
        with postgres.statements() as statements, ExitStack() as stack:
            _sql_arrow.open_stream(Database("clinic", uri, "sql", query="SELECT * FROM patients"), None, stack)
        assert all("LIMIT 0" in statement for statement in statements if "patients" in statement)

    def test_a_stream_has_several_batches(self, uri, sql_driver):
        with ExitStack() as stack:
            query = "SELECT g, repeat('x', 400) AS x FROM generate_series(1, 80000) AS g"
            reader, _ = _sql_arrow.open_stream(Database("clinic", uri, "sql", query=query), None, stack)
            first = reader.read_next_batch()
            assert 0 < first.num_rows < 80_000
            assert first.num_rows + sum(batch.num_rows for batch in reader) == 80_000

    @pytest.mark.parametrize("read", [0, 1])
    def test_a_stream_can_be_closed_early(self, uri, sql_driver, read):
        with ExitStack() as stack:
            query = "SELECT g, repeat('x', 400) AS x FROM generate_series(1, 80000) AS g"
            reader, _ = _sql_arrow.open_stream(Database("clinic", uri, "sql", query=query), None, stack)
            for _ in range(read):
                reader.read_next_batch()
        with pytest.raises((AlgotoolsError, StopIteration)):
            reader.read_next_batch()

    @pytest.mark.parametrize("query", ["SHOW server_version", "VALUES (1); VALUES (2)", "SELECT nothing FROM nowhere"])
    def test_a_query_that_cannot_be_an_inner_query_is_left_to_pandas(self, uri, sql_driver, query):
        with pytest.raises(NeedsPandas):
            stream(uri, query)

    def test_two_columns_with_the_same_name_are_refused(self, uri, sql_driver):
        query = "SELECT 1 AS a, 2 AS a, 3 AS b"
        assert stream(uri, query, frozenset(["b"]))[0].to_pydict() == {"b": [3]}
        with pytest.raises(DatabaseUnreadable, match="two columns with the same name; rename one of them with AS"):
            stream(uri, query)

    def test_a_query_that_fails_after_some_rows_is_reported(self, uri, sql_driver):
        with pytest.raises(DatabaseUnreadable, match=r"refuses the task's query \(\w+\)$") as excinfo:
            stream(uri, f"SELECT 1 / (g - 70000) AS x, '{SECRET}' AS y FROM generate_series(1, 80000) AS g")
        assert "division by zero" in excinfo.value.detail


class TestOwnersQuery:
    def test_the_owner_can_configure_a_query(self, uri):
        assert load(uri, None, QUERY="SELECT 1 AS one;").value.to_dict("list") == {"one": [1]}

    def test_the_tasks_query_has_precedence(self, uri):
        assert load(uri, "SELECT 2 AS two", QUERY="SELECT 1", TABLE="patients").value.to_dict("list") == {"two": [2]}

    @pytest.mark.parametrize("form", ["pandas", "arrow"])
    def test_the_owner_can_configure_a_table(self, uri, form):
        for table, columns in (("patients", ["id", *COLUMNS]), ("ward.Beds", ["one", "other"])):
            database = Database("clinic", uri, "sql", {"TABLE": table})
            assert data.load(database, form, frozenset(["one", "id"])).columns == columns

    def test_a_configured_table_cannot_be_a_query(self, uri):
        with pytest.raises(DatabaseUnreadable, match="UndefinedTable"):
            load(uri, None, TABLE="(SELECT 1) AS t")


WRITING = [
    "DELETE FROM patients",
    "DELETE FROM patients; COMMIT",
    "COMMIT; DELETE FROM patients",
    "SELECT 1 AS a) AS t; COMMIT; DELETE FROM patients; --",
    "SET TRANSACTION READ WRITE; DELETE FROM patients",
    "ROLLBACK; BEGIN READ WRITE; DELETE FROM patients; COMMIT",
    "CREATE TABLE taken AS SELECT * FROM patients",
    "WITH gone AS (DELETE FROM patients RETURNING *) SELECT * FROM gone",
    "SELECT * INTO taken FROM patients",
    "SELECT set_config('transaction_read_only', 'off', false); DELETE FROM patients",
    "SELECT nextval('numbers')",
]


@pytest.mark.parametrize("form", ["pandas", "arrow", "ibis"])
@pytest.mark.parametrize("columns", [None, frozenset(["id"])])
@pytest.mark.parametrize("query", WRITING)
def test_a_query_cannot_write(postgres, clinic, uri, form, columns, query):
    database = Database("clinic", uri, "sql", query=query)
    with ExitStack() as stack, pytest.raises((DatabaseUnreadable, psycopg.errors.ReadOnlySqlTransaction)):
        data.load(database, form, columns, stack).value.execute()
    with postgres.connect(clinic) as connection:
        assert connection.execute("SELECT count(*) FROM patients").fetchall() == [(3,)]
        assert connection.execute("SELECT to_regclass('taken'), is_called FROM numbers").fetchall() == [(None, False)]


@pytest.mark.parametrize("form", ["pandas", "arrow", "ibis"])
class TestFailures:
    def failure(self, uri: str, form: str) -> DatabaseUnreadable:
        with ExitStack() as stack, pytest.raises(DatabaseUnreadable) as excinfo:
            data.load(Database("clinic", uri, "sql", query="SELECT 1 AS one"), form, None, stack)
        error = excinfo.value
        for secret in (PASSWORD, "hunter2", "4711"):
            assert secret not in str(error) + error.detail
        assert USER not in str(error)
        assert "it cannot be reached, or refuses the task's query (" in str(error)
        return error

    def test_a_wrong_password_is_not_shown(self, postgres, form):
        wrong = postgres.uri().replace("hunter2", "hunter2x")
        assert "password authentication failed" in self.failure(wrong, form).detail

    def test_an_unreachable_server_is_reported(self, form):
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            uri = f"postgresql://{USER}:hunter2%40%3A%2F4711@127.0.0.1:{bound.getsockname()[1]}/clinic"
            assert re.search("[Cc]onnection refused", self.failure(uri, form).detail)


def test_a_stream_does_not_import_pandas(uri):
    code = f"""if True:
        import sys
        from contextlib import ExitStack
        from algotools.data._sql_arrow import open_stream
        from algotools.task import Database
        with ExitStack() as closing:
            reader, _ = open_stream(Database("clinic", {uri!r}, "sql", query="SELECT 1 AS one"), None, closing)
            loaded = {{"pandas", "polars", "psycopg", "duckdb", "ibis"}} & set(sys.modules)
            print(reader.read_all().to_pydict(), *loaded)
    """
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "{'one': [1]}\n"
    )


def test_every_part_of_a_uri_reaches_libpq(postgres, clinic):
    url = _sql.parse_url(Database("clinic", postgres.uri(clinic) + "?application_name=it's a \\ test"))
    with ExitStack() as stack:
        driver = _sql_arrow.open_adbc(url, stack)
        assert driver is not None
        assert driver.read_row("SELECT current_user, current_database(), current_setting('application_name')") == [
            USER, clinic, "it's a \\ test",
        ]  # fmt: skip
