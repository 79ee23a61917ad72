"""The partial average of an Ibis table, computed in DuckDB or inside the database."""

import ibis

from algotools import Column, rpc


@rpc
def average_partial(data: ibis.Table, column_name: Column) -> dict[str, float]:
    """Sum and count of one numeric column at one node."""
    values = data[column_name]
    [row] = data.aggregate(sum=values.sum(), count=values.count()).to_pyarrow().to_pylist()
    return row
