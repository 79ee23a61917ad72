"""``pyarrow.Table``: the asked columns, in memory."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv

from algotools.data import Loaded
from algotools.data.delimited import Delimited, look
from algotools.data.files import parquet_path, picked, without_index
from algotools.data.reading import Unfit, reading
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd


def csv(database: Database, columns: Collection[str] | None, _closing: ExitStack) -> Loaded:
    """A CSV file through Arrow's own reader; every row counts for the type of a column.

    Its stream takes half the time and a third of the memory that its reader of whole files does, and the same types, as
    long as those of the first block fit all values: the first that fit some cannot come before the first that fit all.
    """
    with reading(database, "csv"):
        file = readable(database)
        options = csv_options(file, columns)
        try:
            with opened(file) as stream:
                table = pyarrow.csv.open_csv(stream, **options).read_all()
        except pa.ArrowInvalid:
            with opened(file) as stream:
                table = pyarrow.csv.read_csv(stream, **options)
        return Loaded(table, [*file.names])


def parquet(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A file or a partitioned folder of Parquet."""
    with reading(database, "parquet"):
        path = parquet_path(database)
        if path.is_dir():
            folder = parts(path)
            names = without_index(folder.schema.names)
            return Loaded(folder.to_table(columns=picked(names, columns)), [*names])
        file = closing.enter_context(single(path))
        names = without_index(file.schema_arrow.names)
        return Loaded(file.read(columns=picked(names, columns)), [*names])


def sql(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """The rows of a query, read up."""
    from algotools.data.sql import arrow

    stream, names = arrow.open(database, columns, closing)
    with reading(database, "sql"):
        return Loaded(stream.read_all(), [*names])


def of_pandas(frame: pd.DataFrame, _closing: ExitStack) -> Any:
    """A frame without its index.

    Raises:
        Unfit: a column has no type.
    """
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise Unfit("one of its columns has values of several kinds, for which Arrow has no type", error) from None


# --- What the stream of batches shares with this. ---


def readable(database: Database) -> Delimited:
    """A CSV file that Arrow's reader takes as pandas does."""
    return look(database, _UNDERSTOOD, _COMPRESSIONS)


_UNDERSTOOD = frozenset({"decimal", "encoding", "na_values", "parse_dates", "quotechar", "sep", "skiprows"})
_COMPRESSIONS = frozenset({"bz2", "gzip", "zstd"})


BLOCK = 2**20
"""How many bytes of a CSV file are read at once; of a stream the first so many decide on the columns' types."""


def csv_options(file: Delimited, columns: Collection[str] | None) -> dict[str, Any]:
    """What Arrow's readers are told of a CSV file."""
    dialect = file.dialect
    return {
        "read_options": pyarrow.csv.ReadOptions(
            skip_rows=dialect.skiprows, encoding=dialect.encoding, block_size=BLOCK
        ),
        "parse_options": pyarrow.csv.ParseOptions(
            delimiter=dialect.sep, quote_char=dialect.quotechar or False, newlines_in_values=True
        ),
        "convert_options": pyarrow.csv.ConvertOptions(
            include_columns=file.asked(columns),
            null_values=file.missing,
            strings_can_be_null=True,
            decimal_point=dialect.decimal,
            column_types={name: pa.timestamp("us") for name in dialect.parse_dates},
        ),
    }


def opened(file: Delimited) -> Any:
    """The bytes of a file, decompressed as they are read."""
    if file.compression is None:
        return pa.OSFile(str(file.path))
    return pa.input_stream(str(file.path), compression=file.compression)


def single(path: Path) -> Any:
    """A file of Parquet, of which nothing but the description has been read."""
    import pyarrow.parquet  # here: who reads CSV need not wait for it

    return pyarrow.parquet.ParquetFile(path)


def parts(folder: Path) -> Any:
    """A table in parts, of which nothing but the description has been read."""
    import pyarrow.dataset  # which imports pandas

    return pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive")
