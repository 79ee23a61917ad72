"""The partial average of a Polars frame."""

import polars as pl

from algotools import Column, rpc


@rpc
def average_partial(data: pl.DataFrame, column_name: Column) -> dict[str, float]:
    """Sum and count of one numeric column at one node."""
    values = data[column_name]
    return {"sum": values.sum(), "count": values.count()}
