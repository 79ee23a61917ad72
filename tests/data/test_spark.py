"""Tables in Spark, on a real server of Spark Connect."""

from __future__ import annotations

import datetime as dt
import gc
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from algotools import data
from algotools.errors import AlgotoolsError, DatabaseUnreadable, InputError
from algotools.task import Database

from ..conftest import SECRET
from ..processes import wait_until
from .forms import TABLES, read
from .spark import Spark

pytestmark = pytest.mark.cluster

BIG = 2**53 + 1
UTC = dt.timezone.utc
ROWS: dict[str, list[Any]] = {
    "id": [1, 2, 3],
    "age": [61, None, 45],
    "big": [BIG, None, -BIG],
    "weight": [70.5, None, 81.25],
    "name": [f"{SECRET} 100%", None, "Zoë 日本"],
    "is_ill": [True, None, False],
    "born": [dt.date(2020, 2, 29), None, dt.date(1969, 12, 31)],
    "seen": [dt.datetime(2020, 2, 29, 10, 11, 12, 5, UTC), None, dt.datetime(1969, 12, 31, 23, 59, 59, 0, UTC)],
    "local": [dt.datetime(2020, 2, 29, 10, 11, 12, 5), None, dt.datetime(1969, 12, 31, 23, 59, 59)],  # noqa: DTZ001
    "scan": [b"\x00\xff", None, b""],
    "codes": [[1, None], None, []],
    "select": ["a", "b", None],
    "a`b. c": [1, 2, 3],
}
DOSES = [Decimal("12.50"), None, Decimal("0.10")]
SCHEMA = (
    "id BIGINT, age INT, big BIGINT, weight DOUBLE, name STRING, is_ill BOOLEAN, born DATE, seen TIMESTAMP, "
    "local TIMESTAMP_NTZ, scan BINARY, codes ARRAY<INT>, `select` STRING, `a``b. c` INT, dose DECIMAL(10, 2)"
)
QUERY = "SELECT * FROM ward.patients ORDER BY id"


@pytest.fixture(scope="module", autouse=True)
def ward(spark: Spark) -> None:
    """A schema with a table of patients, the same table in a Parquet file's place, and an empty table."""
    with spark.connect() as session:
        rows = [*zip(*ROWS.values(), DOSES, strict=True)]
        session.sql("CREATE SCHEMA ward")
        session.createDataFrame(rows, SCHEMA).write.saveAsTable("ward.patients")
        session.sql("CREATE TABLE ward.nobody AS SELECT * FROM ward.patients WHERE false")
        session.sql("CREATE TABLE ward.long AS SELECT id, id % 7 AS `group` FROM range(300000)")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def clinic(spark: Spark, query: str | None = QUERY, **options: str) -> Database:
    return Database("clinic", spark.uri, "sql", {**spark.login, **options}, query)


