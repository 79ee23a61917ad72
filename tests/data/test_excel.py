"""Sheets of Excel files are read as pandas reads them. The task chooses the sheet."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import openpyxl
import pandas as pd
import pytest
from openpyxl.worksheet.formula import ArrayFormula

from algotools import data
from algotools.data.reading import Loaded
from algotools.errors import DatabaseUnreadable
from algotools.task import Database

from .conftest import assert_same
from .forms import TABLES, read

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


def write(folder: Path, *rows: list[object]) -> Path:
    """Write a file with openpyxl, which computes no formula."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(folder / "x.xlsx")
    return folder / "x.xlsx"


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Change the XML of the first sheet."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    contents[name] = change(contents[name].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in contents.items():
            archive.writestr(entry, content)


def zipped(*names: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return target.getvalue()


def load(path: object, sheet: str | None = None, columns: frozenset[str] | None = None) -> Loaded:
    return data.load(Database("clinic", str(path), "excel", sheet_name=sheet), "pandas", columns)


def test_the_first_sheet_is_the_default(book):
    loaded = load(book)
    assert_same(loaded.value, pd.read_excel(book))
    assert loaded.columns == ["name", "age", "seen", "fit", "2024"]


def test_the_owners_sheet_is_used_if_the_task_names_no_sheet(book):
    database = Database("clinic", str(book), "excel", {"SHEET_NAME": SECRET})
    assert_same(data.load(database, "pandas", None).value, VISITS)
    assert_same(
        data.load(msgspec.structs.replace(database, sheet_name="people"), "pandas", None).value, pd.read_excel(book)
    )


def test_the_named_sheet_is_read(book):
    assert_same(load(book, SECRET).value, pd.read_excel(book, sheet_name=SECRET))
    assert load(book, SECRET).columns == ["visits"]


def test_only_the_requested_columns_are_returned(book):
    loaded = load(book, columns=frozenset(["fit", "age", "no such column"]))
    assert_same(loaded.value, pd.read_excel(book)[["age", "fit"]])
    assert loaded.columns == ["name", "age", "seen", "fit", "2024"]


def test_repeated_names_are_changed_as_in_pandas(tmp_path):
    path = tmp_path / "x.xlsx"
    pd.DataFrame([[1, 2]], columns=["a", "a"]).to_excel(path, index=False)
    assert_same(load(path).value, pd.read_excel(path))


def test_the_suffix_and_the_form_of_the_path_do_not_matter(book):
    renamed_book = book.with_name("a [1]?.data")
    renamed_book.write_bytes(book.read_bytes())
    assert_same(load(renamed_book).value, pd.read_excel(book))
    assert_same(load(f"file://{book}").value, pd.read_excel(book))


def test_a_missing_sheet_is_refused_and_only_the_owner_sees_the_sheets(book):
    with pytest.raises(DatabaseUnreadable) as excinfo:
        load(book, "2023")
    assert str(excinfo.value) == "database 'clinic': it has no sheet '2023'"
    assert SECRET not in str(excinfo.value)
    assert f"its sheets: people, {SECRET}" in excinfo.value.detail


@pytest.mark.parametrize("form", TABLES)
def test_a_number_and_its_text_as_names_are_refused(form, tmp_path):
    path = write(tmp_path, [2023, "2023"], [7, 8])
    with pytest.raises(DatabaseUnreadable, match="it has two columns with the same name"):
        read(Database("clinic", str(path)), form)


@pytest.mark.parametrize("form", TABLES)
def test_names_that_are_no_texts_are_read_as_texts(form, tmp_path):
    names = [2023, 1.5, True, pd.Timestamp("2024-01-31"), pd.Timestamp("2024-01-31 12:30")]
    path = write(tmp_path, names, [1, 2, 3, 4, 5])
    texts = {"2023": [1], "1.5": [2], "True": [3], "2024-01-31": [4], "2024-01-31 12:30:00": [5]}
    assert read(Database("clinic", str(path)), form) == texts
    for name, values in texts.items():
        assert read(Database("clinic", str(path)), form, frozenset({name})) == {name: values}


def test_a_sheet_is_found_by_the_normal_form_of_its_name(tmp_path):
    path = write(tmp_path, ["age"], [50])
    book = openpyxl.load_workbook(path)
    book.create_sheet("Kohorte e\u0301 ").append(["age"])
    book.save(path)
    assert load(path, "Kohorte \u00e9").columns == ["age"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "it is an .xls file, or has a password; save it as .xlsx"),
        (b"\x09\x08\x10\x00\x00\x06\x05\x00", "it is an .xls file"),
        (b"age,sex\n50,f\n", "may be a text; if it is one, set its type to csv"),
        (zipped("xl/workbook.bin"), "it is an .xlsb file; save it as .xlsx"),
        (zipped("content.xml", "mimetype"), "it is an .ods file; save it as .xlsx"),
        (zipped("x.csv"), "it is not a readable excel file"),
        (b"", "it is empty"),
    ],
)
def test_other_formats_are_refused_with_the_way_out(content, message, tmp_path):
    path = tmp_path / "x.xls"
    path.write_bytes(content)
    with pytest.raises(DatabaseUnreadable, match=re.escape(message)):
        load(path)


