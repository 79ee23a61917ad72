"""``polars.DataFrame``: the requested columns, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import polars as pl

from algotools.data.forms import Delimited, lazy
from algotools.data.reading import Loaded, NeedsPandas, name_errors
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd


def read_csv(database: Database, columns: Collection[str] | None, _stack: ExitStack) -> Loaded:
    """Read a CSV file with Polars. If a later row does not fit the types of the first rows, pandas reads the file."""
    early = _EarlyRead()
    with name_errors(database, "csv"):
        file = lazy.inspect(database, columns, early.read)
        query = lazy.make_query(file)
        if early.frame is not None and early.late_columns == lazy.find_late_columns(file):
            return Loaded(early.frame, file.names)
        del early  # the frame takes memory
        try:
            return Loaded(query.collect(), file.names)
        except pl.exceptions.PolarsError:
            raise NeedsPandas from None


class _EarlyRead:
    """The rows of a CSV file, read before it is known whether Polars splits the file rightly.

    The inspection of all bytes runs in another process, and its end is not far, so waiting for it would waste a
    processor. The rows are used only if the inspection finds nothing that changes the query.
    """

    def __init__(self) -> None:
        self.frame: pl.DataFrame | None = None
        self.late_columns: frozenset[str] = frozenset()

    def read(self, file: Delimited) -> None:
        with suppress(pl.exceptions.PolarsError, NeedsPandas):  # the read after the inspection raises it again
            self.late_columns = lazy.find_late_columns(file)
            self.frame = lazy.make_query(file).collect()


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
