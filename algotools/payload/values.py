"""Paths into a value, the largest size of a result, and lazy tables, as both encodings use them.

An error message contains the path to a part without quoting the value. Tables of Polars, DuckDB and Ibis may be lazy.
They are computed here, so that an engine's error becomes an error of the author's function.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from algotools.errors import FunctionRaised, NotSerializable, ResultTooLarge, find_named_class, format_author_traceback

# --- The path to a part of a value. ---


class Key(NamedTuple):
    """A step into a mapping: the key, and the number of keys before it."""

    key: object
    position: int


Path = tuple["Key | int", ...]
"""Steps from a result to one of its parts: a ``Key`` for a mapping, a position for a sequence."""


def show_path(path: Path, source_texts: Collection[str] | None, root: str = "result") -> str:
    """Return the path as text, without keys that could be data values.

    A function may use values of the data as keys, such as a patient's name. So a key is shown only if the text is in
    the algorithm's source code (``source_texts``); any other key is shown as its position. None shows every key, which
    is for the node's owner only.

    >>> show_path((Key("sums", 0), Key("Jane Doe", 2), 4), {"sums"})
    "result['sums'][key 3][4]"
    """
    steps = [root]
    for step in path:
        if isinstance(step, int):
            steps.append(f"[{step}]")
        elif source_texts is None or (isinstance(step.key, str) and step.key in source_texts):
            steps.append(_show_key(step))
        else:
            steps.append(f"[key {step.position + 1}]")
    return "".join(steps)


def _show_key(step: Key) -> str:
    try:
        return f"[{step.key!r}]"
    except Exception:  # the key of a class of the author, or an integer with too many digits
        return f"[key {step.position + 1}]"


class BadValue(Exception):
    """The part of a value at ``path`` cannot be encoded. ``reason`` contains names of types, never values."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason

    def to_error(self, source_texts: Iterable[str] = ()) -> NotSerializable:
        """Return the error with the path and the type for the researcher, and with all keys for the owner."""
        return NotSerializable(
            f"{show_path(self.path, frozenset(source_texts))}: {self.reason}",
            detail=f"{show_path(self.path, None)}: {self.reason}",
        )

    def to_argument_error(self, method: str, depth: int) -> NotSerializable:
        """Return the error for an argument that a caller of *method* passes; *depth* is the position of its name."""
        step = self.path[depth] if len(self.path) > depth else None
        if isinstance(step, Key) and isinstance(step.key, str) and step.key.isidentifier():
            root = f"the argument {step.key!r}"
        elif step is None:
            root = "the arguments"
        else:
            root = f"argument {(step.position if isinstance(step, Key) else step) + 1}"
        root += f" of {method!r}" if method.isidentifier() else ""
        reason = self.reason.replace("; return ", "; pass ")
        paths = [show_path(self.path[depth + 1 :], texts, "") for texts in (frozenset[str](), None)]
        message, detail = (f"{root} at {path}: {reason}" if path else f"{root}: {reason}" for path in paths)
        return NotSerializable(message, detail=detail)


# --- The largest size of a result. ---

LARGEST = 800_000_000
"""Largest size of an output file in bytes.

A server stores a result as text in base64. The servers of v4 and v5 usually use PostgreSQL, where a text has at most
2³⁰ - 1 bytes. Base64 needs four bytes for three, so ``LARGEST`` leaves some space for the rest of the request.
"""


def compute_rich_limit() -> int:
    """Return the largest size of a rich encoding in bytes. The output file contains the encoding in base64."""
    return LARGEST // 4 * 3


def check_size(size: int, *, rich: bool = False) -> None:
    """Check the size of a result, or a lower bound of the size, in bytes.

    The limit depends on the encoding: rich, or the bytes of the output file.

    Raises:
        ResultTooLarge: the size is above the limit.
    """
    limit = compute_rich_limit() if rich else LARGEST
    if size > limit:
        raise ResultTooLarge(
            f"the result has {size / 1e6:.3g} MB or more, but the limit is {limit / 1e6:.3g} MB; return aggregates, or "
            "split the result over several tasks"
        )


def check_arguments_size(size: int, method: str) -> None:
    """Check the size of a task's encoded input in bytes. A server stores an input in the same way as a result.

    Raises:
        ResultTooLarge: the size is above the limit.
    """
    if size > LARGEST:
        raise ResultTooLarge(
            f"the arguments of {method or 'the task'!r} have {size / 1e6:.3g} MB, but the limit is "
            f"{LARGEST / 1e6:.3g} MB; send fewer values, or send them in several tasks"
        )


# --- Tables that must be computed before they can be encoded. ---

ENGINES = ("duckdb", "_duckdb", "ibis")
"""Packages whose tables are expressions that are computed when rows are requested."""


@contextmanager
def convert_function_errors(activity: str = "the table that the function returned was computed") -> Iterator[None]:
    """Convert an error of other code to ``FunctionRaised``. Only the owner sees the text, because it may quote data."""
    try:
        yield
    except Exception as error:
        message = f"{type(error).__name__} while {activity}"
        raise FunctionRaised(message, detail=format_author_traceback(error)) from error


def name_type(kind: type) -> str:
    """Return the name of a type for a message; see ``find_named_class``."""
    return find_named_class(kind).__qualname__


def compute_table(value: Any, path: Path) -> Any:
    """Compute an engine's table as an Arrow table or stream, or a scalar expression of Ibis as a Python value.

    Raises:
        BadValue: the value is not a table.
        FunctionRaised: the engine cannot compute the table.
    """
    with convert_function_errors():
        for name in ("to_pyarrow", "to_arrow_table", "fetch_arrow_table"):  # Ibis, DuckDB, DuckDB before 1.4
            if hasattr(value, name):
                table = getattr(value, name)()
                return table.as_py() if hasattr(table, "as_py") else table
    raise BadValue(path, f"a {name_type(type(value))} is not a table; return a table")


def collect_lazy(value: Any) -> Any:
    """Compute a lazy frame of Polars; return any other value unchanged.

    Raises:
        FunctionRaised: Polars cannot compute the frame.
    """
    import polars as pl

    if not isinstance(value, pl.LazyFrame):
        return value
    with convert_function_errors():
        return value.collect()


def read_batches(reader: Any) -> Iterator[Any]:
    """Yield the batches of an Arrow reader.

    Raises:
        FunctionRaised: the source of the batches raises an error.
    """
    with convert_function_errors():
        yield from reader
