"""``polars.DataFrame``: the asked columns, in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import polars as pl

from algotools.data import Loaded
from algotools.data.delimited import Delimited, look
from algotools.data.forms import lazy
from algotools.data.reading import reading
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd


def csv(database: Database, columns: Collection[str] | None, _closing: ExitStack) -> Loaded:
    """A CSV file through Polars' own reader.

    It chooses a column's type by the first rows. Where a later one does not fit, every row is looked at.
    """
    with reading(database, "csv"):
        file = look(database, lazy.UNDERSTOOD, lazy.COMPRESSIONS)
        try:
            frame = _read(file, columns)
        except pl.exceptions.ComputeError:
            frame = _typed(_read(file, columns, infer_schema=False))
        return Loaded(lazy.dated(frame, file), [*file.names])


def parquet(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A file or a partitioned folder of Parquet."""
    scanned = lazy.parquet(database, columns, closing)
    with reading(database, "parquet"):
        return Loaded(scanned.value.collect(), scanned.columns)  # type: ignore[attr-defined]  # a LazyFrame


def sql(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """The rows of a query, read up."""
    from algotools.data.forms import arrow

    loaded = arrow.sql(database, columns, closing)
    with reading(database, "sql"):
        return loaded._replace(value=pl.from_arrow(loaded.value))


def of_pandas(frame: pd.DataFrame, closing: ExitStack) -> pl.DataFrame:
    """See ``lazy``."""
    return lazy.of_pandas(frame, closing).collect()


def _read(file: Delimited, columns: Collection[str] | None, **more: Any) -> pl.DataFrame:
    return pl.read_csv(file.path, columns=file.asked(columns), **lazy.csv_options(file), **more)


def _typed(texts: pl.DataFrame) -> pl.DataFrame:
    """Each column of texts as the first kind that all of its values are of."""
    return texts.select(map(_converted, texts.iter_columns()))


def _converted(text: pl.Series) -> pl.Series:
    for kind in (pl.Int64, pl.Float64):
        with contextlib.suppress(pl.exceptions.PolarsError):
            return text.cast(kind)
    values = text.drop_nulls().str.to_lowercase()
    return text.str.to_lowercase() == "true" if values.is_in(["true", "false"]).all() and len(values) else text