def test_a_workbook_with_macros_is_read(tmp_path):
    path = write(tmp_path, ["age"], [50]).rename(tmp_path / "x.XLSM")
    assert read(Database("clinic", str(path)), "pandas") == {"age": [50]}


@pytest.mark.parametrize("suffix", ["xls", "xlsb", "ods"])
def test_a_file_of_another_spreadsheet_is_not_taken_for_csv(suffix, tmp_path):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(zipped({"xlsb": "xl/workbook.bin", "ods": "content.xml"}.get(suffix, "xl/other.xml")))
    with pytest.raises(DatabaseUnreadable, match=r"save it as \.xlsx|it is not a readable excel file"):
        data.load(Database("clinic", str(path)), "polars", None)


# --- Options. ---


def read_with(path: Path, form: str, **options: str) -> dict[str, list[object]]:
    return read(Database("clinic", str(path), "excel", options), form)


@pytest.mark.parametrize("form", TABLES)
def test_the_owners_missing_values_are_missing(form, tmp_path):
    path = write(
        tmp_path,
        ["whole", "float", "text", "mixed", "word", "truth"],
        [50, 1.5, "a", -9, "unknown", True],
        [-9, -9.0, "-9", "-9", 5, False],
    )
    assert read_with(path, form, NA_VALUES="-9,unknown") == {
        "whole": [50, None],
        "float": [1.5, None],
        "text": ["a", None],
        "mixed": [None, None],
        "word": [None, 5],
        "truth": [True, False],
    }


@pytest.mark.parametrize("form", TABLES)
def test_one_and_zero_as_missing_values_leave_booleans(form, tmp_path):
    path = write(tmp_path, ["truth", "n"], [True, 1], [False, 0], [True, 2])
    assert read_with(path, form, NA_VALUES="[0, 1]") == {"truth": [True, False, True], "n": [None, None, 2]}


@pytest.mark.parametrize("form", TABLES)
def test_rows_before_the_names_are_skipped(form, tmp_path):
    path = write(tmp_path, ["Export", None], ["of", "2024"], ["id", "age"], [1, 50], [2, 61])
    expected = {"id": [1, 2], "age": [50, 61]}
    assert read_with(path, form, SKIPROWS="2") == expected
    assert read_with(path, form, HEADER="2") == expected
    assert read_with(path, form, SKIPROWS="1", HEADER="1") == expected


@pytest.mark.parametrize("form", TABLES)
def test_columns_without_names_have_numbers_as_names(form, tmp_path):
    path = write(tmp_path, [1, 50], [2, 61])
    assert read_with(path, form, HEADER="none") == {"0": [1, 2], "1": [50, 61]}


def test_a_number_of_skipped_rows_that_skips_the_names_is_refused(tmp_path):
    path = write(tmp_path, ["id", "age"], [1, 50], [2, 61])
    for options in ({"SKIPROWS": "1"}, {"HEADER": "1"}):
        with pytest.raises(DatabaseUnreadable, match="skip a row that looks like the names of the columns"):
            read_with(path, "pandas", **options)


@pytest.mark.parametrize("options", [{"SKIPROWS": "3"}, {"HEADER": "9"}, {"SKIPROWS": "2", "HEADER": "1"}])
def test_options_that_skip_all_rows_are_refused(options, tmp_path):
    path = write(tmp_path, ["id", "age"], [1, 50], [2, 61])
    with pytest.raises(DatabaseUnreadable, match="its options SKIPROWS and HEADER skip all rows of the sheet"):
        read_with(path, "polars", **options)


def test_years_can_be_the_names_below_a_title(tmp_path):
    path = write(tmp_path, ["Cases by year", None], [2023, 2024], [7, 8])
    assert read_with(path, "pandas", SKIPROWS="1") == {"2023": [7], "2024": [8]}


@pytest.mark.parametrize("form", TABLES)
def test_the_owner_sets_types(form, tmp_path):
    path = write(
        tmp_path,
        ["code", "n", "x", "truth", "flag", 2024],
        ["007", 1, 1, True, 1, "01"],
        ["12", None, 2, None, "FALSE", 7],
        [5, 3, 3, False, None, None],
    )
    types = {"code": "str", "n": "int", "x": "float", "truth": "bool", "flag": "bool", "2024": "str"}
    assert read_with(path, form, DTYPE=json.dumps(types)) == {
        "code": ["007", "12", "5"],
        "n": [1, None, 3],
        "x": [1.0, 2.0, 3.0],
        "truth": [True, None, False],
        "flag": [True, False, None],
        "2024": ["01", "7", None],
    }


