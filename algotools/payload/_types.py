"""The types of values that a result may contain, as one table for both encodings.

An encoding looks up the kind of a value here, and has a function for every kind. So both encodings accept the same
types. The table names the classes of other libraries, and imports none of the libraries.
"""

from __future__ import annotations

import binascii
import datetime
import decimal
import enum
import functools
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MappingView, Sequence
from typing import Any, NamedTuple

import msgspec

from algotools.payload.values import ENGINES, BadValue, Path, convert_function_errors, name_type


class ValueKind(enum.Enum):
    """The kind of a value: values of one kind have one function in each encoding."""

    SEQUENCE = enum.auto()
    MAPPING = enum.auto()
    STANDARD = enum.auto()
    """A type in ``STANDARD``."""
    OBJECT = enum.auto()
    """An enum, a dataclass or another value that ``simplify`` converts to a value of another kind."""
    NUMPY = enum.auto()
    MASKED = enum.auto()
    PANDAS = enum.auto()
    PANDAS_SCALAR = enum.auto()
    ARROW_TABLE = enum.auto()
    ARROW_ARRAY = enum.auto()
    ARROW_SCALAR = enum.auto()
    POLARS = enum.auto()
    ENGINE = enum.auto()
    """A table of an engine, see ``compute_table``."""
    UNSUPPORTED = enum.auto()


_CLASSES = {
    ("numpy", "ndarray"): ValueKind.NUMPY,
    ("numpy", "generic"): ValueKind.NUMPY,
    ("numpy", "MaskedArray"): ValueKind.MASKED,
    **{("pandas", name): ValueKind.PANDAS for name in ("DataFrame", "Series", "Index", "ExtensionArray")},
    **{
        ("pandas", name): ValueKind.PANDAS_SCALAR
        for name in ("Timestamp", "Timedelta", "Period", "Interval", "NaTType", "NAType")
    },
    **{("pyarrow", name): ValueKind.ARROW_TABLE for name in ("Table", "RecordBatch", "RecordBatchReader")},
    **{("pyarrow", name): ValueKind.ARROW_ARRAY for name in ("Array", "ChunkedArray")},
    ("pyarrow", "Scalar"): ValueKind.ARROW_SCALAR,
    **{("polars", name): ValueKind.POLARS for name in ("DataFrame", "LazyFrame", "Series")},
    ("pydantic", "BaseModel"): ValueKind.OBJECT,
}
"""Package and name of a class -> the kind of its values, and of the values of its subclasses."""

_LIBRARIES = {"numpy": "numpy", "pandas": "pandas", "pyarrow": "Arrow", "polars": "polars"}
"""Package -> its name in error messages."""

_KEYS = frozenset({ValueKind.STANDARD, ValueKind.PANDAS_SCALAR, ValueKind.ARROW_SCALAR})
"""Kinds of values that can be keys unchanged."""


class Standard(NamedTuple):
    """A type of the standard library: its JSON form, and the parts from which ``restore`` creates an equal value."""

    to_plain: Callable[[Any], object]
    to_parts: Callable[[Any], object]
    restore: Callable[[Any], object]


def _format_duration(value: datetime.timedelta) -> str:
    """Return a duration in ISO 8601, as pandas formats it."""
    minutes, seconds = divmod(value.seconds, 60)
    fraction = f".{value.microseconds:06}" if value.microseconds else ""
    return f"P{value.days}DT{minutes // 60}H{minutes % 60}M{seconds}{fraction}S"


def _encode_base64(value: Any) -> str:
    return binascii.b2a_base64(value, newline=False).decode()


STANDARD: dict[type, Standard] = {
    datetime.datetime: Standard(
        datetime.datetime.isoformat, datetime.datetime.isoformat, datetime.datetime.fromisoformat
    ),
    datetime.date: Standard(datetime.date.isoformat, datetime.date.isoformat, datetime.date.fromisoformat),
    datetime.time: Standard(datetime.time.isoformat, datetime.time.isoformat, datetime.time.fromisoformat),
    datetime.timedelta: Standard(
        _format_duration,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: datetime.timedelta(*parts),
    ),
    decimal.Decimal: Standard(str, str, decimal.Decimal),
    uuid.UUID: Standard(str, str, uuid.UUID),
    complex: Standard(
        lambda value: {"real": value.real, "imag": value.imag},
        lambda value: [value.real, value.imag],
        lambda parts: complex(*parts),
    ),
    # The memory view refuses an integer, for which bytes would allocate as much memory.
    bytes: Standard(_encode_base64, bytes, lambda parts: bytes(memoryview(parts))),
    bytearray: Standard(_encode_base64, bytes, lambda parts: bytearray(memoryview(parts))),
}
"""Type -> its forms. A value of a subclass is restored as a value of the type in this table."""

