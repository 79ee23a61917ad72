"""CSV files, through pandas, and what pandas would read wrongly without a message."""

from __future__ import annotations

import contextlib
import csv
import os
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from algotools.data import ahead
from algotools.data._csv_format import ASCII_BASED, Dialect, detect_compression, open_decompressed
from algotools.data._csv_head import FIRST_ROW, check_shape, read_head
from algotools.data._csv_scan import TOO_LONG, check_text, scan
from algotools.data._csv_selection import ColumnSelection, is_worthwhile, read_selection
from algotools.data.reading import Loaded, NeedsPandas, Unreadable, find_path, name_errors
from algotools.task import Database

LARGE = 1 << 22
"""Bytes of a file from which splitting the rows with Arrow saves time."""


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """Return the requested columns of the file, as ``pandas.read_csv`` reads them; see ``Source.read``."""
    names_in_file: list[object] = []

    def is_requested(name: object) -> bool:
        names_in_file.append(name)  # pandas calls this function with each name of the header
        return columns is None or name in columns

    with name_errors(database, "csv"):
        dialect = Dialect.from_database(database)
        options = _make_pandas_options(dialect)
        path = _find_file(database.uri)
        is_large = columns is not None and path is not None and _is_large(path)
        # Fields are counted in the same pass over the file, unless Arrow will probably split the rows.
        has_long_rows = path is not None and _check_file(path, dialect, counts_fields=not (columns is None or is_large))
        if is_large or dialect.parse_dates or dialect.dtype:
            with _open_source(database.uri) as source:
                names = list(pd.read_csv(**source, **options, nrows=0).columns)
            dialect = dialect.find_columns(names)
            options = _make_pandas_options(dialect)
            if dates := [name for name in dialect.parse_dates if columns is None or name in columns]:
                options["parse_dates"] = dates
            if is_large and path is not None:
                positions = [position for position, name in enumerate(names) if name in (columns or ())]
                selection = ColumnSelection(path, dialect, names, positions)
                if is_worthwhile(selection) and (frame := read_selection(selection, options)) is not None:
                    return Loaded(_restore_integers(database.uri, frame, options), names)
        if columns is not None and path is not None:
            if is_large:
                has_long_rows = _check_file(path, dialect, counts_fields=True)
            _refuse_long_rows(has_long_rows, database.uri, options)
        # `usecols` is a function instead of a list. If rows are longer than the header, pandas uses the first column
        # as the index, but not if a list contains all names. With a list, the values of a column would depend on which
        # other columns are requested.
        frame = _read_file(database.uri, usecols=None if columns is None else is_requested, **options)
        frame = _restore_integers(database.uri, frame, options)
    return Loaded(frame, list(frame.columns) if columns is None else list(dict.fromkeys(names_in_file)))


def read_parts(database: Database, names: Collection[str], dtypes: dict[str, str], size: int) -> Iterator[pd.DataFrame]:
    """Yield those of the file's columns that have a dtype, ``size`` rows at a time."""
    dialect = Dialect.from_database(database)
    options = _make_pandas_options(dialect) | {"dtype": dtypes}
    is_requested = None if len(dtypes) == len(names) else (lambda name: name in dtypes)
    if is_requested is not None and (path := _find_file(database.uri)) is not None:
        _refuse_long_rows(_check_file(path, dialect, counts_fields=True), database.uri, options)
    with (
        _open_source(database.uri) as source,
        pd.read_csv(**source, **options, usecols=is_requested, chunksize=size) as parts,
    ):
        for part in parts:
            yield part[list(dtypes)]


def _is_large(path: Path) -> bool:
    return path.stat().st_size >= LARGE and detect_compression(path) is None


def _check_file(path: Path, dialect: Dialect, *, counts_fields: bool) -> bool | None:
    """Refuse a file that pandas reads wrongly without a message, whichever columns are requested.

    Return whether a row has too many fields, if they are counted; None if only pandas can split the rows.

    Raises:
        Unreadable: see ``check_shape`` and ``check_text``.
    """
    width = None
    with contextlib.suppress(NeedsPandas):
        head = read_head(path, dialect, FIRST_ROW)
        width = head.width
        if len(head.names) == 1 or len(head.names) < width:
            check_shape(read_head(path, dialect), dialect)
    if width is not None and dialect.encoding in ASCII_BASED:
        traits = ahead.take(path, dialect, width)
        if traits is None and counts_fields:
            traits = scan(path, dialect, width=width, hexadecimals=False)
        if traits is not None:
            return traits.has_long_rows if counts_fields else False
    check_text(path, dialect)
    return None if counts_fields else False


def _refuse_long_rows(has_long_rows: bool | None, uri: str, options: dict[str, Any]) -> None:
    """Refuse a file with a row that has too many fields: pandas does so only if all columns are requested.

    Raises:
        Unreadable: a row has too many fields.
        ParserError: pandas cannot split the rows.
    """
    if has_long_rows:
        raise Unreadable(TOO_LONG)
    if has_long_rows is None:  # pandas splits all rows, without deriving types
        options = {name: option for name, option in options.items() if name != "parse_dates"} | {"dtype": object}
        with (
            _name_long_rows(),
            _open_source(uri) as source,
            pd.read_csv(**source, **options, chunksize=_CHECKED_ROWS) as parts,
        ):
            for _ in parts:
                pass


