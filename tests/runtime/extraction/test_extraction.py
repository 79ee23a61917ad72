"""The extraction functions of every image: each reads the format in its name, whatever type the node configured."""

import contextlib
import inspect
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from algotools.errors import DatabaseUnreadable, InputError
from algotools.runtime import extraction
from algotools.task import Database

FRAME = pd.DataFrame({"name": ["Jane", "John"], "age": [71, 58]})


def source(path: Path, kind: str | None = None, **fields: str) -> Database:
    return Database("clinic", str(path), kind, **fields)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "x.xlsx"
    with pd.ExcelWriter(path) as writer:
        FRAME.to_excel(writer, sheet_name="one", index=False)
        FRAME[:1].to_excel(writer, sheet_name="two", index=False)
    return path


def test_the_functions_have_the_names_that_a_researcher_expects():
    readers = extraction.list_readers()
    assert list(readers) == ["read_csv", "read_parquet", "read_excel", "read_sql_database", "read_sparql_database"]
    for name, function in readers.items():
        assert function.__name__ == name
        assert function.__doc__
        assert next(iter(inspect.signature(function).parameters)) == "source"


@pytest.mark.parametrize("kind", [None, "csv", "other", "folder"])
def test_read_csv_reads_a_file_of_any_type(tmp_path, kind):
    path = tmp_path / "x.parquet"
    FRAME.to_csv(path, index=False)
    pd.testing.assert_frame_equal(extraction.read_csv(source(path, kind)), FRAME)


@pytest.mark.parametrize("kind", [None, "parquet", "csv", "folder"])
def test_read_parquet_reads_a_file_of_any_type(tmp_path, kind):
    path = tmp_path / "x.csv"
    FRAME.to_parquet(path)
    pd.testing.assert_frame_equal(extraction.read_parquet(source(path, kind)), FRAME)


def test_read_excel_reads_a_sheet(book):
    pd.testing.assert_frame_equal(extraction.read_excel(source(book, "csv")), FRAME)
    pd.testing.assert_frame_equal(extraction.read_excel(source(book), sheet_name="two"), FRAME[:1])
    pd.testing.assert_frame_equal(extraction.read_excel(source(book, sheet_name="two")), FRAME[:1])
    with pytest.raises(DatabaseUnreadable, match="it has no sheet 'three'"):
        extraction.read_excel(source(book), "three")


def test_read_sql_database_reads_a_query(tmp_path):
    path = tmp_path / "x.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        FRAME.to_sql("t", connection, index=False)
    for kind in (None, "sql", "other"):
        frame = extraction.read_sql_database(source(path, kind), query="SELECT * FROM t")
        pd.testing.assert_frame_equal(frame, FRAME)
    with pytest.raises(InputError, match="needs a query"):
        extraction.read_sql_database(source(path), "")


def test_unused_libraries_are_not_imported():
    code = (
        "import sys; from algotools.runtime import extraction; extraction.list_readers(); "
        "print(*({'pandas', 'numpy', 'duckdb', 'sqlalchemy', 'openpyxl'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
