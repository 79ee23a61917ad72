"""The extraction functions that a researcher of generation 5 expects in every image.

Each function reads a database in the format of the function's name, whatever type the node's owner configured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from algotools import data
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.declare.options import Options
from algotools.task import Database

# The functions return a DataFrame. The annotation is ``Any``, because ``DataFrame`` would load pandas whenever an image
# is described.


def read_csv(source: Database) -> Any:
    """Read a CSV file; the first line contains the names of the columns."""
    return _read(source, type="csv")


def read_parquet(source: Database) -> Any:
    """Read a Parquet file, or all Parquet files in a folder."""
    return _read(source, type="parquet")


def read_excel(source: Database, sheet_name: str | None = None) -> Any:
    """Read a sheet of an Excel file.

    Args:
        sheet_name: Name of the sheet; default: the first sheet.
    """
    return _read(source, type="excel", sheet_name=source.sheet_name if sheet_name is None else sheet_name)


def read_sql_database(source: Database, query: str) -> Any:
    """Read the result of a query to an SQL database.

    Args:
        query: The query, in the SQL dialect of the database.
    """
    is_omop = (source.type or "").lower() == "omop"  # a SQL database with further options
    return _read(source, type="omop" if is_omop else "sql", query=query)


def read_sparql_database(source: Database, query: str) -> Any:
    """Read the result of a query to a SPARQL endpoint.

    Args:
        query: The query, which must be a SELECT.
    """
    return _read(source, type="sparql", query=query)


def add_readers(algorithm: Algorithm) -> Algorithm:
    """Return the algorithm with these functions added; its own functions take precedence."""
    options = Options(step="data_extraction")
    readers = {name: RegisteredFunction(f, "rpc", name, options) for name, f in list_readers().items()}
    return Algorithm(algorithm.name, {**readers, **algorithm.functions}, algorithm.folder)


def list_readers() -> Mapping[str, Callable[..., Any]]:
    """Return the extraction functions by name."""
    functions = (read_csv, read_parquet, read_excel, read_sql_database, read_sparql_database)
    return {function.__name__: function for function in functions}


def _read(source: Database, **fields: str | None) -> Any:
    return data.load(msgspec.structs.replace(source, **fields), "pandas", None).value
