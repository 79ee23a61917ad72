"""The text of a node variable -> the value of a declared type."""

from __future__ import annotations

import decimal
import enum
import itertools
import json
import math
import re
import types
import typing
from collections import abc
from collections.abc import Iterator
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union

import msgspec

from algotools.declare._bounds import unwrap_alias
from algotools.declare._conversion import convert_argument
from algotools.declare._markers import list_parts
from algotools.declare._nested import list_members, unwrap
from algotools.declare.annotations import format_annotation

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

_LISTS = (
    list, tuple, set, frozenset, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Set, abc.MutableSet
)  # fmt: skip


def convert_text(text: str, annotation: Any) -> tuple[Any, list[str]]:
    """Return the value of a node variable, and the faults of its text, which do not contain the text.

    The texts are: ``10``, ``0.5``, ``true`` (also ``yes``, ``on``, ``1``), the values of a Literal or an enum, an ISO
    date, a path. A list is ``a, b`` or JSON. An empty text is None if the type allows None, otherwise an empty list.
    """
    faults: list[str] = []
    for value in _read_values(text, annotation):
        converted, faults = convert_argument(value, replace_paths(annotation))
        if not faults:
            return _restore_paths(converted, annotation), []
    return None, faults or [f"expected {format_annotation(annotation)}"]


def _read_values(text: str, annotation: Any) -> Iterator[Any]:
    """Yield the JSON values that a text can mean, the first meaning of the annotation first."""
    choices = list_choices(annotation)
    if not text.strip() and type(None) in map(unwrap, list_members(annotation)):
        yield None
    for choice in sorted(choices, key=lambda kind: kind is str):  # each text is a str
        if is_list(choice):
            yield from _read_list(text.strip(), choice)
        else:
            yield from _read_scalars(text, choice)


def _read_scalars(text: str, bare: Any) -> Iterator[Any]:
    stripped = text.strip()
    if typing.get_origin(bare) is Literal:
        values = [value.value if isinstance(value, enum.Enum) else value for value in typing.get_args(bare)]
        yield from (value for value in values if _means(stripped, value))
    elif issubclass(bare, enum.Enum):
        yield from (member.value for member in bare if _means(stripped, member.value))
    elif issubclass(bare, bool):
        yield from (value for word, value in _BOOLEANS.items() if stripped.lower() == word)
    elif issubclass(bare, int):
        yield from (int(number) for number in [stripped] if _INTEGER.fullmatch(number))
    elif issubclass(bare, float):
        yield from (number for text in [stripped] if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)))
    elif issubclass(bare, decimal.Decimal):
        yield from (number for number in [stripped] if _NUMBER.fullmatch(number))
    elif issubclass(bare, str):
        yield text
    elif stripped:
        yield stripped


def _means(text: str, value: object) -> bool:
    """Return whether a text is a value of a Literal or an enum."""
    if isinstance(value, bool):
        return _BOOLEANS.get(text.lower()) is value
    return text == ("" if value is None else str(value))


def _read_list(text: str, bare: Any) -> Iterator[Any]:
    """Yield the items of a list: JSON, or texts between commas."""
    items = typing.get_args(bare)
    is_tuple = issubclass(typing.get_origin(bare) or bare, tuple)
    has_fixed_length = is_tuple and bool(items) and items[-1] is not ...
    if text.startswith("["):
        try:
            values = json.loads(text, parse_float=_parse_float, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return
        # A Decimal would accept the texts "NaN", "1_000" and digits of other scripts.
        hints = items if has_fixed_length else itertools.repeat(items[0] if items else str, len(values))
        texts = [value for value, hint in zip(values, hints, strict=False) if _is_decimal(hint)]
        if all(_NUMBER.fullmatch(text) for text in texts if isinstance(text, str)):
            yield values
        return
    texts = [item.strip() for item in text.split(",")] if text else []
    if has_fixed_length and len(texts) != len(items):
        return
    values = []
    for position, item in enumerate(texts):
        annotation = (items[position] if has_fixed_length else items[0]) if items else str
        candidates = list(_read_values(item, annotation))
        if not candidates:
            return
        fitting = (value for value in candidates if not convert_argument(value, replace_paths(annotation))[1])
        values.append(next(fitting, candidates[0]))
    yield values


def _is_decimal(annotation: Any) -> bool:
    """Return whether the only texts of an annotation are those of a Decimal."""
    texts = [
        choice for choice in list_choices(annotation) if isinstance(choice, type) and choice not in (bool, int, float)
    ]
    return bool(texts) and all(issubclass(choice, decimal.Decimal) for choice in texts)


def _parse_float(text: str) -> float:
    """Return a number of a JSON list.

    Raises:
        ValueError: the number is too large, so it would become infinity.
    """
    if not math.isfinite(number := float(text)):
        raise ValueError
    return number


def _refuse_constant(text: str) -> float:
    """Refuse NaN and infinity in a JSON list, as outside of a list."""
    raise ValueError(text)


def list_choices(annotation: Any) -> list[Any]:
    """Return the members of a union that are not None; otherwise the type itself."""
    return [member for member in map(unwrap, list_members(annotation)) if member is not type(None)]


def is_list(bare: Any) -> bool:
    return (typing.get_origin(bare) or bare) in _LISTS


def replace_paths(annotation: Any) -> Any:
    """Return an annotation with texts of the format ``path`` instead of paths, which msgspec does not know."""
    annotation = unwrap_alias(annotation)
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return Annotated[str, msgspec.Meta(extra_json_schema={"format": "path"})]
    if origin is None or origin is Literal:
        return annotation
    if origin is Annotated:
        items = (replace_paths(inner[0]), *annotation.__metadata__)
        return Annotated[items]
    parts = tuple(part if part is ... else replace_paths(part) for part in inner)
    if origin in (Union, types.UnionType):
        return Union[parts]
    return origin[parts]


def _restore_paths(value: Any, annotation: Any) -> Any:
    """Return a converted value with paths where the annotation has them."""
    if isinstance(value, str):
        # A union of a path and a text is a path: a text would be one of both.
        classes = [m for m in list_choices(annotation) if isinstance(m, type) and issubclass(m, PurePath)]
        return classes[0](value) if classes else value
    if not isinstance(value, (list, tuple, set, frozenset)):
        return value
    items = next((typing.get_args(m) for m in list_choices(annotation) if is_list(m)), ())
    if not items or not any(_has_path(item) for item in items):
        return value
    has_fixed_length = isinstance(value, tuple) and items[-1] is not ...
    return type(value)(
        _restore_paths(item, items[position] if has_fixed_length else items[0]) for position, item in enumerate(value)
    )


def _has_path(annotation: Any) -> bool:
    return any(isinstance(part, type) and issubclass(part, PurePath) for part, _ in list_parts(annotation))
