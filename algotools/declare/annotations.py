"""Annotations of parameters: columns, organizations, injected classes, and the conversion of JSON values."""

from __future__ import annotations

import contextlib
import enum
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union

import msgspec

from algotools.data import find_form
from algotools.data.kinds import ColumnKind
from algotools.declare._arrays import ArrayRefused, read_array_type, restore_array
from algotools.task import RunInfo

KIND_KEY = "column_kind"
"""The key of a column's kind in JSON Schema, beside ``"format": "column"``."""


class Marker(msgspec.Struct, frozen=True):
    """Metadata of an annotation: the value is a column's name, an organization's id, or an argument."""

    meaning: Literal["column", "organization", "argument"]
    kind: ColumnKind | None = None
    """The kind of a column; None for any column."""

    def covers(self, marker: Marker | None) -> bool:
        """Whether a marker has this meaning, and this kind if the kind is not None."""
        return marker is not None and marker.meaning == self.meaning and self.kind in (None, marker.kind)


COLUMN = Marker("column")
"""Any column; covers the columns of each kind."""
NUMERIC_COLUMN = Marker("column", "numeric")
CATEGORY_COLUMN = Marker("column", "category")
ORGANIZATION = Marker("organization")
ARGUMENT = Marker("argument")

Column: TypeAlias = Annotated[str, COLUMN, msgspec.Meta(extra_json_schema={"format": "column"})]
"""The name of a column of the injected data. Only columns that are named by such arguments are read."""

NumericColumn: TypeAlias = Annotated[
    str, NUMERIC_COLUMN, msgspec.Meta(extra_json_schema={"format": "column", KIND_KEY: "numeric"})
]
"""The name of a column of numbers. A node refuses a column of another kind before it calls the function."""

CategoryColumn: TypeAlias = Annotated[
    str, CATEGORY_COLUMN, msgspec.Meta(extra_json_schema={"format": "column", KIND_KEY: "category"})
]
"""The name of a column of categories: texts, booleans or whole numbers. A node refuses a column of another kind."""

Organization: TypeAlias = Annotated[int, ORGANIZATION, msgspec.Meta(extra_json_schema={"format": "organization"})]
"""The id of an organization of the collaboration. In a master, unknown ids are refused before the function runs."""


_Value = TypeVar("_Value")

Argument: TypeAlias = Annotated[_Value, ARGUMENT]
"""A table that the task sends: ``Argument[pd.DataFrame]``. Without it, a DataFrame is the data of the node."""


class Columns(msgspec.Struct, frozen=True):
    """The columns to read in addition to those that arguments name: ``Annotated[DataFrame, Columns.of("sex")]``.

    ``Columns.all()`` reads every column.
    """

    names: tuple[str, ...] | None

    @classmethod
    def of(cls, *names: str) -> Columns:
        """Read these columns in addition to those that arguments name."""
        return cls(names)

    @classmethod
    def all(cls) -> Columns:
        """Read every column."""
        return cls(None)

    def select(self, arguments: Sequence[str]) -> frozenset[str] | None:
        """Return the columns to read, with those that arguments name; None for all columns."""
        if self.names is None or not (arguments or self.names):
            return None
        return frozenset((*arguments, *self.names))


Kind = Literal["argument", "client", "run_info", "data", "total", "variable"]

INJECTED: dict[type, Kind] = {RunInfo: "run_info"}
"""Class -> the kind of a parameter that is annotated with the class."""


class Injected:
    """Base class of the classes that the runtime injects: ``class AlgorithmClient(Injected, kind="client")``.

    This package resolves signatures, but does not import the runtime. Therefore each class registers itself. A subclass
    without a kind, for instance a test double, is not injected.
    """

    def __init_subclass__(cls, *, kind: Kind | None = None) -> None:
        super().__init_subclass__()
        if kind is not None:
            INJECTED[cls] = kind


def format_annotation(annotation: object) -> str:
    """Format an annotation as an author would write it: ``list[Column]``, ``int | None``."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        marker, inner = get_marker(annotation), format_annotation(arguments[0])
        if marker is None:
            return inner
        words = (marker.kind or "", marker.meaning)
        return f"Argument[{inner}]" if marker is ARGUMENT else "".join(word.capitalize() for word in words)
    with contextlib.suppress(ArrayRefused):
        if array := read_array_type(annotation):
            return array.format()
    if origin in (Union, types.UnionType):
        return " | ".join(map(format_annotation, arguments))
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " | ".join(repr(member.value) for member in annotation)
    if origin is not None and arguments:
        inner = ", ".join("..." if a is ... else format_annotation(a) for a in arguments)
        return f"{format_annotation(origin)}[{inner}]"
    return "None" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def resolve_hints(function: Callable[..., object]) -> dict[str, Any]:
    """Return the resolved annotations of a function."""
    # The object has no defaults, because Python 3.10 would turn ``x: int = None`` into ``Optional[int]``.
    bare = types.SimpleNamespace(
        __annotations__=function.__annotations__, __globals__=getattr(inspect.unwrap(function), "__globals__", {})
    )
    return typing.get_type_hints(bare, include_extras=True)


def has_reference(annotation: object) -> bool:
    """Whether an annotation contains a string or a forward reference, to be resolved when the algorithm is loaded."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return False
    if origin is Annotated:
        return has_reference(arguments[0])
    return isinstance(annotation, (str, typing.ForwardRef)) or any(map(has_reference, arguments))


def classify_annotation(bare: object) -> tuple[Kind, str]:
    """Return the kind of a parameter, and the form of its data, from an annotation without metadata."""
    if isinstance(bare, type) and bare in INJECTED:
        return INJECTED[bare], ""
    form = find_form(bare)
    return ("data", form) if form else ("argument", "")


def convert(value: object, annotation: Any) -> Any:
    """Convert a JSON value to the annotated type, strictly, except that keys are always strings: ``{"3": 1.5}``."""
    return msgspec.convert(value, annotation, strict=True, str_keys=True, dec_hook=restore_array)


def get_marker(annotation: object) -> Marker | None:
    """Return the marker in the metadata of an annotation."""
    return next((m for m in typing.get_args(annotation)[1:] if isinstance(m, Marker)), None)
