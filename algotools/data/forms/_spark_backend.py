"""Ibis' backend for a session of Spark Connect. Results travel as Arrow batches, so no value is rounded.

Ibis' own backend reads every result through pyspark's conversion to pandas. That conversion reads integers with missing
values as floats, which rounds integers beyond 2**53. It also holds all rows of a stream of batches in memory.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import ibis
import pandas as pd
import pyarrow as pa

from algotools.data import _spark, _spark_session  # noqa: F401  # the session prepares the import of pyspark
from algotools.data.reading import Loaded, Unreadable
from algotools.task import Database

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # as in `_spark_session`
    from ibis.backends.pyspark import Backend
    from ibis.backends.pyspark.converter import PySparkPandasData
    from ibis.backends.pyspark.datatypes import PySparkType

Backend.register_options()  # Ibis itself does this when a program uses `ibis.pyspark`

if TYPE_CHECKING:
    from ibis.expr.schema import Schema
    from ibis.expr.types import Expr
    from pyspark.sql.types import DataType


def open_table(database: Database, columns: Collection[str] | None, stack: ExitStack) -> Loaded:
    """Return the requested columns of a query as a table of Ibis.

    The query becomes a temporary view, so Ibis uses a name and never parses the query. The server drops the view when
    the session is released.

    Raises:
        Unreadable, InputError: see ``_spark.open_query``.
    """
    query = _spark.open_query(database, columns, stack)
    backend = _ArrowBackend().connect(query.session)
    name = f"algotools_{next(_NUMBERS)}"
    backend.schemas[name] = ibis.schema(
        {field.name: _convert_type(field.name, field.dataType) for field in query.schema}
    )
    query.session.sql(query.text).createTempView(name)
    return Loaded(backend.table(name), query.names)


_NUMBERS = itertools.count()


def _convert_type(name: str, kind: DataType) -> Any:
    """Return Ibis' type of a column. To Ibis' own function, a timestamp with a zone has no zone.

    Raises:
        Unreadable: Ibis has no type for a column.
    """
    if kind.typeName() == "timestamp":
        return ibis.dtype("timestamp('UTC')")
    try:
        return PySparkType.to_ibis(kind)
    except (ibis.common.exceptions.IbisError, NotImplementedError) as error:
        raise Unreadable(
            "a column has a type of Spark that Ibis lacks; leave it out, or convert it with CAST in the query",
            f"column {name!r}, type {kind.simpleString()}: {error}",
        ) from None


class _ArrowBackend(Backend):  # type: ignore[misc]  # Ibis has no types that mypy can read
    """See the module."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.schemas: dict[str, Schema] = {}

    def get_schema(self, table_name: str, **options: Any) -> Schema:
        """Return the schema of a table."""
        return self.schemas.get(table_name) or super().get_schema(table_name, **options)

    def to_pyarrow_batches(
        self, expr: Expr, /, *, params: Mapping[Any, Any] | None = None, limit: Any = None, **_options: Any
    ) -> pa.RecordBatchReader:
        """Return the result as a stream."""
        self._run_pre_execute_hooks(expr)
        table = expr.as_table()
        schema = table.schema().to_pyarrow()
        frame = self._session.sql(self.compile(table, params=params, limit=limit))
        return pa.RecordBatchReader.from_batches(schema, _spark.read_batches(frame, schema))

    def to_pyarrow(self, expr: Expr, /, **options: Any) -> Any:
        """Return the result in memory."""
        return expr.__pyarrow_result__(self.to_pyarrow_batches(expr, **options).read_all())

    def execute(self, expr: Expr, /, **options: Any) -> Any:
        """Return the result as objects of pandas."""
        table = self.to_pyarrow_batches(expr, **options).read_all()
        columns = {
            name: column.to_pylist() if pa.types.is_nested(column.type) or column.null_count else column.to_pandas()
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
        frame = PySparkPandasData.convert_table(pd.DataFrame(columns), expr.as_table().schema())
        return expr.__pandas_result__(frame)
