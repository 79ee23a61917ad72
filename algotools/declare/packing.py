"""The sender's side of arrays and tables as arguments: they are encoded where the annotation declares them.

A caller that does not know the annotation sends lists instead, which a function with such an annotation accepts, too.
"""

from __future__ import annotations

import functools
import itertools
import typing
from collections.abc import Callable, Mapping
from typing import Any

from algotools.declare._arrays import encode_array, is_array_type, read_array_type
from algotools.declare._markers import can_contain
from algotools.declare._nested import list_members, read_fields
from algotools.errors import NotSerializable, ResultTooLarge


def pack_arguments(values: Mapping[str, Any], annotations: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return arguments with the arrays and tables encoded for which the annotation declares them.

    Raises:
        NotSerializable, ResultTooLarge: an array cannot be encoded. The message names the argument and the function.
    """
    packers = {name: functools.partial(_pack, annotation=a) for name, a in annotations.items() if can_contain(a, None)}
    return _pack_each(values, packers, method)


def find_array_classes(annotations: Mapping[str, Any]) -> dict[str, str]:
    """Return argument -> ``numpy.ndarray`` for annotations of an array or a table, also with ``| None``."""
    classes: dict[str, str] = {}
    for name, annotation in annotations.items():
        members = [member for member in list_members(annotation) if member is not type(None)]
        if len(members) == 1 and (array := read_array_type(members[0])) is not None:
            classes[name] = f"{array.library}.{array.cls.__name__}"
    return classes


def pack_arrays(values: Mapping[str, Any], classes: Mapping[str, str], method: str) -> dict[str, Any]:
    """Return arguments with arrays and tables encoded, if only the names of their classes are known.

    *classes* is the result of ``find_array_classes``. Arrays inside other arguments are unchanged.

    Raises:
        NotSerializable, ResultTooLarge: see ``pack_arguments``.
    """
    packers = {name: functools.partial(_pack_instance, class_name=class_name) for name, class_name in classes.items()}
    return _pack_each(values, packers, method)


def _pack_instance(value: Any, class_name: str) -> Any:
    names = {f"{cls.__module__.partition('.')[0]}.{cls.__name__}" for cls in type(value).__mro__}
    return encode_array(value) if class_name in names else value


def _pack_each(values: Mapping[str, Any], packers: Mapping[str, Callable[[Any], Any]], method: str) -> dict[str, Any]:
    packed = dict(values)
    for name, pack in packers.items():
        if name not in values:
            continue
        try:
            packed[name] = pack(values[name])
        except (NotSerializable, ResultTooLarge) as error:
            reason = error.message.removeprefix("the result ").removeprefix("result")
            text = f"the argument {name!r} of {method!r}{'' if reason.startswith((':', '[')) else ' '}{reason}"
            raise type(error)(text.replace("; return ", "; pass "), detail=error.detail) from None
    return packed


def _pack(value: Any, annotation: Any) -> Any:
    members = [member for member in list_members(annotation) if member is not type(None)]
    for bare in members:
        if not can_contain(bare, None):
            continue
        if is_array_type(bare):
            array = read_array_type(bare)
            return encode_array(value) if array is not None and isinstance(value, array.cls) else value
        fields = read_fields(bare)
        if fields is not None and isinstance(value, typing.get_origin(bare) or bare):
            parts = _read_attributes(value)
            packed = {key: _pack(parts[key], hint) for key, hint in fields.by_key.items() if key in parts}
            return list(packed.values()) if fields.is_array else packed
        if isinstance(value, Mapping) and (fields is None or len(members) == 1):
            hints = fields.by_key if fields else dict.fromkeys(value, typing.get_args(bare)[-1])
            return {key: _pack(part, hints[key]) if key in hints else part for key, part in value.items()}
        if isinstance(value, (list, tuple)) and fields is None:
            arguments = typing.get_args(bare)
            is_fixed = typing.get_origin(bare) is tuple and arguments[-1] is not ...
            hints_of_items = arguments if is_fixed else itertools.repeat(arguments[0], len(value))
            packed_items = [_pack(part, hint) for part, hint in zip(value, hints_of_items, strict=False)]
            return [*packed_items, *value[len(packed_items) :]]
    return value


def _read_attributes(value: Any) -> Mapping[str, Any]:
    """Return the fields of a dataclass, Struct, named tuple or attrs object; empty for any other value."""
    if isinstance(value, Mapping):
        return value
    cls: Any = type(value)
    names = getattr(cls, "__struct_fields__", None) or getattr(cls, "__dataclass_fields__", None)
    if names is None and isinstance(value, tuple):
        names = getattr(cls, "_fields", None)
    if names is None:
        names = [attribute.name for attribute in getattr(cls, "__attrs_attrs__", ())]
    return {name: getattr(value, name) for name in names}
