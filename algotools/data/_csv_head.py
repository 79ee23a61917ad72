"""The first rows of a CSV file: the names of its columns, the shape of its rows, and the types of its columns.

pandas defines what a file means. Where pandas itself misreads a file without a message, the file is refused for every
form: each message says how to correct the file or which option to set, and quotes nothing from the file.
"""

from __future__ import annotations

import codecs
import csv
import enum
import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from algotools.data._csv_format import Dialect, open_decompressed
from algotools.data.reading import NeedsPandas, Unreadable

SIZE = 1 << 20
"""Bytes of the file that decide the types. For a smaller file, all rows do."""

FIRST_ROW = 1 << 16
"""Bytes of the file that contain the first row."""


LATE = (
    f"a value below the first {SIZE // 2**20} MiB does not have the type that its column has above it, or a line has "
    "another number of fields; set the type of the column with the database's option dtype, or annotate the parameter "
    "with pandas.DataFrame, polars.DataFrame or pyarrow.Table, for which all rows decide the types"
)
"""Reason why a lazy form cannot read a file whose first rows are like those of another file."""


class Kind(enum.Enum):
    """Type of a column's values, missing ones apart: pandas' type that also holds missing values."""

    INTEGER = "Int64"
    NUMBER = "float64"
    BOOLEAN = "boolean"
    TEXT = "str"


class Head(NamedTuple):
    """The first rows of a file."""

    names: list[str]
    """Texts of the header."""
    rows: list[list[str]]
    """Complete rows without blank lines."""
    is_whole: bool
    """Whether these are all rows of the file."""
    begins_with_names: bool
    """Whether the header is the first line."""

    @property
    def width(self) -> int:
        """Number of fields that the rows may have: those of the header, or more in a file with row names."""
        return max(len(row) for row in (self.names, *self.rows[:1]))


def read_head(path: Path, dialect: Dialect, size: int = SIZE) -> Head:
    """Read the header and the rows in the first ``size`` bytes of a file.

    Raises:
        NeedsPandas: only pandas may be able to read the file.
        Unreadable: the file is empty, or begins with an instruction for Excel.
    """
    with open_decompressed(path) or path.open("rb") as file:
        data = file.read(size + 1)
    is_whole = len(data) <= size
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data, final=is_whole)
    except UnicodeError:
        raise NeedsPandas from None
    lines = io.StringIO(text, newline="")
    for _ in range(dialect.skiprows):
        lines.readline()
    start = lines.tell()
    if _INSTRUCTION_FOR_EXCEL.fullmatch(lines.readline()):
        raise Unreadable(
            "its first line names the separator for Excel; set its option sep to this separator, and its option "
            "skiprows to the number of lines before the header"
        )
    lines.seek(start)
    rows = _split_rows(lines, dialect)
    if not is_whole:
        rows.pop()  # it may be incomplete
    # pandas skips empty lines before the header.
    line = next((number for number, row in enumerate(rows) if row), None)
    if line is None:
        raise Unreadable("it is empty") if is_whole else NeedsPandas
    names = rows[line]
    return Head(names, [row for row in rows[line + 1 :] if not _is_blank(row, len(names))], is_whole, line == 0)


def _split_rows(lines: io.StringIO, dialect: Dialect) -> list[list[str]]:
    text = lines.getvalue()[lines.tell() :]
    if dialect.comment and dialect.comment in text:
        if dialect.escapechar or (dialect.quotechar and dialect.quotechar in text):
            raise NeedsPandas  # a comment's mark may be in a quoted text
        text = re.sub(rf"{re.escape(dialect.comment)}[^\r\n]*", "", text)
    if not dialect.escapechar and (not dialect.quotechar or dialect.quotechar not in text):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        return [line.split(dialect.sep) if line else [] for line in text.split("\n")]  # half the time of `csv.reader`
    try:
        return list(
            csv.reader(
                lines,
                delimiter=dialect.sep,
                quotechar=dialect.quotechar or None,
                quoting=csv.QUOTE_MINIMAL if dialect.quotechar else csv.QUOTE_NONE,
                escapechar=dialect.escapechar,
            )
        )
    except csv.Error:
        raise NeedsPandas from None


