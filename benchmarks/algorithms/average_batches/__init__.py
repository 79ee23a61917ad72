"""The partial average of a stream of record batches, of which only a few are in memory."""

import pyarrow as pa
import pyarrow.compute as pc

from algotools import Column, rpc


@rpc
def average_partial(data: pa.RecordBatchReader, column_name: Column) -> dict[str, float]:
    """Sum and count of one numeric column at one node."""
    total, count = 0, 0
    for batch in data:
        values = batch[column_name]
        total += pc.sum(values, min_count=0).as_py()
        count += pc.count(values).as_py()
    return {"sum": total, "count": count}
