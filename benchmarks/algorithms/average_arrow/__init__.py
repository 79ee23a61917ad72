"""The partial average of an Arrow table."""

import pyarrow as pa
import pyarrow.compute as pc

from algotools import Column, rpc


@rpc
def average_partial(data: pa.Table, column_name: Column) -> dict[str, float]:
    """Sum and count of one numeric column at one node."""
    values = data[column_name]
    return {"sum": pc.sum(values).as_py(), "count": pc.count(values).as_py()}
