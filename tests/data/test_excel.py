"""A sheet of an Excel file is what pandas makes of it; which sheet is the task's choice."""

import io
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from algotools import data
from algotools.errors import DatabaseUnreadable
from algotools.task import Database

from .conftest import same

SECRET = "Jane-Doe-4711"

PEOPLE = pd.DataFrame(
    {
        "name": ["Jane", None, "John"],
        "age": [71, 58, None],
        "seen": pd.to_datetime(["2024-02-29", None, "2024-03-01 12:30:00"], format="ISO8601"),
        "fit": [True, False, True],
        2024: [1.5, 2, 3],
    }
)
VISITS = pd.DataFrame({"visits": [1, 2]})


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.xlsx"
    with pd.ExcelWriter(path, engine="openpyxl") as writer:
        PEOPLE.to_excel(writer, sheet_name="people", index=False)
        VISITS.to_excel(writer, sheet_name=SECRET, index=False)
    return path


def load(path: object, sheet: str | None = None, columns: frozenset[str] | None = None) -> data.Loaded:
    return data.load(Database("clinic", str(path), "excel", sheet_name=sheet), "pandas", columns)


def test_the_first_sheet_is_read_where_the_task_names_none(book):
    loaded = load(book)
    same(loaded.value, pd.read_excel(book))
    assert loaded.columns == ["name", "age", "seen", "fit", 2024]


def test_the_owners_sheet_is_read_where_the_task_names_none(book):
    database = Database("clinic", str(book), "excel", {"SHEET_NAME": SECRET})
    same(data.load(database, "pandas", None).value, VISITS)
    same(data.load(msgspec.structs.replace(database, sheet_name="people"), "pandas", None).value, pd.read_excel(book))


def test_the_named_sheet_is_read(book):
    same(load(book, SECRET).value, pd.read_excel(book, sheet_name=SECRET))
    assert load(book, SECRET).columns == ["visits"]


def test_only_the_asked_columns_are_given(book):
    loaded = load(book, columns=frozenset(["fit", "age", "no such column"]))
    same(loaded.value, pd.read_excel(book)[["age", "fit"]])
    assert loaded.columns == ["name", "age", "seen", "fit", 2024]


def test_a_name_twice_is_told_apart_as_pandas_does(tmp_path):
    path = tmp_path / "x.xlsx"
    pd.DataFrame([[1, 2]], columns=["a", "a"]).to_excel(path, index=False)
    same(load(path).value, pd.read_excel(path))


def test_the_ending_of_the_name_and_its_form_do_not_matter(book):
    other = book.with_name("a [1]?.data")
    other.write_bytes(book.read_bytes())
    same(load(other).value, pd.read_excel(book))
    same(load(f"file://{book}").value, pd.read_excel(book))


def test_a_sheet_that_is_not_there_is_named_and_what_there_is_goes_to_the_owner(book):
    with pytest.raises(DatabaseUnreadable) as failed:
        load(book, "2023")
    assert str(failed.value) == "database 'clinic': it has no sheet '2023'"
    assert SECRET not in str(failed.value)
    assert f"its sheets: people, {SECRET}" in failed.value.detail


def test_the_older_format_is_refused(tmp_path):
    path = tmp_path / "x.xls"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))
    with pytest.raises(DatabaseUnreadable, match="it is not a readable excel file"):
        load(path)


def test_a_file_that_is_cut_off_is_not_quoted(book):
    content = io.BytesIO(book.read_bytes()).getvalue()
    book.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatabaseUnreadable, match="it is not a readable excel file") as failed:
        load(book)
    assert SECRET not in str(failed.value)
