"""The parts of an argument: fields of classes, items of lists and dicts.

Msgspec drops the unknown keys of a dataclass, TypedDict or Struct. A misspelled key would then mean the default, so
unknown keys are found here, in the JSON value. The walk has its own stack, because a value may be nested deeply.
"""

from __future__ import annotations

import contextlib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union

from algotools.declare._arrays import is_array_type
from algotools.declare._bounds import (
    BoundsRefused,
    check_meta,
    is_foreign,
    is_pydantic_type,
    translate_bounds,
    unwrap_alias,
)

_QUALIFIERS = ("Required", "NotRequired", "ReadOnly", "Final")
"""Qualifiers of fields, compared by name because ``typing`` and ``typing_extensions`` define separate objects."""


_COMPOUND = (dict, list, tuple, Mapping)
"""The types of values that have parts; the abstract class last, because it is slow."""


class Part(NamedTuple):
    """A part of a value: the JSON value, its annotation, and its location, for instance ``[3].low``."""

    value: Any
    annotation: Any
    location: str = ""


class Fields(NamedTuple):
    """The fields of a class: the key or position in JSON -> the annotation."""

    name: str
    by_key: Mapping[str, Any]
    bounded: Mapping[str, Any]
    """The fields whose bounds msgspec does not know -> the annotation with bounds that msgspec knows."""
    is_array: bool
    has_fixed_length: bool
    tag_field: str | None
    tag: object


def read_fields(annotation: Any) -> Fields | None:
    """Return the fields of a dataclass, TypedDict, NamedTuple, Struct or attrs class; None for any other type."""
    cls = typing.get_origin(annotation) or annotation
    if not isinstance(cls, type):
        return None
    is_array, has_fixed_length, tag_field, tag = False, False, None, None
    if hasattr(cls, "__struct_fields__"):
        keys = dict(zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True))  # type: ignore[attr-defined]
        config = cls.__struct_config__  # type: ignore[attr-defined]
        is_array, tag_field, tag = config.array_like, config.tag_field, config.tag
    elif hasattr(cls, "__dataclass_fields__"):
        from dataclasses import fields

        keys = {field.name: field.name for field in fields(cls)}
    elif hasattr(cls, "__attrs_attrs__"):
        keys = {attribute.name: attribute.name for attribute in cls.__attrs_attrs__}
    elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
        keys, is_array, has_fixed_length = dict(zip(cls._fields, cls._fields, strict=True)), True, True
    elif hasattr(cls, "__required_keys__"):
        keys = {name: name for name in typing.get_type_hints(cls)}
    else:
        return None
    hints = typing.get_type_hints(cls, include_extras=True)
    variables: dict[Any, Any] = {}
    _bind_variables(cls, typing.get_args(annotation), variables)
    by_key = {key: _substitute(hints.get(name, Any), variables) for name, key in keys.items()}
    bounded = {}
    for key, hint in by_key.items():
        with contextlib.suppress(BoundsRefused):  # `check_bounds` reports it
            if (translated := translate_bounds(hint)) is not hint:
                bounded[key] = translated
    return Fields(cls.__name__, by_key, bounded, is_array, has_fixed_length, tag_field, tag)


