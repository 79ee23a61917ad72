"""Databases that take a query.

The query is the task's, else the one that the node's owner configured, else a whole table of the owner's. Of a query
that can be put into another only the asked columns leave the database. Nothing can be written: see ``place``.

    place       which database it is, and how it is reached
    statement   the query, and the part of it that is asked for
    problems    what goes wrong, named without a password
    frame       the pandas form;   arrow  a stream of Arrow batches, for all forms that are made of them
    postgresql, sqlite             the types that a stream of theirs has
    duckdb      files of DuckDB;   ibis   expressions that run in the database
"""

from __future__ import annotations

from collections.abc import Collection

from algotools.data import Loaded
from algotools.task import Database


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """What ``pandas.read_sql_query`` gives for the query, or the asked columns of it: see ``Source.read``.

    Raises:
        InputError: neither the task nor the node's configuration gives a query.
    """
    from algotools.data.sql import duckdb, frame  # here: other forms do without pandas

    return (duckdb.frame if duckdb.is_file(database) else frame.frame)(database, columns)
