"""The partial average of a lazy frame. Polars reads only the data that the query needs."""

import polars as pl

from algotools import Column, rpc


@rpc
def average_partial(data: pl.LazyFrame, column_name: Column) -> dict[str, float]:
    """Sum and count of one numeric column at one node."""
    values = pl.col(column_name)
    [row] = data.select(sum=values.sum(), count=values.count()).collect().to_dicts()
    return row
