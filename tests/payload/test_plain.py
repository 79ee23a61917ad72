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


def parse_strictly(data: bytes) -> Any:
    """Parse JSON as a strict reader, which refuses NaN and infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(data, parse_constant=refuse)


def plain(value: object) -> Any:
    return parse_strictly(encode_plain(value).data)


@given(json_values)
def test_json_values_are_encoded_as_the_same_json_values(value):
    encoded = encode_plain(value)

    assert parse_strictly(encoded.data) == value
    assert encoded.nulls == []


@given(any_values)
def test_any_value_is_strict_json_and_every_null_is_reported(value):
    encoded = encode_plain(value)
    tree = parse_strictly(encoded.data)

    def count_nulls(before: Any, after: Any) -> int:
        if isinstance(before, float) and not math.isfinite(before):
            assert after is None
            return 1
        if isinstance(before, list):
            return sum(map(count_nulls, before, after))
        if isinstance(before, dict):
            assert before.keys() == after.keys()
            return sum(count_nulls(before[key], after[key]) for key in before)
        assert before == after
        return 0

    assert count_nulls(value, tree) == len(encoded.nulls)


@given(any_values)
def test_arguments_keep_nan_and_infinity(value):
    assert repr(json.loads(encode_arguments(value))) == repr(value)


def test_a_nan_becomes_null_and_its_path_is_reported():
    encoded = encode_plain({"sums": [1.0, math.nan], "other": {"deep": -math.inf}})

    assert encoded.data == b'{"sums":[1.0,null],"other":{"deep":null}}'
    paths = [[getattr(step, "key", step) for step in path] for path in encoded.nulls]
    assert paths == [["sums", 1], ["other", "deep"]]


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


def test_a_number_too_large_for_json_readers_becomes_null():
    encoded = encode_plain(np.array([np.finfo(np.longdouble).max], np.longdouble))

    assert (encoded.data, encoded.nulls) in [(b"[null]", [(0,)]), (b"[1.7976931348623157e308]", [])]


def test_numpy_booleans_texts_and_times_are_encoded():
    assert plain(np.bool_(True)) is True
    assert plain(np.array([True, False])) == [True, False]
    assert plain(np.array(["a", "b"])) == ["a", "b"]
    assert plain(np.str_("a")) == "a"
    assert plain(np.datetime64("2020-01-02T03:04:05.000000006")) == "2020-01-02T03:04:05.000000006"
    assert plain(np.array("2020-01-02", "M8[ns]")) == "2020-01-02T00:00:00.000000000"
    assert plain(np.array([["2020-01-02", "NaT"]], "M8[D]")) == [["2020-01-02", None]]


def test_a_masked_value_becomes_null():
    encoded = encode_plain(np.ma.masked_array([1, 4711, 3], [False, True, False]))

    assert (encoded.data, encoded.nulls) == (b"[1,null,3]", [(1,)])
    assert plain(np.ma.masked) is None


def test_an_array_of_objects_is_encoded_by_its_values():
    array = np.empty(3, object)
    array[:] = [np.int64(1), "a", None]

    assert plain(array) == [1, "a", None]
    assert plain(np.array({"a": 1}, object)) == {"a": 1}


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


@dataclasses.dataclass
class PlainPoint:
    x: int
    y: float
    kind: ClassVar[str] = "a constant of the class"


class Struct(msgspec.Struct):
    a: int


class PlainPair(NamedTuple):
    first: int
    second: str


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (PlainPair(1, "b"), [1, "b"]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Colour.RED, "red"),
        ([Size.LARGE], [3]),
        (PlainPoint(1, 2.5), {"x": 1, "y": 2.5}),
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
    result = plain(value)

    assert result == expected
    assert repr(result) == repr(expected)


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
def test_a_key_becomes_a_text_as_in_pythons_json(key, text):
    assert plain({key: 0}) == {text: 0}


def test_two_keys_with_the_same_text_are_refused():
    with pytest.raises(NotSerializable, match=r"result\[key 2\]: two keys of the mapping have the same text"):
        encode_plain({1: "a", "1": "b"})


def test_an_arrow_table_with_a_repeated_name_is_refused_without_the_name():
    with pytest.raises(NotSerializable, match=r"result\[key 2\]"):
        encode_plain(pa.table([[1], [2]], names=[SECRET, SECRET]))


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        object(),
        PlainPoint,
        len,
        {frozenset(): 1},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_without_a_json_form_is_refused(value):
    with pytest.raises(NotSerializable) as excinfo:
        encode_plain(value)

    assert excinfo.value.message.startswith("result")


@pytest.mark.parametrize("encode", [encode_plain, encode_arguments])
@pytest.mark.parametrize("depth", [1, 100_000])
def test_a_circular_or_too_deep_value_is_refused(encode, depth):
    circular: list[object] = []
    circular.append(circular)
    deep: object = circular if depth == 1 else 1
    for _ in range(depth):
        deep = [deep]

    with pytest.raises(NotSerializable, match="nested too deeply"):
        encode(deep)


@pytest.mark.parametrize("encode", [encode_plain, encode_arguments])
def test_an_integer_with_too_many_digits_is_refused(encode):
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
def test_an_error_shows_the_path_without_keys_that_may_be_data(before, key, nested):
    value: dict[object, object] = {name: 0 for name in before if name != str(key)}
    position = len(value) + 1
    value[key] = object()
    prefix = "result['sums'][1]" if nested else "result"

    with pytest.raises(NotSerializable) as excinfo:
        encode_plain({"sums": [0, value]} if nested else value, source_texts=["sums"])

    assert excinfo.value.message.startswith(f"{prefix}[key {position}]: a value of type object has no JSON form")
    assert f"{prefix}[{key!r}]" in excinfo.value.detail


def test_a_key_from_the_algorithms_source_is_shown():
    with pytest.raises(NotSerializable) as excinfo:
        encode_plain({"sums": {SECRET: {"spread": {1, 2}}}}, source_texts=["sums", "spread"])

    assert excinfo.value.message.startswith("result['sums'][key 1]['spread']: a set has no JSON form")
    assert SECRET in excinfo.value.detail


def test_named_tuples_of_numpy_are_lists():
    assert json.loads(encode_plain(np.linalg.eigh(np.eye(2))).data) == [[1.0, 1.0], [[1.0, 0.0], [0.0, 1.0]]]


@pytest.mark.parametrize(
    "value",
    [np.dtype("int64"), np.poly1d([1]), np.finfo(float), np.random.default_rng(1)],
    ids=lambda v: type(v).__name__,
)
def test_a_numpy_object_that_is_not_an_array_is_refused(value):
    with pytest.raises(NotSerializable, match=f"a numpy {type(value).__qualname__} has no JSON form"):
        encode_plain({"dtypes": value})


def make_circular() -> list[object]:
    circular: list[object] = []
    circular.append(circular)
    return circular


ARGUMENTS = [
    ({"names": {"a"}}, "the argument 'names' of 'one': a set has no JSON form; pass a sorted list"),
    ({"n": 1, "names": {"Jane": [{"a"}]}}, "the argument 'names' of 'one' at [key 1][0]: a set has no JSON form; "),
    ({"Jane Doe": {"a"}}, "argument 1 of 'one': a set has no JSON form"),
    ({"value": object()}, "the argument 'value' of 'one': a value of type object has no JSON form; pass numbers, "),
    (
        {"value": {(1,): 1}},
        "the argument 'value' of 'one' at [key 1]: a key of type tuple has no JSON form; use a text",
    ),
    (
        {"n": 1, "value": [10**5000]},
        "the argument 'value' of 'one': it contains an integer with too many digits for JSON",
    ),
    ({"n": 1, "value": make_circular()}, "the argument 'value' of 'one': it contains itself, or is nested too deeply"),
    ({"value": b"a"}, "the argument 'value' of 'one': a value of type bytes has no JSON form; pass numbers, "),
    ({"value": [1j]}, "the argument 'value' of 'one' at [0]: a value of type complex has no JSON form; pass numbers, "),
    ({"value": np.array([1j])}, "the argument 'value' of 'one' at [0]: a value of type complex has no JSON form; "),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_an_argument_without_a_json_form_is_named(arguments, message):
    with pytest.raises(NotSerializable) as refused:
        encode_arguments(arguments, "one")
    assert str(refused.value).startswith(message)
    with pytest.raises(NotSerializable) as refused:
        encode_arguments({"method": "one", "kwargs": arguments}, "one", depth=1)
    assert str(refused.value).startswith(message)
