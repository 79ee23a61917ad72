"""``polars.DataFrame``: the requested columns, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import polars as pl

from algotools.data.forms import lazy
from algotools.data.reading import Loaded, NeedsPandas, name_errors
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd


def read_csv(database: Database, columns: Collection[str] | None, _stack: ExitStack) -> Loaded:
    """Read a CSV file with Polars. If a later row does not fit the types of the first rows, pandas reads the file."""
    query = lazy.read_csv(database, columns, ExitStack())  # a stack of its own: the rows are checked here
    with name_errors(database, "csv"):
        try:
            return Loaded(query.value.collect(), query.columns)  # type: ignore[attr-defined]  # a LazyFrame
        except pl.exceptions.PolarsError:
            raise NeedsPandas from None


def read_parquet(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Read a Parquet file or a partitioned folder."""
    lazy_frame = lazy.read_parquet(database, columns, stack)
    with name_errors(database, "parquet"):
        return Loaded(lazy_frame.value.collect(), lazy_frame.columns)  # type: ignore[attr-defined]  # a LazyFrame


def read_sql(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Read all rows of a query."""
    from algotools.data.forms import arrow

    loaded = arrow.read_sql(database, columns, stack)
    with name_errors(database, "sql"):
        return loaded._replace(value=pl.from_arrow(loaded.value))


def convert_frame(frame: pd.DataFrame, stack: ExitStack) -> pl.DataFrame:
    """Convert a frame, without its index; see ``lazy``."""
    return lazy.convert_frame(frame, stack).collect()


def rename_columns(frame: Any, renames: Mapping[str, str]) -> Any:
    """Return the frame with other names of columns: old name -> new name."""
    return frame.rename(renames, strict=False)