def test_types_and_missing_values_work_together(tmp_path):
    path = write(tmp_path, ["code", "n"], ["007", 1], [-9, -9])
    options = {"DTYPE": '{"code": "str", "n": "int"}', "NA_VALUES": "-9"}
    assert read_with(path, "pandas", **options) == {"code": ["007", None], "n": [1, None]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"DTYPE": '{"n": "int"}'}, "a value does not have the type that its option DTYPE sets"),
        ({"DTYPE": '{"n": "bool"}'}, "a value does not have the type that its option DTYPE sets"),
        ({"DTYPE": '{"age": "int"}'}, r"its option DTYPE names 1 column\(s\) that it does not have"),
        ({"DTYPE": "int"}, "its option DTYPE must be a type"),
        ({"HEADER": "first"}, "its option HEADER must be the number of the row with the names"),
        ({"HEADER": "[0, 1]"}, "its option HEADER must be the number of the row with the names"),
        ({"SKIPROWS": "-1"}, "its option SKIPROWS must be a number of lines"),
    ],
)
def test_a_wrong_option_is_refused_without_quoting_values(options, message, tmp_path):
    path = write(tmp_path, ["n"], [1], [SECRET])
    with pytest.raises(DatabaseUnreadable, match=message) as excinfo:
        read_with(path, "pandas", **options)
    assert SECRET not in str(excinfo.value)


# --- Formulas. ---


@pytest.mark.parametrize("form", TABLES)
def test_a_formula_without_a_value_is_refused(form, tmp_path):
    path = write(tmp_path, ["id", "age", "twice"], [1, 50, "=B2*2"], [2, 61, "=B3*2"])
    database = Database("clinic", str(path), "excel")
    for columns in (None, frozenset({"twice"}), frozenset({"id", "twice"})):
        with pytest.raises(DatabaseUnreadable, match="it has formulas without values") as excinfo:
            read(database, form, columns)
        assert "row 2, column 3" in excinfo.value.detail
    assert read(database, form, frozenset({"age"})) == {"age": [50, 61]}


def test_a_formula_without_a_value_as_a_name_is_refused(tmp_path):
    path = write(tmp_path, ["id", '="a"&"ge"'], [1, 50])
    with pytest.raises(DatabaseUnreadable, match="it has formulas without values"):
        load(path, columns=frozenset({"id"}))


def test_every_cell_of_an_array_formula_is_without_a_value(tmp_path):
    path = write(tmp_path, ["id", "a", "b"], [1, None, None], [2, 5, 6])
    book = openpyxl.load_workbook(path)
    book.active["B2"] = ArrayFormula("B2:C2", "=A2*{1,2}")
    book.save(path)
    for name in ("a", "b"):
        with pytest.raises(DatabaseUnreadable, match="it has formulas without values"):
            load(path, columns=frozenset({name}))
    assert load(path, columns=frozenset({"id"})).value["id"].tolist() == [1, 2]


def test_a_formula_in_a_skipped_row_does_not_matter(tmp_path):
    path = write(tmp_path, ["Export", "=TODAY()"], ["id", "age"], [1, 50])
    assert read_with(path, "pandas", SKIPROWS="1") == {"id": [1], "age": [50]}


@pytest.mark.parametrize("with_references", [True, False])
def test_formulas_with_values_are_read(with_references, tmp_path):
    path = write(tmp_path, ["id", "twice", "text"], [1, "=A2*2", '=""'], [2, 4, "x"])

    def compute(sheet: str) -> str:
        sheet = sheet.replace("<f>A2*2</f><v />", "<f>A2*2</f><v>2</v>").replace(
            "<f>A2*2</f><v></v>", "<f>A2*2</f><v>2</v>"
        )
        sheet = re.sub(r'<c r="C2"><f>""</f><v ?/>', '<c r="C2" t="str"><f>""</f><v></v>', sheet)
        return sheet if with_references else re.sub(r' r="[A-Z]+\d+"', "", sheet)

    rewrite(path, compute)
    assert read(Database("clinic", str(path), "excel"), "pandas") == {
        "id": [1, 2],
        "twice": [2, 4],
        "text": [None, "x"],
    }


def test_a_truncated_file_is_refused_without_quoting_it(book):
    content = io.BytesIO(book.read_bytes()).getvalue()
    book.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatabaseUnreadable, match="it is not a readable excel file") as excinfo:
        load(book)
    assert SECRET not in str(excinfo.value)
