"""The content of a result: both encodings of a value have the same numbers, texts, labels and lengths."""

from __future__ import annotations

import datetime
import decimal
import math
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotools.disclosure._content import Block, Content, list_numbers, list_texts, read_content
from algotools.payload import encode_plain, encode_rich


def get_values(block: Block) -> list[object]:
    return block._asdict()["values"]


def summarize(content: Content) -> dict[str, object]:
    """Return the content without paths and without the division into blocks."""
    assert not content.problem
    blocks = {
        "numbers": content.numbers,
        "texts": content.texts,
        "keys": content.keys,
        "labels": content.labels,
        "booleans": content.booleans,
    }
    values = {name: [np.asarray(get_values(block)).tolist() for block in part] for name, part in blocks.items()}
    flat = {name: [value for part in parts for value in part] for name, parts in values.items()}
    return {
        "numbers": Counter(map(float, flat["numbers"])),
        "texts": Counter(flat["texts"]),
        "booleans": Counter(flat["booleans"]),
        "keys": set(flat["keys"]),
        "labels": set(map(float, flat["labels"])),
        "axes": {axis.length for axis in content.axes},
    }


def read_both(value: object) -> tuple[Content, Content]:
    return read_content(encode_plain(value).data), read_content(encode_rich(value))


texts = st.text(st.characters(codec="utf-8"), max_size=6).filter(lambda text: not text[:1].isdecimal())
floats = st.floats(width=64)
leaves = st.none() | st.booleans() | st.integers(-(2**40), 2**70) | floats | texts | st.dates() | st.datetimes()
keys = texts | st.integers(-5, 2**30) | st.booleans()


@st.composite
def arrays(draw):
    shape = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    kind = draw(st.sampled_from(["f8", ">f8", "f4", "i8", "i2", "u1", "?"]))
    numbers = draw(st.lists(st.integers(0, 100), min_size=math.prod(shape), max_size=math.prod(shape)))
    array = (np.array(numbers) / (4 if "f" in kind else 1)).astype(kind).reshape(shape)
    return np.asfortranarray(array) if draw(st.booleans()) else array


@st.composite
def frames(draw):
    rows = draw(st.integers(0, 4))
    cells = {
        "number": draw(st.lists(floats, min_size=rows, max_size=rows)),
        "count": draw(st.lists(st.integers(0, 9), min_size=rows, max_size=rows)),
        "text": draw(st.lists(texts, min_size=rows, max_size=rows)),
    }
    frame = pd.DataFrame(cells)
    form = draw(st.sampled_from(["range", "texts", "levels", "series", "category"]))
    if form == "texts":
        frame.index = [f"row {i}" for i in range(rows)]
    if form == "levels":
        frame.index = pd.MultiIndex.from_arrays([[f"a{i}" for i in range(rows)], list(range(rows))], names=["x", "y"])
    if form == "category":
        frame["text"] = frame["text"].astype("category")
    return frame["count"] if form == "series" else frame


values = st.recursive(
    leaves | arrays() | frames(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=8,
)


def have_same_keys(value: object) -> bool:
    """Whether two keys of a dict have the same text in JSON, so that there is no plain encoding."""
    try:
        encode_plain(value)
    except Exception:
        return True
    return False


@settings(max_examples=300, deadline=None)
@given(values)
def test_both_encodings_have_the_same_content(value: object) -> None:
    if have_same_keys(value):
        return
    plain, rich = read_both(value)
    assert summarize(plain) == summarize(rich)


VALUES = {
    "matrix": np.array([[1.5, 2.0], [math.nan, 4.0]]),
    "nested lists": [[1, 2, 3], [4, 5, 6]],
    "ragged lists": [[1, 2], [3]],
    "scalar of numpy": np.float32(0.1),
    "masked array": np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False]),
    "texts of numpy": np.array(["a", "bcd"]),
    "times": np.array(["2024-01-01", "NaT"], "M8[D]"),
    "missing of pandas": [pd.NA, pd.NaT, None],
    "intervals": pd.Series([3, 4], pd.IntervalIndex.from_breaks([0, 20, 35])),
    "cut": pd.Series([1, 2, 30, 40]).pipe(pd.cut, [0, 20, 50]).value_counts(),
    "nullable": pd.DataFrame({"n": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean")}),
    "category": pd.Series(["b", "a", "b"], dtype="category"),
    "category as index": pd.Series(["b", "a", "b"], dtype="category").value_counts(),
    "arrow in pandas": pd.DataFrame({"x": pd.array([1.5, None], "double[pyarrow]")}),
    "texts of arrow in pandas": pd.Series(["x", "y"], dtype="string[pyarrow]"),
    "levels of columns": pd.crosstab([1, 1, 2], [["a", "b", "a"], ["x", "x", "y"]]),
    "series with levels": pd.DataFrame({"a": [1, 1, 2], "b": ["x", "y", "x"], "c": [1.5, 2, 3]})
    .groupby(["a", "b"])
    .c.sum(),
    "days": pd.Series([1.5], pd.to_datetime(["2024-05-06"])),
    "zones": pd.Series(pd.to_datetime(["2024-05-06 10:00"]).tz_localize("UTC")),
    "periods": pd.Series([1, 2], pd.period_range("2024-01", periods=2, freq="M")),
    "durations": [pd.Timedelta("1 day"), datetime.timedelta(hours=3)],
    "sparse": pd.arrays.SparseArray([0.0, 1.5]),
    "arrow table": pa.table({"n": [1, 2], "level": ["a", None]}),
    "arrow array": pa.array([1.5, None]),
    "arrow scalar": pa.scalar("x"),
    "polars": pl.DataFrame({"n": [1, 2], "level": ["a", None], "list": [[1.5], []]}),
    "polars series": pl.Series("n", [1.5, None]),
    "records of numpy": np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]),
    "objects of numpy": np.array([[1, "x"], [None, 2.5]], dtype=object),
    "decimal": decimal.Decimal("1.25"),
    "keys": {7: 2, 2.5: 3, True: 4, None: 5, ("a", 1): 6, datetime.date(2024, 1, 1): 7},
    "nothing": None,
    "text": "x",
}


