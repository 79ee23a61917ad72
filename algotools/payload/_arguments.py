"""Encoding of a task's arguments: JSON with NaN and infinity, which the readers of all generations accept."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from algotools.errors import ResultTooLarge
from algotools.payload._plain import convert
from algotools.payload._types import ValueKind, find_kind, simplify
from algotools.payload.values import BadValue, Key, Path, check_arguments_size


def encode_arguments(arguments: object, method: str = "", depth: int = 0) -> bytes:
    """Encode the arguments that a master sends with a subtask, as JSON with Python's extensions.

    NaN and infinity are written as ``NaN`` and ``Infinity``, which the readers of all generations accept.

    Args:
        arguments: a mapping by argument's name, or a task's input that contains such a mapping.
        method: the function that the arguments are for.
        depth: the number of keys before an argument's name: 1 for a task's input.

    Raises:
        NotSerializable: a part of the arguments has no JSON form. The message names the argument and the function.
        ResultTooLarge: the JSON is above the limit.
    """
    try:
        data = _encode_json(convert(arguments, (), None))
    except BadValue as problem:
        raise problem.to_argument_error(method, depth) from None
    except ResultTooLarge:
        raise
    except ValueError:
        reason = "it contains an integer with too many digits for JSON"
    except RecursionError:
        reason = "it contains itself, or is nested too deeply for JSON"
    else:
        check_arguments_size(len(data), method)
        return data
    raise BadValue(_find_invalid_argument(arguments, depth), reason).to_argument_error(method, depth)


def has_arrays(value: object) -> bool:
    """Whether a value contains an array or a table, in lists, mappings or fields of classes."""
    pending: list[Any] = [value]
    encoded_by_id: dict[int, Any] = {}
    while pending:
        part = pending.pop()
        if id(part) in encoded_by_id:  # the value contains itself, which is reported when it is encoded
            continue
        encoded_by_id[id(part)] = part
        kind = find_kind(type(part))
        if kind in _ARRAYS:
            return True
        if kind is ValueKind.SEQUENCE:
            pending += () if set(map(type, part)) <= _SCALARS else part
        elif kind is ValueKind.MAPPING:
            pending += () if set(map(type, part.values())) <= _SCALARS else part.values()
        elif kind is ValueKind.OBJECT and type(part) not in _SCALARS:
            pending.append(simplify(part))
    return False


_ARRAYS = frozenset({ValueKind.NUMPY, ValueKind.MASKED, ValueKind.PANDAS, ValueKind.ARROW_TABLE, ValueKind.POLARS})
_SCALARS = frozenset({int, float, str, bool, type(None)})


def _encode_json(tree: object) -> bytes:
    """Encode texts, numbers, lists and dicts as JSON, with NaN and infinity."""
    if _is_finite(tree):
        with contextlib.suppress(UnicodeEncodeError):  # a lone surrogate, which only json can write
            data = msgspec.json.encode(tree)  # about ten times as fast for numbers
            if data.isascii():  # json escapes all other characters, so that any reader accepts them
                return data
    return json.dumps(tree, separators=(",", ":")).encode()


def _is_finite(tree: object) -> bool:
    """Whether no number in a tree is NaN or infinite. msgspec would write such a number as null."""
    pending = [tree]
    while pending:
        part = pending.pop()
        if isinstance(part, float):
            if not math.isfinite(part):
                return False
            continue
        items = list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else ()
        kinds = set(map(type, items))
        if kinds == {float}:
            if not all(map(math.isfinite, items)):
                return False
        elif not kinds <= _SCALARS - {float}:
            pending += items
    return True


def _find_invalid_argument(arguments: Any, depth: int) -> Path:
    """Return the path to the first argument that json refuses."""
    groups: list[tuple[Path, Any]] = [((), arguments)]
    for _ in range(depth):
        groups = [(step, group) for path, outer in groups for step, group in _list_parts(outer, path)]
    parts = (part for path, group in groups for part in _list_parts(group, path))
    return next((step for step, value in parts if not _is_valid_json(value)), ())


def _is_valid_json(value: object) -> bool:
    try:
        json.dumps(convert(value, (), None))
    except (ValueError, RecursionError):
        return False
    return True


def _list_parts(value: Any, path: Path) -> list[tuple[Path, Any]]:
    """Return the parts of a mapping or sequence with their paths; no parts for another value."""
    if isinstance(value, Mapping):
        return [((*path, Key(key, position)), part) for position, (key, part) in enumerate(value.items())]
    return (
        [((*path, position), part) for position, part in enumerate(value)] if isinstance(value, (list, tuple)) else []
    )
