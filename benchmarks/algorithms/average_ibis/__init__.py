"""The average's partial of an Ibis table, computed where the table is: in DuckDB here, or inside the database."""

import ibis

from algotools import Column, rpc


@rpc
def average_partial(data: ibis.Table, column_name: Column) -> dict[str, float]:
    """Sum and count of one numeric column at one node."""
    values = data[column_name]
    [found] = data.aggregate(sum=values.sum(), count=values.count()).to_pyarrow().to_pylist()
    return found
