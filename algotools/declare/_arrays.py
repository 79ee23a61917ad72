"""Arguments that are arrays or tables: their annotations, bounds and JSON forms.

A master of the same algorithm sends such an argument in the rich encoding, as a text in an object:
``{"algotools.": …}``.
Other senders write a list of numbers for an array, and an object of columns for a table. Neither form has a text as the
value of the only key, so the two encodings cannot be confused. Only an argument with such an annotation is decoded.

The libraries are imported when a value is converted. The classes are compared by name.
"""

from __future__ import annotations

import importlib
import typing
from typing import Any, Literal, NamedTuple

import msgspec

from algotools.declare._bounds import unwrap_alias
from algotools.errors import AlgotoolsError
from algotools.payload import RICH, decode_rich, encode_rich

RICH_KEY = RICH.decode()
"""The only key of an object that contains an argument in the rich encoding, in base64."""

CLASSES: dict[tuple[str, str], Literal["array", "series", "table"]] = {
    ("numpy", "ndarray"): "array",
    ("pandas", "Series"): "series",
    ("polars", "Series"): "series",
    ("pandas", "DataFrame"): "table",
    ("polars", "DataFrame"): "table",
    ("pyarrow", "Table"): "table",
}
"""Package and name of a class of arrays or tables -> its kind, which decides its JSON form."""


class ArrayRefused(ValueError):
    """A value is not the annotated array or table. The text contains no value."""


class ArrayType(NamedTuple):
    """The meaning of an annotation such as ``NDArray[np.float64]`` or ``pd.DataFrame``."""

    cls: Any
    kind: Literal["array", "series", "table"]
    scalar: Any = None
    """The class of an array's elements, for instance ``numpy.float64``; None: any."""
    shape: tuple[int | None, ...] | None = None
    """The length of each dimension, None: any length. None: any number of dimensions."""

    def __str__(self) -> str:
        lengths = "" if self.shape is None else ", ".join("any" if n is None else str(n) for n in self.shape)
        scalar = "" if self.scalar is None else f" of {self.scalar.__name__}"
        shape = "" if self.shape is None else f" with the shape ({lengths})"
        return f"{self.library} {self.cls.__name__}{scalar}{shape}"

    @property
    def library(self) -> str:
        """The name of the class's library."""
        return str(self.cls.__module__.partition(".")[0])

    def format(self) -> str:
        """Format the annotation as an author would write it."""
        scalar = "Any" if self.scalar is None else self.scalar.__name__
        if self.shape is None:
            return self.cls.__name__ if self.scalar is None else f"NDArray[{scalar}]"
        lengths = ", ".join("int" if n is None else f"Literal[{n}]" for n in self.shape) or "()"
        return f"ndarray[tuple[{lengths}], dtype[{scalar}]]"


def read_array_type(annotation: Any) -> ArrayType | None:
    """Return the meaning of an annotation that is the class of an array or a table; None for any other annotation.

    Raises:
        ArrayRefused: the annotation limits the elements or the shape in a way that cannot be checked.
    """
    annotation = unwrap_alias(annotation)
    cls = typing.get_origin(annotation) or annotation
    if not isinstance(cls, type):
        return None
    kind = CLASSES.get((cls.__module__.partition(".")[0], cls.__name__))
    if kind is None:
        return None
    arguments = typing.get_args(annotation)
    if kind != "array" or not arguments:
        return ArrayType(cls, kind)
    return ArrayType(cls, kind, _read_scalar(arguments[1:]), _read_shape(unwrap_alias(arguments[0])))


def is_array_type(annotation: Any) -> bool:
    """Whether an annotation is the class of an array or a table."""
    try:
        return read_array_type(annotation) is not None
    except ArrayRefused:
        return True


def _read_scalar(arguments: tuple[Any, ...]) -> Any:
    dtype = unwrap_alias(arguments[0]) if arguments else Any
    scalar = (typing.get_args(dtype) or (Any,))[0]
    scalar = typing.get_origin(scalar) or scalar  # numpy.floating[Any]
    if scalar is Any or isinstance(scalar, typing.TypeVar) or getattr(scalar, "__name__", "") == "generic":
        return None
    if not isinstance(scalar, type) or scalar.__name__ in ("object_", "void"):
        raise ArrayRefused("the elements of an array must be numbers, booleans, texts or times, for instance float64")
    return scalar


def _read_shape(shape: Any) -> tuple[int | None, ...] | None:
    if shape is Any or isinstance(shape, typing.TypeVar) or (shape is tuple and not typing.get_args(shape)):
        return None
    lengths = typing.get_args(shape)
    if typing.get_origin(shape) is not tuple:
        raise ArrayRefused("the shape of an array must be a tuple, for instance tuple[int, int]")
    if lengths == ((),):  # tuple[()] in Python 3.10
        return ()
    if len(lengths) == 2 and lengths[1] is ...:
        return None
    return tuple(map(_read_length, lengths))


