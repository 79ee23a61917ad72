"""Data that a function has removed from a table, but that the table's memory still has, is not sent."""

from __future__ import annotations

import datetime
import struct
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute
import pytest

from algotools.payload import decode_rich, encode_rich

compute: Any = pyarrow.compute
SECRET = 123.456789
BYTES = struct.pack("<d", SECRET)
MEANS = pl.DataFrame({"n": [10, 1, 12], "mean": [5.5, SECRET, 6.5]})
START = datetime.datetime(2020, 1, 1, 12)  # noqa: DTZ001 - a time without a zone
IS_LARGE = pl.col("n") >= 3


@pytest.mark.parametrize(
    "value",
    [
        pl.col("mean"),
        pl.struct("mean", "n"),
        pl.struct(pl.struct("mean").alias("inner")),
        pl.concat_list("mean", "mean"),
        pl.concat_list(pl.struct("mean")),
    ],
    ids=["number", "struct", "struct in a struct", "list", "list of structs"],
)
def test_values_that_polars_hides_under_a_missing_value_are_not_sent(value: pl.Expr) -> None:
    frame = MEANS.select(pl.when(IS_LARGE).then(value).alias("shown"))
    data = encode_rich(frame)
    assert BYTES not in data
    assert decode_rich(data).equals(frame)
    assert BYTES not in encode_rich(frame.to_series())
    assert BYTES not in encode_rich(frame.to_arrow())


def test_values_that_arrow_hides_under_a_missing_value_are_not_sent() -> None:
    means = MEANS.to_arrow()
    shown = compute.if_else(compute.greater_equal(means["n"], 3), means["mean"], None)
    for value in (pa.table({"shown": shown}), shown, pa.StructArray.from_arrays([shown.chunk(0)], ["shown"])):
        data = encode_rich(value)
        assert BYTES not in data
        assert decode_rich(data).equals(value)


def test_rows_beside_a_slice_of_a_table_are_not_sent() -> None:
    table = MEANS.to_arrow().append_column("name", pa.array(["small", "Jansen", "large"]))
    data = encode_rich(table.slice(0, 1))
    assert BYTES not in data
    assert b"Jansen" not in data
    assert decode_rich(data).equals(table.slice(0, 1))


def test_tables_of_all_types_with_missing_values_are_equal_after_the_copy() -> None:
    columns: dict[str, list[Any]] = {
        "text": ["a", None, "b"],
        "bytes": [b"a", None, b"b"],
        "boolean": [True, None, False],
        "date": [datetime.date(2020, 1, 1), None, datetime.date(2021, 1, 1)],
        "time": [START, None, START],
        "duration": [datetime.timedelta(1), None, datetime.timedelta(2)],
        "decimal": [Decimal("1.50"), None, Decimal("2.50")],
        "list": [[1, None], None, []],
        "struct": [{"a": 1, "b": {"c": None}}, None, {"a": None, "b": {"c": "x"}}],
        "nothing": [None, None, None],
    }
    frame = pl.DataFrame(columns).with_columns(
        pl.col("text").cast(pl.Categorical).alias("category"), pl.col("text").cast(pl.Enum(["a", "b"])).alias("enum")
    )
    assert decode_rich(encode_rich(frame)).equals(frame)
    assert decode_rich(encode_rich(frame)).schema == frame.schema
    assert decode_rich(encode_rich(frame.head(0))).schema == frame.schema
    table = pa.table({**columns, "dictionary": pa.array(columns["text"]).dictionary_encode()})
    assert decode_rich(encode_rich(table)).equals(table)
    assert decode_rich(encode_rich(table.slice(1, 1))).equals(table.slice(1, 1))
