"""``pyarrow.RecordBatchReader``: the asked columns as a stream, of which a part at a time is in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv

from algotools.data import Loaded
from algotools.data.files import parquet_path, picked, without_index
from algotools.data.forms import arrow
from algotools.data.reading import Unfit, reading
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd

ROWS = 2**16
"""How many rows of a Parquet file are read at once."""


def csv(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A CSV file; the first block of it decides on the types."""
    with reading(database, "csv"):
        file = arrow.readable(database)
        stream = closing.enter_context(arrow.opened(file))
        reader = pyarrow.csv.open_csv(stream, **arrow.csv_options(file, columns))
    return Loaded(pa.RecordBatchReader.from_batches(reader.schema, _named(reader, database, "csv")), [*file.names])


def parquet(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """A file or a partitioned folder of Parquet."""
    with reading(database, "parquet"):
        path = parquet_path(database)
        if path.is_dir():
            files = arrow.parts(path)
            names = without_index(files.schema.names)
            asked = picked(names, columns)
            scanner = files.scanner(columns=asked, batch_size=ROWS, batch_readahead=2, fragment_readahead=1)
            return Loaded(scanner.to_reader(), [*names])
        file = closing.enter_context(arrow.single(path))
        names = without_index(file.schema_arrow.names)
        asked = picked(names, columns)
        schema = pa.schema([file.schema_arrow.field(name) for name in asked])
        batches = _named(file.iter_batches(ROWS, columns=asked), database, "parquet")
        return Loaded(pa.RecordBatchReader.from_batches(schema, batches), [*names])


def sql(database: Database, columns: Collection[str] | None, closing: ExitStack) -> Loaded:
    """The rows of a query, as the database sends them."""
    from algotools.data.sql.arrow import open as opened

    stream, names = opened(database, columns, closing)
    return Loaded(stream, [*names])


def of_pandas(frame: pd.DataFrame, closing: ExitStack) -> Any:
    """A frame without its index, in parts."""
    return arrow.of_pandas(frame, closing).to_reader()


def _named(batches: Iterator[Any], database: Database, kind: str) -> Iterator[Any]:
    """The batches; what goes wrong with one of them is named."""
    with reading(database, kind):
        try:
            yield from batches
        except pa.ArrowInvalid as error:
            if kind != "csv":
                raise
            raise Unfit(
                "a value is not of the type that its column has in the file's first "
                f"{arrow.BLOCK // 2**20} MiB, or a line has another number of fields; ask for a "
                "pyarrow.Table, for which every row is looked at first",
                error,
            ) from None
