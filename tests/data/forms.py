"""What the tests of the forms share: any of them as plain lists, so that all can be compared."""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

from algotools import data
from algotools.task import Database

TABLES = ["pandas", "arrow", "batches", "polars", "lazy", "duckdb", "ibis"]


def lists(form: str, value: Any) -> dict[str, list[object]]:
    """The columns of a table as lists of Python's own values; None for a missing one, whatever the library has."""
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
        columns = {name: [row[i] for row in value.fetchall()] for i, name in enumerate(value.columns)}
    else:
        columns = value.to_pyarrow().to_pydict()
    return {name: [None if _missing(item) else item for item in items] for name, items in columns.items()}


def _missing(value: object) -> bool:
    return (
        value is None
        or type(value).__name__ in {"NAType", "NaTType"}
        or (isinstance(value, float) and math.isnan(value))
    )


def read(database: Database, form: str, columns: Collection[str] | None = None) -> dict[str, list[object]]:
    """What a function that asks for this form sees, while it runs."""
    with ExitStack() as closing:
        return lists(form, data.load(database, form, columns, closing).value)
