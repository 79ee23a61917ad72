"""The partial average of a relation, computed by DuckDB."""

import duckdb
from duckdb import ColumnExpression, FunctionExpression

from algotools import Column, rpc


@rpc
def average_partial(data: duckdb.DuckDBPyRelation, column_name: Column) -> dict[str, float]:
    """Sum and count of one numeric column at one node."""
    values = ColumnExpression(column_name)
    [(total, count)] = data.aggregate(
        [FunctionExpression("sum", values), FunctionExpression("count", values)]
    ).fetchall()
    return {"sum": total, "count": count}
