"""SQLite files in the forms other than pandas', and DuckDB files in all forms."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import data
from algotools.data import _sql_arrow
from algotools.data.reading import NeedsPandas
from algotools.errors import DatabaseUnreadable, InputError
from algotools.task import Database

from .conftest import assert_same

SECRET = "Jane-Doe-4711"


def stream(uri: object, query: str | None, columns: frozenset[str] | None = None) -> tuple[pa.Table, list[str]]:
    with ExitStack() as stack:
        reader, names = _sql_arrow.open_stream(Database("clinic", str(uri), "sql", query=query), columns, stack)
        return reader.read_all(), names


class TestSqlite:
    @pytest.fixture(scope="class")
    @staticmethod
    def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("clinic") / "the clinic%20?#.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE patients (id INT, age, price DECIMAL(10,2), word, photo, mixed, gone)")
            rows = [(i, None, i, None, None, i, None) for i in range(70_000)]
            rows += [(-1, 71, 1.5, "x", b"\0\xff", "y", None), (-2, None, None, "", b"", 2.5, None)]
            connection.executemany("INSERT INTO patients VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        return path

    @pytest.fixture(params=["adbc", "rows"])
    def sql_driver(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        if request.param == "rows":
            monkeypatch.setattr(_sql_arrow, "open_adbc", lambda *_: None)
        return str(request.param)

    def test_a_column_has_a_type_for_all_its_values(self, clinic, sql_driver):
        table, names = stream(clinic, "SELECT * FROM patients")
        assert [str(kind) for kind in table.schema.types] == [
            "int64", "int64", "double", "string", "binary", "string", "null",
        ]  # fmt: skip
        assert names == table.column_names == ["id", "age", "price", "word", "photo", "mixed", "gone"]
        assert table.num_rows == 70_002
        assert [*table.slice(69_999).to_pydict().values()] == [
            [69_999, -1, -2], [None, 71, None], [69_999.0, 1.5, None], [None, "x", ""], [None, b"\0\xff", b""],
            ["69999", "y", "2.5"], [None] * 3,
        ]  # fmt: skip

    def test_the_requested_columns_have_the_order_of_the_query(self, clinic, sql_driver):
        query = "SELECT word, id FROM patients ORDER BY id LIMIT 2;"
        table, names = stream(clinic, query, frozenset(["id"]))
        assert (table.to_pydict(), names) == ({"id": [-2, -1]}, ["word", "id"])

    def test_a_query_without_rows_is_read(self, clinic, sql_driver):
        assert stream(clinic, "SELECT id, word FROM patients WHERE id > 1000000")[0].num_rows == 0

    def test_a_database_in_memory_is_read(self):
        assert stream("sqlite://", "SELECT 1 AS one")[0].to_pydict() == {"one": [1]}

    @pytest.mark.parametrize("query", ["DELETE FROM patients", "DROP TABLE patients", "CREATE TABLE x (a)"])
    @pytest.mark.parametrize("form", ["arrow", "ibis"])
    def test_a_query_cannot_write(self, clinic, form, query):
        before = clinic.read_bytes()
        with ExitStack() as stack, pytest.raises(DatabaseUnreadable):
            data.load(Database("clinic", str(clinic), "sql", query=query), form, None, stack)
        assert clinic.read_bytes() == before

    @pytest.mark.parametrize("columns", [None, frozenset(["twice"])])
    def test_two_columns_with_the_same_name_are_left_to_pandas(self, clinic, sql_driver, columns):
        with pytest.raises(NeedsPandas):
            stream(clinic, "SELECT id AS twice, age AS twice FROM patients", columns)

    def test_the_owner_can_configure_a_table(self, clinic):
        loaded = data.load(Database("clinic", str(clinic), None, {"TABLE": "patients"}), "arrow", frozenset(["age"]))
        assert loaded.value.column_names == ["age"]
        assert loaded.columns == ["id", "age", "price", "word", "photo", "mixed", "gone"]

    def test_ibis_runs_in_the_database(self, clinic):
        with ExitStack() as stack:
            loaded = data.load(
                Database("clinic", str(clinic), query="SELECT * FROM patients WHERE id < 10"), "ibis",
                frozenset(["id", "price"]), stack,
            )  # fmt: skip
            table: Any = loaded.value
            assert table.columns == ("id", "price")
            assert loaded.columns == ["id", "age", "price", "word", "photo", "mixed", "gone"]
            assert table.id.sum().execute() == 42
            assert table.get_backend().name == "sqlite"


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
FLOATS = st.floats(allow_nan=False)
HALVES = st.integers(-1000, 1000).map(lambda number: number / 2)  # every version of SQLite writes them in the same way
KINDS = [st.integers(-(2**63), 2**63 - 1), TEXT, st.binary(max_size=3)]


@st.composite
def rows_of_any_values(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Rows with two columns. A column has values of one or several types, and missing values."""
    kinds = [draw(st.sampled_from([*KINDS, FLOATS, st.one_of(*KINDS, HALVES)])) for _ in range(2)]
    return draw(st.lists(st.tuples(*(st.none() | kind for kind in kinds)), min_size=1, max_size=8))


