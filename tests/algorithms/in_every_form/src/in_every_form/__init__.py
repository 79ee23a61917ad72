"""The partial of the average, once for each form of data, and functions with two tables."""

from pathlib import Path
from typing import Annotated

import duckdb
import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from algotools import AlgorithmClient, Column, Columns, Database, master, rpc

Partial = dict[str, float]


@rpc
def by_pandas(data: pd.DataFrame, column: Column) -> Partial:
    return {"sum": data[column].sum(), "count": data[column].count()}


@rpc
def by_polars(data: pl.DataFrame, column: Column) -> Partial:
    return {"sum": data[column].sum(), "count": data[column].count()}


@rpc
def by_lazy(data: pl.LazyFrame, column: Column) -> Partial:
    return (
        data.select(sum=pl.col(column).sum(), count=pl.col(column).count())
        .collect(engine="streaming")
        .row(0, named=True)
    )


@rpc
def by_arrow(data: pa.Table, column: Column) -> Partial:
    return {"sum": pc.sum(data[column]).as_py(), "count": pc.count(data[column]).as_py()}


@rpc
def by_batches(data: pa.RecordBatchReader, column: Column) -> Partial:
    totals = {"sum": 0, "count": 0}
    for batch in data:
        totals["sum"] += pc.sum(batch[column]).as_py() or 0
        totals["count"] += pc.count(batch[column]).as_py()
    return totals


@rpc
def by_duckdb(data: duckdb.DuckDBPyRelation, column: Column) -> Partial:
    quoted = '"' + column.replace('"', '""') + '"'
    total, count = data.aggregate(f"sum({quoted})::double, count({quoted})").fetchall()[0]
    return {"sum": total, "count": count}


@rpc
def by_ibis(data: ibis.Table, column: Column) -> Partial:
    totals = data.aggregate(sum=data[column].sum(), count=data[column].count())
    return totals.to_pyarrow().to_pylist()[0]


@rpc
def lines(file: Path) -> int:
    """Count the lines of the file."""
    return len(file.read_text(encoding="utf-8").splitlines())


@rpc
def columns_in_polars(data: Annotated[pl.LazyFrame, Columns.of("sex")], column: Column) -> list[str]:
    return data.collect_schema().names()


@rpc
def joined(
    patients: Annotated[pl.LazyFrame, Database("patients"), Columns.of("id")],
    visits: Annotated[pl.LazyFrame, Database("visits"), Columns.of("patient")],
    column: Column,
) -> dict[str, float]:
    """Join two tables by their labels. The order of the databases in the task does not matter."""
    both = patients.join(visits, left_on="id", right_on="patient")
    return {"sum": both.select(pl.col(column).sum()).collect().item()}


@rpc
def a_table(data: pl.DataFrame) -> pl.DataFrame:
    return data.filter(pl.col("age") > 40)


@master
def pooled_tables(client: AlgorithmClient) -> int:
    return pl.concat(client.run(a_table), how="vertical_relaxed").height


@rpc(step="preprocessing")
def grown_by_polars(data: pl.LazyFrame) -> pl.LazyFrame:
    return data.filter(pl.col("age") > 40)


@rpc(step="preprocessing")
def grown_by_arrow(data: pa.RecordBatchReader) -> pa.Table:
    return data.read_all().filter(pc.field("age") > 40)


@rpc(step="preprocessing")
def grown_by_duckdb(data: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    return data.filter("age > 40")


@rpc(step="preprocessing")
def grown_by_ibis(data: ibis.Table) -> ibis.Table:
    return data.filter(data.age > 40)


@rpc
def joined_by_duckdb(
    patients: Annotated[duckdb.DuckDBPyRelation, Database("patients"), Columns.of("id", "age")],
    visits: Annotated[duckdb.DuckDBPyRelation, Database("visits"), Columns.of("patient")],
) -> int:
    return patients.join(visits, "id = patient").aggregate("sum(age)::bigint").fetchall()[0][0]


@rpc
def joined_by_ibis(
    patients: Annotated[ibis.Table, Database("patients"), Columns.of("id", "age")],
    visits: Annotated[ibis.Table, Database("visits"), Columns.of("patient")],
) -> int:
    return patients.join(visits, patients.id == visits.patient).age.sum().to_pyarrow().as_py()
