"""Functions whose results and messages the gate judges, for tests/disclosure/test_gate.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa

from algotools import (
    AlgorithmClient, Column, Columns, Database, RunInfo, UserError, log, master, progress, rpc
)  # fmt: skip


class TooOld(UserError):
    text = "the oldest in {column} is {age}"
    column: str
    age: float


@rpc
def sums(data: pd.DataFrame, column: Column) -> dict[str, float]:
    values = data[column]
    return {"sum": values.sum(), "count": values.size}


@rpc
def sums_by_group(data: pd.DataFrame, column: Column, by: Column) -> dict[str, float]:
    return data.groupby(by)[column].sum().to_dict()


@rpc
def rows(data: pd.DataFrame, column: Column) -> list[float]:
    return data[column].tolist()


@rpc
def array_of_rows(data: pd.DataFrame, column: Column) -> object:
    return {"values": data[column].to_numpy()}


@rpc
def heaviest(data: pd.DataFrame, column: Column) -> float:
    return float(data[column].max())


@rpc
def whole_table(data: pd.DataFrame) -> dict[str, int]:
    return {"count": len(data)}


@rpc
def columns_of(data: Annotated[pd.DataFrame, Columns.of("age")]) -> list[str]:
    return list(data.columns)


@rpc
def count_above(data: pd.DataFrame, column: Column, limit: float) -> dict[str, float]:
    return {"above": int((data[column] > limit).sum()), "limit": limit}


@rpc(minimum_rows=20)
def strict_sum(data: pd.DataFrame, column: Column) -> float:
    return float(data[column].sum())


@rpc
def lazy_sum(data: pl.LazyFrame, column: Column) -> float:
    return float(data.select(pl.col(column).sum()).collect().item())


@rpc
def duckdb_sums(data: duckdb.DuckDBPyRelation, column: Column, by: Column) -> dict[str, float]:
    return dict(data.aggregate(f'"{by}", sum("{column}")', f'"{by}"').fetchall())


@rpc
def streamed_count(data: pa.RecordBatchReader) -> dict[str, int]:
    return {"count": sum(len(batch) for batch in data)}


@rpc
def unread(data: Database) -> dict[str, int]:
    return {"count": len(Path(data.uri).read_text(encoding="utf-8").splitlines())}


@rpc
def talkative(data: pd.DataFrame, column: Column) -> float:
    log(f"sum of {column} over {len(data)} rows")
    log(f"the first value is {data[column].iloc[0]}")
    log(f"hello {data['name'].iloc[0]}" if "name" in data else "no names")
    progress(0.5, "half")
    progress(0.75, f"seen {data[column].iloc[1]}")
    return float(data[column].sum())


@rpc
def complains(data: pd.DataFrame, column: Column) -> float:
    raise TooOld(column=column, age=float(data[column].max()))


@rpc
def complains_of_column(data: pd.DataFrame, column: Column, age: float) -> float:
    raise TooOld(column=column, age=age)


@rpc
def variables_of_node(info: RunInfo) -> dict[str, str]:
    return {"policy": ", ".join(name for name in info.variables if "POLICY" in name)}


@master
def totals(client: AlgorithmClient, column: str) -> dict[str, float]:
    partials = client.run(sums, column=column)
    return {"mean": sum(p["sum"] for p in partials) / sum(p["count"] for p in partials), "nodes": len(partials)}


@master
def own_rows(client: AlgorithmClient, data: pd.DataFrame) -> list[float]:
    assert client.organizations
    return data["weight"].tolist()


@rpc
def list_columns(data: pd.DataFrame) -> list[str]:
    return list(data.columns)
