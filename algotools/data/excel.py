"""Excel files (.xlsx and .xlsm), through pandas and openpyxl."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

import msgspec
import pandas as pd

from algotools.data import _options
from algotools.data.names import check_unique, find_name, format_labels, select_columns
from algotools.data.reading import Loaded, Unreadable, name_errors, require_path
from algotools.task import Database


class _Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The options of an Excel file; the defaults are those of pandas."""

    sheet_name: str | None = None
    skiprows: int = 0
    """Number of rows before the header."""
    header: int | None = 0
    """Row with the names, after the skipped rows; None: the columns have numbers as names, from 0."""
    na_values: tuple[str, ...] = ()
    dtype: tuple[tuple[str, str], ...] = ()

    @property
    def first_row(self) -> int:
        """Number of the first row with values, from 0."""
        return self.skiprows + (0 if self.header is None else self.header + 1)


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """Return the requested columns of a sheet, as ``pandas.read_excel`` reads it; see ``Source.read``.

    The task chooses the sheet, otherwise the owner (option ``SHEET_NAME``); the default is the first sheet.
    """
    with name_errors(database, "excel"), require_path(database.uri).open("rb") as file:
        layout = _Layout(**_options.parse(database.options, _options.EXCEL))
        _check_format(file)
        with pd.ExcelFile(file, engine="openpyxl") as book:
            sheet = _choose_sheet(book, database.sheet_name, layout)
            _check_skipped_rows(book, sheet, layout)
            frame = _read_sheet(book, sheet, layout)
            if not frame.shape[1]:
                raise Unreadable("its sheet is empty")
            loaded = select_columns(frame, columns)
            check_unique(list(loaded.columns or ()))  # pandas reads the number 2023 and its text as two names
            _check_formulas(book, sheet, layout, [columns is None or name in columns for name in loaded.columns or ()])
    return loaded


def _check_format(file: BinaryIO) -> None:
    """Refuse files of other programs and other versions, with the way out."""
    if not os.fstat(file.fileno()).st_size:
        raise Unreadable("it is empty")
    start = file.read(8)
    file.seek(0)
    if start.startswith((b"\xd0\xcf\x11\xe0", b"\x09\x00", b"\x09\x02", b"\x09\x04", b"\x09\x08")):
        raise Unreadable("it is an .xls file, or has a password; save it as .xlsx without a password")
    if not start.startswith(b"PK"):
        raise Unreadable("it is not a readable excel file, but may be a text; if it is one, set its type to csv")
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
    file.seek(0)
    for name, suffix in (("xl/workbook.bin", "an .xlsb"), ("content.xml", "an .ods")):
        if name in names:
            raise Unreadable(f"it is {suffix} file; save it as .xlsx")


def _choose_sheet(book: pd.ExcelFile, requested: str | None, layout: _Layout) -> str:
    names = [str(name) for name in book.sheet_names]
    if not names:
        raise Unreadable("it has no sheet with cells")
    sheet = requested if (requested or "").strip() not in ("", "None") else layout.sheet_name
    if sheet is None:
        return names[0]
    match = find_name(sheet, names)
    if match is None:
        # A name that the owner configured is only for the owner.
        name = repr(sheet[:60]) if sheet is requested else "with the configured name"
        raise Unreadable(f"it has no sheet {name}", detail=f"no sheet {sheet!r}; its sheets: {', '.join(names)}")
    return match


def _check_skipped_rows(book: pd.ExcelFile, sheet: str, layout: _Layout) -> None:
    """Refuse a number of skipped rows that is one too many: then the values of the first row would become names.

    Years as names are common, so numbers as names are refused only below a complete row of texts.

    Raises:
        Unreadable: the names are numbers or dates, and a row before them consists of texts; or all rows are skipped.
    """
    if layout.header is None or layout.first_row == 1:
        return
    rows = pd.read_excel(book, sheet_name=sheet, header=None, nrows=layout.first_row, dtype=object).to_numpy().tolist()
    if len(rows) < layout.first_row:
        raise Unreadable("its options SKIPROWS and HEADER skip all rows of the sheet")
    if any(isinstance(value, str) for value in rows[-1]):
        return
    if any(all(isinstance(value, str) for value in row) for row in rows[:-1]):
        raise Unreadable(
            "its options SKIPROWS and HEADER skip a row that looks like the names of the columns; set SKIPROWS to the "
            "number of rows before the names"
        )


# --- Values. ---


