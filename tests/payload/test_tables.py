"""Tables that are no pandas frames: polars', Arrow's in batches, and what DuckDB and Ibis have yet to work out."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import json
import math
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal
from polars.testing.parametric import dataframes

from algotools.errors import FunctionRaised, NotSerializable, ProxyError
from algotools.payload import decode_rich, encode_plain, encode_rich

SECRET = "Jane-Doe-4711"
DAY = datetime.datetime(2024, 3, 1, 12, 30)  # noqa: DTZ001 - a column gives it its zone
COLUMNS = {
    "int": pl.Series([1, None, 3], dtype=pl.Int8),
    "wide": pl.Series([2**100, None, -1], dtype=pl.Int128),
    "float": pl.Series([math.nan, None, -math.inf]),
    "text": pl.Series(["a", None, ""]),
    "moment": pl.Series([DAY, None, DAY], dtype=pl.Datetime("ms", "Europe/Amsterdam")),
    "date": pl.Series([DAY.date(), None, DAY.date()]),
    "time": pl.Series([DAY.time(), None, DAY.time()]),
    "span": pl.Series([datetime.timedelta(1, 2, 3), None, datetime.timedelta(-1)], dtype=pl.Duration("us")),
    "decimal": pl.Series([decimal.Decimal("1.10"), None, decimal.Decimal("-2.00")]),
    "category": pl.Series(["b", None, "a"], dtype=pl.Categorical),
    "enum": pl.Series(["b", None, "a"], dtype=pl.Enum(["c", "b", "a"])),
    "list": pl.Series([[1, None], None, []], dtype=pl.List(pl.Int64)),
    "array": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.UInt8, 2)),
    "struct": pl.Series([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}]),
    "null": pl.Series([None, None, None]),
    "binary": pl.Series([b"\x00\xff", None, b""]),
}
FRAME = pl.DataFrame(COLUMNS)


def again(value: object) -> Any:
    return decode_rich(encode_rich(value))


def plain(value: object) -> Any:
    return json.loads(encode_plain(value).data)


@pytest.mark.parametrize("frame", [FRAME, FRAME.clear(), FRAME.slice(1), pl.DataFrame(), FRAME.vstack(FRAME)])
def test_a_polars_frame_comes_back_with_its_types(frame: pl.DataFrame) -> None:
    assert_frame_equal(again({"frame": frame})["frame"], frame, check_exact=True)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_polars_series_comes_back_with_its_type_and_name(name: str) -> None:
    assert_series_equal(again(FRAME[name]), FRAME[name], check_exact=True)
    assert again(COLUMNS[name]).name == ""


@given(dataframes(max_cols=4, max_size=6, excluded_dtypes=[pl.Object]))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_polars_frame_comes_back(frame: pl.DataFrame) -> None:
    found = again(frame)

    assert found.schema == frame.schema
    assert_frame_equal(found, frame, check_exact=True)


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_numbers_of_polars_come_back_bit_for_bit(bits: list[int]) -> None:
    values = np.array(bits, "u8").view("f8")

    assert again(pl.Series(values)).to_numpy().tobytes() == values.tobytes()


def test_a_lazy_frame_is_collected() -> None:
    lazy = FRAME.lazy().select("int", "text")

    assert_frame_equal(again(lazy), FRAME.select("int", "text"))
    assert plain(lazy) == plain(FRAME.select("int", "text"))


@pytest.mark.parametrize("make", [encode_rich, encode_plain])
@pytest.mark.parametrize(
    "table",
    [
        lambda: pl.LazyFrame({"a": [SECRET]}).select(pl.col("a").cast(pl.Int64)),
        lambda: pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), (1 // 0 for _ in range(1))),
        lambda: duckdb.sql(f"SELECT CAST('{SECRET}' AS INTEGER) AS a FROM range(1)"),
    ],
    ids=["polars", "arrow", "duckdb"],
)
def test_what_cannot_be_worked_out_is_the_functions_error_and_quotes_nothing(make: Any, table: Any) -> None:
    with pytest.raises(FunctionRaised, match="when the table that the function returned was worked out") as caught:
        make(table())

    assert SECRET not in caught.value.message


def test_objects_of_python_in_polars_are_refused() -> None:
    frame = pl.DataFrame({"a": [1], "b": pl.Series([object()], dtype=pl.Object)})

    with pytest.raises(NotSerializable, match=r"result\[key 2\]: a column of Python objects"):
        encode_rich(frame)


TABLE = pa.table({"a": [1, None, 3], "b": ["x", "y", None]})


def tables() -> dict[str, Any]:
    return {
        "Arrow, a table": TABLE,
        "Arrow, a batch": TABLE.to_batches()[0],
        "Arrow, a stream": pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches(max_chunksize=2)),
        "DuckDB": duckdb.from_arrow(TABLE),
        "Ibis": ibis.memtable(TABLE),
    }


@pytest.mark.parametrize("kind", tables())
def test_what_gives_a_table_of_arrow_travels_as_one(kind: str) -> None:
    found = again([tables()[kind]])[0]

    assert isinstance(found, pa.Table)
    assert found.to_pydict() == TABLE.to_pydict()
    assert found.schema.names == TABLE.schema.names


@pytest.mark.parametrize("kind", [*tables(), "polars"])
def test_every_table_is_in_json_what_a_pandas_frame_is(kind: str) -> None:
    value = {**tables(), "polars": pl.from_arrow(TABLE)}[kind]

    assert plain(value) == plain(pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": ["x", "y", None]}))


def test_an_expression_of_ibis_is_what_it_comes_to() -> None:
    total = ibis.memtable(TABLE).a.sum()

    assert plain({"total": total}) == again({"total": total}) == {"total": 4}


def test_the_columns_of_polars_in_json() -> None:
    assert plain(FRAME.drop("binary").slice(0, 1)) == {
        "int": {"0": 1},
        "wide": {"0": 2**100},
        "float": {"0": None},
        "text": {"0": "a"},
        "moment": {"0": "2024-03-01T13:30:00+01:00"},
        "date": {"0": "2024-03-01"},
        "time": {"0": "12:30:00"},
        "span": {"0": "P1DT0H0M2.000003S"},
        "decimal": {"0": "1.10"},
        "category": {"0": "b"},
        "enum": {"0": "b"},
        "list": {"0": [1, None]},
        "array": {"0": [1, 2]},
        "struct": {"0": {"a": 1, "b": "x"}},
        "null": {"0": None},
    }
    assert plain(FRAME["list"]) == [[1, None], None, []]
    with pytest.raises(NotSerializable, match="bytes has no JSON form"):
        encode_plain(FRAME.select("binary"))


@given(st.timedeltas(datetime.timedelta(-1000), datetime.timedelta(1000)))
def test_a_duration_reads_as_pandas_writes_it(span: datetime.timedelta) -> None:
    assert pd.Timedelta(plain(span)) == pd.Timedelta(span)


SAMPLE = encode_rich([FRAME, FRAME["enum"]])


@given(st.data())
@settings(max_examples=300)
def test_damaged_frames_of_polars_are_decoded_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(10, len(SAMPLE) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProxyError):
        decode_rich(bytes(damaged))