def _read_length(length: Any) -> int | None:
    values = typing.get_args(length)
    if typing.get_origin(length) is Literal and len(values) == 1 and isinstance(values[0], int) and values[0] >= 0:
        return values[0]
    if length is int or length is Any:
        return None
    raise ArrayRefused("a length in the shape of an array must be int or Literal[3]")


def describe_schema(cls: Any) -> dict[str, object]:
    """Return the JSON Schema of the form that a researcher writes; the ``schema_hook`` of msgspec.

    Raises:
        NotImplementedError: the class is not an array or a table.
    """
    array = read_array_type(cls)
    if array is None:
        raise NotImplementedError
    return {"type": "object" if array.kind == "table" else "array", "format": f"{array.library}.{cls.__name__}"}


def is_rich(value: object) -> bool:
    """Whether a JSON value is an array or a table in the rich encoding."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(RICH_KEY), str)


def encode_array(value: object) -> dict[str, str]:
    """Encode an array or a table as an argument.

    Raises:
        NotSerializable, ResultTooLarge: see ``encode_rich``.
    """
    return {RICH_KEY: msgspec.to_builtins(encode_rich(value))}  # base64


def restore_array(annotation: Any, value: Any) -> Any:
    """Return the array or table for a JSON value; the ``dec_hook`` of msgspec.

    Raises:
        ArrayRefused: the value is not the annotated array or table.
        NotImplementedError: the annotation is not an array or a table.
    """
    array = read_array_type(annotation)
    if array is None:
        raise NotImplementedError
    if is_rich(value):
        value = _decode(value[RICH_KEY])
    elif not isinstance(value, array.cls):
        value = _convert_json(value, array)
    if not isinstance(value, array.cls):
        kind = type(value)
        raise ArrayRefused(f"expected {array}, got {kind.__module__.partition('.')[0]} {kind.__name__}")
    return value if array.kind != "array" else _check_array(value, array)


def _decode(text: str) -> object:
    try:
        return decode_rich(msgspec.convert(text, bytes))
    except (msgspec.ValidationError, AlgotoolsError):
        raise ArrayRefused(f"the text under {RICH_KEY!r} is not the encoding of an array; pass a list") from None


# --- Arrays. ---


def _check_array(value: Any, array: ArrayType) -> Any:
    """Return an array with the annotated elements and shape, converted if numpy can do so without loss."""
    import numpy as np

    if array.shape is not None:
        if value.ndim != len(array.shape):
            raise ArrayRefused(f"expected {array}, got an array of {value.ndim} dimension{'s' * (value.ndim != 1)}")
        if any(length not in (actual, None) for actual, length in zip(value.shape, array.shape, strict=True)):
            raise ArrayRefused(f"expected {array}, got an array of another shape")
    if array.scalar is None or np.issubdtype(value.dtype, array.scalar):
        return value
    target = _find_dtype(array.scalar)
    if target is None or not np.can_cast(value.dtype, target, "safe"):
        raise ArrayRefused(f"expected {array}, got {value.dtype.type.__name__}; convert it with astype first")
    return value.astype(target)


def _find_dtype(scalar: Any) -> Any:
    """Return the dtype of a class of elements; None for a class with several dtypes, for instance ``np.floating``."""
    import numpy as np

    has_length_or_unit = issubclass(scalar, (np.flexible, np.datetime64, np.timedelta64))
    return None if has_length_or_unit or scalar not in np.sctypeDict.values() else np.dtype(scalar)


# --- The JSON forms of arrays and tables. ---


def _convert_json(value: Any, array: ArrayType) -> Any:
    try:
        if array.kind == "array":
            return _convert_to_array(value, array)
        return _convert_to_table(value, array) if array.kind == "table" else _convert_to_series(value, array)
    except ArrayRefused:
        raise
    except Exception as error:  # numpy, pandas, Polars and Arrow raise many classes of errors
        raise ArrayRefused(f"not a valid {array} ({type(error).__name__})") from None


def _convert_to_array(value: Any, array: ArrayType) -> Any:
    import numpy as np

    if not isinstance(value, list) and array.shape != ():
        raise ArrayRefused(f"expected a list for {array}, got {_name_type(value)}")
    target = None if array.scalar is None else _find_dtype(array.scalar)
    kinds = _find_kinds(value if isinstance(value, list) else [value])
    if array.scalar is not None and issubclass(array.scalar, np.datetime64) and kinds <= {str, type(None)}:
        return np.array(value, np.datetime64)
    if type(None) in kinds:
        raise ArrayRefused("a null is not a number; write NaN for a missing number")
    result = np.array(value, np.float64 if kinds == {int, float} else None)
    if result.dtype.kind not in "biufU":
        raise ArrayRefused(f"{array}: an integer has more than 64 bits")
    if array.scalar is None or np.issubdtype(result.dtype, array.scalar):
        return result
    if target is None and issubclass(np.float64, array.scalar):  # for instance np.floating
        target = np.dtype(np.float64)
    if not kinds:  # without elements, every type of elements fits
        return result if target is None else result.astype(target)
    convertible = {"i": "iufc", "u": "iufc", "f": "fc"}.get(result.dtype.kind, "")
    if target is None or target.kind not in convertible:
        raise ArrayRefused(f"expected {array}, got a list of {_name_kinds(kinds)}")
    with np.errstate(over="ignore"):
        converted = result.astype(target)
    is_integer = target.kind in "iu"
    if not (converted == result if is_integer else np.isfinite(converted) | ~np.isfinite(result)).all():
        raise ArrayRefused(f"a number is too large for {array}")
    return converted


def _name_kinds(kinds: set[type]) -> str:
    return " and ".join(sorted(kind.__name__ for kind in kinds))


def _find_kinds(value: list[Any]) -> set[type]:
    """Return the types of the elements of nested lists.

    Raises:
        ArrayRefused: the elements are not numbers or texts of one type.
    """
    kinds, pending = set[type](), [value]
    for part in pending:  # the list grows during the loop
        inner = set(map(type, part))
        if list in inner:
            if inner != {list} or len(set(map(len, part))) > 1:
                raise ArrayRefused("the lists have different lengths or depths, so this is not an array")
            pending += part
        else:
            kinds |= inner
    return _check_kinds(kinds)


def _check_kinds(kinds: set[type]) -> set[type]:
    present = kinds - {type(None)}
    if present not in ({int}, {float}, {int, float}, {bool}, {str}, set()):
        raise ArrayRefused("the elements must be numbers, booleans or texts, all of one type")
    return kinds


def _convert_to_series(value: Any, array: ArrayType) -> Any:
    library = _import_library(array)
    if isinstance(value, dict) and _is_pandas(array):  # as ``encode_plain`` writes it
        series = _make_series(array, library, list(value.values()))
        return series if (index := _make_index(list(value))) is None else series.set_axis(index)
    if not isinstance(value, list):
        raise ArrayRefused(f"expected a list for {array}, got {_name_type(value)}")
    return _make_series(array, library, value)


def _convert_to_table(value: Any, array: ArrayType) -> Any:
    if not isinstance(value, dict) or not all(isinstance(column, (list, dict)) for column in value.values()):
        raise ArrayRefused(f"expected an object with a list for each column for {array}, got {_name_type(value)}")
    rows = [list(column) if isinstance(column, dict) else None for column in value.values()]
    columns = {name: list(c.values()) if isinstance(c, dict) else c for name, c in value.items()}
    if len(set(map(len, columns.values()))) > 1 or any(labels != rows[0] for labels in rows):
        raise ArrayRefused("the columns have different rows")
    library = _import_library(array)
    if array.cls.__name__ == "Table":
        return library.table({name: _make_series(array, library, column) for name, column in columns.items()})
    if not _is_pandas(array):
        return library.DataFrame([_make_series(array, library, column, name) for name, column in columns.items()])
    index = _make_index(rows[0]) if rows and rows[0] is not None else None
    return library.DataFrame({name: _make_series(array, library, column) for name, column in columns.items()}).set_axis(
        index if index is not None else range(len(next(iter(columns.values()), [])))
    )


def _make_series(array: ArrayType, library: Any, values: list[Any], name: str = "") -> Any:
    """Return the values of a column as an object of the library."""
    kinds = set(map(type, values))
    if float in kinds and kinds & {str, bool}:  # a caller that does not know the annotation sends a missing text as NaN
        values = [None if value != value else value for value in values]  # noqa: PLR0124 - NaN differs from itself
        kinds = set(map(type, values))
    _check_kinds(kinds)
    if {int, float} <= kinds:
        values = [float(value) if type(value) is int else value for value in values]
    if array.library == "polars":
        return library.Series(name, values)
    return library.Series(values) if _is_pandas(array) else library.array(values)


def _make_index(labels: list[str]) -> Any:
    """Return the index for the row labels that ``encode_plain`` writes as texts; None for the default index."""
    return None if labels == list(map(str, range(len(labels)))) else labels


def _is_pandas(array: ArrayType) -> bool:
    return array.library == "pandas"


def _import_library(array: ArrayType) -> Any:
    return importlib.import_module(array.library)


def _name_type(value: object) -> str:
    """Return the name of a JSON value's type."""
    names = {dict: "object", list: "array", str: "str", type(None): "null"}
    return names.get(type(value), type(value).__name__)
