"""``pyarrow.RecordBatchReader``: the requested columns as a stream, with one batch at a time in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv

from algotools.data._csv_head import LATE
from algotools.data.forms import Delimited, arrow
from algotools.data.names import select_names
from algotools.data.reading import Loaded, NeedsPandas, Unreadable, find_parquet, name_errors, remember_errors
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd

ROWS = 2**16
"""Rows of a batch of a Parquet file."""


def read_csv(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Read a CSV file. The first block decides the types, because a stream cannot change them later."""
    with name_errors(database, "csv"):
        file = arrow.inspect_file(database, columns)
        stream = stack.enter_context(arrow.open_csv(file))
        try:
            reader = pyarrow.csv.open_csv(stream, **arrow.make_csv_options(file))
        except pa.ArrowInvalid:
            raise NeedsPandas from None
    batches = _name_batch_errors(_read_batches(reader, file, database), database, "csv", stack)
    return Loaded(pa.RecordBatchReader.from_batches(reader.schema, batches), file.names)


def _read_batches(reader: Any, file: Delimited, database: Database) -> Iterator[Any]:
    """Yield the batches of a CSV file. If Arrow cannot read a row, such as a short one, pandas reads the rest."""
    count = 0
    try:
        for batch in reader:
            count += len(batch)
            yield arrow.replace_missing_numbers(batch, file)
    except pa.ArrowInvalid as error:
        from algotools.data import csv  # here: few files need pandas

        dtypes = {name: kind.value for name, kind in file.kinds.items()}  # the same for each part
        try:
            for part in csv.read_parts(database, file.names, dtypes, ROWS):
                skipped = min(count, len(part))
                count -= skipped
                yield from pa.Table.from_pandas(part[skipped:], reader.schema, preserve_index=False).to_batches()
        except (
            ValueError,
            TypeError,
            OverflowError,
        ):  # pandas cannot read the row either, or has another type
            raise error from None


def read_parquet(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Read a Parquet file or a partitioned folder."""
    with name_errors(database, "parquet"):
        path = find_parquet(database)
        if path.is_dir():
            files, names = arrow.open_folder(path)
            selected_names = select_names(names, columns)
            scanner = files.scanner(columns=selected_names, batch_size=ROWS, batch_readahead=2, fragment_readahead=1)
            return Loaded(scanner.to_reader(), names)
        file, names = arrow.open_file(path, stack)
        selected_names = select_names(names, columns)
        schema = pa.schema([file.schema_arrow.field(name) for name in selected_names])
        batches = _name_batch_errors(file.iter_batches(ROWS, columns=selected_names), database, "parquet", stack)
        return Loaded(pa.RecordBatchReader.from_batches(schema, batches), names)


def read_sql(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Read a query, in the batches that the database sends."""
    from algotools.data._sql_arrow import open_stream

    stream, names = open_stream(database, columns, stack)
    return Loaded(stream, names)


def convert_frame(frame: pd.DataFrame, stack: ExitStack) -> Any:
    """Convert a frame to a stream, without its index."""
    return arrow.convert_frame(frame, stack).to_reader()


def rename_columns(stream: Any, renames: Mapping[str, str]) -> Any:
    """Return the stream with other names of columns: old name -> new name."""
    schema = pa.schema([field.with_name(renames.get(field.name, field.name)) for field in stream.schema])
    return pa.RecordBatchReader.from_batches(schema, (batch.rename_columns(schema.names) for batch in stream))


def _name_batch_errors(batches: Iterator[Any], database: Database, kind: str, stack: ExitStack) -> Iterator[Any]:
    """Yield the batches. Errors while a batch is read are named as in ``name_errors``."""
    return remember_errors(_convert_batch_errors(batches, database, kind), stack)


def _convert_batch_errors(batches: Iterator[Any], database: Database, kind: str) -> Iterator[Any]:
    with name_errors(database, kind):
        try:
            yield from batches
        except pa.ArrowInvalid as error:
            if kind != "csv":
                raise
            raise Unreadable(LATE, error) from None
