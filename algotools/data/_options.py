"""Options that a node's owner configures beside a database's URI, and what an option may contain.

In ``federation.yaml`` the options are keys of the database; at a v4 node they are in the database's ``env:``. An option
without an effect is refused: it is misspelled, or the owner expects something of it, and a file that is read without it
could give wrong numbers without a message.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from algotools.data import _spark_uri
from algotools.data.names import find_name
from algotools.data.reading import Unreadable, find_path
from algotools.task import Database

Parser = Callable[[str], Any]


class _WrongOption(Exception):
    """The value of an option is invalid; the message describes the accepted values."""


# --- Values. ---


def _parse_character(value: str) -> str:
    value = {"\\t": "\t", "tab": "\t", "TAB": "\t"}.get(value, value)
    if len(value) != 1 or not value.isascii() or value in "\r\n\0":
        raise _WrongOption("one ASCII character, or \\t for a tab")
    return value


def _parse_quote(value: str) -> str:
    return _parse_character(value) if value else ""


def _parse_encoding(value: str) -> str:
    try:
        codec = codecs.lookup(value.strip())
        "".encode(codec.name)  # raises LookupError for codecs of bytes, such as base64
    except (LookupError, ValueError):
        raise _WrongOption("the name of an encoding, such as utf-8, latin-1, cp1252 or utf-16") from None
    return codec.name


def _parse_count(value: str) -> int:
    if not (value.strip().isascii() and value.strip().isdigit()) or len(value) > 9:
        raise _WrongOption("a number of lines, 0 or more")
    return int(value)


def _parse_header(value: str) -> int | None:
    if value.strip().lower() in ("none", "null"):
        return None
    try:
        return _parse_count(value)
    except _WrongOption:
        raise _WrongOption("the number of the row with the names, 0 or more, or `none` for no names") from None


def _parse_texts(value: str) -> tuple[str, ...]:
    """Parse texts separated by commas, or a JSON list, which can also contain texts with commas and spaces."""
    if not value.lstrip().startswith(("[", "{")):
        return tuple(text.strip() for text in value.split(",") if text.strip())
    try:
        values = msgspec.json.decode(value, type=list[str | int | float])
    except msgspec.DecodeError:
        raise _WrongOption("texts separated by commas, or a JSON list of them") from None
    return tuple(map(str, values))


def _parse_date_format(value: str) -> str:
    if "%" not in value:
        raise _WrongOption("a strptime format, such as %d-%m-%Y")
    return value


def _parse_dtypes(value: str) -> tuple[tuple[str, str], ...]:
    try:
        columns = msgspec.json.decode(value, type=dict[str, str])
        return tuple((name, _DTYPES[dtype.strip().lower()]) for name, dtype in columns.items())
    except (msgspec.DecodeError, KeyError):
        raise _WrongOption(
            'a type (str, int, float or bool) for each named column, such as {code: str}; in JSON: {"code": "str"}'
        ) from None


_DTYPES = {
    "str": "str", "string": "str", "text": "str", "object": "str", "int": "Int64", "integer": "Int64", "int64": "Int64",
    "float": "float64", "float64": "float64", "bool": "boolean", "boolean": "boolean",
}  # fmt: skip
"""Names of types -> pandas' type that also holds missing values."""


# --- Missing values. ---


def spell_missing(values: tuple[str, ...]) -> list[str]:
    """Return the owner's texts for missing values. As in pandas, ``-9`` also means ``-9.0``."""
    return [text for value in values for text in (value, *_spell(value))]


def find_missing_numbers(values: tuple[str, ...]) -> list[float]:
    """Return the numbers among the owner's texts for missing values."""
    return sorted({number for value in values if (number := _to_number(value)) is not None})


def _to_number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _spell(value: str) -> list[str]:
    """Return the further spellings of a whole number."""
    number = _to_number(value)
    return [] if number is None or not number.is_integer() else [f"{int(number)}.0", str(int(number))]


# --- Names of columns. ---


def find_columns(option: str, columns: Iterable[str], existing_names: Collection[str]) -> list[str]:
    """Return the columns of a file that an option of the owner names, by the normal forms of the names.

    Raises:
        Unreadable: the file does not have one of them.
    """
    matches = {column: find_name(column, existing_names) for column in columns}
    if missing := [column for column, match in matches.items() if match is None]:
        raise Unreadable(
            f"its option {option} names {len(missing)} column(s) that it does not have", detail=", ".join(missing)
        )
    return [match for match in matches.values() if match is not None]


# --- Names of options. ---

CSV: Mapping[str, tuple[str, Parser]] = {
    "SEP": ("sep", _parse_character),
    "DELIMITER": ("sep", _parse_character),
    "DECIMAL": ("decimal", _parse_character),
    "THOUSANDS": ("thousands", _parse_character),
    "ENCODING": ("encoding", _parse_encoding),
    "QUOTECHAR": ("quotechar", _parse_quote),
    "ESCAPECHAR": ("escapechar", _parse_character),
    "COMMENT": ("comment", _parse_character),
    "SKIPROWS": ("skiprows", _parse_count),
    "NA_VALUES": ("na_values", _parse_texts),
    "PARSE_DATES": ("parse_dates", _parse_texts),
    "DATE_FORMAT": ("date_format", _parse_date_format),
    "DTYPE": ("dtype", _parse_dtypes),
}
"""Name of an option of a CSV file -> the field that it sets and the function that parses the option's text."""

