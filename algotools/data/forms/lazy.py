"""``polars.LazyFrame``: a query of the requested columns; rows are read when the function collects the frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

from algotools.data._csv_head import FALSE, LATE, TRUE, Kind
from algotools.data.forms import Delimited, find_uniform_parts, inspect_csv
from algotools.data.names import parse_index_names, select_names
from algotools.data.reading import (
    Loaded,
    NeedsPandas,
    Unreadable,
    add_check,
    find_parquet,
    is_memory_error,
    name_errors,
    remember_errors,
)
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd

_SUPPORTED = frozenset({"decimal", "dtype", "na_values", "parse_dates", "quotechar", "sep", "skiprows"})
"""Options of a CSV file that Polars' reader has, or that are applied to the columns."""

_COMPRESSIONS = frozenset({"gzip", "zstd"})

_TYPES = {Kind.INTEGER: pl.Int64, Kind.NUMBER: pl.Float64, Kind.BOOLEAN: pl.Boolean, Kind.TEXT: pl.String}


def read_csv(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Open a CSV file. The first rows decide the types, because a query cannot change them later."""
    with name_errors(database, "csv"):
        file = inspect_csv(database, columns, _SUPPORTED, _COMPRESSIONS, accepts_long_rows="if not requested")
        _require_plain_names(file.names)
        dialect = file.dialect
        # To Polars a quoted text is never missing in a column of texts, even if it is ``"NA"``. So the texts of a file
        # with quotes are converted afterwards, and so are booleans. In a column of numbers it is missing.
        late_kinds = {Kind.BOOLEAN, Kind.TEXT} if file.traits.has_quotes else {Kind.BOOLEAN}
        as_texts = {name for name, kind in file.kinds.items() if kind in late_kinds}
        schema = {
            name: pl.String if name in as_texts else _TYPES[file.kinds.get(name, Kind.TEXT)] for name in file.names
        }
        if (as_texts or file.traits.has_quotes) and dialect.decimal != ".":
            raise NeedsPandas
        frame = pl.scan_csv(
            file.path,
            has_header=False,
            skip_lines=file.skipped_lines,
            schema=schema,
            separator=dialect.sep,
            quote_char=dialect.quotechar or None,
            decimal_comma=dialect.decimal == ",",
            null_values=dialect.missing,
            glob=False,
        ).select(_convert(file, name, is_text=name in as_texts) for name in file.kinds)
        frame.collect_schema()  # so that a broken file fails here
        add_check(stack, lambda: _check_rows(frame, database))
        return Loaded(frame, file.names)


def _check_rows(frame: pl.LazyFrame, database: Database) -> None:
    """Read all rows of a CSV file.

    Raises:
        DatabaseUnreadable: a row cannot be read with the types of the first rows.
    """
    with name_errors(database, "csv"):
        try:
            frame.null_count().collect(engine="streaming")
        except pl.exceptions.PolarsError as error:
            if is_memory_error(error):
                raise
            raise Unreadable(LATE, error) from None


def _convert(file: Delimited, name: str, *, is_text: bool) -> pl.Expr:
    """Return a column with its type and missing values."""
    column, kind = pl.col(name), file.kinds[name]
    if is_text:
        column = pl.when(column.is_in(file.dialect.missing)).then(None).otherwise(column)
        if kind is Kind.BOOLEAN:
            values_by_text = {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}
            column = column.replace_strict(values_by_text, return_dtype=pl.Boolean)
        else:
            column = column.cast(_TYPES[kind])
    if kind in (Kind.INTEGER, Kind.NUMBER) and (numbers := file.dialect.missing_numbers):
        column = pl.when(column.cast(pl.Float64).is_in(numbers)).then(None).otherwise(column)
    return column.alias(name)


def read_parquet(database: Database, columns: Collection[str] | None, _stack: ExitStack) -> Loaded:
    """Open a Parquet file or a partitioned folder."""
    with name_errors(database, "parquet"):
        path = find_parquet(database)
        if path.is_dir():
            files, index, has_partitions = find_uniform_parts(path)
            frame = pl.scan_parquet(files, glob=False, hive_partitioning=has_partitions)
        else:
            frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            index = parse_index_names(pl.read_parquet_metadata(path).get("pandas"))
        names = [name for name in frame.collect_schema() if name not in index]
        _require_plain_names(names)
        return Loaded(frame.select(select_names(names, columns)), names)


def _require_plain_names(names: Collection[str]) -> None:
    """Refuse names that Polars takes for a pattern of other names.

    Raises:
        NeedsPandas: there is such a name.
    """
    if any(name == "*" or (name.startswith("^") and name.endswith("$")) for name in names):
        raise NeedsPandas


def read_sql(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Open a query. Only the columns that the function collects leave the database.

    The query runs once without rows for the types, and again each time that the frame is collected.
    """
    from algotools.data._sql_arrow import open_stream

    with ExitStack() as schema_stack:
        stream, names = open_stream(database, columns, schema_stack)
        schema = pl.DataFrame(stream.schema.empty_table()).schema

    def read_rows(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        with ExitStack() as rows_stack:
            requested = schema.names() if with_columns is None else with_columns
            for batch in remember_errors(open_stream(database, requested, rows_stack)[0], stack):
                frame = pl.DataFrame(batch)
                if n_rows is not None:
                    frame = frame.head(n_rows)
                    n_rows -= frame.height
                yield frame if predicate is None else frame.filter(predicate)
                if n_rows == 0:
                    return

    return Loaded(register_io_source(read_rows, schema=schema), names)


def convert_frame(frame: pd.DataFrame, _stack: ExitStack) -> pl.LazyFrame:
    """Convert a frame, without its index.

    Raises:
        Unreadable: a column has values of several types.
    """
    try:
        return pl.from_pandas(frame).lazy()
    except Exception as error:  # Polars, Arrow or Python, depending on the values
        raise Unreadable(
            "one of its columns has values of several types, which Polars does not support", error
        ) from None


def rename_columns(frame: Any, renames: Mapping[str, str]) -> Any:
    """Return the frame with other names of columns: old name -> new name."""
    return frame.rename(renames, strict=False)