_INSTRUCTION_FOR_EXCEL = re.compile(r"\"?sep=.\"?\s*", re.IGNORECASE)


def _is_blank(row: Sequence[str], width: int) -> bool:
    """Whether pandas skips a line."""
    return not row or (width > 1 and len(row) == 1 and not row[0].strip(" \t"))


# --- Shape. ---


def check_shape(head: Head, dialect: Dialect) -> bool:
    """Return whether the first row has more fields than the header: then pandas reads the first ones as row names.

    Programs write such a file for two reasons. R writes row names and gives them no name in the header. Others write a
    separator at the end of each row, and pandas would shift all values by one column. The two differ in their last
    fields, which are empty in the second case.

    Raises:
        Unreadable: the rows do not fit to the header.
    """
    width = len(head.names)
    if width == 1:
        _check_single_column(head, dialect)
    if not head.rows or (extra := len(head.rows[0]) - width) <= 0:
        return False
    number = f"{extra} field{'s' if extra > 1 else ''}"
    if any(len(row) != width + extra for row in head.rows):
        raise Unreadable(f"its first row has {number} more than its header, and other rows have not; correct the file")
    if not any(field for row in head.rows for field in row[width:]):
        raise Unreadable(
            f"its rows have {number} more than its header, and the last fields are empty; remove the separators at the "
            "end of the rows, or add them to the header"
        )
    return True


def _check_single_column(head: Head, dialect: Dialect) -> None:
    """Refuse a file whose separator is another one: each line has the same number of the other separator."""
    for mark, name in _SEPARATORS.items():
        count = head.names[0].count(mark)
        if mark != dialect.sep and count and head.rows and all(row[0].count(mark) == count for row in head.rows):
            raise Unreadable(f"it has one column, and each line has {name}; set its option sep")


_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}


# --- Types. ---


def find_kinds(head: Head, positions: Collection[int], dialect: Dialect) -> dict[int, Kind]:
    """Return the kinds of columns, as the owner configured them or as pandas would choose them, by position.

    Raises:
        NeedsPandas: a column has no value, or values that only pandas reads as pandas does: ``+5``, ``inf``, blanks
            around a number, or an integer of more than 18 digits, which 64 bits may not store.
    """
    missing = frozenset(dialect.missing)
    number = _NUMBER.format(decimal=re.escape(dialect.decimal))
    numbers = re.compile(rf"(?:-?{number}\0)+")
    like_a_number = re.compile(rf"\s*[-+]?(?:{number}|[0-9]+(?:e[-+]?[0-9]+)?|inf(?:inity)?)\s*", re.IGNORECASE)
    kinds = {
        position: Kind(dtype) for name, dtype in dialect.dtype if (position := head.names.index(name)) in positions
    }
    for position in positions:
        if position in kinds:
            continue
        values = {row[position] for row in head.rows if position < len(row)} - missing
        joined = "".join(f"{value}\0" for value in values)  # a null is not in a regular file
        if not values and not head.is_whole:
            raise NeedsPandas
        if not values:
            kinds[position] = Kind.NUMBER  # as in pandas
        elif _INTEGERS.fullmatch(joined):
            kinds[position] = Kind.INTEGER
        elif numbers.fullmatch(joined):
            kinds[position] = Kind.NUMBER
        elif values <= _BOOLEANS:
            kinds[position] = Kind.BOOLEAN
        elif any(value not in _BOOLEANS and not like_a_number.fullmatch(value) for value in values):
            kinds[position] = Kind.TEXT
        else:
            raise NeedsPandas
    return {position: kinds[position] for position in positions}


_INTEGERS = re.compile(r"(?:-?[0-9]{1,18}\0)+")
_NUMBER = r"(?:[0-9]{{1,15}}|[0-9]+{decimal}[0-9]*|{decimal}[0-9]+)(?:[eE][-+]?[0-9]+)?"
TRUE, FALSE = ("True", "TRUE", "true"), ("False", "FALSE", "false")
_BOOLEANS = frozenset((*TRUE, *FALSE))
