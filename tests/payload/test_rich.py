"""Rich encoding: values between a master and its rpc functions are restored exactly."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import enum
import math
import uuid
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from algotools.errors import NotSerializable, ProxyError
from algotools.payload import (
    RICH,
    WithheldCells,
    add_withheld,
    decode_rich,
    encode_rich,
    read_outline,
    read_withheld,
)  # fmt: skip

from ..conftest import examples

zones = st.integers(-1439, 1439).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=st.none() | zones)
    | st.times()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
keys = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=25,
)
dtypes = (
    arrays.boolean_dtypes()
    | arrays.integer_dtypes(endianness="?")
    | arrays.unsigned_integer_dtypes(endianness="?")
    | arrays.floating_dtypes(endianness="?")
    | arrays.complex_number_dtypes()
    | arrays.datetime64_dtypes()
    | arrays.timedelta64_dtypes()
    | arrays.byte_string_dtypes()
    | arrays.unicode_string_dtypes()
)


def round_trip(value: object) -> Any:
    return decode_rich(encode_rich(value))


def is_same(a: Any, b: Any) -> bool:
    """Whether two values are equal and have equal types at every level. NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(is_same, a, b))
    if isinstance(a, dict):
        return is_same(list(a), list(b)) and is_same(list(a.values()), list(b.values()))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and is_same(a.ravel().tolist(), b.ravel().tolist())
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, (complex, np.generic)):
        return repr(a) == repr(b)
    return bool(a == b)


@given(values)
def test_nested_values_are_restored(value):
    assert is_same(round_trip(value), value)


@given(arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4)))
def test_arrays_of_every_plain_type_are_restored(array):
    result = round_trip({"array": array})["array"]

    assert is_same(result, array)
    assert result.tobytes() == array.tobytes()
    assert result.flags.writeable


@given(arrays.arrays(dtypes, ()))
def test_numpy_scalars_are_restored(array):
    assert is_same(round_trip([array[()]]), [array[()]])


@given(arrays.arrays(arrays.array_dtypes(), 3) | arrays.arrays(arrays.nested_dtypes(), 2))
@settings(max_examples=examples(50))
def test_records_are_restored(array):
    result = round_trip(array)

    assert (result.dtype, result.shape) == (array.dtype, array.shape)
    assert result.tobytes() == array.tobytes()


def test_an_array_with_many_fields_is_restored():
    array = np.zeros(2, [(f"column_{i}", "f8") for i in range(2000)])

    assert round_trip(array).dtype == array.dtype


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)[::2],
        np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
        np.arange(6)[::-1],
        np.arange(6)[::2],
        np.broadcast_to(np.arange(1), 5),
        np.broadcast_to(np.arange(3), (2, 3)),
        np.broadcast_to(np.array("2020-01-01", "M8[D]"), 3),
    ],
)
def test_an_array_that_is_not_contiguous_is_restored(array):
    result = round_trip(array)

    assert is_same(result, array)
    assert result.flags.writeable


@given(st.lists(values, max_size=4), st.booleans())
@example([[1]], False)
@example([[1, 2], [3, 4]], True)
def test_an_array_of_any_objects_is_restored(items, is_column):
    array = np.empty(len(items), object)
    for position, item in enumerate(items):
        array[position] = item
    if is_column:
        array = array.reshape(len(items), 1)

    result = round_trip(array)

    assert (result.dtype, result.shape) == (array.dtype, array.shape)
    assert is_same(result.ravel().tolist(), array.ravel().tolist())


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        10**4000,
        10**6000,
        math.inf,
        {1: {2.5: (None, ())}, b"a": [(), {}]},
        decimal.Decimal("-0.00"),
        uuid.UUID(int=5),
        datetime.timedelta(-3, 5, 7),
        b"a" * 5000,
        np.float64(math.nan),
        np.datetime64("NaT", "ns"),
        np.timedelta64(5, "s"),
        np.str_(""),
        np.bytes_(b"a"),
        np.array(None, object),
        np.zeros((0, 3), "U5"),
        pd.NaT,
        pd.NA,
        pd.Timestamp("2020-01-02 03:04:05.000000006"),
        pd.Timestamp("2020-01-02 03:04", tz="Europe/Amsterdam"),
        pd.Timestamp("2020-01-02", tz="+05:30"),
        pd.Timestamp("2020-01-02").as_unit("s"),
        pd.Timedelta(days=-3, nanoseconds=5),
        pd.Timedelta(days=1).as_unit("ms"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, int) else repr(value)[:40],
)
def test_a_single_value_is_restored(value):
    result = round_trip(value)

    assert result is value or is_same(result, value)
    assert getattr(result, "unit", None) == getattr(value, "unit", None)
    assert str(getattr(result, "tzinfo", None)) == str(getattr(value, "tzinfo", None))


def test_numpy_keys_become_equal_python_keys():
    assert round_trip({np.int64(3): "a", np.str_("b"): 1}) == {3: "a", "b": 1}


