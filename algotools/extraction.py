"""The extraction functions that a researcher of generation 5 expects in every image.

Each reads a database of the node as what its name says, whatever the node calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from algotools import data
from algotools.functions import Algorithm, RegisteredFunction
from algotools.task import Database

# What they give is a DataFrame; saying so in the signature would load pandas wherever an image is described.


def read_csv(source: Database) -> Any:
    """Read a CSV file, with its first line as the names of the columns."""
    return _read(source, type="csv")


def read_parquet(source: Database) -> Any:
    """Read a Parquet file, or all those in a folder."""
    return _read(source, type="parquet")


def read_excel(source: Database, sheet_name: str | None = None) -> Any:
    """Read a sheet of an Excel file.

    Args:
        sheet_name: Name of the sheet; without it the first is read.
    """
    return _read(source, type="excel", sheet_name=source.sheet_name if sheet_name is None else sheet_name)


def read_sql_database(source: Database, query: str) -> Any:
    """Read what a query to an SQL database gives.

    Args:
        query: The query, in the database's own SQL.
    """
    return _read(source, type="sql", query=query)


def read_sparql_database(source: Database, query: str) -> Any:
    """Read what a query to an endpoint of SPARQL gives.

    Args:
        query: The query, a SELECT.
    """
    return _read(source, type="sparql", query=query)


def with_readers(algorithm: Algorithm) -> Algorithm:
    """An algorithm that has these functions as well; its own of the same names come first."""
    ready = {name: RegisteredFunction(function, "rpc", name, "data_extraction") for name, function in readers().items()}
    return Algorithm(algorithm.name, {**ready, **algorithm.functions}, algorithm.folder)


def readers() -> Mapping[str, Callable[..., Any]]:
    """The functions by the names that a task calls them by."""
    every = (read_csv, read_parquet, read_excel, read_sql_database, read_sparql_database)
    return {function.__name__: function for function in every}


def _read(source: Database, **told: str | None) -> Any:
    return data.load(msgspec.structs.replace(source, **told), "pandas", None).value