def to_plain(value: object) -> object:
    """Return a value without the differences between libraries: lists of NumPy, moments of pandas."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [None if item != item else to_plain(item) for item in value]  # noqa: PLR0124  # not a number
    return value.to_pydatetime() if hasattr(value, "to_pydatetime") else value


@pytest.mark.parametrize("form", TABLES)
def test_every_form_has_the_same_values(spark, form):
    values = {name: [*map(to_plain, items)] for name, items in read(clinic(spark), form).items()}
    doses = values.pop("dose")
    assert values == ROWS
    assert doses == (DOSES if form == "ibis" else [12.5, None, 0.1])


@pytest.mark.parametrize("form", TABLES)
def test_the_values_are_those_of_a_parquet_file(spark, form, tmp_path):
    """The file has the types of Arrow that the table has, except decimals."""
    with ExitStack() as stack:
        table: Any = data.load(clinic(spark), "arrow", None, stack).value
    pa.parquet.write_table(table, tmp_path / "x.parquet")
    in_file = read(Database("clinic", str(tmp_path / "x.parquet")), form)
    in_spark = read(clinic(spark, "SELECT *, CAST(dose AS DOUBLE) AS d FROM ward.patients ORDER BY id"), form)
    in_spark["dose"] = in_spark.pop("d")
    if form == "pandas":  # pandas' own reader of Parquet rounds integers in a column with missing values
        del in_file["big"]
    for name, values in in_file.items():
        assert [*map(to_plain, in_spark[name])] == [*map(to_plain, values)], name


@pytest.mark.parametrize("form", TABLES)
def test_an_empty_table_has_its_columns(spark, form):
    assert read(clinic(spark, "SELECT * FROM ward.nobody"), form) == {name: [] for name in [*ROWS, "dose"]}


@pytest.mark.parametrize("form", ["pandas", "arrow", "ibis"])
def test_only_the_requested_columns_are_read(spark, form, stack):
    names = ["select", "a`b. c", "no such column"]
    loaded = data.load(clinic(spark), form, frozenset(names), stack)
    assert loaded.columns == [*ROWS, "dose"]
    assert list(loaded.value.columns if form != "arrow" else loaded.value.column_names) == names[:2]  # type: ignore[attr-defined]
    plans = [
        line for line in spark.log.read_text().splitlines() if "Output Data Schema" in line or "ReadSchema" in line
    ]
    assert not any("scan: binary" in line for line in plans[-1:])


def test_spark_computes_an_aggregate(spark, stack):
    table: Any = data.load(clinic(spark), "ibis", None, stack).value
    grouped = table.group_by(table.is_ill).agg(n=table.count(), weight=table.weight.max(), dose=table.dose.sum())
    result = grouped.order_by("weight").to_pyarrow().to_pylist()
    assert [row["weight"] for row in result[:2]] == [70.5, 81.25]
    assert result[0]["dose"] == Decimal("12.50")
    assert table.big.max().execute() == BIG
    assert table.select("big").to_pyarrow()["big"].to_pylist() == ROWS["big"]
    assert table.filter(table.seen > dt.datetime(2000, 1, 1, tzinfo=UTC)).count().execute() == 1
    assert table.seen.year().max().execute() == 2020


def test_the_owner_can_configure_a_table_or_a_query(spark):
    assert read(clinic(spark, None, TABLE="ward.patients"), "arrow", ["age"])["age"].count(None) == 1
    assert read(clinic(spark, None, QUERY="SELECT count(*) AS n FROM ward.patients"), "ibis") == {"n": [3]}
    with pytest.raises(InputError, match="to configure a `query` or a `table`"):
        read(clinic(spark, None), "arrow")


def test_the_order_and_the_number_of_rows_are_those_of_the_query(spark):
    query = "SELECT id FROM ward.long ORDER BY id DESC"
    assert read(clinic(spark, query), "batches") == {"id": [*range(299_999, -1, -1)]}


@pytest.mark.parametrize("form", ["batches", "ibis"])
def test_batches_arrive_one_by_one(spark, form, stack):
    """Spark sends one partition after another. Here the whole table has 64 MB."""
    value: Any = data.load(clinic(spark, "SELECT id FROM range(0, 8000000, 1, 80)"), form, None, stack).value
    before, most, count = pa.total_allocated_bytes(), 0, 0
    for batch in value if form == "batches" else value.to_pyarrow_batches():
        count += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert count == 8_000_000
    assert most < 16_000_000


# --- Queries. ---


READING = [
    "SELECT 1 AS a", "SELECT 1 AS a;", "SELECT 1 AS a -- comment", "SELECT 1 AS a /* comment */",
    "WITH x AS (SELECT 1 AS a) SELECT * FROM x", "SELECT 1 AS a UNION ALL SELECT 2", "(SELECT 1 AS a)",
    "VALUES (1) AS x(a)", "FROM ward.patients SELECT id AS a",
    "SELECT /*+ REPARTITION(2) */ id AS a FROM ward.patients",
    "SELECT ') AS t; DROP TABLE ward.victim; --' AS a",
    "SELECT count(*) AS a FROM ward.patients JOIN ward.long USING (id)",
    "SELECT transform(array(1), x -> x + 1) AS a", "SELECT 1 AS identifier, 2 AS a",
]  # fmt: skip

WRITING = [
    "DROP TABLE ward.victim", "DROP TABLE ward.victim --", "INSERT INTO ward.victim VALUES (2)",
    "TRUNCATE TABLE ward.victim", "CREATE TABLE ward.taken AS SELECT 1 AS a",
    "ALTER TABLE ward.victim RENAME TO ward.x",
    "SELECT 1 AS a; DROP TABLE ward.victim",
    "SELECT 1 AS a) AS t; DROP TABLE ward.victim; SELECT * FROM (SELECT 1 AS a",
    "SELECT 1 AS a) AS t; DROP TABLE ward.victim; --", "SELECT 1 AS a) --", "SELECT 1 AS a) AS t --",
    "SELECT 1 AS a) AS t /*", "SELECT 1 AS a /*", "BEGIN DROP TABLE ward.victim; END",
    "SET spark.sql.ansi.enabled=false",
    "FROM ward.patients INSERT INTO ward.victim SELECT id", "WITH x AS (DELETE FROM ward.victim) SELECT * FROM x",
    "SELECT * FROM (INSERT INTO ward.victim VALUES (2))", "EXECUTE IMMEDIATE 'DROP TABLE ward.victim'",
    "SHOW TABLES IN ward", "DESCRIBE ward.victim", "USE ward", "ADD JAR '/x.jar'", "CACHE TABLE ward.victim",
    "EXPLAIN SELECT 1",
    "INSERT OVERWRITE DIRECTORY '/tmp/taken' USING csv SELECT 1", "SELECT 1 AS a INTO ward.taken", "",
]  # fmt: skip

STARTING = [
    "SELECT reflect('java.lang.System', 'exit', 7) AS a", "SELECT `reflect`('java.lang.System', 'getenv') AS a",
    "SELECT try_reflect('java.lang.System', 'exit', 7) AS a",
    "SELECT JAVA_METHOD/**/('java.lang.System', 'exit', 7) AS a",
    "SELECT IDENTIFIER('ref' || 'lect')('java.lang.System', 'exit', 7) AS a",
    "SELECT identifier /* x */ ('ref' || 'lect')('java.lang.System', 'exit', 7) AS a",
    "SELECT TRANSFORM(a) USING 'touch /tmp/algotools-taken' AS (b) FROM (SELECT 1 AS a)",
    "MAP a USING /* ( */ 'touch /tmp/algotools-taken' AS (b) FROM (SELECT 1 AS a)",
    "SELECT * FROM (FROM ward.patients REDUCE id USING 'cat' AS (b))",
]  # fmt: skip

FILES = ["SELECT * FROM text.`/etc/passwd`", "SELECT * FROM csv.`/etc`", "TABLE parquet.`/tmp`"]


@pytest.fixture
def victim(spark: Spark) -> Iterator[None]:
    """A table with one row that no query may change."""
    with spark.connect() as session:
        session.sql("CREATE OR REPLACE TEMPORARY VIEW nothing AS SELECT 1")
        session.sql("DROP TABLE IF EXISTS ward.victim")
        session.sql("CREATE TABLE ward.victim AS SELECT 1 AS a")
    yield
    with spark.connect() as session:
        assert session.sql("SELECT a FROM ward.victim").toArrow().to_pydict() == {"a": [1]}
        tables = session.sql("SHOW TABLES IN ward").toArrow()["tableName"].to_pylist()
        assert sorted(tables) == ["long", "nobody", "patients", "victim"]


def test_queries_that_read(spark, victim):
    for query in READING:
        for form in ("arrow", "ibis"):
            assert len(read(clinic(spark, query), form)["a"]) >= 1, query


def test_a_query_is_never_a_statement_of_its_own(spark, victim):
    for query in WRITING:
        for form in ("arrow", "ibis"):
            with pytest.raises(AlgotoolsError) as excinfo:
                read(clinic(spark, query), form)
            assert excinfo.value.exit_code == (31 if query else 11), query


@pytest.mark.parametrize("query", STARTING)
def test_a_query_starts_no_program(spark, query):
    for form in ("pandas", "ibis"):
        with pytest.raises(DatabaseUnreadable, match=r"which (can start|starts) programs; leave it out"):
            read(clinic(spark, query), form)
    assert not Path("/tmp/algotools-taken").exists()


def test_a_query_reads_tables_and_no_files(spark, tmp_path):
    for query in FILES:
        with pytest.raises(DatabaseUnreadable, match="refuses the task's query"):
            read(clinic(spark, query), "arrow")
    (tmp_path / "x.txt").write_text("1\n", encoding="utf-8")
    owners = f"SELECT * FROM text.`{tmp_path / 'x.txt'}`"
    assert read(clinic(spark, None, QUERY=owners), "arrow") == {"value": ["1"]}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT 1 AS a, 2 AS a", "two columns with the same name"),
        ("SELECT 1 AS a, 2 AS A", "differ only in case, which Spark does not support"),
        ("SELECT INTERVAL '1-2' YEAR TO MONTH AS a", "a column has a type of Spark"),
        ("SELECT parse_json('{}') AS a", "a column has a type of Spark"),
    ],
)
def test_columns_that_cannot_be_read_are_named(spark, query, reason):
    for form in ("pandas", "batches", "ibis"):
        with pytest.raises(DatabaseUnreadable, match=reason):
            read(clinic(spark, query), form)


# --- Errors. ---


WRONG = f"SELECT CAST(name AS INT) AS a FROM ward.patients WHERE name LIKE '{SECRET}%'"


@pytest.mark.parametrize("form", ["pandas", "arrow", "batches", "polars", "duckdb"])
def test_an_error_shows_no_value_to_the_researcher(spark, form, capfd):
    with pytest.raises(DatabaseUnreadable, match=r"refuses the task's query \(NumberFormatException\)") as excinfo:
        read(clinic(spark, WRONG), form)
    printed = "".join(capfd.readouterr())
    assert SECRET not in str(excinfo.value) + printed
    assert "Traceback" not in printed
    assert f"The value '{SECRET} 100%'" in excinfo.value.detail
    assert "org.apache" not in excinfo.value.detail


def test_the_owner_reads_the_reason(spark):
    with pytest.raises(DatabaseUnreadable, match=r"refuses the task's query \(AnalysisException\)") as excinfo:
        read(clinic(spark, "SELECT * FROM ward.nowhere"), "ibis")
    assert "TABLE_OR_VIEW_NOT_FOUND" in excinfo.value.detail
    assert "nowhere" not in str(excinfo.value)


def test_a_wrong_token_is_refused(spark):
    for options in ({"TOKEN": "hunter3-4711"}, {"USER": "bob"}):
        with pytest.raises(
            DatabaseUnreadable, match="refuses the login; correct the options user and token"
        ) as excinfo:
            read(Database("clinic", spark.uri, "sql", options, QUERY), "arrow")
        assert "hunter" not in str(excinfo.value) + excinfo.value.detail


def test_the_uri_can_have_the_credentials(spark):
    uri = f"{spark.uri}/;user_id=bob;token=hunter2%40%3A%2F4711"
    assert read(Database("clinic", uri, "sql", query="SELECT 1 AS a"), "arrow") == {"a": [1]}


# --- The end of a session. ---


def test_sessions_are_released(spark, stack):
    with ExitStack() as inner:
        table: Any = data.load(clinic(spark), "ibis", None, inner).value
        assert spark.find_sessions()
        assert table.count().execute() == 3
    with pytest.raises(Exception, match="NO_ACTIVE_SESSION"):
        table.count().execute()
    with pytest.raises(DatabaseUnreadable):
        read(clinic(spark, "nonsense"), "arrow")
    running: Any = data.load(clinic(spark, "SELECT id FROM range(0, 8000000, 1, 800)"), "batches", None, stack).value
    running.read_next_batch()
    stack.close()
    wait_until(lambda: not spark.find_sessions())
    with spark.connect() as session:
        assert not [row for row in session.sql("SHOW VIEWS").collect() if "algotools" in row.viewName]


def test_no_thread_is_left(spark):
    gc.collect()
    before = set(threading.enumerate())
    for form in ("arrow", "ibis"):
        read(clinic(spark), form)
    wait_until(lambda: not [thread for thread in set(threading.enumerate()) - before if not thread.daemon])
