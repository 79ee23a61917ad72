"""Bounds of arguments that are written for pydantic or annotated-types, as bounds that msgspec checks.

Msgspec ignores metadata that it does not know: ``Annotated[int, annotated_types.Ge(0)]`` would accept -1. So such
metadata becomes a ``msgspec.Meta``, or the declaration is refused. Neither package is imported: an image may have none.
"""

from __future__ import annotations

import functools
import operator
import re
import types
import typing
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal, Union, cast

import msgspec

_PACKAGES = ("annotated_types", "pydantic", "pydantic_core", "beartype")
"""Packages whose metadata limits values."""

_NOTES = frozenset({"Unit", "DocInfo", "WithJsonSchema", "Examples"})
"""Classes of these packages that describe a value without limiting it."""

_FIELD_OPTIONS = ("default_factory", "alias", "validation_alias", "discriminator")
"""Options of ``pydantic.Field`` that change how a value is read."""

_META = {"gt": "gt", "ge": "ge", "lt": "lt", "le": "le", "multiple_of": "multiple_of", "pattern": "pattern"}
_META |= {"min_length": "min_length", "max_length": "max_length", "min_inclusive": "min_length"}
_META |= {"max_inclusive": "max_length"}
"""Attribute of metadata -> option of ``msgspec.Meta``."""


class BoundsRefused(Exception):
    """Metadata of an annotation cannot be checked; the text is the reason and the fix."""


def is_foreign(value: object) -> bool:
    """Whether a value is metadata of a package whose validation algotools does not run."""
    if typing.get_origin(value) is Annotated:  # for instance `annotated_types.IsFinite`
        return any(map(is_foreign, typing.get_args(value)[1:]))
    cls = value if isinstance(value, type) else type(value)
    return any(base.__module__.partition(".")[0] in _PACKAGES for base in cls.__mro__)


def is_pydantic_type(cls: object) -> bool:
    """Whether a class is a model, a dataclass or another type of pydantic."""
    return isinstance(cls, type) and (
        hasattr(cls, "__pydantic_validator__") or any(b.__module__.partition(".")[0] == "pydantic" for b in cls.__mro__)
    )


def unwrap_alias(annotation: Any) -> Any:
    """Return the type behind ``NewType`` and ``type X = …``; any other annotation unchanged."""
    while True:
        if hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif type(origin := typing.get_origin(annotation)).__name__ == "TypeAliasType":
            annotation = origin.__value__[typing.get_args(annotation)]
        else:
            return annotation


def translate_bounds(annotation: Any, visited: tuple[object, ...] = ()) -> Any:
    """Return an annotation with ``msgspec.Meta`` instead of the bounds of other packages; unchanged without any.

    The fields of classes are unchanged.

    Raises:
        BoundsRefused: a bound has no equivalent.
    """
    if any(annotation is alias for alias in visited):  # a recursive alias
        return annotation
    target = unwrap_alias(annotation)
    if target is not annotation:
        translated = translate_bounds(target, (*visited, annotation))
        return annotation if translated is target else translated
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _translate_annotated(annotation, arguments[0], arguments[1:], visited)
    if origin in (None, Literal) or not arguments or isinstance(arguments[0], list):
        return annotation
    translated = tuple(translate_bounds(argument, visited) for argument in arguments)
    if all(new is old for new, old in zip(translated, arguments, strict=True)):
        return annotation
    return Union[translated] if origin is types.UnionType else origin[translated]


def _annotate(annotation: Any, *metadata: object) -> Any:
    # mypy takes a tuple with a star in brackets for syntax of Python 3.11.
    return operator.getitem(cast("Any", Annotated), (annotation, *metadata))


def _translate_annotated(annotation: Any, bare: Any, metadata: tuple[Any, ...], visited: tuple[object, ...]) -> Any:
    inner = translate_bounds(bare, visited)
    foreign = [item for item in metadata if is_foreign(item)]
    if not foreign:
        return annotation if inner is bare else _annotate(inner, *metadata)
    options = _merge(option for item in foreign for option in _read_options(item))
    own_metadata = [item for item in metadata if not is_foreign(item)]
    if not options:
        return _annotate(inner, *own_metadata) if own_metadata else inner
    try:
        meta = msgspec.Meta(**options)
    except (TypeError, ValueError):  # for instance a date
        raise BoundsRefused(f"the bound {', '.join(options)} is not a number; {_WAY_OUT}") from None
    if typing.get_origin(inner) not in (Union, types.UnionType):
        return _annotate(inner, *own_metadata, meta)
    # The bounds of `int | None` are those of `int`, as for pydantic.
    members = (m if m is type(None) else Annotated[(m, meta)] for m in typing.get_args(inner))
    bounded: Any = functools.reduce(operator.or_, members)
    return _annotate(bounded, *own_metadata) if own_metadata else bounded


