"""Types of columns in PostgreSQL and SQLite, and in Arrow."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa

from algotools.data._sql import select
from algotools.data.names import quote_name


class SqlType(NamedTuple):
    """A column's type in Arrow, and the SQL expression that casts the column, with ``{}`` for its name."""

    arrow: Any
    conversion: str = "{}"


TEXT = SqlType(pa.string(), "{}::text")
"""PostgreSQL's text of a value, for types that Arrow does not have."""

_INTERVAL = (
    "(((extract(year FROM {0}) * 365 + extract(month FROM {0}) * 30 + extract(day FROM {0})) * 24 + "
    "extract(hour FROM {0})) * 3600 + extract(minute FROM {0}) * 60 + extract(second FROM {0})) * 1000000"
)
"""An interval in microseconds, with years of 365 days and months of 30 days, as Python's driver counts them."""

_SIMPLE = {
    "bool": SqlType(pa.bool_()),
    "int2": SqlType(pa.int16()),
    "int4": SqlType(pa.int32()),
    "int8": SqlType(pa.int64()),
    "float4": SqlType(pa.float32()),
    "float8": SqlType(pa.float64()),
    "numeric": SqlType(pa.float64(), "{}::float8"),  # as in pandas
    "text": SqlType(pa.string()),
    "varchar": SqlType(pa.string()),
    "bpchar": SqlType(pa.string()),
    "name": SqlType(pa.string()),
    "date": SqlType(pa.date32()),
    "timestamp": SqlType(pa.timestamp("us")),
    "timestamptz": SqlType(pa.timestamp("us", "UTC")),
    "time": SqlType(pa.time64("us")),
    "interval": SqlType(pa.duration("us"), f"({_INTERVAL})::int8"),
    "bytea": SqlType(pa.binary()),
}

_LIST = "CASE WHEN array_ndims({{0}}) > 1 THEN ('dimensions: ' || array_ndims({{0}}))::_{0} ELSE {{0}} END"
"""An array. Arrow would join the rows of a matrix, and a wrong text is PostgreSQL's only way to raise an error."""

_TYPES = {
    **_SIMPLE,
    **{
        f"_{name}": SqlType(pa.list_(_SIMPLE[name].arrow), _LIST.format(name))
        for name in ("bool", "int2", "int4", "int8", "float4", "float8")
    },
    **{f"_{name}": SqlType(pa.list_(pa.string()), _LIST.format(name)) for name in ("text", "varchar")},
    "_numeric": SqlType(pa.list_(pa.float64()), "{}::float8[]"),
    "_date": SqlType(pa.list_(pa.date32())),
}
"""Name of a PostgreSQL type -> the type in Arrow."""

_TYPE_NUMBERS: dict[object, str] = {
    16: "bool", 17: "bytea", 19: "name", 20: "int8", 21: "int2", 23: "int4", 25: "text", 700: "float4", 701: "float8",
    1042: "bpchar", 1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz",
    1186: "interval", 1700: "numeric",
    1000: "_bool", 1005: "_int2", 1007: "_int4", 1009: "_text", 1015: "_varchar", 1016: "_int8", 1021: "_float4",
    1022: "_float8", 1182: "_date", 1231: "_numeric",
}  # fmt: skip
"""Number of a PostgreSQL type, equal in all servers (``pg_type.dat``) -> its name."""


def find_type_by_number(number: object) -> SqlType:
    """Return the type for the number that Python's drivers report."""
    return _TYPES.get(_TYPE_NUMBERS.get(number, ""), TEXT)


def find_type_by_field(field: Any) -> SqlType:
    """Return the type of a column for ADBC's description."""
    if name := _read_type_name(field):
        return _TYPES.get(name, TEXT)
    if pa.types.is_list(field.type) and (name := _read_type_name(field.type.value_field)):
        return _TYPES.get(f"_{name}", TEXT)
    if field.type == pa.month_day_nano_interval():
        return _TYPES["interval"]
    return next((kind for kind in _TYPES.values() if kind.arrow == field.type), TEXT)


def _read_type_name(field: Any) -> str | None:
    """Return the name of a PostgreSQL type that ADBC cannot map to Arrow; None for other types."""
    name = (field.metadata or {}).get(b"ADBC:postgresql:typname")
    return name.decode() if name else None


_SQLITE_TYPES: tuple[tuple[frozenset[str], SqlType], ...] = (
    (frozenset(), SqlType(pa.null())),
    (frozenset({"integer"}), SqlType(pa.int64())),
    (frozenset({"integer", "real"}), SqlType(pa.float64(), "CAST({} AS REAL)")),
    (frozenset({"integer", "real", "text"}), SqlType(pa.string(), "CAST({} AS TEXT)")),
    (frozenset({"integer", "real", "text", "blob"}), SqlType(pa.binary(), "CAST({} AS BLOB)")),
)
"""Types of the values in a column of SQLite -> the type that fits all values. The first match is the narrowest."""


def list_sqlite_types(name: str) -> str:
    """Return an expression: the names of the types of the values in a column of SQLite, separated by commas."""
    return f"group_concat(DISTINCT typeof({quote_name(name)}))"


def name_postgresql_type(query: str, name: str) -> str:
    """Return an expression: the name of a column's type in PostgreSQL. No row is read."""
    return f"pg_typeof(({select(query, [quote_name(name)], ' LIMIT 0')}))::text"


def find_sqlite_type(kinds: str | None) -> SqlType:
    """Return the type of a column whose values have the named types, separated by commas."""
    present = set((kinds or "").split(",")) - {"null", ""}
    return next(column for accepted_types, column in _SQLITE_TYPES if present <= accepted_types)