ARROW = pa.table(
    {
        "int": pa.array([1, None], pa.int16()),
        "text": pa.array(["a", None]),
        "list": pa.array([[1], None], pa.list_(pa.int64())),
        "time": pa.array([1, None], pa.timestamp("us", "UTC")),
        "dictionary": pa.array(["a", "b"]).dictionary_encode(),
        "decimal": pa.array([decimal.Decimal("1.10"), None]),
    },
    metadata={"who": "me"},
)


@pytest.mark.parametrize(
    "table",
    [ARROW, ARROW.slice(0, 0), ARROW.slice(1), pa.concat_tables([ARROW, ARROW]), pa.table({}), ARROW.select(["int"])],
    ids=["all", "no rows", "a slice", "chunks", "no columns", "one"],
)
def test_an_arrow_table_is_restored(table):
    result = round_trip((table, 1))[0]

    assert result.equals(table, check_metadata=True)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        object(),
        np.zeros(1, [("a", object)]),
        np.random.default_rng(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_unsupported_value_is_refused(value):
    with pytest.raises(NotSerializable) as excinfo:
        encode_rich(value)

    assert excinfo.value.message.startswith("result")


def test_named_tuples_of_numpy_become_tuples():
    values, vectors = decode_rich(encode_rich(np.linalg.eigh(np.eye(2))))
    np.testing.assert_array_equal(values, [1, 1])
    np.testing.assert_array_equal(vectors, np.eye(2))


def test_enums_and_dataclasses_are_simplified_as_in_json():
    class Gender(enum.Enum):
        FEMALE = "f"

    @dataclasses.dataclass
    class Part:
        sex: Gender
        mean: float

    assert decode_rich(encode_rich({"parts": [Part(Gender.FEMALE, math.inf)]})) == {
        "parts": [{"sex": "f", "mean": math.inf}]
    }


def test_an_error_shows_the_path_without_keys_that_may_be_data():
    frame = pd.DataFrame({"age": [1], "Jane-Doe-4711": [object()]})

    with pytest.raises(NotSerializable) as excinfo:
        encode_rich({"frames": [frame]}, source_texts=["frames"])

    assert excinfo.value.message.startswith("result['frames'][0][key 2][0]: a value of type object cannot travel")
    assert "Jane-Doe-4711" in excinfo.value.detail


def test_a_set_is_refused_without_a_word_about_json():
    with pytest.raises(NotSerializable, match="a set cannot travel between nodes; return a sorted list"):
        encode_rich({"names": {"a"}}, source_texts=["names"])


@pytest.mark.parametrize("make", [list, lambda item: (*item,), lambda item: {"a": item[0]}])
def test_a_value_that_is_nested_too_deeply_is_refused(make):
    value: object = 1
    for _ in range(100_000):
        value = make([value])

    with pytest.raises(NotSerializable, match="nested too deeply"):
        encode_rich(value)


def test_a_text_that_is_not_unicode_is_refused():
    with pytest.raises(NotSerializable, match="not valid Unicode"):
        encode_rich(["\udcff"])


SAMPLES = [
    encode_rich(value)
    for value in (
        {"a": [1, 2.5, (None, "x")], "n": 2**80, "d": datetime.date(2020, 1, 1)},
        np.arange(6.0).reshape(2, 3),
        np.array([1, "a", [2]], object),
        np.float32(1),
        pd.DataFrame({"a": [1], "b": ["x"], "c": pd.to_datetime(["2020-01-01"]).tz_localize("UTC")}),
        pd.Series(pd.Categorical(["a"]), index=pd.date_range("2020", periods=1)),
        pd.Series(pd.array([1, None], "Int64"), index=pd.period_range("2020", periods=2, freq="M")),
        pd.Series([1], index=pd.MultiIndex.from_tuples([("a", 1)], names=["x", "y"])),
        pd.Timestamp("2020-01-01"),
        ARROW,
        {math.nan: np.ma.masked_array([1, 2], [True, False]), ("a", 1): pa.scalar(1)},
        pd.Series(pd.arrays.SparseArray([0, 1]), pd.interval_range(0, 2)),
        [pd.Period("2020-01", "M"), pd.Interval(0, 1), 1j, pa.array([1])],
    )
]


def make_encoding(tree: object, *blobs: bytes) -> bytes:
    """Return the encoding of a tree and its blobs."""
    encoded = msgspec.msgpack.encode([[len(blob) for blob in blobs], tree])
    return b"".join([RICH, len(encoded).to_bytes(8, "big"), encoded, *blobs])


def assert_decoded_or_refused(data: bytes) -> None:
    with contextlib.suppress(ProxyError):
        decode_rich(data)


@given(st.binary())
def test_arbitrary_bytes_are_decoded_or_refused(data):
    assert_decoded_or_refused(data)
    assert_decoded_or_refused(RICH + data)
    assert_decoded_or_refused(RICH + len(data).to_bytes(8, "big") + data)


@given(st.integers(-128, 127), st.binary())
def test_arbitrary_extensions_are_decoded_or_refused(code, data):
    assert_decoded_or_refused(make_encoding(msgspec.msgpack.Ext(code, data), data))
    assert_decoded_or_refused(make_encoding(msgspec.msgpack.Ext(code, msgspec.msgpack.encode(0)), data))


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=examples(400))
def test_damaged_bytes_are_decoded_or_refused(sample, data):
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(len(RICH), len(sample) - 1))] = data.draw(st.integers(0, 255))

    assert_decoded_or_refused(bytes(damaged))
    assert_decoded_or_refused(bytes(damaged[: data.draw(st.integers(0, len(sample)))]))


