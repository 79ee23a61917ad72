"""Rich encoding: between our own master and our own rpc values come back as they were."""

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
from algotools.payload import RICH, decode_rich, encode_rich

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


def again(value: object) -> Any:
    return decode_rich(encode_rich(value))


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types all the way down, NaN being itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a), list(b)) and same(list(a.values()), list(b.values()))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and same(a.ravel().tolist(), b.ravel().tolist())
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, (complex, np.generic)):
        return repr(a) == repr(b)
    return bool(a == b)


@given(values)
def test_nested_values_come_back_as_they_were(value):
    assert same(again(value), value)


@given(arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4)))
def test_arrays_of_every_plain_type_come_back_as_they_were(array):
    found = again({"array": array})["array"]

    assert same(found, array)
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable


@given(arrays.arrays(dtypes, ()))
def test_numpy_scalars_come_back_as_they_were(array):
    assert same(again([array[()]]), [array[()]])


@given(arrays.arrays(arrays.array_dtypes(), 3) | arrays.arrays(arrays.nested_dtypes(), 2))
@settings(max_examples=50)
def test_records_come_back_as_they_were(array):
    found = again(array)

    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


def test_an_array_of_very_many_fields_comes_back():
    array = np.zeros(2, [(f"column_{i}", "f8") for i in range(2000)])

    assert again(array).dtype == array.dtype


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
def test_an_array_that_is_not_contiguous_comes_back(array):
    found = again(array)

    assert same(found, array)
    assert found.flags.writeable


@given(st.lists(values, max_size=4), st.booleans())
@example([[1]], False)
@example([[1, 2], [3, 4]], True)
def test_an_array_of_objects_comes_back_whatever_is_in_it(items, tall):
    array = np.empty(len(items), object)
    for position, item in enumerate(items):
        array[position] = item
    if tall:
        array = array.reshape(len(items), 1)

    found = again(array)

    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert same(found.ravel().tolist(), array.ravel().tolist())


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
def test_a_single_value_comes_back_as_it_was(value):
    found = again(value)

    assert found is value or same(found, value)
    assert getattr(found, "unit", None) == getattr(value, "unit", None)
    assert str(getattr(found, "tzinfo", None)) == str(getattr(value, "tzinfo", None))


def test_numpy_keys_become_the_python_keys_that_equal_them():
    assert again({np.int64(3): "a", np.str_("b"): 1}) == {3: "a", "b": 1}


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
def test_an_arrow_table_comes_back_as_it_was(table):
    found = again((table, 1))[0]

    assert found.equals(table, check_metadata=True)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        object(),
        1j,
        {("a",): 1},
        {math.nan: 1},
        {np.float64(math.nan): 1},
        {2**64: 1},
        {pd.Timestamp(0): 1},
        np.ma.masked_array([1, 4711], [False, True]),
        np.zeros(1, [("a", object)]),
        pd.Period("2020-01", "M"),
        pd.DataFrame({"a": [pd.Interval(0, 1)]}),
        pd.Series(pd.arrays.SparseArray([0, 1])),
        pa.array([1]),
        np.random.default_rng(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_travel_is_refused_by_type(value):
    with pytest.raises(NotSerializable) as caught:
        encode_rich(value)

    assert caught.value.message.startswith("result")


def test_named_tuples_of_numpy_travel_as_tuples():
    values, vectors = decode_rich(encode_rich(np.linalg.eigh(np.eye(2))))
    np.testing.assert_array_equal(values, [1, 1])
    np.testing.assert_array_equal(vectors, np.eye(2))


def test_what_plain_makes_simpler_travels_as_simply():
    class Sex(enum.Enum):
        FEMALE = "f"

    @dataclasses.dataclass
    class Part:
        sex: Sex
        mean: float

    assert decode_rich(encode_rich({"parts": [Part(Sex.FEMALE, math.inf)]})) == {
        "parts": [{"sex": "f", "mean": math.inf}]
    }


def test_a_refusal_names_the_place_but_no_key_that_may_be_data():
    frame = pd.DataFrame({"age": [1], "Jane-Doe-4711": [object()]})

    with pytest.raises(NotSerializable) as caught:
        encode_rich({"frames": [frame]}, known=["frames"])

    assert caught.value.message.startswith("result['frames'][0][key 2][0]: a value of type object has no JSON form")
    assert "Jane-Doe-4711" in caught.value.detail


@pytest.mark.parametrize("make", [list, lambda item: (*item,), lambda item: {"a": item[0]}])
def test_what_is_nested_too_deeply_is_refused(make):
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
    )
]


