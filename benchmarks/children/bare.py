"""The partial average computed by an engine alone, for ``data.py``: without node, wrapper and checks.

``python bare.py ENGINE SOURCE URI COLUMN [TABLE]`` prints the result as JSON. Each function reads a single column like
the manual of its library recommends, and imports only its own engine.
"""

import sys
from collections.abc import Iterable
from typing import Any

Partial = tuple[Any, Any]


def select_column(column: str, table: str) -> str:
    """Return a query for a single column."""
    return f'SELECT "{column}" FROM "{table}"'


def pandas(source: str, uri: str, column: str, table: str) -> Partial:
    """Read the column as a frame."""
    import pandas as pd

    if source == "csv":
        frame = pd.read_csv(uri, usecols=[column])
    elif source == "parquet":
        frame = pd.read_parquet(uri, columns=[column])
    else:
        import sqlalchemy

        with sqlalchemy.create_engine(uri.replace("postgresql:", "postgresql+psycopg:")).connect() as connection:
            frame = pd.read_sql_query(select_column(column, table), connection)
    values = frame[column].dropna()
    return values.sum().item(), values.size


def polars(source: str, uri: str, column: str, table: str) -> Partial:
    """Read the column into memory."""
    import polars as pl

    if source == "csv":
        frame = pl.read_csv(uri, columns=[column])
    elif source == "parquet":
        frame = pl.read_parquet(uri, columns=[column])
    else:
        frame = pl.read_database_uri(select_column(column, table), uri, engine="adbc")
    return frame[column].sum(), frame[column].count()


def lazy(source: str, uri: str, column: str, _table: str) -> Partial:
    """Scan the file, which Polars reads in parts."""
    import polars as pl

    frame = pl.scan_csv(uri) if source == "csv" else pl.scan_parquet(uri)
    values = pl.col(column)
    [row] = frame.select(values.sum().alias("sum"), values.count().alias("count")).collect().rows()
    return row


def arrow(source: str, uri: str, column: str, table: str) -> Partial:
    """Read the column as a table."""
    import pyarrow.compute as pc

    if source == "csv":
        from pyarrow import csv

        data = csv.read_csv(uri, convert_options=csv.ConvertOptions(include_columns=[column]))
    elif source == "parquet":
        from pyarrow import parquet

        data = parquet.read_table(uri, columns=[column])
    else:
        import adbc_driver_postgresql.dbapi as adbc

        with adbc.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute(select_column(column, table))
            data = cursor.fetch_arrow_table()
    return pc.sum(data[column]).as_py(), pc.count(data[column]).as_py()


def batches(source: str, uri: str, column: str, table: str) -> Partial:
    """Read the column as a stream of record batches."""
    if source == "csv":
        from pyarrow import csv

        return _aggregate(csv.open_csv(uri, convert_options=csv.ConvertOptions(include_columns=[column])))
    if source == "parquet":
        from pyarrow import dataset

        return _aggregate(dataset.dataset(uri).to_batches(columns=[column]))
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(select_column(column, table))
        return _aggregate(cursor.fetch_record_batch())


def _aggregate(stream: Iterable[Any]) -> Partial:
    import pyarrow.compute as pc

    total, count = 0, 0
    for batch in stream:
        total += pc.sum(batch.column(0), min_count=0).as_py()
        count += pc.count(batch.column(0)).as_py()
    return total, count


def duckdb(source: str, uri: str, column: str, _table: str) -> Partial:
    """Scan the file with DuckDB."""
    import duckdb

    connection = duckdb.connect()
    relation = connection.read_csv(uri) if source == "csv" else connection.read_parquet(uri)
    [row] = relation.aggregate(f'sum("{column}"), count("{column}")').fetchall()
    return row


def ibis(source: str, uri: str, column: str, table: str) -> Partial:
    """Compute with Ibis: in DuckDB for a file, otherwise inside the database."""
    import ibis

    if source == "csv":
        data = ibis.duckdb.connect().read_csv(uri)
    elif source == "parquet":
        data = ibis.duckdb.connect().read_parquet(uri)
    else:
        data = ibis.connect(uri).table(table)
    values = data[column]
    [row] = data.aggregate(sum=values.sum(), count=values.count()).to_pyarrow().to_pylist()
    return row["sum"], row["count"]


def psycopg(_source: str, uri: str, column: str, table: str) -> Partial:
    """Compute the sum in the database, which returns a single row: the lower limit of the time."""
    import psycopg

    with psycopg.connect(uri) as connection:
        row = connection.execute(f'SELECT sum("{column}"), count("{column}") FROM "{table}"').fetchone()
    return row or (0, 0)


def main() -> None:
    """Run one engine. A sum may be a Decimal, so the JSON is formatted by hand."""
    name, source, uri, column, *table = sys.argv[1:]
    engines = (pandas, polars, lazy, arrow, batches, duckdb, ibis, psycopg)
    compute = {function.__name__: function for function in engines}[name]
    total, count = compute(source, uri, column, *(table or [""]))
    print(f'{{"sum": {total}, "count": {count}}}')


main()
