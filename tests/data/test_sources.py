"""Which source reads a database, and what is said of one that cannot be read."""

import importlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from algotools import data
from algotools.data import frame as frames
from algotools.errors import DatabaseUnreadable, UnsupportedDatabase
from algotools.payload import RICH, encode_rich
from algotools.task import Database

SECRET = "Jane-Doe-4711"


@pytest.mark.parametrize(
    ("uri", "told", "kind"),
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
def test_the_type_is_what_the_node_says_else_what_the_uri_tells_else_csv(uri, told, kind):
    assert data.type_of(Database("default", uri, told)) == kind


@pytest.mark.parametrize(
    ("uri", "told"), [("x.csv", "redcap"), ("x.csv", "FHIR"), ("x.csv", "other"), ("/data/x", "folder")]
)
def test_a_type_that_cannot_be_read_is_named(uri, told):
    database = Database("clinic", uri, told)
    with pytest.raises(UnsupportedDatabase) as refused:
        data.load(database, "pandas", None)
    message = str(refused.value)
    assert f"database 'clinic' is of type {data.type_of(database)!r}" in message
    assert "types that can: csv, excel, frame, omop, parquet, sparql, sql;" in message
    assert "annotate the parameter `Path` or `Database`" in message
    assert uri not in message


@pytest.mark.parametrize("uri", ["x.parquet", "postgresql://u:p@h/d", "/no/such/file"])
def test_a_function_that_asks_for_the_database_itself_gets_it_unread(uri):
    database = Database("clinic", uri, options={"USER": "u"})
    assert data.load(database, "database", frozenset({"age"})) == data.Loaded(database, None)


@pytest.mark.parametrize(
    ("annotation", "form"),
    [(pd.DataFrame, "pandas"), (Database, "database"), (pd.Series, None), (dict, None), (list[pd.DataFrame], None)],
)
def test_the_form_is_known_by_the_annotation(annotation, form):
    assert data.form_of(annotation) == form


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name must not be told."""
    folder = tmp_path / SECRET
    folder.mkdir()
    return folder


def unreadable(path: Path, kind: str) -> DatabaseUnreadable:
    with pytest.raises(DatabaseUnreadable) as failed:
        data.load(Database("clinic", str(path), kind), "pandas", frozenset({"age"}))
    assert SECRET not in str(failed.value)
    assert str(path) in failed.value.detail
    assert str(failed.value).startswith("database 'clinic': ")
    return failed.value


@pytest.mark.parametrize("kind", ["csv", "frame", "parquet", "excel"])
class TestAnUnreadableDatabase:
    def test_that_does_not_exist(self, folder, kind):
        assert "its file does not exist" in str(unreadable(folder / "x", kind))

    def test_that_is_a_folder(self, folder, kind):
        why = "it is a folder without a parquet file" if kind == "parquet" else f"it is a folder, not a {kind} file"
        assert why in str(unreadable(folder, kind))

    def test_that_may_not_be_read(self, folder, kind, nobody):
        path = folder / "x"
        path.write_bytes(b"age\n1\n")
        path.chmod(0)
        with nobody:
            error = unreadable(path, kind)
        assert "its file may not be read (permission denied)" in str(error)

    def test_that_is_empty(self, folder, kind):
        path = folder / "x"
        path.touch()
        error = unreadable(path, kind)
        assert ("it is not a readable frame file" if kind == "frame" else "it is empty") in str(error)

    def test_that_is_of_another_kind(self, folder, kind):
        path = folder / "x"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
        assert f"it is not a readable {kind} file" in str(unreadable(path, kind))


class Nobody:
    """Within, we are a user without rights; a superuser can be one for a while."""

    def __init__(self) -> None:
        self._before = os.geteuid()

    def __enter__(self) -> None:
        if self._before == 0:
            os.seteuid(65534)

    def __exit__(self, *_: object) -> None:
        os.seteuid(self._before)


@pytest.fixture
def nobody() -> Iterator[Nobody]:
    for module in ("csv", "excel", "parquet", "sql"):  # may not be readable with few rights either
        importlib.import_module(f"algotools.data.{module}")
    importlib.import_module("openpyxl")
    before = os.geteuid()
    yield Nobody()
    assert os.geteuid() == before


def test_a_broken_csv_file_is_not_quoted(folder):
    path = folder / "x.csv"
    path.write_text(f'age\n"{SECRET}\n')
    error = unreadable(path, "csv")
    assert "it is not a readable csv file (ParserError)" in str(error)


def test_a_line_that_is_too_long_is_not_quoted(folder):
    path = folder / "x.csv"
    path.write_text(f"age,name\n1,2\n3,{SECRET},4,5\n")
    with pytest.raises(DatabaseUnreadable) as failed:
        data.load(Database("clinic", str(path), "csv"), "pandas", None)
    assert "it is not a readable csv file (ParserError)" in str(failed.value)
    assert "line 3" in failed.value.detail


def test_a_file_in_another_encoding_is_not_quoted(folder):
    path = folder / "x.csv"
    path.write_bytes(f"age,name\n1,{SECRET}-\xe9\n".encode("latin-1"))
    with pytest.raises(DatabaseUnreadable) as failed:
        data.load(Database("clinic", str(path), "csv"), "pandas", None)
    assert "it is not a readable csv file (UnicodeDecodeError)" in str(failed.value)
    assert SECRET not in str(failed.value)


def test_a_frame_file_with_something_else_in_it_is_not_quoted(folder):
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


def framed(tmp_path: Path, frame: pd.DataFrame) -> Database:
    path = tmp_path / f"{uuid.uuid4()}.frame"
    frames.write(frame, path)
    return Database("default", str(path), "frame")


def test_a_frame_keeps_its_dtypes_exactly(tmp_path):
    loaded = data.load(framed(tmp_path, FRAME), "pandas", None)
    pd.testing.assert_frame_equal(loaded.value, FRAME, check_exact=True, check_freq=True)
    assert loaded.columns == list(FRAME.columns)


def test_the_asked_columns_of_a_frame_keep_their_order_and_dtypes(tmp_path):
    loaded = data.load(framed(tmp_path, FRAME), "pandas", frozenset({"zoned", "int8", "no such column"}))
    pd.testing.assert_frame_equal(loaded.value, FRAME[["int8", "zoned"]], check_exact=True)
    assert loaded.columns == list(FRAME.columns)


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
def test_an_unusual_frame_stays_as_it_is(tmp_path, frame):
    loaded = data.load(framed(tmp_path, frame), "pandas", None)
    pd.testing.assert_frame_equal(loaded.value, frame)


def test_a_column_that_is_there_twice_is_read_twice(tmp_path):
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"])
    loaded = data.load(framed(tmp_path, frame), "pandas", frozenset({"a"}))
    pd.testing.assert_frame_equal(loaded.value, frame[["a"]])