def around(tree: object, *blobs: bytes) -> bytes:
    """What a tree and blobs look like on the way."""
    encoded = msgspec.msgpack.encode([[len(blob) for blob in blobs], tree])
    return b"".join([RICH, len(encoded).to_bytes(8, "big"), encoded, *blobs])


def decoded_or_refused(data: bytes) -> None:
    with contextlib.suppress(ProxyError):
        decode_rich(data)


@given(st.binary())
def test_arbitrary_bytes_are_decoded_or_refused(data):
    decoded_or_refused(data)
    decoded_or_refused(RICH + data)
    decoded_or_refused(RICH + len(data).to_bytes(8, "big") + data)


@given(st.integers(-128, 127), st.binary())
def test_arbitrary_extensions_are_decoded_or_refused(code, data):
    decoded_or_refused(around(msgspec.msgpack.Ext(code, data), data))
    decoded_or_refused(around(msgspec.msgpack.Ext(code, msgspec.msgpack.encode(0)), data))


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=400)
def test_damaged_bytes_are_decoded_or_refused(sample, data):
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(len(RICH), len(sample) - 1))] = data.draw(st.integers(0, 255))

    decoded_or_refused(bytes(damaged))
    decoded_or_refused(bytes(damaged[: data.draw(st.integers(0, len(sample)))]))


kinds = st.sampled_from(
    [
        *("frame", "series", "levels", "range", "index", "array", "timestamp", "timedelta", "NaT", "categorical"),
        *("zoned", "period", "string", "masked", "arrow", "numpy"),
    ]
)
contents = st.recursive(
    kinds | st.none() | st.integers(-5, 5) | st.text(max_size=3) | st.sampled_from(["D", "s", "UTC", "python"]),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(kinds, inner, inner, inner).map(list),
    max_leaves=12,
)


@given(contents)
@settings(max_examples=300)
def test_well_formed_nonsense_in_place_of_a_frame_is_decoded_or_refused(content):
    decoded_or_refused(around(msgspec.msgpack.Ext(7, msgspec.msgpack.encode(content))))


@given(
    st.tuples(
        st.sampled_from(["<f8", "f8", "|O", "O", "<M8[ns]", "<U0", "|V4", "(2,)f8", "<i4,<i4", "nonsense"]),
        st.lists(st.integers(-1, 2**40), max_size=3),
        st.sampled_from("CFKA"),
        st.binary(max_size=16) | st.integers(-2, 2),
    ).map(list)
)
def test_well_formed_nonsense_in_place_of_an_array_is_decoded_or_refused(content):
    decoded_or_refused(around(msgspec.msgpack.Ext(4, msgspec.msgpack.encode(content)), b"12345678"))


def test_bytes_of_another_encoding_are_refused():
    with pytest.raises(ProxyError, match="not in the encoding"):
        decode_rich(b'json.{"a": 1}')


def test_a_pickled_array_is_refused_unopened():
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], object), allow_pickle=True)

    with pytest.raises(ProxyError):
        decode_rich(around(msgspec.msgpack.Ext(9, msgspec.msgpack.encode(buffer.getvalue()))))
    with pytest.raises(ProxyError):
        decode_rich(around(msgspec.msgpack.Ext(4, msgspec.msgpack.encode(["|O", [1], "C", b"12345678"]))))


@given(st.integers(0, 5000), st.integers(1, 300))
def test_half_a_result_is_none(size, less):
    whole = encode_rich({"values": np.zeros(size), "more": pd.DataFrame({"a": np.ones(size)})})

    with pytest.raises(ProxyError):
        decode_rich(whole[:-less])
    with pytest.raises(ProxyError):
        decode_rich(whole + bytes(less))


@given(arrays.arrays("u8", st.integers(0, 300)).map(lambda bits: bits.view("f8")), st.booleans())
def test_numbers_come_back_bit_for_bit(values, swapped):
    if swapped:
        values = values.astype(values.dtype.newbyteorder(), copy=False)
    found = again({"a": values, "b": pd.Series(values.astype("f8", copy=False))})

    assert found["a"].tobytes() == values.tobytes()
    assert found["a"].flags.writeable
    assert found["b"].to_numpy().tobytes() == values.astype("f8", copy=False).tobytes()
