"""pandas objects in the rich encoding: dtypes, indexes and missing values are restored exactly."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal

from algotools.errors import NotSerializable
from algotools.payload import decode_rich, encode_rich

from ..conftest import examples

NAN_TEXT = pd.StringDtype("python", na_value=math.nan)


def round_trip(value: object) -> Any:
    return decode_rich(encode_rich(value))


def check_frame(frame: pd.DataFrame) -> None:
    result = round_trip(frame)
    assert_frame_equal(result, frame, check_exact=True, check_freq=True, check_column_type="exact")
    assert list(result.dtypes) == list(frame.dtypes)
    assert type(result.index) is type(frame.index)
    assert type(result.columns) is type(frame.columns)
    for position in range(frame.shape[1]):
        if frame.dtypes.iloc[position].kind == "O":
            before, after = (list(map(type, f.iloc[:, position])) for f in (frame, result))
            assert after == before


def check_series(series: pd.Series) -> None:
    assert_series_equal(round_trip(series), series, check_exact=True, check_freq=True, check_index_type="exact")


COLUMNS = {
    "int64": pd.Series([1, -(2**62), 3]),
    "uint8": pd.Series([1, 2, 255], dtype="uint8"),
    "float64": pd.Series([1.5, math.nan, -math.inf]),
    "float32": pd.Series([1.5, math.nan, math.inf], dtype="float32"),
    "complex": pd.Series([1j, 2, 3]),
    "bool": pd.Series([True, False, True]),
    "object of texts": pd.Series(["a", "b", None], dtype=object),
    "object of dates": pd.Series([datetime.date(2020, 1, 1)] * 3, dtype=object),
    "object of timestamps": pd.Series([pd.Timestamp("2020-01-01")] * 3, dtype=object),
    "object of integers": pd.Series([1, 2, 3], dtype=object),
    "object of mixed types": pd.Series([1, "a", decimal.Decimal("1.0")], dtype=object),
    "object of missing values": pd.Series([pd.NA, math.nan, None], dtype=object),
    "object of lists": pd.Series([[1], [2, 3], []], dtype=object),
    "the default for texts": pd.Series(["a", "", "ü"]),
    "str": pd.Series(["a", None, "ü"], dtype=NAN_TEXT),
    "string": pd.Series(["a", None, "ü"], dtype=pd.StringDtype("python")),
    "string in Arrow": pd.Series(["a", None, "ü"], dtype=pd.StringDtype("pyarrow")),
    "str in Arrow": pd.Series(["a", None, "ü"], dtype=pd.StringDtype("pyarrow", na_value=math.nan)),
    "category": pd.Series(pd.Categorical(["b", None, "b"], categories=["c", "b", "a"])),
    "ordered category": pd.Series(pd.Categorical([3, 1, 1], categories=[3, 2, 1], ordered=True)),
    "category of days": pd.Series(pd.Categorical(pd.date_range("2020", periods=3))),
    "datetime": pd.Series(pd.DatetimeIndex(np.array(["2020-01-01", "NaT", "2021-01-01T01:02:03.000004"], "M8[ns]"))),
    "datetime in seconds": pd.Series(np.array(["2020-01-01", "NaT", "9999-01-01"], "M8[s]")),
    "datetime with zone": pd.Series(pd.to_datetime(["2020-03-29", None, "2021-01-01"]).tz_localize("Europe/Amsterdam")),
    "datetime in UTC": pd.Series(pd.to_datetime(["2020-03-29", None, "2021-01-01"]).tz_localize("UTC").as_unit("ms")),
    "datetime with offset": pd.Series(pd.to_datetime(["2020-03-29"] * 3).tz_localize("-03:30")),
    "timedelta": pd.Series(pd.to_timedelta([1, None, 3], unit="h")),
    "period": pd.Series(pd.PeriodIndex(["2020Q1", None, "2021Q2"], freq="Q-MAR")),
    "Int64": pd.Series([1, None, 2**62], dtype="Int64"),
    "UInt8": pd.Series([1, None, 255], dtype="UInt8"),
    "Float32": pd.Series([1.5, None, math.inf], dtype="Float32"),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "Arrow": pd.Series([1, None, 3], dtype="int32[pyarrow]"),
    "Arrow texts": pd.Series(["a", None, "b"], dtype="large_string[pyarrow]"),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_column_of_any_dtype_is_restored(column):
    check_frame(pd.DataFrame({"column": column}))
    check_frame(pd.DataFrame({"column": column}).iloc[:0])
    check_series(column.rename("name"))


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_the_array_of_a_column_is_restored(column):
    result = round_trip(column.array)

    assert type(result) is type(column.array)
    assert result.dtype == column.array.dtype
    assert_series_equal(pd.Series(result, dtype=column.dtype), column, check_exact=True)


def test_a_frame_with_all_dtypes_is_restored():
    check_frame(pd.DataFrame(COLUMNS))


INDEXES = {
    "default": pd.RangeIndex(3),
    "range": pd.RangeIndex(10, 4, -2, name="down"),
    "integers": pd.Index([3, 1, 2], name="id"),
    "small integers": pd.Index([3, 1, 2], dtype="int8"),
    "floats": pd.Index([1.5, math.nan, -1]),
    "texts": pd.Index(["b", "a", "a"], name=("a", 1)),
    "objects": pd.Index([1, "a", None], dtype=object),
    "texts as objects": pd.Index(["a", "b", "c"], dtype=object),
    "booleans": pd.Index([True, False, True]),
    "days": pd.date_range("2020-02-28", periods=3, name="day"),
    "business days": pd.date_range("2020-02-28", periods=3, freq="B"),
    "month ends with zone": pd.date_range("2020-02-28", periods=3, freq="2ME", tz="America/New_York"),
    "irregular days": pd.DatetimeIndex(["2020-01-01", "2020-01-05", "2020-01-02"]),
    "spans": pd.timedelta_range("1h", periods=3, freq="30min"),
    "periods": pd.period_range("2020", periods=3, freq="M"),
    "categories": pd.CategoricalIndex(["a", "b", "a"], name="kind"),
    "nullable": pd.Index([1, None, 2], dtype="Int64"),
    "levels": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["x", None]),
    "mixed levels": pd.MultiIndex.from_arrays(
        [pd.Categorical(["a", None, "b"]), [1.5, math.nan, 2], pd.date_range("2020", periods=3)]
    ),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_an_index_of_any_kind_is_restored(index):
    result = round_trip([index])[0]
    assert_index_equal(result, index, exact=True, check_exact=True)
    assert getattr(result, "freq", None) == getattr(index, "freq", None)
    check_series(pd.Series([1.5, 2.5, 3.5], index=index))
    check_frame(pd.DataFrame({"a": [1, 2, 3]}, index=index))
    empty_index = index[:0]
    check_frame(
        pd.DataFrame(
            {"a": []}, empty_index.remove_unused_levels() if isinstance(empty_index, pd.MultiIndex) else empty_index
        )
    )
    check_frame(pd.DataFrame(index=index))
    check_frame(pd.DataFrame([[1, "a", 2.5]], columns=index))


def test_columns_with_the_same_name_are_restored():
    check_frame(pd.DataFrame([[1, "a", 2.5, True]], columns=["x", "y", "x", "x"]))


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame(), pd.DataFrame(index=[1, 2]), pd.DataFrame(columns=["a", "b"]), pd.DataFrame({"a": []})],
    ids=["nothing", "no columns", "no rows", "an empty column"],
)
def test_an_empty_frame_is_restored(frame):
    check_frame(frame)


def test_rows_with_the_same_label_are_restored():
    check_frame(pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]}, index=[7, 7, 1]))


@pytest.mark.parametrize("name", [None, "a", 3, 2.5, ("a", 1), pd.Timestamp("2020-01-01"), np.int64(4)], ids=repr)
def test_the_name_of_a_series_is_restored(name):
    series = pd.Series([1], name=name)

    assert round_trip(series).name == name
    assert type(round_trip(series).name) is type(series.name)


def test_a_frequency_with_holidays_is_dropped_and_the_days_are_restored():
    index = pd.date_range("2020-01-01", periods=3, freq=pd.offsets.CustomBusinessDay(holidays=["2020-01-02"]))

    assert list(round_trip(index)) == list(index)
    assert round_trip(index).freq is None


def test_a_zone_without_a_name_is_refused():
    class Here(datetime.tzinfo):
        def utcoffset(self, moment):
            return datetime.timedelta(hours=1)

        def dst(self, moment):
            return None

    with pytest.raises(NotSerializable, match="zone without a name"):
        encode_rich(pd.Timestamp(datetime.datetime(2020, 1, 1, tzinfo=Here())))


def test_the_values_under_the_mask_of_a_nullable_column_are_not_sent():
    hidden = pd.arrays.IntegerArray(np.array([1, 4711]), np.array([False, True]))

    assert np.array([4711]).tobytes() not in encode_rich(pd.Series(hidden))


def test_a_restored_frame_is_writable():
    result = round_trip(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    result.loc[0, "a"] = 5
    result["c"] = result["a"] + 1

    assert result["c"].tolist() == [6, 3]


moments = st.datetimes(pd.Timestamp("1900-01-01").to_pydatetime(), pd.Timestamp("2200-01-01").to_pydatetime())
texts = st.text(max_size=5)
CELLS = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(),
    "bool": st.booleans(),
    "object": st.none() | st.integers() | texts | st.floats(allow_nan=False) | st.dates() | st.booleans(),
    "string": st.none() | texts,
    "category": st.none() | st.sampled_from(["a", "b", "c"]),
    "datetime64[ns]": st.none() | moments,
    "datetime64[us]": st.none() | moments,
    "datetime64[ns, Asia/Kolkata]": st.none() | moments.map(lambda m: m.replace(tzinfo=datetime.timezone.utc)),
    "timedelta64[ns]": st.none() | st.timedeltas(datetime.timedelta(-1000), datetime.timedelta(1000)),
    "period[D]": st.none() | st.dates(datetime.date(1900, 1, 1)).map(str),
    "Int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "Float32": st.none() | st.floats(width=32, allow_nan=False),
    "boolean": st.none() | st.booleans(),
}
labels = texts | st.integers(-5, 5)


@st.composite
def frames(draw: Any) -> pd.DataFrame:
    rows = draw(st.integers(0, 4))
    dtypes = draw(st.lists(st.sampled_from(list(CELLS)), max_size=5))
    columns = [
        pd.Series(draw(st.lists(CELLS[dtype], min_size=rows, max_size=rows)), dtype=dtype, index=range(rows))
        for dtype in dtypes
    ]
    frame = pd.DataFrame(dict(enumerate(columns)), index=range(rows))
    names = draw(st.lists(labels, min_size=len(dtypes), max_size=len(dtypes)))
    frame.columns = pd.Index(names, dtype=object) if draw(st.booleans()) else pd.RangeIndex(len(dtypes))
    if draw(st.booleans()):
        frame.index = pd.Index(draw(st.lists(labels, min_size=rows, max_size=rows)), dtype=object)
    return frame


@given(frames())
@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.too_slow])
def test_any_frame_is_restored(frame):
    check_frame(frame)
