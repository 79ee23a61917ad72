"""Plain, strict JSON: what a researcher gets.

A value is encoded by what it is, not by how it is annotated: a numpy integer stays an integer. NaN and
infinity, which JSON does not have, become null; where that happened is told beside the bytes.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from algotools.errors import NotSerializable, ResultTooLarge
from algotools.payload import size
from algotools.payload.path import Key, Path, Unfit

_SMALLEST_CELL = len('"0":0')
"""Bytes that a value of a table has in JSON, at least."""


class Plain(NamedTuple):
    """JSON, and where in the value a NaN, an infinity or a missing value became null."""

    data: bytes
    nulls: list[Path]


def encode_plain(value: object, known: Iterable[str] = ()) -> Plain:
    """Encode a result as strict JSON.

    ``known`` are texts of the algorithm's own source, which an error message may show.

    Raises:
        NotSerializable: something in the value has no JSON form; the message says where.
        ResultTooLarge: the JSON has more bytes than one result may have.
    """
    nulls: list[Path] = []
    try:
        tree = _tree(value, (), nulls.append)
    except Unfit as unfit:
        raise unfit.error(known) from None
    except RecursionError:
        raise NotSerializable("result: it contains itself, or is nested too deeply for JSON") from None
    try:
        data = msgspec.json.encode(tree)
        size.check(len(data))
        return Plain(data, nulls)
    except ResultTooLarge:
        raise
    except UnicodeEncodeError:
        raise NotSerializable("result: it holds a text that is not valid Unicode (a lone surrogate)") from None
    except ValueError:
        raise NotSerializable("result: it holds an integer with too many digits for JSON") from None
    except RecursionError:
        raise NotSerializable("result: it is nested too deeply for JSON") from None


def encode_arguments(arguments: object) -> bytes:
    """Encode what a master sends along with a subtask: JSON as Python writes it.

    NaN and infinity keep their places (``NaN``, ``Infinity``): the readers of all generations take them.

    Raises:
        NotSerializable: something in the arguments has no JSON form; the message says where.
    """
    try:
        return json.dumps(_tree(arguments, (), None), separators=(",", ":")).encode()
    except Unfit as unfit:
        raise unfit.error() from None
    except ValueError:
        raise NotSerializable("the arguments hold an integer with too many digits for JSON") from None
    except RecursionError:
        raise NotSerializable("the arguments contain themselves, or are nested too deeply for JSON") from None


Report = Callable[[Path], object]


def _tree(value: Any, path: Path, null: Report | None) -> object:
    """The value as texts, numbers, lists and dicts; ``null`` is told of every number that becomes None.

    With ``null`` None such numbers are kept.
    """
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is str:
        return value
    if kind is float:
        return _number(value, path, null)
    if isinstance(value, (list, tuple)):  # numpy's and everybody's named tuples among them
        return _sequence(value, path, null)
    if isinstance(value, Mapping):
        return _mapping(value.items(), path, null)
    if (convert := _conversion(kind)) is not None:
        return convert(value, path, null)
    return _tree(simplify(value, path), path, null)


def simplify(value: Any, path: Path) -> object:
    """An enum, a dataclass or another of the standard library's kinds of value, as something simpler; raises Unfit."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (bool, int, str)):
        return (int if isinstance(value, int) else str)(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return _duration(value)
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if hasattr(type(value), "__dataclass_fields__"):
        from dataclasses import fields

        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, (set, frozenset)):
        raise Unfit(path, f"a {type(value).__name__} has no JSON form; return a sorted list")
    raise Unfit(
        path, f"a value of type {type(value).__qualname__} has no JSON form; return numbers, texts, lists or dicts"
    )


def _duration(value: datetime.timedelta) -> str:
    """A duration in ISO 8601, as pandas writes its own."""
    minutes, seconds = divmod(value.seconds, 60)
    fraction = f".{value.microseconds:06}" if value.microseconds else ""
    return f"P{value.days}DT{minutes // 60}H{minutes % 60}M{seconds}{fraction}S"


def _number(value: float, path: Path, null: Report | None) -> object:
    return value if null is None or math.isfinite(value) else _gap(path, null)


def _gap(path: Path, null: Report | None) -> object:
    """A missing value: null, and told."""
    if null is not None:
        null(path)
    return None


def _sequence(values: Any, path: Path, null: Report | None) -> list[object]:
    kinds = set(map(type, values))
    if kinds <= {int, str, bool, type(None)} or (
        kinds == {float} and (null is None or all(map(math.isfinite, values)))
    ):
        return list(values)
    return [_tree(value, (*path, position), null) for position, value in enumerate(values)]


def _mapping(items: Iterable[tuple[object, Any]], path: Path, null: Report | None) -> dict[str, object]:
    tree: dict[str, object] = {}
    for position, (key, value) in enumerate(items):
        step = (*path, Key(key, position))
        text = _key(key, step)
        if text in tree:
            raise Unfit(step, "two keys of the mapping have the same text in JSON")
        tree[text] = _tree(value, step, null)
    return tree