_CHECKED_ROWS = 10_000


@contextlib.contextmanager
def _name_long_rows() -> Iterator[None]:
    """Give pandas' error for a row with too many fields the reason that all forms have."""
    try:
        yield
    except pd.errors.ParserError as error:
        if "saw" not in str(error):  # Expected 4 fields in line 7, saw 5
            raise
        raise Unreadable(TOO_LONG, error) from None


def _read_file(uri: str, **options: Any) -> pd.DataFrame:
    """Return the file as pandas reads it, with one type for each column.

    pandas reads a large file in parts. A column can have numbers in one part and texts in another, and pandas then
    mixes them, with a warning. If this happens, the whole column decides the type, at the cost of more memory.
    """
    for low_memory in (True, False):
        with _name_long_rows(), _open_source(uri) as source, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.DtypeWarning)
            try:
                frame: pd.DataFrame = pd.read_csv(**source, low_memory=low_memory, **options)
                break
            except pd.errors.DtypeWarning:
                continue
            except ValueError as error:
                if "dtype" not in options or isinstance(error, (pd.errors.ParserError, UnicodeError)):
                    raise
                raise Unreadable("a value does not have the type that its option DTYPE sets", error) from None
    return frame


def _restore_integers(uri: str, frame: pd.DataFrame, options: dict[str, Any]) -> pd.DataFrame:
    """Return the frame with the exact values of large integers.

    A column of integers with a missing value has the dtype float64 in pandas. This rounds integers above 2**53, such as
    the numbers of some registries. These columns are read again, with the dtype Int64. pandas 2 also reads the smallest
    integer of 64 bits in such a column as missing, without a message.
    """
    # Dates are of other columns, and a type that the owner set stays.
    options = {name: option for name, option in options.items() if name != "parse_dates"}
    has_smallest: bool | None = None
    for name in frame.columns[frame.dtypes == "float64"] if frame.columns.is_unique else ():
        values = frame[name].dropna()
        is_large = (values.abs() >= 2.0**53).any()
        if name in options.get("dtype", ()) or not (is_large or (_LOSES_SMALLEST and len(values) < len(frame))):
            continue
        if not (values.abs() <= 2.0**63).all() or not (values % 1 == 0).all():
            continue
        if not is_large:
            if has_smallest is None:
                has_smallest = "thousands" in options or _contains(uri, _SMALLEST)
            if not has_smallest:
                continue
        only_name = {"usecols": lambda column, name=name: column == name, "dtype": {name: "Int64"}}
        with _open_source(uri) as source, contextlib.suppress(ValueError, TypeError):  # they are written as floats
            column = pd.read_csv(**source, **{**options, **only_name})[name]
            exact = column.dropna()
            is_exact = len(exact) == len(values) and all(int(v) == e for e, v in zip(exact, values, strict=True))
            if not is_exact:
                frame = frame.assign(**{name: column.set_axis(frame.index)})
    return frame


_LOSES_SMALLEST = int(pd.__version__.partition(".")[0]) < 3
"""Whether pandas reads the smallest integer of 64 bits as missing in a column with missing values."""

_SMALLEST = str(-(2**63)).encode()
_BLOCK = 1 << 22
"""Bytes of a file that are searched at once."""


def _contains(uri: str, text: bytes) -> bool:
    """Whether a file of this machine contains a text; true for any other source, which would be read again."""
    if (path := find_path(uri)) is None or not os.path.isfile(path):
        return True
    with open_decompressed(Path(path)) or open(path, "rb", buffering=0) as stream:
        end = b""
        while block := stream.read(_BLOCK):
            if text in end + block:
                return True
            end = block[1 - len(text) :]
    return False


def _make_pandas_options(dialect: Dialect) -> dict[str, Any]:
    """Return the dialect as arguments of ``pandas.read_csv``, except ``parse_dates``.

    ``parse_dates`` may contain only columns that are read.
    """
    plain = dialect.differences - {"quotechar", "parse_dates", "na_values", "dtype"}
    options = {name: getattr(dialect, name) for name in plain}
    if dialect.dtype:
        options["dtype"] = dict(dialect.dtype)
    if dialect.na_values:
        options["na_values"] = list(dialect.na_values)
    return options | ({"quotechar": dialect.quotechar} if dialect.quotechar else {"quoting": csv.QUOTE_NONE})


@contextlib.contextmanager
def _open_source(uri: str) -> Iterator[dict[str, Any]]:
    """Yield the file as arguments of ``pandas.read_csv``, which would detect a compression by the file's name only."""
    if (path := find_path(uri)) is None:
        yield {"filepath_or_buffer": uri}
    elif (stream := open_decompressed(Path(path))) is None:
        yield {"filepath_or_buffer": path, "compression": None}
    else:
        with stream:
            yield {"filepath_or_buffer": stream}


def _find_file(uri: str) -> Path | None:
    """Return the path of a regular file; None if the URI names anything else."""
    path = find_path(uri)
    return Path(path) if path is not None and os.path.isfile(path) else None
