"""Plain encoding: strict JSON for the researcher."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from collections import OrderedDict
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.errors import NotSerializable
from algotools.payload import encode_arguments, encode_plain

SECRET = "Jane-Doe-4711"

finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | st.text()
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
any_values = st.recursive(
    scalars | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def strictly(data: bytes) -> Any:
    """Parse JSON as a strict reader does: NaN and its kin are no numbers."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(data, parse_constant=refuse)


def plain(value: object) -> Any:
    return strictly(encode_plain(value).data)


@given(json_values)
def test_what_json_can_say_is_said_as_json_says_it(value):
    encoded = encode_plain(value)

    assert strictly(encoded.data) == value
    assert encoded.nulls == []


@given(any_values)
def test_whatever_numbers_there_are_the_answer_is_strict_json_and_every_gap_is_told(value):
    encoded = encode_plain(value)
    tree = strictly(encoded.data)

    def gaps(before: Any, after: Any) -> int:
        if isinstance(before, float) and not math.isfinite(before):
            assert after is None
            return 1
        if isinstance(before, list):
            return sum(map(gaps, before, after))
        if isinstance(before, dict):
            assert before.keys() == after.keys()
            return sum(gaps(before[key], after[key]) for key in before)
        assert before == after
        return 0

    assert gaps(value, tree) == len(encoded.nulls)


@given(any_values)
def test_arguments_keep_nan_and_infinity(value):
    assert repr(json.loads(encode_arguments(value))) == repr(value)


def test_a_nan_becomes_null_and_its_place_is_told():
    encoded = encode_plain({"sums": [1.0, math.nan], "other": {"deep": -math.inf}})

    assert encoded.data == b'{"sums":[1.0,null],"other":{"deep":null}}'
    places = [[getattr(step, "key", step) for step in path] for path in encoded.nulls]
    assert places == [["sums", 1], ["other", "deep"]]


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_a_numpy_integer_stays_an_integer(dtype):
    assert encode_plain({"n": np.dtype(dtype).type(101)}).data == b'{"n":101}'
    assert encode_plain(np.array([[1, 2], [3, 4]], dtype)).data == b"[[1,2],[3,4]]"
    assert encode_plain(np.array(7, dtype)).data == b"7"


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", np.longdouble])
def test_a_numpy_float_stays_a_float(dtype):
    assert encode_plain(np.dtype(dtype).type(3)).data == b"3.0"
    assert encode_plain(np.array([1, 0.5], dtype)).data == b"[1.0,0.5]"

    encoded = encode_plain(np.array([[1, math.nan], [math.inf, 2]], dtype))
    assert encoded.data == b"[[1.0,null],[null,2.0]]"
    assert encoded.nulls == [(0, 1), (1, 0)]


def test_a_number_too_large_for_json_readers_is_a_gap():
    encoded = encode_plain(np.array([np.finfo(np.longdouble).max], np.longdouble))

    assert (encoded.data, encoded.nulls) in [(b"[null]", [(0,)]), (b"[1.7976931348623157e308]", [])]


def test_numpy_booleans_texts_and_times_have_their_usual_forms():
    assert plain(np.bool_(True)) is True
    assert plain(np.array([True, False])) == [True, False]
    assert plain(np.array(["a", "b"])) == ["a", "b"]
    assert plain(np.str_("a")) == "a"
    assert plain(np.datetime64("2020-01-02T03:04:05.000000006")) == "2020-01-02T03:04:05.000000006"
    assert plain(np.array("2020-01-02", "M8[ns]")) == "2020-01-02T00:00:00.000000000"
    assert plain(np.array([["2020-01-02", "NaT"]], "M8[D]")) == [["2020-01-02", None]]


def test_what_is_masked_is_a_gap():
    encoded = encode_plain(np.ma.masked_array([1, 4711, 3], [False, True, False]))

    assert (encoded.data, encoded.nulls) == (b"[1,null,3]", [(1,)])
    assert plain(np.ma.masked) is None


def test_an_array_of_objects_is_encoded_by_what_is_in_it():
    array = np.empty(3, object)
    array[:] = [np.int64(1), "a", None]

    assert plain(array) == [1, "a", None]
    assert plain(np.array({"a": 1}, object)) == {"a": 1}


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


@dataclasses.dataclass
class Point:
    x: int
    y: float
    kind: ClassVar[str] = "a constant of the class"


class Struct(msgspec.Struct):
    a: int