def _key(key: object, path: Path) -> str:
    """A key as JSON has it: a text; numbers, booleans and None as Python's own json module writes them."""
    if type(key) is str:
        return key
    if isinstance(key, enum.Enum):
        key = key.value
    elif (convert := _conversion(type(key))) is not None:
        key = convert(key, path, None)
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(key)
    if isinstance(key, (datetime.date, uuid.UUID)):
        return str(simplify(key, path))
    raise Unfit(path, f"a key of type {type(key).__qualname__} has no JSON form; use a text")


def _from_numpy(value: Any, path: Path, null: Report | None) -> object:
    import numpy as np

    if hasattr(value, "filled"):  # a masked array
        value = value.astype(object).filled(math.nan)
    kind = value.dtype.kind if isinstance(value, (np.ndarray, np.generic)) else "none"
    if isinstance(value, np.ndarray):
        size.check(2 * value.size)  # a digit and a comma, at least
        if kind == "f" and value.dtype.itemsize > 8:
            with np.errstate(over="ignore"):
                value = value.astype(np.float64)
        if value.ndim == 0:
            return _tree(value.item() if kind == "O" else value[()], path, null)
        if kind in "iub" or (kind == "f" and null is None) or (kind == "f" and np.isfinite(value).all()):
            return cast("list[object]", value.tolist())
        return _tree(list(value) if kind in "mM" else value.tolist(), path, null)
    if kind in ("m", "M"):
        return _gap(path, null) if np.isnat(value) else str(value)
    if kind == "f":
        return _number(float(value), path, null)
    if kind in ("b", "i", "u", "U"):
        return _tree(value.item(), path, null)
    raise Unfit(path, f"a numpy {type(value).__qualname__} has no JSON form; return numbers or texts")


def _from_pandas(value: Any, path: Path, null: Report | None) -> object:
    import pandas as pd

    if isinstance(value, (pd.DataFrame, pd.Series)):
        size.check(_SMALLEST_CELL * value.size)
    if isinstance(value, pd.DataFrame):
        return _mapping(((label, value.iloc[:, position]) for position, label in enumerate(value.columns)), path, null)
    if isinstance(value, pd.Series):
        return _mapping(zip(value.index.tolist(), value.tolist(), strict=True), path, null)
    if isinstance(value, (pd.Index, pd.api.extensions.ExtensionArray)):
        return _sequence(value.tolist(), path, null)
    if value is pd.NA or value is pd.NaT:
        return _gap(path, null)
    if isinstance(value, (pd.Timestamp, pd.Timedelta)):
        return value.isoformat()
    raise Unfit(path, f"a pandas value of type {type(value).__qualname__} has no JSON form; return numbers or texts")


def _from_pyarrow(value: Any, path: Path, null: Report | None) -> object:
    import pyarrow as pa

    from algotools.payload import tables

    if isinstance(value, pa.RecordBatchReader):
        value = pa.Table.from_batches(tables.batches(value), value.schema)
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        return _columns(zip(value.schema.names, value.columns, strict=True), path, null)
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return _sequence(value.to_pylist(), path, null)
    if isinstance(value, pa.Scalar):
        return _tree(value.as_py(), path, null)
    raise Unfit(path, f"an Arrow value of type {type(value).__qualname__} has no JSON form; return a table or an array")


def _from_polars(value: Any, path: Path, null: Report | None) -> object:
    import polars as pl

    from algotools.payload import tables

    value = tables.collected(value)
    if isinstance(value, pl.DataFrame):
        return _columns(zip(value.columns, value.get_columns(), strict=True), path, null)
    if isinstance(value, pl.Series):
        return _sequence(value.to_list(), path, null)
    raise Unfit(path, f"a polars value of type {type(value).__qualname__} has no JSON form; return a frame or a series")


def _from_engine(value: Any, path: Path, null: Report | None) -> object:
    from algotools.payload import tables

    return _tree(tables.worked_out(value, path), path, null)


def _columns(columns: Iterable[tuple[str, Any]], path: Path, null: Report | None) -> dict[str, object]:
    """A table without an index as a pandas frame has it, which counts its rows: column -> row -> value."""
    tree: dict[str, object] = {}
    for position, (name, column) in enumerate(columns):
        step = (*path, Key(name, position))
        if name in tree:
            raise Unfit(step, "two columns of the table have the same name")
        size.check(_SMALLEST_CELL * len(column))
        values = _tree(column, step, null)
        tree[name] = {str(row): value for row, value in enumerate(cast("list[object]", values))}
    return tree


def _conversion(kind: type) -> Callable[[Any, Path, Report | None], object] | None:
    """How to convert values of this type, or of a type derived from it; None if there is no special way."""
    packages = (base.__module__.partition(".")[0] for base in kind.__mro__)
    return next((_CONVERSIONS[package] for package in packages if package in _CONVERSIONS), None)


_CONVERSIONS: dict[str, Callable[[Any, Path, Report | None], object]] = {
    "numpy": _from_numpy,
    "pandas": _from_pandas,
    "pyarrow": _from_pyarrow,
    "polars": _from_polars,
    "duckdb": _from_engine,
    "_duckdb": _from_engine,
    "ibis": _from_engine,
}
"""The package of a value's type -> how such a value becomes something simpler; imported only when met."""
