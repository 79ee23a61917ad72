"""What an engine by itself takes to answer the average's partial, for ``data.py``: no node, no wrapper, no checks.

``python bare.py ENGINE SOURCE URI COLUMN [TABLE]`` prints the answer as JSON. Each function reads as its library's own
manual would have one column read; nothing is imported that the others need.
"""

import sys
from collections.abc import Iterable
from typing import Any

Answer = tuple[Any, Any]


def one(column: str, table: str) -> str:
    """The query that asks for no more."""
    return f'SELECT "{column}" FROM "{table}"'


def pandas(source: str, uri: str, column: str, table: str) -> Answer:
    """The one column as a frame."""
    import pandas as pd

    if source == "csv":
        frame = pd.read_csv(uri, usecols=[column])
    elif source == "parquet":
        frame = pd.read_parquet(uri, columns=[column])
    else:
        import sqlalchemy

        with sqlalchemy.create_engine(uri.replace("postgresql:", "postgresql+psycopg:")).connect() as connection:
            frame = pd.read_sql_query(one(column, table), connection)
    values = frame[column].dropna()
    return values.sum().item(), values.size


def polars(source: str, uri: str, column: str, table: str) -> Answer:
    """The one column in memory."""
    import polars as pl

    if source == "csv":
        frame = pl.read_csv(uri, columns=[column])
    elif source == "parquet":
        frame = pl.read_parquet(uri, columns=[column])
    else:
        frame = pl.read_database_uri(one(column, table), uri, engine="adbc")
    return frame[column].sum(), frame[column].count()


def lazy(source: str, uri: str, column: str, _table: str) -> Answer:
    """Polars' scan, which reads a file by parts."""
    import polars as pl

    frame = pl.scan_csv(uri) if source == "csv" else pl.scan_parquet(uri)
    values = pl.col(column)
    [found] = frame.select(values.sum().alias("sum"), values.count().alias("count")).collect().rows()
    return found


def arrow(source: str, uri: str, column: str, table: str) -> Answer:
    """The one column as a table."""
    import pyarrow.compute as pc

    if source == "csv":
        from pyarrow import csv

        found = csv.read_csv(uri, convert_options=csv.ConvertOptions(include_columns=[column]))
    elif source == "parquet":
        from pyarrow import parquet

        found = parquet.read_table(uri, columns=[column])
    else:
        import adbc_driver_postgresql.dbapi as adbc

        with adbc.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute(one(column, table))
            found = cursor.fetch_arrow_table()
    return pc.sum(found[column]).as_py(), pc.count(found[column]).as_py()


def batches(source: str, uri: str, column: str, table: str) -> Answer:
    """Arrow's stream of the one column."""
    if source == "csv":
        from pyarrow import csv

        return _added(csv.open_csv(uri, convert_options=csv.ConvertOptions(include_columns=[column])))
    if source == "parquet":
        from pyarrow import dataset

        return _added(dataset.dataset(uri).to_batches(columns=[column]))
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(one(column, table))
        return _added(cursor.fetch_record_batch())


def _added(stream: Iterable[Any]) -> Answer:
    import pyarrow.compute as pc

    total, count = 0, 0
    for batch in stream:
        total += pc.sum(batch.column(0), min_count=0).as_py()
        count += pc.count(batch.column(0)).as_py()
    return total, count


def duckdb(source: str, uri: str, column: str, _table: str) -> Answer:
    """DuckDB's own scan of a file."""
    import duckdb

    connection = duckdb.connect()
    relation = connection.read_csv(uri) if source == "csv" else connection.read_parquet(uri)
    [found] = relation.aggregate(f'sum("{column}"), count("{column}")').fetchall()
    return found


def ibis(source: str, uri: str, column: str, table: str) -> Answer:
    """Ibis on DuckDB for a file, inside the database else."""
    import ibis

    if source == "csv":
        data = ibis.duckdb.connect().read_csv(uri)
    elif source == "parquet":
        data = ibis.duckdb.connect().read_parquet(uri)
    else:
        data = ibis.connect(uri).table(table)
    values = data[column]
    [found] = data.aggregate(sum=values.sum(), count=values.count()).to_pyarrow().to_pylist()
    return found["sum"], found["count"]


def psycopg(_source: str, uri: str, column: str, table: str) -> Answer:
    """The database's own sum: as much as can be saved, nothing but one row comes out."""
    import psycopg

    with psycopg.connect(uri) as connection:
        found = connection.execute(f'SELECT sum("{column}"), count("{column}") FROM "{table}"').fetchone()
    return found or (0, 0)


def main() -> None:
    """Ask one of them; a sum may come as a decimal, and JSON has numbers."""
    name, source, uri, column, *table = sys.argv[1:]
    engines = (pandas, polars, lazy, arrow, batches, duckdb, ibis, psycopg)
    ask = {function.__name__: function for function in engines}[name]
    total, count = ask(source, uri, column, *(table or [""]))
    print(f'{{"sum": {total}, "count": {count}}}')


main()