@given(rows_of_any_values())
def test_both_drivers_read_the_same_values(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("x") / "x.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (a, b)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    through_adbc = stream(path, "SELECT * FROM t")[0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_sql_arrow, "open_adbc", lambda *_: None)
        through_rows = stream(path, "SELECT * FROM t")[0]
    assert through_adbc.schema == through_rows.schema
    assert through_adbc.to_pydict() == through_rows.to_pydict()
    for name, index in (("a", 0), ("b", 1)):
        kinds = {type(row[index]) for row in rows} - {type(None)}
        if len(kinds) == 1:
            assert through_rows[name].to_pylist() == [row[index] for row in rows]


class TestDuckDB:
    @pytest.fixture(scope="class")
    @staticmethod
    def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("clinic") / "the clinic%20#.duckdb"  # DuckDB cannot open a path with ?
        with duckdb.connect(str(path)) as connection:
            connection.execute("""
                CREATE TABLE patients AS
                SELECT i::INTEGER AS id, (i / 4)::DECIMAL(10, 2) AS price, i::HUGEINT AS huge, 'é' || i AS name,
                    TIMESTAMP '2020-01-01' + INTERVAL (i) DAY AS seen, NULL::DOUBLE AS gone, [i] AS list,
                    1 AS "a ""quoted"" name"
                FROM range(3) AS t (i)
            """)
            connection.execute("CREATE SCHEMA ward; CREATE TABLE ward.beds AS SELECT 7 AS bed")
        return path

    def load(self, uri: object, query: str | None, form: str = "pandas", columns: Any = None, **options: str) -> Any:
        with ExitStack() as stack:
            loaded = data.load(Database("clinic", str(uri), None, options, query), form, columns, stack)
            value: Any = loaded.value
            return loaded._replace(value=value.fetchall() if form == "duckdb" else value)

    def test_a_file_can_be_a_path_or_a_uri(self, clinic, tmp_path):
        renamed = tmp_path / "clinic.db"
        renamed.write_bytes(clinic.read_bytes())
        for uri in (clinic, renamed, f"duckdb://{renamed}", f"duckdb:///{renamed}", f"file://{renamed}"):
            assert self.load(uri, "SELECT 1 AS one").value.to_dict("list") == {"one": [1]}

    @pytest.mark.parametrize(
        "query", ["SELECT * FROM patients;", "FROM patients -- all", "SELECT * FROM patients WHERE id > 9"]
    )
    @pytest.mark.parametrize("columns", [None, {"name"}, {"seen", "id", 'a "quoted" name', "no such column"}, set()])
    def test_a_frame_equals_duckdbs_frame(self, clinic, query, columns):
        loaded = self.load(clinic, query, columns=columns)
        with duckdb.connect(str(clinic)) as connection:
            whole = connection.sql(query).df()
        assert_same(
            loaded.value, whole if columns is None else whole.loc[:, [name in columns for name in whole.columns]]
        )
        assert loaded.columns == list(whole.columns)

    def test_a_stream_has_pandas_types_for_numbers(self, clinic):
        table, names = stream(clinic, "FROM patients", frozenset(["price", "huge", "name", "list"]))
        assert [str(kind) for kind in table.schema.types[:3]] == ["double", "double", "string"]
        assert table.to_pydict() == {
            "price": [0.0, 0.25, 0.5], "huge": [0.0, 1.0, 2.0], "name": ["é0", "é1", "é2"], "list": [[0], [1], [2]],
        }  # fmt: skip
        assert len(names) == 8

    def test_a_relation_is_a_query_in_the_file(self, clinic):
        with ExitStack() as stack:
            loaded = data.load(Database("x", str(clinic), query="FROM patients"), "duckdb", frozenset(["id"]), stack)
            relation: Any = loaded.value
            assert relation.columns == ["id"]
            assert relation.sum("id").fetchall() == [(3,)]
            assert len(loaded.columns or []) == 8
            assert "patients" in relation.sql_query()
        with pytest.raises(duckdb.Error):
            relation.fetchall()

    def test_ibis_runs_in_the_file(self, clinic):
        with ExitStack() as stack:
            table: Any = data.load(Database("x", str(clinic), None, {"TABLE": "ward.beds"}), "ibis", None, stack).value
            assert table.bed.max().to_pyarrow().as_py() == 7

    def test_two_columns_with_the_same_name_are_refused(self, clinic):
        query = "SELECT 1 AS a, 2 AS a, 3 AS b"
        assert self.load(clinic, query, "duckdb", {"b"}).value == [(3,)]
        for form in ("duckdb", "arrow", "ibis"):
            with pytest.raises(DatabaseUnreadable, match="two columns with the same name"):
                self.load(clinic, query, form)

    @pytest.mark.parametrize("form", ["pandas", "duckdb", "arrow", "ibis"])
    @pytest.mark.parametrize(
        "query",
        [
            "DELETE FROM patients", "CREATE TABLE x (a INT)", "COPY patients TO '{0}/copy'",
            "FROM read_text('{0}/other')", "ATTACH '{0}/other.duckdb'", "SELECT 1; SELECT 2", "FROM nowhere", "SELEC",
            "SET enable_external_access = true", "FROM columns", "INSTALL httpfs", "EXPORT DATABASE '{0}/copy'",
        ],
    )  # fmt: skip
    def test_a_task_cannot_read_or_write_other_files(self, clinic, tmp_path, form, query):
        (tmp_path / "other").write_text(SECRET)
        before = clinic.read_bytes()
        with pytest.raises(DatabaseUnreadable, match=r"^database 'clinic': ") as excinfo:
            self.load(clinic, query.format(tmp_path), form)
        assert SECRET not in str(excinfo.value)
        assert clinic.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["other"]
        assert list(clinic.parent.iterdir()) == [clinic]

    @pytest.mark.parametrize("form", ["pandas", "duckdb", "arrow", "ibis"])
    def test_a_file_that_is_not_a_database_is_refused(self, tmp_path, form):
        (tmp_path / "x.duckdb").write_bytes(SECRET.encode() * 1000)
        with pytest.raises(DatabaseUnreadable, match=r"it cannot be reached, or refuses the task's query \(\w+\)"):
            self.load(tmp_path / "x.duckdb", "SELECT 1", form)
        with pytest.raises(DatabaseUnreadable, match="its file does not exist"):
            self.load(tmp_path / "y.duckdb", "SELECT 1", form)

    @pytest.mark.parametrize("form", ["pandas", "duckdb", "arrow", "ibis"])
    def test_a_missing_query_is_explained(self, clinic, form):
        with pytest.raises(InputError, match="needs a query, which the task does not specify"):
            self.load(clinic, None, form)

    def test_a_missing_package_is_named(self, clinic, monkeypatch):
        monkeypatch.setitem(sys.modules, "duckdb", None)
        with pytest.raises(DatabaseUnreadable, match="add this package to the algorithm's dependencies: duckdb"):
            self.load(clinic, "SELECT 1")


def test_a_query_cannot_read_variables_of_the_process(tmp_path):
    path = tmp_path / "x.duckdb"
    duckdb.connect(str(path)).close()
    frame = pd.DataFrame({"name": [SECRET]})
    with pytest.raises(DatabaseUnreadable):
        data.load(Database("x", str(path), query="SELECT * FROM frame"), "pandas", None)
    assert len(frame) == 1
