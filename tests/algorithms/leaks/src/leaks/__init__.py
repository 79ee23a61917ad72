"""Fails in many ways while it holds values and names from the data. No message may repeat them."""

from pathlib import Path

import duckdb
import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from algotools import AlgorithmClient, Column, Database, master, rpc
from algotools.errors import AlgotoolsError, PartialFailure

from .channels import CHANNELS
from .ways import WAYS, Sample

ALL = {**WAYS, **CHANNELS}


def fail(way: str, sample: Sample, wrong: dict) -> object:
    """Fail in a general way, or in one of the form's own ways."""
    return wrong[way](sample.data) if way in wrong else ALL[way](sample)


@rpc
def by_pandas(data: pd.DataFrame, way: str) -> object:
    sample = Sample(str(data.iloc[0, 0]), str(data.columns[1]), int(data.iloc[0, 2]), data)
    wrong = {
        "cast": lambda d: d.iloc[:, 0].astype(int),
        "column": lambda d: d[sample.value],
        "group": lambda d: d.groupby(sample.value).sum(),
        "sort": lambda d: d.sort_values(by=[sample.name, sample.value]),
        "query": lambda d: d.query(f"`{sample.value}` > 1"),
    }
    return fail(way, sample, wrong)


@rpc
def by_polars(data: pl.DataFrame, way: str) -> object:
    sample = Sample(str(data[0, 0]), data.columns[1], int(data[0, 2]), data)
    return fail(way, sample, wrong_in_polars(sample, lambda d: d))


@rpc
def by_lazy(data: pl.LazyFrame, way: str) -> object:
    frame = data.collect()
    sample = Sample(str(frame[0, 0]), frame.columns[1], int(frame[0, 2]), data)
    return fail(way, sample, wrong_in_polars(sample, lambda d: d.collect()))


def wrong_in_polars(sample: Sample, collect) -> dict:
    first = pl.nth(0)
    return {
        "cast": lambda d: collect(d.select(first.cast(pl.Int64))),
        "column": lambda d: collect(d.select(sample.value)),
        "group": lambda d: collect(d.group_by(sample.value).len()),
        "sort": lambda d: collect(d.sort(sample.value)),
        "query": lambda d: collect(d.select(first.str.to_date("%Y"))),
    }


@rpc
def by_arrow(data: pa.Table, way: str) -> object:
    return fail(way, *in_arrow(data))


@rpc
def by_batches(data: pa.RecordBatchReader, way: str) -> object:
    sample, wrong = in_arrow(data.read_all())
    return fail(way, sample, wrong)


def in_arrow(data: pa.Table) -> tuple:
    sample = Sample(data.column(0)[0].as_py(), data.column_names[1], int(data.column(2)[0].as_py()), data)
    return sample, {
        "cast": lambda d: d.column(0).cast(pa.int64()),
        "column": lambda d: d[sample.value],
        "group": lambda d: d.group_by(sample.value).aggregate([]),
        "sort": lambda d: d.sort_by(sample.value),
        "query": lambda d: pc.strptime(d.column(0), "%Y", "s"),
    }


@rpc
def by_duckdb(data: duckdb.DuckDBPyRelation, way: str) -> object:
    row = data.limit(1).fetchall()[0]
    sample = Sample(str(row[0]), data.columns[1], int(row[2]), data)
    first = f'"{data.columns[0]}"'
    wrong = {
        "cast": lambda d: d.project(f"cast({first} as int)").fetchall(),
        "column": lambda d: d.project(f'"{sample.value}"').fetchall(),
        "group": lambda d: d.aggregate(f"sum({first})").fetchall(),
        "sort": lambda d: d.order(f'"{sample.name}x"').fetchall(),
        "query": lambda d: d.filter(f"{first} = '{sample.value}").fetchall(),
    }
    return fail(way, sample, wrong)


@rpc
def by_ibis(data: ibis.Table, way: str) -> object:
    rows = data.to_pyarrow()
    sample = Sample(rows.column(0)[0].as_py(), data.columns[1], int(rows.column(2)[0].as_py()), data)
    wrong = {
        "cast": lambda d: d[0].cast("int64").to_pyarrow(),
        "column": lambda d: d[sample.value],
        "group": lambda d: d.group_by(sample.value).count().to_pyarrow(),
        "sort": lambda d: d.order_by(sample.value).to_pyarrow(),
        "query": lambda d: d[0].as_date("%Y").to_pyarrow(),
    }
    return fail(way, sample, wrong)


@rpc
def by_path(file: Path, way: str) -> object:
    if file.suffix == ".parquet":  # a table of a v5 session
        table = pd.read_parquet(file)
        sample = Sample(str(table.iloc[0, 0]), str(table.columns[1]), int(table.iloc[0, 2]), file)
    else:
        lines = [line.split(",") for line in file.read_text().splitlines()]
        sample = Sample(lines[1][0], lines[0][1], int(lines[1][2]), file)
    wrong = {
        "cast": lambda d: int(sample.value),
        "column": lambda d: (d.parent / sample.value).read_text(),
        "group": lambda d: (d / sample.name).read_text(),
        "sort": lambda d: d.rename(d / "x"),
        "query": lambda d: pd.read_excel(d),
    }
    return fail(way, sample, wrong)


@rpc
def read_column(data: pd.DataFrame, column: Column) -> int:
    return len(data[column])


@rpc
def read_by_pandas(data: pd.DataFrame) -> int:
    return len(data)


@rpc
def read_by_polars(data: pl.DataFrame) -> int:
    return data.height


@rpc
def read_by_lazy(data: pl.LazyFrame) -> int:
    return data.select(pl.len()).collect().item() + data.collect().height


@rpc
def read_by_arrow(data: pa.Table) -> int:
    return data.num_rows


@rpc
def read_by_batches(data: pa.RecordBatchReader) -> int:
    return sum(batch.num_rows for batch in data)


@rpc
def read_by_duckdb(data: duckdb.DuckDBPyRelation) -> int:
    return len(data.fetchall())


@rpc
def read_by_ibis(data: ibis.Table) -> int:
    return data.to_pyarrow().num_rows


@rpc
def read_by_path(file: Path) -> int:
    return len(file.read_bytes())


@rpc
def read_by_database(database: Database) -> int:
    return len(pd.read_csv(database.uri))


@master
def collect(client: AlgorithmClient, method: str, way: str) -> list[str]:
    """Return everything that a master learns about runs that fail."""
    try:
        results = client.run(method, arguments={"way": way})
    except PartialFailure as error:
        return [str(error), repr(error), str(vars(error))]
    except AlgotoolsError as error:
        return [repr(error)]
    return [str(results.failures)]


@master
def ask_badly(client: AlgorithmClient, way: str) -> object:
    """Send a value to other nodes in ways that fail."""
    secret = client.run("first_cell")[0]
    match way:
        case "argument":
            return client.run("by_pandas", arguments={"way": {secret}})
        case "method":
            return client.run(secret)
        case "keyword":
            return client.run("by_pandas", arguments={secret: 1})
        case "organization":
            return client.run("by_pandas", organizations=[secret], arguments={"way": "value"})
        case "object":
            return client.run("by_pandas", arguments={"way": Path})
        case "key":
            return client.run("by_pandas", arguments={"way": {(secret, 1): {secret}}})
        case "surrogate":
            return client.run("by_pandas", arguments={"way": secret + "\ud800"})
        case "task":
            return client.task.create(input_={"method": secret, "kwargs": {secret: {secret}}}, organizations=[2])
    raise KeyError(secret)


@rpc
def first_cell(data: pd.DataFrame) -> str:
    return str(data.iloc[0, 0])
