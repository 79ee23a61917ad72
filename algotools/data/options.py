"""What a node's owner configures beside a CSV file: how it is written.

The words are those of ``pandas.read_csv``, in upper case: ``{uri: x.csv, type: csv, sep: ";", decimal: ","}`` in
``federation.yaml``, ``env:`` of a database at a v4 node. Every form reads the file by them.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from algotools.data.reading import Unfit, reading
from algotools.task import Database


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a CSV file is written; without options, as pandas takes it."""

    sep: str = ","
    """One ASCII character; a tab in files that are called .tsv or .tab."""
    decimal: str = "."
    thousands: str | None = None
    encoding: str = "utf-8"
    """The name that Python's own codec has. A byte order mark is no part of a file in ``utf-8``."""
    quotechar: str = '"'
    """One ASCII character; empty in a file whose quotes mean nothing."""
    escapechar: str | None = None
    comment: str | None = None
    """What begins the part of a line that is left out."""
    skiprows: int = 0
    """Lines before the one that names the columns."""
    na_values: tuple[str, ...] = ()
    """Spellings of a missing value, besides those that pandas knows."""
    parse_dates: tuple[str, ...] = ()
    """Names of columns that hold dates."""
    date_format: str | None = None
    """How they are written, in ``strptime``'s words; None to tell by the first."""

    @classmethod
    def of(cls, database: Database) -> Dialect:
        """What the owner configured for a database.

        Raises:
            DatabaseUnreadable: an option is not what it takes; names the option and quotes nothing.
        """
        with reading(database, "csv"):
            _refuse_near_misses(database.options)
            given = _given(database.options)
            if _ending(database.uri) in _TABS:
                given.setdefault("sep", "\t")
            dialect = cls(**given)
            _agree(dialect)
        if unused := sorted(PANDAS_ONLY & set(database.options)):
            # For the owner alone: what a run writes to standard error goes to the owner's log.
            sys.stderr.write(
                f"database {database.label!r}: nothing is done with {', '.join(unused)}; "
                f"the options of a csv file are {', '.join(_OPTIONS)}\n"
            )
        return dialect

    @property
    def told(self) -> frozenset[str]:
        """Names of the fields in which the file differs from a plain one."""
        plain = type(self)()
        return frozenset(name for name in self.__struct_fields__ if getattr(self, name) != getattr(plain, name))


_TABS = (".tsv", ".tab")


def _ending(uri: str) -> str:
    """The last ending of a file's name that does not tell how it is compressed."""
    endings = [ending.lower() for ending in PurePosixPath(uri).suffixes]
    return next((ending for ending in reversed(endings) if ending not in _COMPRESSIONS), "")


_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst", ".zip")


class _Wrong(Exception):
    """What an option takes, when it was given something else."""


def _character(value: str) -> str:
    value = {"\\t": "\t", "tab": "\t", "TAB": "\t"}.get(value, value)
    if len(value) != 1 or not value.isascii() or value in "\r\n\0":
        raise _Wrong("one ASCII character, or \\t for a tab")
    return value


def _quote(value: str) -> str:
    return _character(value) if value else ""


def _encoding(value: str) -> str:
    try:
        known = codecs.lookup(value.strip())
        "".encode(known.name)  # refuses codecs that are not of text
    except (LookupError, ValueError):
        raise _Wrong("the name of an encoding, such as utf-8, latin-1, cp1252 or utf-16") from None
    return known.name


def _count(value: str) -> int:
    if not (value.strip().isascii() and value.strip().isdigit()) or len(value) > 9:
        raise _Wrong("a number of lines, 0 or more")
    return int(value)


def _texts(value: str) -> tuple[str, ...]:
    """A list of texts: separated by commas, or in JSON where a comma or a space belongs to one."""
    if not value.lstrip().startswith("["):
        return tuple(text.strip() for text in value.split(",") if text.strip())
    try:
        found = msgspec.json.decode(value, type=list[str | int | float])
    except msgspec.DecodeError:
        raise _Wrong("texts separated by commas, or a JSON list of them") from None
    return tuple(map(str, found))


