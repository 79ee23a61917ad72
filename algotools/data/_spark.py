"""Queries of Spark Connect, for all forms.

A task's query is only the inner query of a ``SELECT``. Spark parses one statement at a time, and a statement that
begins with ``SELECT`` can neither write nor change a setting. Two abilities of an inner query are refused: the start
of programs in the cluster, and reading files instead of tables.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from algotools.data import _sql
from algotools.data._spark_uri import parse_address
from algotools.data.names import select_columns
from algotools.data.reading import Loaded, Unreadable
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql.connect.dataframe import DataFrame as SparkFrame
    from pyspark.sql.connect.session import SparkSession
    from pyspark.sql.types import StructField, StructType


class SparkQuery(NamedTuple):
    """A query whose columns are known. No row was computed."""

    session: SparkSession
    text: str
    """The query of the requested columns."""
    schema: StructType
    """The requested columns with their types in Spark."""
    names: list[str]
    """The names of all columns."""


def quote_name(name: str) -> str:
    """Quote a name for Spark."""
    return "`" + name.replace("`", "``") + "`"


def open_query(database: Database, columns: Collection[str] | None, stack: ExitStack) -> SparkQuery:
    """Connect to the server, and let Spark analyze the query. ``stack`` releases the session.

    Raises:
        Unreadable: the server does not answer, or the query is refused.
        InputError: neither the task nor the owner specifies a query.
    """
    address, query = parse_address(database), _sql.choose_query(database, quote_name)
    if database.query:
        _refuse_programs(query)
    from algotools.data._spark_session import open_session  # here: it imports pyspark

    session = open_session(address, stack)
    if database.query:
        session.conf.set("spark.sql.runSQLOnFiles", "false")
    schema = session.sql(_sql.select(query)).schema
    selected_names = _check_names(_sql.choose_columns(schema.names, columns))
    text = _sql.select(query, map(quote_name, selected_names))
    return SparkQuery(session, text, type(schema)([schema[name] for name in selected_names]), schema.names)


def _refuse_programs(query: str) -> None:
    """Refuse a task's query that can start a program in the cluster.

    The whole text is searched, also in comments and texts: what is a comment depends on details of Spark's parser. A
    name can also be computed, by ``IDENTIFIER('ref' || 'lect')``.

    Raises:
        Unreadable: the query has such a function.
    """
    is_script = _SCRIPT.search(query) and _USING.search(query)
    if match := _PROGRAM.search(query):
        raise Unreadable(f"the task's query uses {match[0].lower()}, which can start programs; leave it out")
    if is_script:
        raise Unreadable(
            "the task's query uses TRANSFORM, MAP or REDUCE with USING, which starts programs; leave it out"
        )


_PROGRAM = re.compile(
    r"\b(?:reflect|try_reflect|java_method)\b"  # functions that call any method of Java
    r"|\bidentifier\b(?=[^\w,.;)=<>!+%|&\-/]*(?:\(|/\*|--))",
    re.IGNORECASE,
)
_SCRIPT = re.compile(r"\b(transform|map|reduce)\b", re.IGNORECASE)
_USING = re.compile(r"\busing\b(?!\s*\()", re.IGNORECASE)
"""Matches ``USING`` except that of a join. ``TRANSFORM(x) USING 'program'`` sends rows through a program."""


def _check_names(names: list[str]) -> list[str]:
    """Refuse names that Spark cannot distinguish.

    Raises:
        Unreadable: there are such names.
    """
    _sql.check_unique(names)
    if len({name.lower() for name in names}) < len(names):
        raise Unreadable(
            "the names of two columns differ only in case, which Spark does not support; rename one with AS"
        )
    return names


def make_arrow_schema(schema: StructType) -> pa.Schema:
    """Return the Arrow schema of a query's columns.

    Raises:
        Unreadable: Arrow has no type for a column.
    """
    return pa.schema([(field.name, _convert_type(field)) for field in schema])


def _convert_type(field: StructField) -> pa.DataType:
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_type

    try:
        if field.dataType.typeName() != "variant":  # Arrow would have Spark's own bytes
            return to_arrow_type(field.dataType, timezone="UTC")
        error: object = ""
    except PySparkException as cause:
        error = cause
    raise Unreadable(
        "a column has a type of Spark that cannot be read; leave it out, or convert it with CAST in the query",
        f"column {field.name!r}, type {field.dataType.simpleString()}: {error}",
    )


def read_stream(
    database: Database, columns: Collection[str] | None, stack: ExitStack
) -> tuple[pa.Schema, Iterator[pa.RecordBatch], list[str]]:
    """Return the schema and the batches of the requested columns, and the names of all columns.

    Decimals become floats in the server, as from other databases.

    Raises:
        Unreadable, InputError: see ``open_query``.
    """
    query = open_query(database, columns, stack)
    kinds = {field.name: field.dataType.typeName() for field in query.schema}
    if "decimal" in kinds.values():
        expressions = (
            f"CAST({quoted} AS DOUBLE) AS {quoted}" if kind == "decimal" else quoted
            for quoted, kind in ((quote_name(name), kind) for name, kind in kinds.items())
        )
        query = query._replace(text=_sql.select(query.text, expressions))
        query = query._replace(schema=query.session.sql(query.text).schema)
    schema = make_arrow_schema(query.schema)
    return schema, read_batches(query.session.sql(query.text), schema), query.names


def read_batches(frame: SparkFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query as they arrive from the server, with the types of a schema."""
    # `toLocalIterator`, the public method that does not load all rows, converts each value to a Python object.
    session: Any = frame.sparkSession
    plan: Any = frame._plan  # noqa: SLF001
    for table in session.client.to_table_as_iterator(plan.to_proto(session.client), plan.observations):
        if isinstance(table, pa.Table):  # the first item is Spark's schema
            arrays = [column.cast(field.type) for column, field in zip(table.columns, schema, strict=True)]
            yield from pa.Table.from_arrays(arrays, schema=schema).to_batches()


def read_frame(database: Database, columns: Collection[str] | None) -> Loaded:
    """Return the requested columns as a frame of pandas, with the exact values of large integers."""
    with ExitStack() as stack:
        schema, batches, names = read_stream(database, columns, stack)
        table = pa.Table.from_batches(batches, schema)
    return Loaded(select_columns(_convert_to_pandas(table), columns).value, names)


def _convert_to_pandas(table: pa.Table) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = table.to_pandas()
    for position, column in enumerate(table.columns):
        if pa.types.is_integer(column.type) and column.null_count:
            values = column.to_pylist()
            if any(value is not None and abs(value) >= 2**53 for value in values):  # a float would round these
                frame.isetitem(position, pd.array(values, "Int64"))
    return frame