kinds = st.sampled_from(
    [
        *("frame", "series", "levels", "range", "index", "array", "timestamp", "timedelta", "NaT", "categorical"),
        *("zoned", "period", "string", "masked", "arrow", "numpy", "moment", "interval", "intervals", "sparse"),
    ]
)
contents = st.recursive(
    kinds | st.none() | st.integers(-5, 5) | st.text(max_size=3) | st.sampled_from(["D", "s", "UTC", "python"]),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(kinds, inner, inner, inner).map(list),
    max_leaves=12,
)


@given(contents)
@settings(max_examples=examples(300))
def test_an_invalid_frame_is_decoded_or_refused(content):
    assert_decoded_or_refused(make_encoding(msgspec.msgpack.Ext(7, msgspec.msgpack.encode(content))))


@given(
    st.tuples(
        st.sampled_from(["<f8", "f8", "|O", "O", "<M8[ns]", "<U0", "|V4", "(2,)f8", "<i4,<i4", "nonsense"]),
        st.lists(st.integers(-1, 2**40), max_size=3),
        st.sampled_from("CFKA"),
        st.binary(max_size=16) | st.integers(-2, 2),
    ).map(list)
)
def test_an_invalid_array_is_decoded_or_refused(content):
    assert_decoded_or_refused(make_encoding(msgspec.msgpack.Ext(4, msgspec.msgpack.encode(content)), b"12345678"))


def test_bytes_of_another_encoding_are_refused():
    with pytest.raises(ProxyError, match="not in the requested encoding"):
        decode_rich(b'json.{"a": 1}')


@pytest.mark.parametrize("name", ["bytes", "bytearray"])
def test_a_size_in_the_place_of_bytes_is_refused(name):
    content = msgspec.msgpack.encode([name, 10])

    with pytest.raises(ProxyError):
        decode_rich(make_encoding(msgspec.msgpack.Ext(3, content)))


def test_a_pickled_array_is_refused_without_unpickling():
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], object), allow_pickle=True)

    with pytest.raises(ProxyError):
        decode_rich(make_encoding(msgspec.msgpack.Ext(9, msgspec.msgpack.encode(buffer.getvalue()))))
    with pytest.raises(ProxyError):
        decode_rich(make_encoding(msgspec.msgpack.Ext(4, msgspec.msgpack.encode(["|O", [1], "C", b"12345678"]))))


@given(st.integers(0, 5000), st.integers(1, 300))
def test_an_incomplete_result_is_refused(size, removed_bytes):
    data = encode_rich({"values": np.zeros(size), "more": pd.DataFrame({"a": np.ones(size)})})

    with pytest.raises(ProxyError):
        decode_rich(data[:-removed_bytes])
    with pytest.raises(ProxyError):
        decode_rich(data + bytes(removed_bytes))


@given(arrays.arrays("u8", st.integers(0, 300)).map(lambda bits: bits.view("f8")), st.booleans())
def test_numbers_are_restored_bit_for_bit(values, swapped):
    if swapped:
        values = values.astype(values.dtype.newbyteorder(), copy=False)
    result = round_trip({"a": values, "b": pd.Series(values.astype("f8", copy=False))})

    assert result["a"].tobytes() == values.tobytes()
    assert result["a"].flags.writeable
    assert result["b"].to_numpy().tobytes() == values.astype("f8", copy=False).tobytes()


def test_few_bytes_are_not_decoded_to_a_huge_array():
    content = msgspec.msgpack.encode(["|S0", [10**12], "C", b""])
    with pytest.raises(ProxyError, match="cannot be decoded"):
        decode_rich(make_encoding(msgspec.msgpack.Ext(4, content)))


@pytest.mark.parametrize("value", [{"n": 5}, np.arange(10_000.0), [np.arange(300), np.ones(500)]], ids=str)
def test_the_number_of_withheld_cells_is_beside_the_value(value: Any) -> None:
    data = encode_rich(value)
    assert read_withheld(data) is None
    changed = add_withheld(data, WithheldCells(5, 3))
    assert read_withheld(changed) == (5, 3)
    assert repr(decode_rich(changed)) == repr(decode_rich(data))
    assert repr(read_outline(changed)) == repr(read_outline(data))
    assert len(changed) - len(data) < 8
    assert read_withheld(add_withheld(changed, WithheldCells(7, 10))) == (7, 10)
    assert read_withheld(b"[1]") is None
    with pytest.raises(ProxyError):
        decode_rich(changed[:-1])
