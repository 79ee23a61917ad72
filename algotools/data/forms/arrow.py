"""``pyarrow.Table``: the requested columns, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv

from algotools.data._csv_head import FALSE, TRUE, Kind
from algotools.data.forms import Delimited, inspect_csv
from algotools.data.names import check_unique, find_index_names, select_names
from algotools.data.reading import Loaded, NeedsPandas, Unreadable, find_parquet, name_errors
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd


def read_csv(database: Database, columns: Collection[str] | None, _stack: ExitStack) -> Loaded:
    """Read a CSV file with Arrow.

    Arrow's stream needs half the time and a third of the memory of its reader for whole files. If a later row does not
    fit, pandas reads the file.
    """
    with name_errors(database, "csv"):
        file = inspect_file(database, columns)
        try:
            with open_csv(file) as stream, pyarrow.csv.open_csv(stream, **make_csv_options(file)) as batches:
                table = batches.read_all()
        except pa.ArrowInvalid:
            raise NeedsPandas from None
        return Loaded(replace_missing_numbers(table, file), file.names)


def read_parquet(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Read a Parquet file or a partitioned folder."""
    with name_errors(database, "parquet"):
        path = find_parquet(database)
        if path.is_dir():
            folder, names = open_folder(path)
            return Loaded(folder.to_table(columns=select_names(names, columns)), names)
        file, names = open_file(path, stack)
        return Loaded(file.read(columns=select_names(names, columns)), names)


def read_sql(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Read all rows of a query."""
    from algotools.data._sql_arrow import open_stream

    stream, names = open_stream(database, columns, stack)
    with name_errors(database, "sql"):
        return Loaded(stream.read_all(), names)


def convert_frame(frame: pd.DataFrame, _stack: ExitStack) -> Any:
    """Convert a frame, without its index.

    Raises:
        Unreadable: a column has values of several types.
    """
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise Unreadable(
            "one of its columns has values of several types, which Arrow does not support", error
        ) from None


def rename_columns(table: Any, renames: Mapping[str, str]) -> Any:
    """Return the table with other names of columns: old name -> new name."""
    return table.rename_columns([renames.get(name, name) for name in table.column_names])


# --- Shared with the form of batches. ---


def inspect_file(database: Database, columns: Collection[str] | None) -> Delimited:
    """Inspect a CSV file; see ``inspect_csv``."""
    file = inspect_csv(
        database,
        columns,
        _SUPPORTED,
        _COMPRESSIONS,
        skips_blank_lines=True,
        pads_rows=False,
        finds_hexadecimals=True,
    )
    if file.traits.has_hexadecimals and Kind.INTEGER in file.kinds.values():
        raise NeedsPandas
    return file


_SUPPORTED = frozenset({"decimal", "dtype", "encoding", "na_values", "parse_dates", "quotechar", "sep", "skiprows"})
_COMPRESSIONS = frozenset({"bz2", "gzip", "zstd"})

_TYPES = {Kind.INTEGER: pa.int64(), Kind.NUMBER: pa.float64(), Kind.BOOLEAN: pa.bool_(), Kind.TEXT: pa.string()}

BLOCK = 2**20
"""Size of a block of a CSV file in bytes; a row must fit into a block."""


def make_csv_options(file: Delimited) -> dict[str, Any]:
    """Return the options of Arrow's stream for a CSV file."""
    dialect = file.dialect
    return {
        "read_options": pyarrow.csv.ReadOptions(
            skip_rows=file.skipped_lines, encoding=dialect.encoding, block_size=BLOCK, column_names=file.names
        ),
        "parse_options": pyarrow.csv.ParseOptions(
            delimiter=dialect.sep, quote_char=dialect.quotechar or False, newlines_in_values=True
        ),
        "convert_options": pyarrow.csv.ConvertOptions(
            include_columns=list(file.kinds),
            column_types={name: _TYPES[kind] for name, kind in file.kinds.items()},
            null_values=dialect.missing,
            true_values=TRUE,
            false_values=FALSE,
            strings_can_be_null=True,
            decimal_point=dialect.decimal,
        ),
    }


def replace_missing_numbers(table: Any, file: Delimited) -> Any:
    """Return a table or a batch in which the numbers that the owner configured as missing values are missing."""
    if not file.dialect.missing_numbers:
        return table
    import pyarrow.compute as pc  # here: few files have such numbers

    for position, (name, kind) in enumerate(file.kinds.items()):
        if kind in (Kind.INTEGER, Kind.NUMBER):
            values = table.column(position)
            numbers = pa.array(file.dialect.missing_numbers, pa.float64())
            is_missing = pc.is_in(values.cast(pa.float64(), safe=False), value_set=numbers)
            values = pc.if_else(is_missing, pa.scalar(None, values.type), values)
            table = table.set_column(position, name, values)
    return table


def open_csv(file: Delimited) -> Any:
    """Open a CSV file as a stream of bytes, decompressed."""
    if file.compression is None:
        return pa.OSFile(str(file.path))
    return pa.input_stream(str(file.path), compression=file.compression)


def open_file(path: Path, stack: ExitStack) -> tuple[Any, list[str]]:
    """Open a Parquet file, and return it with its columns except pandas' index. Only the metadata are read."""
    import pyarrow.parquet  # here: reading CSV does not need it

    file = stack.enter_context(pyarrow.parquet.ParquetFile(path))
    schema = file.schema_arrow
    check_unique(schema.names)
    index = find_index_names(schema)
    return file, [name for name in schema.names if name not in index]


def open_folder(path: Path) -> tuple[Any, list[str]]:
    """Open a folder of Parquet files as one table, and return it with its columns except pandas' index."""
    from algotools.data._parquet_parts import inspect_parts, open_parts  # here: it imports pandas

    parts = inspect_parts(path)
    folder = open_parts(parts)
    return folder, [name for name in folder.schema.names if name not in parts.index_names]
