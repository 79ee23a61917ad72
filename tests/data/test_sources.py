"""The type of a database, and the errors of a database that cannot be read."""

import importlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from algotools import data
from algotools.data.reading import Loaded, is_memory_error
from algotools.errors import DatabaseUnreadable, InputError, UnsupportedDatabase
from algotools.federation import _frames
from algotools.payload import RICH, encode_rich
from algotools.task import Database

SECRET = "Jane-Doe-4711"


@pytest.mark.parametrize(
    ("uri", "node_type", "kind"),
    [
        ("/data/x.csv", None, "csv"),
        ("/data/x.CSV", None, "csv"),
        ("/data/x.frame", None, "frame"),
        ("/data/x.parquet", None, "parquet"),
        ("/data/x.xlsx", None, "excel"),
        ("/data/x.sqlite", None, "sql"),
        ("file:///data/x.parquet", None, "parquet"),
        ("postgresql://user@host/x.csv", None, "sql"),
        ("/data/x", None, "csv"),
        ("/data/x.tsv", None, "csv"),
        ("/data/v1.2/x", None, "csv"),
        ("", None, "csv"),
        ("/data/x.parquet", "csv", "csv"),
        ("/data/x.csv", "Parquet", "parquet"),
        ("/data/x.csv", "omop", "omop"),
    ],
)
def test_the_type_is_the_nodes_otherwise_that_of_the_uri_otherwise_csv(uri, node_type, kind):
    assert data.detect_type(Database("default", uri, node_type)) == kind


@pytest.mark.parametrize(
    ("uri", "node_type"),
    [("x.csv", "redcap"), ("x.csv", "FHIR"), ("x.csv", "other"), ("/data/x", "folder")],
)
def test_an_unsupported_type_is_refused(uri, node_type):
    database = Database("clinic", uri, node_type)
    with pytest.raises(UnsupportedDatabase) as excinfo:
        data.load(database, "pandas", None)
    message = str(excinfo.value)
    assert "database 'clinic' has a type that cannot be read as a table" in message
    assert excinfo.value.detail == f"its type is {data.detect_type(database)!r}"
    assert "(readable types: csv, excel, frame, omop, parquet, sparql, sql)" in message
    assert "annotate the parameter with `Path` or `Database`" in message
    assert uri not in message


@pytest.mark.parametrize("uri", ["x.parquet", "postgresql://u:p@h/d", "/no/such/file"])
def test_a_database_is_passed_without_reading_it(uri):
    database = Database("clinic", uri, options={"USER": "u"})
    assert data.load(database, "database", frozenset({"age"})) == Loaded(database, None)


@pytest.mark.parametrize(
    ("annotation", "form"),
    [(pd.DataFrame, "pandas"), (Database, "database"), (pd.Series, None), (dict, None), (list[pd.DataFrame], None)],
)
def test_the_annotation_determines_the_form(annotation, form):
    assert data.find_form(annotation) == form


@pytest.mark.parametrize("form", ["pandas", "polars", "path"])
@pytest.mark.parametrize("uri", ["x.csv", "x.parquet", "x.xlsx", "x.frame"])
def test_a_query_for_a_file_is_refused(uri, form):
    with pytest.raises(InputError, match=r"only types omop, sparql, sql have queries; remove the query"):
        data.load(Database("clinic", uri, query="select 1"), form, None)


@pytest.mark.parametrize("query", ["", " ", "None"])
def test_a_node_may_send_an_empty_query(tmp_path, query):
    (tmp_path / "x.csv").write_text("age\n1\n")
    frame = data.load(Database("clinic", str(tmp_path / "x.csv"), query=query), "pandas", None).value
    assert list(frame["age"]) == [1]