def _read_sheet(book: pd.ExcelFile, sheet: str, layout: _Layout) -> pd.DataFrame:
    """Return the sheet with the owner's missing values and types."""
    options: dict[str, Any] = {"sheet_name": sheet, "header": layout.header, "skiprows": layout.skiprows}
    # pandas leaves a number in a column of integers that is a missing value, and takes True for 1.
    if markers := [text for text in layout.na_values if not _options.find_missing_numbers((text,))]:
        options["na_values"] = markers
    types: dict[object, str] = {}
    if layout.dtype:
        labels = pd.read_excel(book, **options, nrows=0).columns
        label_by_name = dict(zip(format_labels(labels), labels, strict=True))
        names = _options.find_columns("DTYPE", [name for name, _ in layout.dtype], label_by_name)
        types = {label_by_name[name]: dtype for name, (_, dtype) in zip(names, layout.dtype, strict=True)}
    try:
        # pandas 2 refuses the booleans of Excel for the type boolean, but not their texts.
        texts = {label: "str" if dtype == "boolean" else dtype for label, dtype in types.items()}
        options["dtype"] = texts or None
        frame: pd.DataFrame = pd.read_excel(book, **options)
        if layout.na_values:
            frame = _drop_missing_numbers(frame, layout)
        for label in (label for label, dtype in types.items() if dtype == "boolean"):
            frame[label] = frame[label].map(_to_boolean, na_action="ignore").astype("boolean")
    except (ValueError, TypeError) as error:
        if not types:
            raise
        raise Unreadable("a value does not have the type that its option DTYPE sets", error) from None
    return frame


def _to_boolean(text: str) -> bool:
    number = {"true": 1.0, "false": 0.0}.get(text.strip().lower())
    number = float(text) if number is None else number
    if number not in (0, 1):
        raise ValueError(text)
    return bool(number)


def _drop_missing_numbers(frame: pd.DataFrame, layout: _Layout) -> pd.DataFrame:
    """Return a frame in which the numbers that the owner configured as missing values are missing."""
    numbers = frozenset(_options.find_missing_numbers(layout.na_values))
    texts = frozenset(_options.spell_missing(layout.na_values))
    if not (numbers and frame.shape[1]):
        return frame

    def is_missing(value: object) -> bool:
        if isinstance(value, str):
            return value in texts
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value in numbers

    masks = [frame.iloc[:, position].map(is_missing).astype(bool) for position in range(frame.shape[1])]
    columns = [
        frame.iloc[:, position].mask(mask).infer_objects() if mask.any() else frame.iloc[:, position]
        for position, mask in enumerate(masks)
    ]
    return pd.concat(columns, axis="columns")


# --- Formulas. ---


def _check_formulas(book: pd.ExcelFile, sheet: str, layout: _Layout, is_requested: list[bool]) -> None:
    """Refuse a formula without a value, which pandas reads as a missing value.

    Excel stores the value of each formula. A program that writes a file and does not compute the formulas stores none.

    Raises:
        Unreadable: a requested column, or the header, has such a formula.
    """
    from openpyxl.xml.functions import iterparse

    workbook: Any = book.book
    worksheet = workbook[sheet]
    with workbook._archive.open(worksheet._worksheet_path) as source:  # noqa: SLF001  # openpyxl has no public name for it
        if not _contains_formulas(source):
            return
    with workbook._archive.open(worksheet._worksheet_path) as source:  # noqa: SLF001  # as above
        row = 0
        for _, element in iterparse(source):
            if _get_tag(element) != "row":
                continue
            row = int(element.get("r") or row + 1)
            if row == layout.first_row and layout.header is not None:
                relevant_columns = set(range(1, len(is_requested) + 1))  # a name
            elif row > layout.first_row:
                relevant_columns = {number for number, requested in enumerate(is_requested, 1) if requested}
            else:
                relevant_columns = set()
            if columns := relevant_columns & set(_find_empty_formulas(element)):
                raise Unreadable(
                    "it has formulas without values, because the program that wrote it did not compute them; open it "
                    "in Excel or LibreOffice, and save it",
                    detail=f"for example the cell in row {row}, column {min(columns)}",
                )
            element.clear()


def _find_empty_formulas(row: Any) -> Iterator[int]:
    """Yield the columns of a row, from 1, that belong to a formula without a value."""
    from openpyxl.utils.cell import coordinate_to_tuple, range_boundaries

    column = 0
    for cell in row:
        column = coordinate_to_tuple(cell.get("r"))[1] if cell.get("r") else column + 1
        parts = {_get_tag(part): part for part in cell}
        formula, value = parts.get("f"), parts.get("v")
        is_text = cell.get("t") in ("str", "inlineStr")  # an empty text is a value, too
        if formula is None or is_text or (value is not None and value.text):
            continue
        yield column
        if formula.get("ref") and formula.get("t") != "shared":  # one formula for several cells
            first, _, last, _ = range_boundaries(formula.get("ref"))
            yield from range(first, last + 1)


def _get_tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _contains_formulas(source: Any) -> bool:
    """Whether the bytes of a sheet contain a formula: ``<f>``, ``<f t=…>`` or the same with a prefix."""
    last = b""
    while block := source.read(1 << 20):
        data = last + block
        if any(mark in data for mark in (b"<f>", b"<f ", b"<f/", b":f>", b":f ", b":f/")):
            return True
        last = data[-4:]
    return False
