"""A stream of what PostgreSQL has: each of its types as one of Arrow's, whichever driver brings it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa


class Type(NamedTuple):
    """What becomes of a type: what it is to Arrow, and what the server makes of a column, with ``{}`` for its name."""

    arrow: Any
    made: str = "{}"


TEXT = Type(pa.string(), "{}::text")
"""What has no type of Arrow's, as PostgreSQL writes it."""

_SIMPLE = {
    "bool": Type(pa.bool_()),
    "int2": Type(pa.int16()),
    "int4": Type(pa.int32()),
    "int8": Type(pa.int64()),
    "float4": Type(pa.float32()),
    "float8": Type(pa.float64()),
    "numeric": Type(pa.float64(), "{}::float8"),  # as pandas has it
    "text": Type(pa.string()),
    "varchar": Type(pa.string()),
    "bpchar": Type(pa.string()),
    "name": Type(pa.string()),
    "date": Type(pa.date32()),
    "timestamp": Type(pa.timestamp("us")),
    "timestamptz": Type(pa.timestamp("us", "UTC")),
    "time": Type(pa.time64("us")),
    "interval": Type(pa.duration("us"), "(extract(epoch FROM {}) * 1000000)::int8"),
    "bytea": Type(pa.binary()),
}

TYPES = {
    **_SIMPLE,
    **{
        f"_{name}": Type(pa.list_(_SIMPLE[name].arrow)) for name in ("bool", "int2", "int4", "int8", "float4", "float8")
    },
    **{f"_{name}": Type(pa.list_(pa.string())) for name in ("text", "varchar")},
    "_numeric": Type(pa.list_(pa.float64()), "{}::float8[]"),
    "_date": Type(pa.list_(pa.date32())),
}
"""The server's name of a type -> what becomes of it."""

_NUMBERS: dict[object, str] = {
    16: "bool", 17: "bytea", 19: "name", 20: "int8", 21: "int2", 23: "int4", 25: "text", 700: "float4", 701: "float8",
    1042: "bpchar", 1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz",
    1186: "interval", 1700: "numeric",
    1000: "_bool", 1005: "_int2", 1007: "_int4", 1009: "_text", 1015: "_varchar", 1016: "_int8", 1021: "_float4",
    1022: "_float8", 1182: "_date", 1231: "_numeric",
}  # fmt: skip
"""The number that a type has in every server (``pg_type.dat``) -> its name."""


def of_number(number: object) -> Type:
    """What becomes of a type by its number, as drivers of Python's tell it."""
    return TYPES.get(_NUMBERS.get(number, ""), TEXT)


def of_field(field: Any) -> Type:
    """What becomes of a column that ADBC describes."""
    if name := _unknown(field):
        return TYPES.get(name, TEXT)
    if pa.types.is_list(field.type) and (name := _unknown(field.type.value_field)):
        return TYPES.get(f"_{name}", TEXT)
    if field.type == pa.month_day_nano_interval():
        return TYPES["interval"]
    return next((kind for kind in TYPES.values() if kind.arrow == field.type), TEXT)


def _unknown(field: Any) -> str | None:
    """The name of a type for which ADBC has none of Arrow's."""
    found = (field.metadata or {}).get(b"ADBC:postgresql:typname")
    return found.decode() if found else None