def _format(value: str) -> str:
    if "%" not in value:
        raise _Wrong("a date's format in the words of strptime, such as %d-%m-%Y")
    return value


_OPTIONS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "SEP": ("sep", _character),
    "DELIMITER": ("sep", _character),
    "DECIMAL": ("decimal", _character),
    "THOUSANDS": ("thousands", _character),
    "ENCODING": ("encoding", _encoding),
    "QUOTECHAR": ("quotechar", _quote),
    "ESCAPECHAR": ("escapechar", _character),
    "COMMENT": ("comment", _character),
    "SKIPROWS": ("skiprows", _count),
    "NA_VALUES": ("na_values", _texts),
    "PARSE_DATES": ("parse_dates", _texts),
    "DATE_FORMAT": ("date_format", _format),
}
"""Option -> the field that it fills, and what makes a value of its text."""

PANDAS_ONLY = frozenset({
    "CACHE_DATES", "CHUNKSIZE", "COMPRESSION", "CONVERTERS", "DATE_PARSER", "DAYFIRST", "DELIM_WHITESPACE", "DIALECT",
    "DOUBLEQUOTE", "DTYPE", "DTYPE_BACKEND", "ENCODING_ERRORS", "ENGINE", "FALSE_VALUES", "FLOAT_PRECISION", "HEADER",
    "INDEX_COL", "INFER_DATETIME_FORMAT", "ITERATOR", "KEEP_DATE_COL", "KEEP_DEFAULT_NA", "LINETERMINATOR",
    "LOW_MEMORY", "MEMORY_MAP", "NAMES", "NA_FILTER", "NROWS", "ON_BAD_LINES", "QUOTING", "SKIPFOOTER",
    "SKIPINITIALSPACE", "SKIP_BLANK_LINES", "STORAGE_OPTIONS", "TRUE_VALUES", "USECOLS", "VERBOSE",
})  # fmt: skip
"""What else ``pandas.read_csv`` knows, and an owner may believe that we do."""


def _given(options: Mapping[str, str]) -> dict[str, Any]:
    """The fields that options fill."""
    fields: dict[str, Any] = {}
    for name, (field, understood) in _OPTIONS.items():
        if name not in options:
            continue
        if field in fields:
            raise Unfit(f"its options SEP and {name} say the same; give one")
        try:
            fields[field] = understood(options[name])
        except _Wrong as wrong:
            raise Unfit(f"its option {name} must be {wrong}", detail=f"{name}: {options[name]!r}") from None
    return fields


def _agree(dialect: Dialect) -> None:
    """Refuse characters that would mean two things."""
    meanings = {
        "SEP": dialect.sep, "QUOTECHAR": dialect.quotechar, "ESCAPECHAR": dialect.escapechar,
        "COMMENT": dialect.comment,
    }  # fmt: skip
    numbers = {"DECIMAL": dialect.decimal, "THOUSANDS": dialect.thousands}
    for several in (meanings, numbers):
        given = {name: value for name, value in several.items() if value}
        for name, value in given.items():
            if same := [other for other in given if other != name and given[other] == value]:
                raise Unfit(f"its options {name} and {same[0]} are the same character", detail=repr(value))
    if dialect.date_format is not None and not dialect.parse_dates:
        raise Unfit("its option DATE_FORMAT says how dates are written, and PARSE_DATES does not say which columns are")


def _refuse_near_misses(options: Mapping[str, str]) -> None:
    """Refuse what looks as if it were meant for us: a file that is read without it might be nonsense, unnoticed.

    Other options are for the algorithms that know them.
    """
    unknown = sorted(set(options) - set(_OPTIONS) - PANDAS_ONLY)
    if not unknown:
        return
    import difflib  # here: most databases have no options

    for name in unknown:
        by_start = [known for known in ("SEP", "DECIMAL") if name.startswith(known)]
        if close := by_start or difflib.get_close_matches(name, _OPTIONS, 1, cutoff=0.8):
            raise Unfit(
                f"its option {name[:40]} is none of a csv file's; is {close[0]} meant?",
                detail=f"the options of a csv file are {', '.join(_OPTIONS)}",
            )