@pytest.mark.parametrize("name", VALUES)
def test_each_type_has_the_same_content_in_both_encodings(name: str) -> None:
    plain, rich = map(summarize, read_both(VALUES[name]))
    assert plain == rich


def test_arrays_and_lists_are_blocks() -> None:
    for content in read_both({"means": np.arange(6.0).reshape(2, 3), "rows": [[1, 2], [3, 4]], "n": 7}):
        assert sorted(len(get_values(block)) for block in content.numbers) == [1, 4, 6]
        assert sorted(axis.length for axis in content.axes) == [2, 2, 2, 3, 3]


def test_keys_of_numbers_are_labels() -> None:
    for content in read_both({"81": 1.5, "0612": 2.5, "age": 3.5}):
        assert [get_values(block) for block in content.labels] == [[81]]
        assert [sorted(get_values(block)) for block in content.keys] == [["0612", "age"]]


def test_labels_of_levels_are_not_values() -> None:
    series = pd.Series([10.5, 20.5], pd.MultiIndex.from_tuples([(1, "a"), (2, "a")], names=["x", "y"]), name="z")
    for content in read_both(series):
        assert sorted(number for block in content.numbers for number in get_values(block)) == [10.5, 20.5]
        assert {number for block in content.labels for number in get_values(block)} == {1, 2}
        assert {text for block in content.keys for text in get_values(block)} == {"a", "x", "y", "z"}


def test_nan_and_infinity_are_not_numbers() -> None:
    value = {"a": math.nan, "b": [1.5, math.inf], "c": np.array([math.nan, 2.5])}
    for content in read_both(value):
        assert list_numbers(content) == {1.5, 2.5}


def test_numbers_and_parts_of_texts_are_candidates() -> None:
    content = read_content(encode_plain({"mean of 81": "I10_mean, 2.5", "4": 12}).data)
    assert {81.0, 2.5, 4.0, 12.0} <= list_numbers(content)
    assert {"mean of 81", "I10", "I10_mean", "mean", "4"} <= list_texts(content)


def test_binary_values_and_large_integers_are_found() -> None:
    content = read_content(encode_rich({"a": b"\1\2", "b": [2**70, 1]}))
    assert len(content.bytes) == 1
    assert 2**70 in get_values(content.numbers[0])
    assert list_numbers(content) == {1.0}


@pytest.mark.parametrize("data", [b"", b"{", b"algotools.", b"algotools." + bytes(40), b"1e999", b"\xff", b"[" * 10**5])
def test_invalid_bytes_are_a_problem(data: bytes) -> None:
    assert read_content(data).problem


@settings(max_examples=200, deadline=None)
@given(values, st.data())
def test_changed_bytes_never_raise_an_error(value: object, data: st.DataObject) -> None:
    if have_same_keys(value):
        return
    changed = bytearray(encode_rich(value))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(read_content(bytes(changed)), Content)


def test_a_small_result_needs_no_library_of_data() -> None:
    frame = pd.DataFrame([1.5, 2.5], pd.Index(["a", "b"], dtype=object), pd.Index(["n"], dtype=object))
    encoded = encode_rich({"array": np.arange(100.0), "frame": frame, "scalar": np.int64(3), "dates": frame.index})
    code = (
        "import sys; from algotools.disclosure._content import read_content;"
        f"content = read_content({encoded!r}); assert not content.problem, content.problem;"
        "print(*({'numpy', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == ""


@pytest.mark.parametrize(
    "value", [np.random.default_rng(1).random(10**6), np.random.default_rng(1).random(10**6).tolist()]
)
@pytest.mark.parametrize("encode", [lambda value: encode_plain(value).data, encode_rich], ids=["plain", "rich"])
def test_a_million_numbers_are_read_quickly(value: object, encode) -> None:
    data = encode(value)
    start = time.process_time()
    content = read_content(data)
    assert content.number_count == 10**6
    assert time.process_time() - start < 1
