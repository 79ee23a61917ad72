"""``polars.LazyFrame``: a description of the asked columns, read when and as far as the function collects it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
from polars.io.plugins import register_io_source

from algotools.data import Loaded
from algotools.data.delimited import Delimited, look
from algotools.data.files import parquet_path, picked, without_index
from algotools.data.reading import Unfit, reading
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd

ROWS = 10_000
"""How many rows are looked at to choose the types of a CSV file's columns."""

UNDERSTOOD = frozenset({"comment", "decimal", "na_values", "parse_dates", "quotechar", "sep", "skiprows"})
"""What a node's owner may configure that Polars' reader knows."""

COMPRESSIONS = frozenset({"gzip", "zstd"})


def csv(database: Database, columns: Collection[str] | None, _closing: ExitStack) -> Loaded:
    """A CSV file; its first rows decide on the types."""
    with reading(database, "csv"):
        file = look(database, UNDERSTOOD, COMPRESSIONS)
        frame = pl.scan_csv(file.path, infer_schema_length=ROWS, **csv_options(file)).select(file.asked(columns))
        frame.collect_schema()  # so that a broken file is named here
        return Loaded(dated(frame, file), [*file.names])


def parquet(database: Database, columns: Collection[str] | None, _closing: ExitStack) -> Loaded:
    """A file or a partitioned folder of Parquet."""
    with reading(database, "parquet"):
        path = parquet_path(database)
        folder = path.is_dir()
        frame = pl.scan_parquet(path, glob=False, hive_partitioning=folder)
        names = without_index(frame.collect_schema())
        return Loaded(frame.select(picked(names, columns)), [*names])


def sql(database: Database, columns: Collection[str] | None, _closing: ExitStack) -> Loaded:
    """A query; of its columns only those leave the database that the function collects in the end."""
    from algotools.data.sql import arrow

    with ExitStack() as described:
        stream, names = arrow.open(database, columns, described)
        schema = pl.DataFrame(stream.schema.empty_table()).schema

    def rows(
        wanted: list[str] | None, predicate: pl.Expr | None, most: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        with ExitStack() as opened:
            for batch in arrow.open(database, schema.names() if wanted is None else wanted, opened)[0]:
                frame = pl.DataFrame(batch)
                if most is not None:
                    frame = frame.head(most)
                    most -= frame.height
                yield frame if predicate is None else frame.filter(predicate)
                if most == 0:
                    return

    return Loaded(register_io_source(rows, schema=schema), [*names])


def of_pandas(frame: pd.DataFrame, _closing: ExitStack) -> pl.LazyFrame:
    """A frame without its index.

    Raises:
        Unfit: a column has no type.
    """
    try:
        return pl.from_pandas(frame).lazy()
    except Exception as error:  # of Polars, Arrow or Python, as the values are
        raise Unfit("one of its columns has values of several kinds, for which Polars has no type", error) from None


def csv_options(file: Delimited) -> dict[str, Any]:
    """What Polars' readers are told of a CSV file."""
    dialect = file.dialect
    return {
        "separator": dialect.sep,
        "quote_char": dialect.quotechar or None,
        "comment_prefix": dialect.comment,
        "skip_lines": dialect.skiprows,
        "decimal_comma": dialect.decimal == ",",
        "null_values": file.missing,
        "schema_overrides": dict.fromkeys(dialect.parse_dates, pl.String),
        "glob": False,
    }


_Frame = TypeVar("_Frame", pl.DataFrame, pl.LazyFrame)


def dated(frame: _Frame, file: Delimited) -> _Frame:
    """The frame with the columns as moments that the node's owner says are such."""
    there = frame.collect_schema().names()
    return frame.with_columns(pl.col(name).str.to_datetime() for name in file.dialect.parse_dates if name in there)