EXCEL: Mapping[str, tuple[str, Parser]] = {
    "SHEET_NAME": ("sheet_name", str),
    "HEADER": ("header", _parse_header),
    "SKIPROWS": ("skiprows", _parse_count),
    "NA_VALUES": ("na_values", _parse_texts),
    "DTYPE": ("dtype", _parse_dtypes),
}
"""Name of an option of an Excel file -> as for ``CSV``."""

_OMOP = ("USER", "PASSWORD", "CDM_DATABASE", "CDM_SCHEMA", "RESULTS_SCHEMA")

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "csv": tuple(CSV),
    "excel": tuple(EXCEL),
    "frame": (),
    "omop": ("QUERY", "TABLE", *_OMOP),
    "parquet": (),
    "sparql": ("QUERY", "USER", "PASSWORD", "DEFAULT_GRAPH"),
    "sql": ("QUERY", "TABLE"),
}
"""Type of a database -> the options that have an effect."""

_LOGIN = ("USER", "USERNAME", "PASSWORD")

_OF_OTHERS = frozenset({
    "URI", "TYPE", "LABEL", "NAME", "MOUNT_MODE",
    "DBMS", "INCREMENTAL_FOLDER", "COHORT_STATISTICS_FOLDER", "EXPORT_FOLDER",
})  # fmt: skip
"""Options of the node and of OHDSI's tools that do not change what is read from a database."""

_USUAL = frozenset({"ENGINE", "HEADER", "INDEX_COL", "NAMES", "NROWS", "SCHEMA", "SKIPFOOTER", "USECOLS"})
"""Names that pandas uses. A message may contain them; every other unknown name is only for the owner."""


def parse(options: Mapping[str, str], known_options: Mapping[str, tuple[str, Parser]]) -> dict[str, Any]:
    """Return the fields that the options set.

    Raises:
        Unreadable: an option has a wrong value; the message names the option and quotes nothing.
    """
    fields: dict[str, Any] = {}
    for name, (field, parse_text) in known_options.items():
        if name not in options:
            continue
        if field in fields:
            raise Unreadable(f"its options SEP and {name} both set the separator; give only one")
        try:
            fields[field] = parse_text(options[name])
        except _WrongOption as accepted:
            raise Unreadable(f"its option {name} must be {accepted}", detail=f"{name}: {options[name]!r}") from None
    return fields


def check_names(database: Database, kind: str) -> None:
    """Refuse options that have no effect on a type of database.

    A user and a password have no effect on a file, and are accepted, because they cannot change its values.

    Raises:
        Unreadable: there is such an option. The message names the option and quotes no value.
    """
    known_options = _OPTIONS[kind]
    accepted_options = {*known_options, *_OF_OTHERS}
    if kind in ("csv", "excel", "frame", "parquet") or find_path(database.uri) is not None:
        accepted_options.update(_LOGIN, _OMOP if kind == "omop" else ())
    elif kind == "sql" and _spark_uri.is_spark(database.uri):
        known_options = (*known_options, *_spark_uri.OPTIONS)
        accepted_options.update(_spark_uri.OPTIONS)
    elif kind == "sql" and "@" in database.uri:
        accepted_options.update(_LOGIN)
    unknown_options = sorted(name for name in database.options if name not in accepted_options)
    if not unknown_options:
        return
    detail = f"options of type {kind}: {', '.join(known_options) or 'none'}"
    for name in unknown_options:
        if match := _find_similar(name.upper(), known_options):
            raise Unreadable(f"unknown {kind} option {name[:40]}; did you mean {match}?", detail)
    is_single = len(unknown_options) == 1
    public_names = _USUAL.union(_OF_OTHERS, _LOGIN, *_OPTIONS.values())
    detail_of_names = ", ".join(name for name in unknown_options if name not in public_names)
    names = [name if name in public_names else "(named in the owner's log)" for name in unknown_options[:5]]
    subject = f"option{'' if is_single else 's'} {', '.join(dict.fromkeys(names))}"
    if _spark_uri.is_spark(database.uri) and set(unknown_options) <= set(_LOGIN):
        remedy = "configure the option TOKEN"
    elif kind == "sql" and set(unknown_options) <= {*_LOGIN, *_OMOP}:
        remedy = f"write {'it' if is_single else 'them'} into the URI, or configure the type omop"
    else:
        remedy = f"remove {'it' if is_single else 'them'}"
    raise Unreadable(
        f"its {subject} {'has' if is_single else 'have'} no effect on a database of type {kind}; {remedy} ({detail})",
        detail_of_names,
    )


def _find_similar(name: str, known_options: tuple[str, ...]) -> str | None:
    import difflib  # here: most databases have no options

    by_start = [
        option
        for option in known_options
        if min(len(name), len(option)) >= 3 and (name.startswith(option) or option.startswith(name))
    ]
    return next(iter(by_start or difflib.get_close_matches(name, known_options, 1, cutoff=0.8)), None)