class Pair(NamedTuple):
    first: int
    second: str


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (Pair(1, "b"), [1, "b"]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Colour.RED, "red"),
        ([Size.LARGE], [3]),
        (Point(1, 2.5), {"x": 1, "y": 2.5}),
        (Struct(a=1), {"a": 1}),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.timezone.utc), "2020-01-02T03:00:00+00:00"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (2**100, 2**100),
        (pd.Timestamp("2020-01-02"), "2020-01-02T00:00:00"),
        (pd.NA, None),
        (pd.NaT, None),
        (pd.Index([1, 2]), [1, 2]),
        (pd.array([1, None], dtype="Int64"), [1, None]),
        (pd.Series([1.5, math.nan], index=["a", "b"]), {"a": 1.5, "b": None}),
        (pd.DataFrame({"age": [10, 20]}), {"age": {"0": 10, "1": 20}}),
        (pd.DataFrame({"c": pd.Categorical(["x"])}), {"c": {"0": "x"}}),
        (pd.DataFrame(), {}),
        (pa.table({"a": [1, None]}), {"a": {"0": 1, "1": None}}),
        (pa.scalar(3), 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_a_common_type_has_the_expected_form(value, expected):
    found = plain(value)

    assert found == expected
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (1, "1"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        (Size.LARGE, "3"),
        (np.int64(4), "4"),
        (np.bool_(False), "false"),
        (np.str_("a"), "a"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (pd.Timestamp("2020-01-02"), "2020-01-02T00:00:00"),
    ],
    ids=repr,
)
def test_a_key_becomes_the_text_that_pythons_own_json_makes_of_it(key, text):
    assert plain({key: 0}) == {text: 0}


def test_two_keys_with_one_text_are_refused_rather_than_one_lost():
    with pytest.raises(NotSerializable, match=r"result\[key 2\]: two keys of the mapping have the same text"):
        encode_plain({1: "a", "1": "b"})


def test_an_arrow_table_with_two_columns_of_one_name_is_refused_by_place():
    with pytest.raises(NotSerializable, match=r"result\[key 2\]"):
        encode_plain(pa.table([[1], [2]], names=[SECRET, SECRET]))


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        b"bytes",
        1j,
        object(),
        np.bytes_(b"a"),
        np.array([1j]),
        np.zeros(1, "i4,f4")[0],
        pd.Period("2020-01", "M"),
        Point,
        len,
        {("a", "b"): 1},
        {b"a": 1},
        pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_json_form_is_refused_by_type(value):
    with pytest.raises(NotSerializable) as caught:
        encode_plain(value)

    assert caught.value.message.startswith("result")


@pytest.mark.parametrize("encode", [encode_plain, encode_arguments])
@pytest.mark.parametrize("depth", [1, 100_000])
def test_what_contains_itself_or_is_too_deep_is_refused(encode, depth):
    circle: list[object] = []
    circle.append(circle)
    deep: object = circle if depth == 1 else 1
    for _ in range(depth):
        deep = [deep]

    with pytest.raises(NotSerializable, match="nested too deeply"):
        encode(deep)


@pytest.mark.parametrize("encode", [encode_plain, encode_arguments])
def test_an_integer_that_no_reader_takes_is_refused(encode):
    with pytest.raises(NotSerializable, match="too many digits"):
        encode({"n": 10**5000})


def test_a_text_that_is_not_unicode_is_refused():
    with pytest.raises(NotSerializable, match="not valid Unicode"):
        encode_plain({"a": "\ud800"})


@given(
    before=st.lists(st.text(), max_size=3, unique=True),
    key=st.text(min_size=1) | st.integers() | st.just(SECRET),
    nested=st.booleans(),
)
def test_a_refusal_names_the_place_but_never_a_key_that_may_be_data(before, key, nested):
    value: dict[object, object] = {name: 0 for name in before if name != str(key)}
    position = len(value) + 1
    value[key] = object()
    prefix = "result['sums'][1]" if nested else "result"

    with pytest.raises(NotSerializable) as caught:
        encode_plain({"sums": [0, value]} if nested else value, known=["sums"])

    assert caught.value.message.startswith(f"{prefix}[key {position}]: a value of type object has no JSON form")
    assert f"{prefix}[{key!r}]" in caught.value.detail


def test_a_key_from_the_algorithms_own_source_is_shown():
    with pytest.raises(NotSerializable) as caught:
        encode_plain({"sums": {SECRET: {"spread": {1, 2}}}}, known=["sums", "spread"])

    assert caught.value.message.startswith("result['sums'][key 1]['spread']: a set has no JSON form")
    assert SECRET in caught.value.detail


def test_named_tuples_of_numpy_are_lists():
    assert json.loads(encode_plain(np.linalg.eigh(np.eye(2))).data) == [[1.0, 1.0], [[1.0, 0.0], [0.0, 1.0]]]


@pytest.mark.parametrize(
    "value",
    [np.dtype("int64"), np.poly1d([1]), np.finfo(float), np.random.default_rng(1)],
    ids=lambda v: type(v).__name__,
)
def test_what_numpy_has_beside_arrays_is_refused_by_its_type(value):
    with pytest.raises(NotSerializable, match=f"a numpy {type(value).__qualname__} has no JSON form"):
        encode_plain({"dtypes": value})
