"""Tables of Arrow and Polars without the values that their memory has, but that are not values of the table.

Arrow's format has a value for each entry, also for a missing one, and a slice shares the memory of the whole table.
These values may be data that the function has removed, for example the means of small groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def clear_batch(batch: Any) -> Any:
    """Return a batch of Arrow in new memory, with empty values for missing ones."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([_clear_array(column) for column in batch.columns], schema=batch.schema)


def _clear_array(array: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    if pa.types.is_struct(array.type) and array.type.num_fields:
        fields = [array.type.field(i) for i in range(array.type.num_fields)]
        children = [_clear_array(child) for child in array.flatten()]  # missing where the struct is missing
        mask = array.is_null() if array.null_count else None
        try:
            return pa.StructArray.from_arrays(children, fields=fields, mask=mask)
        except pa.ArrowInvalid:  # a field that cannot be missing, in a struct that can
            return array
    try:
        return array.take(pa.array(np.arange(len(array))))
    except pa.ArrowNotImplementedError:  # a rare type, of which Arrow cannot copy single values
        return array


def clear_frame(frame: Any) -> Any:
    """Return a frame of Polars in new memory, with empty values for missing ones."""
    import polars as pl

    columns = {c.name: _clear_series(c) if _has_missing(c) else c for c in frame.get_columns()}
    return pl.DataFrame(columns) if columns else frame


def _has_missing(series: Any) -> bool:
    return bool(series.null_count()) or series.dtype.is_nested()


def _clear_series(series: Any) -> Any:
    import polars as pl

    if series.dtype == pl.Struct and series.dtype.fields:
        is_present = series.is_not_null()
        fields = series.struct.fields
        children = {name: _clear_series(_keep(series.struct.field(name), is_present)) for name in fields}
        return _keep(pl.DataFrame(children).to_struct(series.name), is_present)
    return series.gather(pl.int_range(len(series), eager=True))


def _keep(series: Any, is_present: Any) -> Any:
    """Return a series with missing values where *is_present* is false."""
    import polars as pl

    if is_present.all():
        return series
    return pl.select(pl.when(is_present).then(series)).to_series().rename(series.name)


def list_unused_categories(value: Any) -> Iterator[object]:
    """Yield the categories of a table or column of Arrow or Polars that no row has."""
    library = type(value).__module__.partition(".")[0]
    if library == "polars":
        import polars as pl

        for column in value.get_columns() if isinstance(value, pl.DataFrame) else [value]:
            dtype: Any = column.dtype
            if dtype == pl.Enum:
                yield from set(dtype.categories) - set(column.unique())
    elif library == "pyarrow":
        import pyarrow as pa

        for column in value.columns if isinstance(value, (pa.Table, pa.RecordBatch)) else [value]:
            if isinstance(column, (pa.Array, pa.ChunkedArray)) and pa.types.is_dictionary(column.type):
                for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                    yield from set(chunk.dictionary.to_pylist()) - set(chunk.to_pylist())
