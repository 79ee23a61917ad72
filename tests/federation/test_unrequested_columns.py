"""A column that a function uses without a request, in the message of each library's error.

Functions of a test module with Polars cannot run in copies of a process that has used Polars, so they
have a module of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from algotools import Column, Federation, rpc
from algotools.errors import RunsFailed

FRAMES = [pd.DataFrame({"x": [1.0, 2.0], "when": pd.date_range("2024", periods=2)})]

LIBRARIES: dict[str, tuple[Any, Callable[[Any], object]]] = {
    "polars": (pl.DataFrame, lambda table: table.select("when")),
    "lazy": (pl.LazyFrame, lambda table: table.select("when").collect()),
    "arrow": (pa.Table, lambda table: table["when"]),
    "duckdb": (duckdb.DuckDBPyRelation, lambda table: table.filter("when is null")),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_unread_column_is_explained_for_each_library(library: str) -> None:
    annotation, use = LIBRARIES[library]

    def uses_more(data: Any, column: Column) -> int:
        column_names = "when", "when is null"
        use(data)
        return len(column_names)

    uses_more.__annotations__["data"] = annotation
    with Federation(FRAMES, algorithm=[rpc(uses_more)]) as federation, pytest.raises(RunsFailed) as raised:
        federation.run("uses_more", column="x")
    assert "the function uses the column 'when', which was not requested" in raised.value.failures[2].message
