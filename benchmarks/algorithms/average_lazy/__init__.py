"""The average's partial of a lazy frame: Polars reads when all is known that is asked of it."""

import polars as pl

from algotools import Column, rpc


@rpc
def average_partial(data: pl.LazyFrame, column_name: Column) -> dict[str, float]:
    """Sum and count of one numeric column at one node."""
    values = pl.col(column_name)
    [found] = data.select(sum=values.sum(), count=values.count()).collect().to_dicts()
    return found
