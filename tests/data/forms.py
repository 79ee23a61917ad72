"""Tables of any form as plain lists, so that the tests can compare all forms."""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

from algotools import data
from algotools.task import Database

TABLES = ["pandas", "arrow", "batches", "polars", "lazy", "duckdb", "ibis"]


def to_lists(form: str, value: Any) -> dict[str, list[object]]:
    """Return the columns of a table as lists of Python values; None for every kind of missing value."""
    if form == "pandas":
        columns = {str(name): value.iloc[:, i].tolist() for i, name in enumerate(value.columns)}
    elif form == "polars":
        columns = value.to_dict(as_series=False)
    elif form == "lazy":
        columns = value.collect().to_dict(as_series=False)
    elif form == "batches":
        columns = value.read_all().to_pydict()
    elif form == "arrow":
        columns = value.to_pydict()
    elif form == "duckdb":
        rows = value.fetchall()
        columns = {name: [row[i] for row in rows] for i, name in enumerate(value.columns)}
    else:
        columns = value.to_pyarrow().to_pydict()
    return {name: [None if _is_missing(item) else item for item in items] for name, items in columns.items()}


def _is_missing(value: object) -> bool:
    return (
        value is None
        or type(value).__name__ in {"NAType", "NaTType"}
        or (isinstance(value, float) and math.isnan(value))
    )


def read(database: Database, form: str, columns: Collection[str] | None = None) -> dict[str, list[object]]:
    """Read a database in a form and return the columns as lists."""
    with ExitStack() as stack:
        return to_lists(form, data.load(database, form, columns, stack).value)
