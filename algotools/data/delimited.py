"""What a library's own reader of CSV files must know of a file, so that every form means the same by it.

pandas decides what the columns are called and which texts stand for a missing value. What a library cannot read
in that sense (``NotAlike``), pandas reads for it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from algotools.data.compressed import kind_of, opened
from algotools.data.files import picked
from algotools.data.options import Dialect
from algotools.data.reading import NotAlike, Unfit, path_of
from algotools.task import Database

MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""What pandas takes for a missing value."""


class Delimited(NamedTuple):
    """A CSV file that a library can read as pandas does."""

    path: Path
    names: list[str]
    """Its columns."""
    dialect: Dialect
    compression: str | None

    @property
    def missing(self) -> list[str]:
        """What stands for a missing value."""
        return list(dict.fromkeys((*MISSING, *self.dialect.na_values)))

    def asked(self, columns: Collection[str] | None) -> list[str]:
        """The asked columns (None: all), in the file's own order."""
        return picked(self.names, columns)


def look(database: Database, understood: AbstractSet[str], compressions: AbstractSet[str]) -> Delimited:
    """Look at the first line of a file.

    ``understood`` are the fields of ``Dialect`` that the library's reader has a word for; of the others the usual is
    expected. ``compressions`` are those that it undoes.

    Raises:
        NotAlike: the library cannot read it as pandas does.
    """
    if (place := path_of(database.uri)) is None:
        raise NotAlike
    path, dialect = Path(place), Dialect.of(database)
    compression = kind_of(path)
    if not dialect.told <= understood or (compression is not None and compression not in compressions):
        raise NotAlike
    names = _header(path, dialect)
    plain = len(names) > 1 and all(names) and len({name.lower() for name in names}) == len(names)
    if not plain or any(mark in name for name in names for mark in "\r\n\0\ufeff"):
        raise NotAlike
    return Delimited(path, names, dialect, compression)


def _header(path: Path, dialect: Dialect) -> list[str]:
    """The names in the first line."""
    if dialect.encoding not in _ASCII_BASED:
        raise NotAlike
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    with opened(path) or path.open("rb") as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
        lines = csv.reader(
            text,
            delimiter=dialect.sep,
            quotechar=dialect.quotechar or None,
            quoting=csv.QUOTE_MINIMAL if dialect.quotechar else csv.QUOTE_NONE,
        )
        for _ in range(dialect.skiprows):
            text.readline()
        try:
            first = next(lines, None)
        except (csv.Error, UnicodeDecodeError):
            raise NotAlike from None
    if first is None:
        raise Unfit("it is empty")
    return first


_ASCII_BASED = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252"})
"""Encodings in which what separates values are the bytes that ASCII has for it."""
