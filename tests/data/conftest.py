"""Fixtures and strategies for the tests of the sources: frames of every dtype, and their comparison."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from algotools.data.names import format_labels

from .postgres import Postgres, start_server
from .spark import Spark
from .spark import start_server as start_spark

PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server, shared by all tests."""
    with start_server() as postgres_server:
        yield postgres_server


@pytest.fixture(scope="session")
def spark() -> Iterator[Spark]:
    """A real server of Spark Connect, shared by all tests."""
    with start_spark() as spark_server:
        yield spark_server


def assert_same(ours: pd.DataFrame, reference: pd.DataFrame) -> None:
    """Assert that two frames have equal values, types of values, dtypes, indexes and labels, which are texts."""
    if reference.columns.nlevels == 1:
        labels = format_labels(reference.columns)
        reference = reference.set_axis(labels.astype(ours.columns.dtype), axis="columns")
    for position, dtypes in enumerate(zip(ours.dtypes, reference.dtypes, strict=False)):
        if list(map(str, dtypes)) == ["Int64", "float64"]:  # a float rounds such integers; ours keeps them
            ours = ours.astype({ours.columns[position]: "float64"})
    pd.testing.assert_frame_equal(ours, reference, check_exact=True, check_column_type=True)
    pairs = [(ours.iloc[:, i].tolist(), reference.iloc[:, i].tolist()) for i in range(reference.shape[1])]
    for left, right in [*pairs, (ours.index.tolist(), reference.index.tolist())]:
        assert [type(value) for value in left] == [type(value) for value in right]


def make_offset(minutes: int) -> Any:
    """Return a constant offset from UTC, in the class that the readers of this pandas version use."""
    if PANDAS_3:
        return dt.timezone(dt.timedelta(minutes=minutes))
    return importlib.import_module("pytz").FixedOffset(minutes)


ZONES = ["UTC", "Europe/Amsterdam", "America/St_Johns", make_offset(120), make_offset(-330)]
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=5)
MASKED = [f"{sign}Int{size}" for sign in ("", "U") for size in (8, 16, 32, 64)]


def _integers(count: int, dtype: str) -> st.SearchStrategy[Any]:
    limits = np.iinfo(dtype)
    return st.lists(st.integers(int(limits.min), int(limits.max)), min_size=count, max_size=count).map(
        lambda values: pd.Series(np.array(values, dtype))
    )


def _optional_values(count: int, values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.one_of(st.none(), values), min_size=count, max_size=count)


def _make_series(count: int, values: st.SearchStrategy[Any], dtype: Any) -> st.SearchStrategy[Any]:
    return _optional_values(count, values).map(lambda items: pd.Series(items, dtype=dtype))


def _masked(count: int, dtype: str) -> st.SearchStrategy[Any]:
    limits = np.iinfo(dtype.lower())
    return _make_series(count, st.integers(int(limits.min), int(limits.max)), dtype)


def _floats(count: int, width: int) -> st.SearchStrategy[Any]:
    return st.lists(st.floats(width=width), min_size=count, max_size=count).map(
        lambda values: pd.Series(np.array(values, f"float{width}"))
    )


def _moments(count: int, kind: str, unit: str) -> st.SearchStrategy[Any]:
    # The range that pandas and datetime both support: years 1700 to 2250, and spans of as many years.
    bound = 8_000_000_000 * {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    return _optional_values(count, st.integers(-bound, bound)).map(
        lambda values: pd.Series(
            np.array([np.iinfo("i8").min if v is None else v for v in values], "i8").view(f"{kind}[{unit}]")
        )
    )


@st.composite
def _categories(draw: st.DrawFn, count: int) -> Any:
    if not count:  # pandas loses the categories of an empty column, too
        return pd.Series([], dtype="int16")
    categories = draw(st.lists(TEXT, unique=True, min_size=1, max_size=5))
    codes = draw(st.lists(st.integers(-1, len(categories) - 1), min_size=count, max_size=count))
    labels = pd.Index(categories, dtype=pd.Series(["x"]).dtype)
    return pd.Series(pd.Categorical.from_codes(codes, labels, ordered=draw(st.booleans())))


def _objects(count: int, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return _make_series(count, values, object)


DECIMALS = st.decimals(-(10**20), 10**20, allow_nan=False, allow_infinity=False, places=3)


def columns(count: int) -> st.SearchStrategy[Any]:
    """A column of any dtype that Parquet and pandas preserve exactly."""
    units = [_moments(count, "M8", unit) for unit in ("ms", "us", "ns")]
    return st.one_of(
        *(_integers(count, f"{sign}int{size}") for sign in ("", "u") for size in (8, 16, 32, 64)),
        *(_floats(count, width) for width in (16, 32, 64)),
        st.lists(st.booleans(), min_size=count, max_size=count).map(lambda v: pd.Series(np.array(v, bool))),
        *(_masked(count, dtype) for dtype in MASKED),
        _make_series(count, st.booleans(), "boolean"),
        _make_series(count, st.floats(allow_nan=False), "Float64"),
        _make_series(count, st.floats(allow_nan=False, width=32), "Float32"),
        _make_series(count, TEXT, "string"),
        _make_series(count, TEXT, pd.Series(["x"]).dtype),
        _categories(count),
        *units,
        *(_moments(count, "m8", unit) for unit in ("ms", "us", "ns")),
        st.tuples(st.one_of(units), st.sampled_from(ZONES)).map(
            lambda pair: pair[0].dt.tz_localize("UTC").dt.tz_convert(pair[1])
        ),
        _objects(count, st.dates()),
        _objects(count, st.binary(max_size=5)),
        _objects(count, st.times()),
        _objects(count, DECIMALS),
        st.just(pd.Series([None] * count, dtype=object)),
    )


def _levels(count: int) -> st.SearchStrategy[Any]:
    """Values of an index, all present, because a missing value changes the dtype of an index in pandas, too."""
    return st.one_of(
        _integers(count, "int64"),
        _integers(count, "uint8"),
        st.lists(TEXT, min_size=count, max_size=count).map(lambda v: pd.Series(v, dtype=pd.Series(["x"]).dtype)),
        _moments(count, "M8", "us"),
        _moments(count, "M8", "ns").map(lambda s: s.dt.tz_localize("UTC").dt.tz_convert("Europe/Amsterdam")),
        _categories(count),
    )


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """A frame with any dtypes, index and labels."""
    count = draw(st.integers(0, 12))
    texts = st.lists(TEXT.filter(lambda t: not t.startswith("__index")), unique=True, max_size=5)
    labels = draw(st.one_of(texts, st.integers(1, 4).map(lambda n: [7 * i for i in range(n)])))
    series_by_position = {i: draw(columns(count)) for i in range(len(labels))}
    frame = pd.DataFrame(series_by_position, index=range(count))
    frame.columns = pd.Index(labels) if labels else pd.Index([], dtype=object)
    names = st.sampled_from([None, "row", "a", ""])
    kind = draw(st.sampled_from(["none", "range", "one", "two"]))
    if kind == "range":
        frame.index = pd.RangeIndex(5, 5 + 3 * count, 3, name=draw(names))
    elif kind == "one":
        frame.index = pd.Index(draw(_levels(count)), name=draw(names))
    elif kind == "two" and count:
        frame.index = pd.MultiIndex.from_arrays([draw(_levels(count)), draw(_levels(count))], names=["k", draw(names)])
    return frame
