"""Tables of other libraries than pandas: Polars, Arrow, and the lazy tables of DuckDB and Ibis."""

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
DAY = datetime.datetime(2024, 3, 1, 12, 30)  # noqa: DTZ001 - the column has the zone
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


def round_trip(value: object) -> Any:
    return decode_rich(encode_rich(value))


def plain(value: object) -> Any:
    return json.loads(encode_plain(value).data)


@pytest.mark.parametrize("frame", [FRAME, FRAME.clear(), FRAME.slice(1), pl.DataFrame(), FRAME.vstack(FRAME)])
def test_a_polars_frame_is_restored_with_its_types(frame: pl.DataFrame) -> None:
    assert_frame_equal(round_trip({"frame": frame})["frame"], frame, check_exact=True)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_polars_series_is_restored_with_its_type_and_name(name: str) -> None:
    assert_series_equal(round_trip(FRAME[name]), FRAME[name], check_exact=True)
    assert round_trip(COLUMNS[name]).name == ""


@given(dataframes(max_cols=4, max_size=6, excluded_dtypes=[pl.Object]))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_polars_frame_is_restored(frame: pl.DataFrame) -> None:
    result = round_trip(frame)

    assert result.schema == frame.schema
    assert_frame_equal(result, frame, check_exact=True)


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_numbers_of_polars_are_restored_bit_for_bit(bits: list[int]) -> None:
    values = np.array(bits, "u8").view("f8")

    assert round_trip(pl.Series(values)).to_numpy().tobytes() == values.tobytes()


def test_a_lazy_frame_is_collected() -> None:
    lazy = FRAME.lazy().select("int", "text")

    assert_frame_equal(round_trip(lazy), FRAME.select("int", "text"))
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
def test_an_error_of_an_engine_is_the_functions_error_and_quotes_nothing(make: Any, table: Any) -> None:
    with pytest.raises(FunctionRaised, match="while the table that the function returned was computed") as excinfo:
        make(table())

    assert SECRET not in excinfo.value.message


@pytest.mark.parametrize("make", [encode_rich, encode_plain])
def test_a_python_object_in_polars_without_an_encoding_is_refused(make: Any) -> None:
    frame = pl.DataFrame({"a": [1], "b": pl.Series([object()], dtype=pl.Object)})

    with pytest.raises(NotSerializable, match=r"result\[key 2\]\[0\]: a value of type object"):
        make(frame)


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
def test_tables_of_engines_become_arrow_tables(kind: str) -> None:
    result = round_trip([tables()[kind]])[0]

    assert isinstance(result, pa.Table)
    assert result.to_pydict() == TABLE.to_pydict()
    assert result.schema.names == TABLE.schema.names


@pytest.mark.parametrize("kind", [*tables(), "polars"])
def test_every_table_has_the_json_form_of_a_pandas_frame(kind: str) -> None:
    value = {**tables(), "polars": pl.from_arrow(TABLE)}[kind]

    assert plain(value) == plain(pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": ["x", "y", None]}))


def test_a_scalar_expression_of_ibis_is_computed() -> None:
    total = ibis.memtable(TABLE).a.sum()

    assert plain({"total": total}) == round_trip({"total": total}) == {"total": 4}


def test_the_columns_of_polars_have_json_forms() -> None:
    assert plain(FRAME.slice(0, 1)) == {
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
        "binary": {"0": "AP8="},
    }
    assert plain(FRAME["list"]) == [[1, None], None, []]


@given(st.timedeltas(datetime.timedelta(-1000), datetime.timedelta(1000)))
def test_a_duration_has_the_format_of_pandas(span: datetime.timedelta) -> None:
    assert pd.Timedelta(plain(span)) == pd.Timedelta(span)


SAMPLE = encode_rich([FRAME, FRAME["enum"]])


@given(st.data())
def test_damaged_frames_of_polars_are_decoded_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(10, len(SAMPLE) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProxyError):
        decode_rich(bytes(damaged))
