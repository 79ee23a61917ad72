"""Tables that are no pandas frames: those of polars, and what DuckDB and Ibis have only said how to work out."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from algotools.errors import FunctionRaised
from algotools.payload.path import Path, Unfit

ENGINES = ("duckdb", "_duckdb", "ibis")
"""Packages whose tables are worked out when they are looked at."""


@contextmanager
def working() -> Iterator[None]:
    """Within, what an engine raises is the function's error: its text, which may quote data, is for the owner."""
    try:
        yield
    except Exception as error:
        raise FunctionRaised(
            f"{type(error).__name__} when the table that the function returned was worked out",
            detail=traceback.format_exc(),
        ) from error


def worked_out(value: Any, path: Path) -> Any:
    """An engine's table as one of Arrow's, or a stream of its batches; an expression of Ibis as what it comes to.

    Raises:
        Unfit: it is something else of the engine's.
        FunctionRaised: the engine cannot work it out.
    """
    with working():
        for name in ("to_pyarrow", "to_arrow_table", "fetch_arrow_table"):  # Ibis, DuckDB, DuckDB before 1.4
            if hasattr(value, name):
                found = getattr(value, name)()
                return found.as_py() if hasattr(found, "as_py") else found
    raise Unfit(path, f"a {type(value).__qualname__} is no result; return a table")


def collected(value: Any) -> Any:
    """A lazy frame of polars as the frame that it comes to; anything else as it is.

    Raises:
        FunctionRaised: polars cannot work it out.
    """
    import polars as pl

    if not isinstance(value, pl.LazyFrame):
        return value
    with working():
        return value.collect()


def batches(reader: Any) -> Iterator[Any]:
    """What a reader of Arrow's gives.

    Raises:
        FunctionRaised: whoever makes the batches cannot.
    """
    with working():
        yield from reader


def read_polars(data: bytes) -> Any:
    """The frame in a stream of polars' own; raises ValueError if there is none."""
    import polars as pl

    try:
        return pl.read_ipc_stream(data)
    except BaseException as error:  # where foreign bytes make it panic, that is no Exception
        if isinstance(error, Exception) or type(error).__name__ != "PanicException":
            raise
        raise ValueError("it is no frame of polars") from None