STANDARD_BY_NAME = {kind.__name__: standard for kind, standard in STANDARD.items()}


def _decide_kind(kind: type) -> ValueKind:
    """Return the kind of the values of a type, which its base classes decide."""
    if issubclass(kind, (list, tuple)):  # includes named tuples of numpy
        return ValueKind.SEQUENCE
    for base in kind.__mro__:
        package = base.__module__.partition(".")[0]
        if package in ENGINES:
            return ValueKind.ENGINE
        if (match := _CLASSES.get((package, base.__name__))) is not None:
            return match
    if issubclass(kind, Mapping):
        return ValueKind.MAPPING
    if issubclass(kind, enum.Enum):
        return ValueKind.OBJECT
    if issubclass(kind, tuple(STANDARD)):
        return ValueKind.STANDARD
    if issubclass(kind, (int, str, float, msgspec.Struct)):
        return ValueKind.OBJECT
    if hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__attrs_attrs__"):
        return ValueKind.OBJECT
    return ValueKind.UNSUPPORTED


find_kind: Callable[[type], ValueKind] = functools.lru_cache(maxsize=4096)(_decide_kind)
"""Return the kind of the values of a type."""


def find_standard(kind: type) -> type:
    """Return the type in ``STANDARD`` that decides the form of the values of a type."""
    return next(base for base in kind.__mro__ if base in STANDARD)


def simplify(value: Any) -> object:
    """Convert a value of the kind ``OBJECT`` to a simpler value.

    Raises:
        FunctionRaised: a serializer of a pydantic model raises an error.
    """
    if isinstance(value, enum.Enum):
        return value.value
    for scalar in (int, str, float):
        if isinstance(value, scalar):
            return scalar(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if hasattr(type(value), "__dataclass_fields__"):
        from dataclasses import fields

        return {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(type(value), "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in type(value).__attrs_attrs__}
    with convert_function_errors("a model that the function returned was converted"):
        return value.model_dump() if hasattr(value, "model_dump") else value.dict()


def simplify_key(key: Any, path: Path, problem: str) -> Any:
    """Return a key of a mapping as a value that both encodings accept as a key.

    An enum becomes its value, and a number or text of numpy becomes Python's.

    Raises:
        BadValue: the type cannot be a key; *problem* is the part of the message that depends on the encoding.
    """
    kind = type(key)
    if key is None or kind in (str, int, float, bool):
        return key
    match = find_kind(kind)
    if match in _KEYS:
        return key
    if isinstance(key, tuple):
        return tuple(simplify_key(part, path, problem) for part in key)
    if match is ValueKind.OBJECT and isinstance(key, (enum.Enum, int, str, float)):
        return simplify_key(simplify(key), path, problem)
    if match is ValueKind.NUMPY and key.dtype.kind in "biufcmMSU":
        # `item` of a time can be an integer, and `item` of a long double is a long double.
        return key if key.dtype.kind in "mM" or key.dtype.char in "gG" else key.item()
    raise BadValue(path, f"a key of type {name_type(kind)} {problem}; use a text or a number")


def check_array(value: Any, path: Path, problem: str) -> None:
    """Refuse an array or scalar of structures with Python objects; *problem* depends on the encoding."""
    if value.dtype.hasobject and value.dtype.kind == "V":
        raise BadValue(path, f"an array of structures with Python objects {problem}; return a table")


_LAZY = (Iterator, Sequence, MappingView, deque)
"""Classes of values that ``list`` converts: iterators, the unread results of ``client.run(…)``, views of a dict."""


def refuse(value: object, path: Path, problem: str) -> BadValue:
    """Return the error for a value of an unsupported type; *problem* depends on the encoding."""
    kind = type(value)
    if isinstance(value, (set, frozenset)):
        return BadValue(path, f"a {kind.__name__} {problem}; return a sorted list")
    packages = (base.__module__.partition(".")[0] for base in kind.__mro__)
    library = next((_LIBRARIES[package] for package in packages if package in _LIBRARIES), None)
    if library is None and issubclass(kind, _LAZY) and not issubclass(kind, (bytes, bytearray, memoryview)):
        name = "an iterator" if issubclass(kind, Iterator) else f"a value of type {name_type(kind)}"
        return BadValue(path, f"{name} {problem}; wrap it in list(…)")
    if library is None:
        return BadValue(path, f"a value of type {name_type(kind)} {problem}; return numbers, texts, lists or dicts")
    name = f"{'an' if library == 'Arrow' else 'a'} {library} {name_type(kind)}"
    return BadValue(path, f"{name} {problem}; return numbers, texts, arrays or tables")
