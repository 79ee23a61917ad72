"""The partial average without pandas, for an author who requests the database and reads the file."""

import csv
from pathlib import Path

from algotools import Database, rpc


@rpc
def average_partial(data: Database, column_name: str) -> dict[str, float]:
    """Sum and count of one numeric column at one node; empty cells are ignored."""
    with Path(data.uri).open(newline="", encoding="utf-8") as file:
        values = [float(row[column_name]) for row in csv.DictReader(file) if row[column_name]]
    return {"sum": sum(values), "count": len(values)}