def _bind_variables(cls: Any, arguments: tuple[Any, ...], variables: dict[Any, Any]) -> None:
    """Collect the types of the type variables of a generic class and its base classes."""
    variables.update(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    for base in getattr(cls, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if origin is not None and getattr(origin, "__module__", "typing") != "typing":
            _bind_variables(origin, tuple(_substitute(a, variables) for a in typing.get_args(base)), variables)


def _substitute(hint: Any, variables: Mapping[Any, Any]) -> Any:
    if isinstance(hint, typing.TypeVar):
        return variables.get(hint, hint.__bound__ or Any)
    parameters = getattr(hint, "__parameters__", ()) if typing.get_origin(hint) else ()
    return hint[tuple(variables.get(p, Any) for p in parameters)] if parameters else hint


def unwrap(annotation: Any) -> Any:
    """Return a type without metadata, qualifiers and aliases."""
    while True:
        annotation = unwrap_alias(annotation)
        origin = typing.get_origin(annotation)
        if origin is not Annotated and getattr(origin, "_name", "") not in _QUALIFIERS:
            return annotation
        annotation = typing.get_args(annotation)[0]


def list_members(annotation: Any) -> list[Any]:
    """Return the members of a union, without metadata; otherwise the type itself."""
    bare = unwrap(annotation)
    if typing.get_origin(bare) not in (Union, types.UnionType):
        return [bare]
    return [inner for member in typing.get_args(bare) for inner in list_members(member)]


class Walk:
    """Walks through values; caches the fields of the classes."""

    def __init__(self) -> None:
        self._fields: dict[Any, Fields | None] = {}
        self._has_classes: dict[Any, bool] = {}
        self._members: dict[Any, list[Any]] = {}

    def fields_of(self, annotation: Any) -> Fields | None:
        """Return ``read_fields(annotation)``."""
        try:
            if annotation not in self._fields:
                self._fields[annotation] = read_fields(annotation)
            return self._fields[annotation]
        except TypeError:  # metadata inside the annotation is not hashable
            return read_fields(annotation)

    def has_classes(self, annotation: Any) -> bool:
        """Whether an annotation contains a class with fields, so that its values need a check."""
        try:
            if annotation not in self._has_classes:
                self._has_classes[annotation] = _has_classes(annotation)
            return self._has_classes[annotation]
        except TypeError:
            return _has_classes(annotation)

    def find_classes(self, annotation: Any) -> list[Any]:
        """Return the classes with fields in an annotation, and in their fields."""
        pending, classes = [annotation], []
        while pending:
            bare = unwrap(pending.pop())
            fields = self.fields_of(bare)
            if typing.get_origin(bare) is Literal or bare in classes:
                continue
            if fields:
                classes.append(bare)
                pending += fields.by_key.values()
            pending += typing.get_args(bare)
        return classes

    def select(self, value: Any, annotation: Any) -> Any:
        """Return the member of a union that a list or an object belongs to. Msgspec permits one without a tag each."""
        try:
            members = self._members[annotation]
        except (KeyError, TypeError):
            members = [m for m in list_members(annotation) if m is not type(None)]
            with contextlib.suppress(TypeError):  # metadata inside the annotation is not hashable
                self._members[annotation] = members
        if len(members) == 1:
            return members[0]
        fitting = []
        for member in members:
            fields = self.fields_of(member)
            origin = typing.get_origin(member) or member
            is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
            is_object = not fields.is_array if fields else is_mapping
            if isinstance(value, Mapping) != is_object or origin in (str, bytes, Any) or not isinstance(origin, type):
                continue
            if fields and fields.tag_field is not None:
                tag = value[:1] == [fields.tag] if fields.is_array else value.get(fields.tag_field) == fields.tag
                if not tag:
                    continue
            if fields or is_mapping or typing.get_args(member):
                fitting.append(member)
        return fitting[0] if len(fitting) == 1 else None

    def list_parts(self, part: Part) -> list[Part]:
        """Return the items of a list, the values of an object or the fields of a class."""
        value, location = part.value, part.location
        if not isinstance(value, _COMPOUND):
            return []
        bare = self.select(value, part.annotation)
        fields, arguments = self.fields_of(bare), typing.get_args(bare)
        if fields and fields.is_array and not isinstance(value, Mapping):
            items = value[1:] if fields.tag_field is not None else value
            return [
                Part(item, hint, f"{location}.{key}")
                for item, (key, hint) in zip(items, fields.by_key.items(), strict=False)
            ]
        if fields and not fields.is_array and isinstance(value, Mapping):
            return [Part(value[key], hint, f"{location}.{key}") for key, hint in fields.by_key.items() if key in value]
        if fields or not arguments or typing.get_origin(bare) is Literal or is_array_type(bare):
            return []
        if isinstance(value, Mapping):
            return (
                [Part(item, arguments[1], f"{location}[...]") for item in value.values()] if len(arguments) == 2 else []
            )
        if typing.get_origin(bare) is tuple and arguments[-1] is not ...:
            return [
                Part(item, hint, f"{location}[{position}]")
                for position, (item, hint) in enumerate(zip(value, arguments, strict=False))
            ]
        return _number_items(part, value, arguments[0])

    def _find_item_type(self, part: Part) -> Any:
        """Return the annotation of all items of a list; None for any other value."""
        bare = self.select(part.value, part.annotation) if isinstance(part.value, list) else None
        arguments = typing.get_args(bare)
        is_list = arguments and not (typing.get_origin(bare) is tuple and arguments[-1] is not ...)
        return arguments[0] if is_list and not self.fields_of(bare) and not is_array_type(bare) else None

    def _list_flat_suspects(self, part: Part) -> list[Part] | None:
        """Return the items of a list that are not objects with known keys; None if the items' fields need a check."""
        item_type = self._find_item_type(part)
        fields = None if item_type is None else self.fields_of(unwrap(item_type))
        if not fields or fields.is_array or fields.bounded or any(map(self.has_classes, fields.by_key.values())):
            return None
        field_names = fields.by_key.keys()
        return _number_items(
            part, part.value, item_type, lambda item: type(item) is dict and item.keys() <= field_names
        )

    def find_problems(self, value: Any, annotation: Any, check: Callable[[Part], str]) -> Iterator[str]:
        """Yield a message for each object with unknown keys, and the result of ``check`` for each field with bounds.

        ``check`` returns the fault of a part whose annotation contains the bounds; empty without a fault.
        """
        stack = [Part(value, annotation)] if self.has_classes(annotation) else []
        while stack:
            part = stack.pop()
            if not isinstance(part.value, _COMPOUND):
                continue
            if (suspects := self._list_flat_suspects(part)) is not None:
                stack += reversed(suspects)
                continue
            fields = self.fields_of(self.select(part.value, part.annotation))
            if fields and (reason := _describe_unknown(part.value, fields)):
                yield f"{reason} at {part.location}" if part.location else reason
            parts = self.list_parts(part)
            for inner in parts if fields and fields.bounded else ():
                key = inner.location.removeprefix(part.location + ".")
                bounded = fields.bounded.get(key) if fields else None
                if bounded is not None and (reason := check(inner._replace(annotation=bounded))):
                    yield reason
            stack += [inner for inner in reversed(parts) if self.has_classes(inner.annotation)]

    def find_failure(self, value: Any, annotation: Any, fits: Callable[[Any, Any], bool]) -> Part:
        """Return the innermost part of a value that does not fit its annotation."""
        part = Part(value, annotation)
        while True:
            inner = next((p for p in self._list_suspects(part, fits) if not fits(p.value, p.annotation)), None)
            if inner is None:
                return part
            part = inner

    def _list_suspects(self, part: Part, fits: Callable[[Any, Any], bool]) -> Iterable[Part]:
        """Return the parts of a value; of a long list only the items of the first block that does not fit."""
        item_type = self._find_item_type(part)
        if item_type is None:
            return self.list_parts(part)
        block_type = types.GenericAlias(list, (item_type,))
        for start in range(0, len(part.value), _BLOCK):
            block = part.value[start : start + _BLOCK]
            if not fits(block, block_type):
                return _number_items(part, block, item_type, start=start)
        return []


_BLOCK = 4096
"""Items of a list that msgspec checks at once."""


def _number_items(
    part: Part, items: Iterable[Any], annotation: Any, skip: Callable[[Any], bool] | None = None, *, start: int = 0
) -> list[Part]:
    return [
        Part(item, annotation, f"{part.location}[{position}]")
        for position, item in enumerate(items, start)
        if skip is None or not skip(item)
    ]


def _has_classes(annotation: Any, visited: tuple[object, ...] = ()) -> bool:
    if any(annotation is alias for alias in visited):
        return False
    bare = unwrap(annotation)
    if typing.get_origin(bare) is Literal:
        return False
    return read_fields(bare) is not None or any(_has_classes(a, (*visited, annotation)) for a in typing.get_args(bare))


def _describe_unknown(value: Any, fields: Fields) -> str:
    if isinstance(value, dict) and value.keys() <= fields.by_key.keys():
        return ""
    field_names = ", ".join(fields.by_key) or "no fields"
    if fields.is_array:
        if fields.has_fixed_length or isinstance(value, Mapping):  # msgspec reports it
            return ""
        excess = len(value) - len(fields.by_key) - (fields.tag_field is not None)
        return f"{excess} more values than {fields.name} has fields ({field_names})" if excess > 0 else ""
    if not isinstance(value, Mapping):
        return ""
    unknown = [key for key in value if key not in fields.by_key and key != fields.tag_field]
    # A key of another form, for instance with blanks or digits only, may be a value of the data.
    identifiers = [key for key in unknown if isinstance(key, str) and key.isidentifier() and len(key) <= 60]
    if len(unknown) > len(identifiers):
        identifiers.append(f"{len(unknown) - len(identifiers)} with a name that is not an identifier")
    return f"unknown field {', '.join(identifiers)} ({fields.name} has {field_names})" if unknown else ""


def check_bounds(annotation: Any, default: object) -> None:
    """Refuse the types of pydantic, and arguments or fields whose bounds cannot be checked.

    Raises:
        BoundsRefused: the message names the class and the field.
    """
    if is_foreign(default):
        raise _refuse_default(default)
    pending: list[tuple[Any, str]] = [(annotation, "")]
    visited: list[Any] = []
    while pending:
        hint, location = pending.pop()
        if any(hint is visited_hint for visited_hint in visited):
            continue
        visited.append(hint)
        try:
            hint = translate_bounds(hint)
            check_meta(hint)
        except BoundsRefused as refused:
            raise BoundsRefused(f"{location}{refused}") from None
        bare = unwrap(hint)
        cls = typing.get_origin(bare) or bare
        if is_pydantic_type(cls):
            raise BoundsRefused(f"{location}{_advise(cls)}")
        if cls is Literal or is_array_type(bare):
            continue
        pending += [(argument, location) for argument in typing.get_args(bare)]
        if (fields := read_fields(bare)) is not None:
            for name, field_default in _list_defaults(cls).items():
                if is_foreign(field_default):
                    raise _refuse_default(field_default, f"field {name} of {fields.name}: ")
            pending += [(inner, f"field {key} of {fields.name}: ") for key, inner in fields.by_key.items()]


def _refuse_default(default: object, location: str = "") -> BoundsRefused:
    way_out = "write the bounds in the annotation: Annotated[int, msgspec.Meta(ge=0)]"
    return BoundsRefused(f"{location}{type(default).__name__} as a default is not checked; {way_out}")


def _advise(cls: Any) -> str:
    if hasattr(cls, "model_validate") or hasattr(cls, "parse_obj"):
        call = "model_validate" if hasattr(cls, "model_validate") else "parse_obj"
        way_out = f"declare dict[str, Any] and call {cls.__name__}.{call} in the function, or write a dataclass"
    else:
        way_out = "use a dataclass or a type of the standard library"
    return f"{cls.__name__} is a type of pydantic, which is not supported as an argument; {way_out}"


def _list_defaults(cls: Any) -> dict[str, Any]:
    if hasattr(cls, "__struct_fields__"):
        defaults = cls.__struct_defaults__
        return dict(zip(cls.__struct_fields__[len(cls.__struct_fields__) - len(defaults) :], defaults, strict=True))
    if hasattr(cls, "__dataclass_fields__"):
        return {name: field.default for name, field in cls.__dataclass_fields__.items()}
    return dict(getattr(cls, "_field_defaults", {}))