def test_a_function_that_requests_the_database_gets_the_query():
    database = Database("clinic", "x.csv", query="select 1")
    assert data.load(database, "database", None) == Loaded(database, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name must not be in an error message."""
    folder = tmp_path / SECRET
    folder.mkdir()
    return folder


def unreadable(path: Path, kind: str) -> DatabaseUnreadable:
    with pytest.raises(DatabaseUnreadable) as excinfo:
        data.load(Database("clinic", str(path), kind), "pandas", frozenset({"age"}))
    assert SECRET not in str(excinfo.value)
    assert str(path) in excinfo.value.detail
    assert str(excinfo.value).startswith("database 'clinic': ")
    return excinfo.value


@pytest.mark.parametrize("kind", ["csv", "frame", "parquet", "excel"])
class TestUnreadableDatabase:
    def test_that_is_missing(self, folder, kind):
        assert "its file does not exist" in str(unreadable(folder / "x", kind))

    def test_that_is_a_folder(self, folder, kind):
        message = "it is a folder without a parquet file" if kind == "parquet" else f"it is a folder, not a {kind} file"
        assert message in str(unreadable(folder, kind))

    def test_without_permission(self, folder, kind, unprivileged_user):
        path = folder / "x"
        path.write_bytes(b"age\n1\n")
        path.chmod(0)
        with unprivileged_user:
            error = unreadable(path, kind)
        assert "its file may not be read (permission denied)" in str(error)

    def test_that_is_empty(self, folder, kind):
        path = folder / "x"
        path.touch()
        error = unreadable(path, kind)
        assert ("it is not a readable frame file" if kind == "frame" else "it is empty") in str(error)

    def test_of_another_format(self, folder, kind):
        path = folder / "x"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
        assert f"it is not a readable {kind} file" in str(unreadable(path, kind))


class UnprivilegedUser:
    """Context in which the process has no rights. Only root can give up its rights; other users keep theirs."""

    def __init__(self) -> None:
        self._before = os.geteuid()

    def __enter__(self) -> None:
        if self._before == 0:
            os.seteuid(65534)

    def __exit__(self, *_: object) -> None:
        os.seteuid(self._before)


@pytest.fixture
def unprivileged_user() -> Iterator[UnprivilegedUser]:
    # Imported now, because an unprivileged user may not be able to read the modules.
    for module in ("csv", "excel", "parquet", "sql"):
        importlib.import_module(f"algotools.data.{module}")
    importlib.import_module("openpyxl")
    before = os.geteuid()
    yield UnprivilegedUser()
    assert os.geteuid() == before


def test_the_error_of_a_broken_csv_file_quotes_nothing(folder):
    path = folder / "x.csv"
    path.write_text(f'age\n"{SECRET}\n')
    error = unreadable(path, "csv")
    assert "it is not a readable csv file (ParserError)" in str(error)


def test_the_error_of_a_line_with_too_many_fields_quotes_nothing(folder):
    path = folder / "x.csv"
    path.write_text(f"age,name\n1,2\n3,{SECRET},4,5\n")
    with pytest.raises(DatabaseUnreadable) as excinfo:
        data.load(Database("clinic", str(path), "csv"), "pandas", None)
    assert "a row has more fields than the header" in str(excinfo.value)
    assert "line 3" in excinfo.value.detail


def test_the_error_of_a_wrong_encoding_quotes_nothing(folder):
    path = folder / "x.csv"
    path.write_bytes(f"age,name\n1,{SECRET}-\xe9\n".encode("latin-1"))
    with pytest.raises(DatabaseUnreadable) as excinfo:
        data.load(Database("clinic", str(path), "csv"), "pandas", None)
    assert "it is not in the encoding utf-8; set its option encoding" in str(excinfo.value)
    assert SECRET not in str(excinfo.value)


def test_the_error_of_an_invalid_frame_file_quotes_nothing(folder):
    path = folder / "x.frame"
    path.write_bytes(encode_rich({"name": SECRET}))
    assert "it is not a readable frame file (ValidationError)" in str(unreadable(path, "frame"))
    for content in (RICH + SECRET.encode(), msgspec.msgpack.encode([b"", SECRET.encode(), []]), b""):
        path.write_bytes(content)
        assert SECRET not in str(unreadable(path, "frame"))


FRAME = pd.DataFrame(
    {
        "int8": np.array([1, 2, 3], "int8"),
        "uint64": np.array([1, 2, 2**64 - 1], "uint64"),
        "float32": np.array([1.5, np.nan, np.inf], "float32"),
        "bool": [True, False, True],
        "object": pd.Series(["x", None, 3], dtype=object),
        "text": pd.Series(["x", None, "z"], dtype="string"),
        "Int64": pd.array([1, None, 3], "Int64"),
        "boolean": pd.array([True, None, False], "boolean"),
        "category": pd.Categorical(["b", "a", None], categories=["b", "a", "c"], ordered=True),
        "moment": pd.to_datetime(["2024-02-29 00:00:00.000001", None, "1999-12-31 23:59:59.123456"]),
        "zoned": pd.to_datetime(["2024-02-29", None, "2024-07-01"]).tz_localize("Europe/Amsterdam"),
        "span": pd.to_timedelta(["1 day", None, "3 s"]),
        "period": pd.period_range("2024-01", periods=3, freq="M"),
        7: [1, 2, 3],
    },
    index=pd.Index(["r", "s", "t"], name="row"),
)


def write_frame_database(tmp_path: Path, frame: pd.DataFrame) -> Database:
    path = tmp_path / f"{uuid.uuid4()}.frame"
    _frames.write_frame(frame, path)
    return Database("default", str(path), "frame")


def test_a_frame_keeps_its_dtypes(tmp_path):
    loaded = data.load(write_frame_database(tmp_path, FRAME), "pandas", None)
    expected = FRAME.set_axis(FRAME.columns.map(str), axis="columns")
    pd.testing.assert_frame_equal(loaded.value, expected, check_exact=True, check_freq=True)
    assert loaded.columns == list(expected.columns)


def test_the_requested_columns_of_a_frame_keep_their_order_and_dtypes(tmp_path):
    loaded = data.load(write_frame_database(tmp_path, FRAME), "pandas", frozenset({"zoned", "int8", "no such column"}))
    expected = FRAME.set_axis(FRAME.columns.map(str), axis="columns")
    pd.testing.assert_frame_equal(loaded.value, expected[["int8", "zoned"]], check_exact=True)
    assert loaded.columns == list(expected.columns)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        pd.DataFrame({"a": pd.Series([], dtype="int16")}),
        pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]),
        pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None])),
    ],
    ids=["nothing", "no rows", "a name twice", "two levels"],
)
def test_an_unusual_frame_is_unchanged(tmp_path, frame):
    loaded = data.load(write_frame_database(tmp_path, frame), "pandas", None)
    pd.testing.assert_frame_equal(loaded.value, frame)


def test_a_repeated_column_is_read_twice(tmp_path):
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"])
    loaded = data.load(write_frame_database(tmp_path, frame), "pandas", frozenset({"a"}))
    pd.testing.assert_frame_equal(loaded.value, frame[["a"]])


@pytest.mark.parametrize(
    ("error", "is_expected"),
    [
        (MemoryError(), True),
        (pd.errors.ParserError("Error tokenizing data. C error: out of memory"), True),
        (pa.ArrowMemoryError("malloc of size 64 failed"), True),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate data"), True),
        (pd.errors.ParserError("Error tokenizing data. C error: Expected 2 fields"), False),
        (ValueError("out of memory"), False),  # the author's own text
    ],
)
def test_the_libraries_errors_about_memory_are_recognized(error, is_expected):
    assert is_memory_error(error) is is_expected