def _read_options(item: Any) -> Iterator[tuple[str, Any]]:
    """Yield the options of ``msgspec.Meta`` that metadata stands for.

    Raises:
        BoundsRefused: a part of the metadata has no equivalent.
    """
    if typing.get_origin(item) is Annotated:
        for part in typing.get_args(item)[1:]:
            yield from _read_options(part)
        return
    name = item.__name__ if isinstance(item, type) else type(item).__name__
    if name in _NOTES:
        return
    if isinstance(item, type):
        raise _make_refusal(name)
    if name == "Timezone" and item.tz in (None, ...):
        yield "tz", item.tz is ...
    elif any(base.__name__ == "FieldInfo" for base in type(item).__mro__) and hasattr(item, "metadata"):
        options = [option for option in _FIELD_OPTIONS if getattr(item, option, None) is not None]
        default = getattr(item, "default", ...)
        if default is not ... and type(default).__name__ != "PydanticUndefinedType":
            options.append("default")
        if options:
            raise _make_refusal(f"Field with {', '.join(options)}")
        for part in item.metadata:
            yield from _read_options(part)
    elif name == "Strict":
        if not item.strict:
            raise _make_refusal("Strict(False)")
    elif name in ("Predicate", "Not") or not (hasattr(item, "__dict__") or hasattr(item, "__dataclass_fields__")):
        raise _make_refusal(name)
    elif hasattr(type(item), "__iter__"):  # a group, for instance `Interval` or `StringConstraints`
        for part in item:
            yield from _read_options(part)
    else:
        yield from _read_attributes(name, item)


def _read_attributes(name: str, item: Any) -> Iterator[tuple[str, Any]]:
    fields = getattr(item, "__dataclass_fields__", None)
    attributes = {field: getattr(item, field) for field in fields} if fields else dict(vars(item))
    if not attributes:
        raise _make_refusal(name)
    for attribute, value in attributes.items():
        if attribute == "strict" and value in (None, True):
            continue
        if attribute not in _META:
            if value is None or value is (attribute == "allow_inf_nan"):
                continue
            raise _make_refusal(attribute if name.startswith("_") else name)
        if value is None or (attribute in ("min_length", "min_inclusive") and value == 0):
            continue
        if attribute == "pattern":
            if isinstance(value, re.Pattern) and value.flags != re.compile(value.pattern).flags:
                raise _make_refusal("a pattern with flags")
            yield "pattern", getattr(value, "pattern", value)
            continue
        number = value.item() if hasattr(value, "item") else value  # a number of numpy
        is_whole = isinstance(number, float) and number.is_integer()
        yield _META[attribute], int(number) if is_whole else number  # msgspec compares integers only with integers


def _merge(options: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the options of one ``msgspec.Meta``; of several lower or upper bounds, the tightest.

    Raises:
        BoundsRefused: two options contradict each other.
    """
    merged: dict[str, Any] = {}
    for name, value in options:
        strict_name, other_name = name.replace("e", "t"), name.replace("t", "e")
        if name in ("gt", "ge", "lt", "le"):
            bounds = {key: merged.pop(key) for key in (strict_name, other_name) if key in merged}
            bounds[name] = _select_tightest(name[0], [value, bounds[name]]) if name in bounds else value
            limit = _select_tightest(name[0], list(bounds.values()))
            merged[strict_name if bounds.get(strict_name) == limit else other_name] = limit
        elif name in ("min_length", "max_length"):
            merged[name] = _select_tightest("g" if name == "min_length" else "l", [value, merged.get(name, value)])
        elif merged.setdefault(name, value) != value:
            raise BoundsRefused(f"{name} is given twice; write one of them")
    return merged


def _select_tightest(direction: str, values: list[Any]) -> Any:
    return max(values) if direction == "g" else min(values)


def check_meta(annotation: Any) -> None:
    """Refuse bounds of ``msgspec.Meta`` that msgspec compares with another value than the function gets.

    Raises:
        BoundsRefused: the text is the reason and the fix.
    """
    if typing.get_origin(annotation) is not Annotated:
        return
    bare, *metadata = typing.get_args(annotation)
    cls = typing.get_origin(bare) or bare
    for meta in metadata:
        if not isinstance(meta, msgspec.Meta):
            continue
        # Msgspec counts the items of the JSON list, in which an item can be repeated.
        if isinstance(cls, type) and issubclass(cls, AbstractSet) and (meta.min_length or 0) > 1:
            raise BoundsRefused("a set of at least 2 items cannot be checked when a task is received; use a list")
        # 0.3 is not a multiple of 0.1 in binary numbers. Steps such as 0.5 and 0.125 are exact.
        if isinstance(meta.multiple_of, float) and meta.multiple_of.as_integer_ratio()[1] > _LARGEST_DENOMINATOR:
            raise BoundsRefused(
                f"multiple_of={meta.multiple_of} is not exact in binary numbers; pass the number of steps as an int"
            )


_LARGEST_DENOMINATOR = 2**20
"""The largest denominator of a step that is exact in binary numbers; the one of 0.1 is 2**55."""


def explain_bounds(error: Exception) -> str:
    """Return the reason for which msgspec refuses the bounds of a type; empty if it refuses the type itself."""
    text = str(error).partition(" - type ")[0].partition(", type ")[0].replace("`", "")
    if text.startswith(("Can only set", "Cannot set", "Multiple Meta")):
        return f"{text[0].lower()}{text[1:]}; put the bounds on the number or text itself: Annotated[int, …] | None"
    if text.startswith("Integer bounds"):
        return "a bound of an integer must be less than 2**63"
    if "cannot be interpreted as an integer" in text:
        return "a bound of an integer must be an integer"
    return ""


def _make_refusal(name: str) -> BoundsRefused:
    return BoundsRefused(f"{name} cannot be checked when a task is received; {_WAY_OUT}")


_WAY_OUT = (
    "use msgspec.Meta (ge, gt, le, lt, multiple_of, pattern, min_length, max_length), "
    "or check the value in the function"
)
