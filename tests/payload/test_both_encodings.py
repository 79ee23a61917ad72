"""Both encodings accept the same values, and a master gets equal values of the documented types."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
import zoneinfo
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from algotools.errors import FunctionRaised, NotSerializable
from algotools.payload import _plain, _rich, decode_rich, encode_plain, encode_rich
from algotools.payload._types import ValueKind

from ..conftest import examples

SECRET = 4711


def plain(value: object) -> Any:
    return json.loads(encode_plain(value).data)


def round_trip(value: object) -> Any:
    return decode_rich(encode_rich(value))


def refusal(encode: Any, value: object) -> str:
    """Return the reason why an encoding refuses a value; empty if the encoding accepts the value."""
    try:
        encode(value)
    except (NotSerializable, FunctionRaised) as error:
        return error.message
    return ""


class ResultSex(enum.Enum):
    FEMALE = "f"
    MALE = ("m", 1)


class ResultLevel(enum.IntEnum):
    HIGH = 3


class ResultPair(NamedTuple):
    first: object
    second: object


class TypedResult(TypedDict):
    part: object


@dataclasses.dataclass(frozen=True)
class DataclassResult:
    part: object


@attrs.frozen
class AttrsResult:
    part: object


class StructResult(msgspec.Struct, frozen=True):
    part: object


class ModelResult(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    part: Any
    rows: list[int] = pydantic.Field(default=[SECRET], exclude=True)


class FailingModelResult(pydantic.BaseModel):
    part: int

    @pydantic.field_serializer("part")
    def write(self, part: int) -> int:
        raise RuntimeError(part)


def test_both_encodings_have_a_function_for_every_kind():
    assert set(_plain.CONVERSIONS) == set(_rich.PACKERS) == set(ValueKind)


# --- Values that are accepted: the value, its JSON form, and the value in the master if it is not the same. ---

SAME = object()
AMSTERDAM = datetime.datetime(2020, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Amsterdam"))
ARROW = pa.table({"a": [1, None], "b": ["x", "y"]})
STRUCTURE = [("n", "i4"), ("mean", "f8")]

ACCEPTED: dict[str, tuple[Any, Any, Any]] = {
    "bytes": (b"\x00\xff", "AP8=", SAME),
    "a byte array": (bytearray(b"ab"), "YWI=", SAME),
    "complex": (1 + 2j, {"real": 1.0, "imag": 2.0}, SAME),
    "complex with NaN": (complex(math.nan, 1), {"real": None, "imag": 1.0}, SAME),
    "a time": (datetime.time(1, 2), "01:02:00", SAME),
    "a duration": (datetime.timedelta(1, 2), "P1DT0H0M2S", SAME),
    "a moment in a named zone": (AMSTERDAM, "2020-07-01T12:00:00+02:00", SAME),
    "a decimal": (decimal.Decimal("1.10"), "1.10", SAME),
    "an enum": (ResultSex.FEMALE, "f", "f"),
    "an enum of tuples": ([ResultSex.MALE, ResultLevel.HIGH], [["m", 1], 3], [("m", 1), 3]),
    "a named tuple": (ResultPair(1, "b"), [1, "b"], (1, "b")),
    "a dataclass": (
        DataclassResult(DataclassResult(np.float32(0.5))),
        {"part": {"part": 0.5}},
        {"part": {"part": np.float32(0.5)}},
    ),
    "a class of attrs": (AttrsResult((1, 2)), {"part": [1, 2]}, {"part": (1, 2)}),
    "a msgspec structure": (StructResult(math.nan), {"part": None}, {"part": math.nan}),
    "a typed dict": (TypedResult(part=1), {"part": 1}, SAME),
    "a pydantic model": (ModelResult(part=[1.5, ResultSex.FEMALE]), {"part": [1.5, "f"]}, {"part": [1.5, "f"]}),
    "a counter": (collections.Counter("aab"), {"a": 2, "b": 1}, {"a": 2, "b": 1}),
    "an interval": (pd.Interval(0, 1.5), "(0, 1.5]", SAME),
    "a period": (pd.Period("2020Q1"), "2020Q1", SAME),
    "an array of complex": (np.array([1j]), [{"real": 0.0, "imag": 1.0}], SAME),
    "an array of long complex": (np.array([1j], "G"), [{"real": 0.0, "imag": 1.0}], SAME),
    "a number of long complex": (np.clongdouble(1j), {"real": 0.0, "imag": 1.0}, SAME),
    "an array of bytes": (np.array([b"a"]), ["YQ=="], SAME),
    "bytes of numpy": (np.bytes_(b"a"), "YQ==", SAME),
    "structures": (np.array([(1, math.nan)], STRUCTURE), [{"n": 1, "mean": None}], SAME),
    "a structure": (np.array([(1, 2.0)], STRUCTURE)[0], {"n": 1, "mean": 2.0}, SAME),
    "structures in structures": (
        np.zeros(1, [("a", STRUCTURE), ("b", "i1", (2,))]),
        [{"a": {"n": 0, "mean": 0.0}, "b": [0, 0]}],
        SAME,
    ),
    "raw bytes of numpy": (np.zeros(1, "V3"), ["AAAA"], SAME),
    "masked": (np.ma.masked_array([1, SECRET], [False, True]), [1, None], SAME),
    "masked floats": (np.ma.masked_array([[1.5], [SECRET]], [[False], [True]]), [[1.5], [None]], SAME),
    "masked texts": (np.ma.masked_array(["a", "b"], [False, True]), ["a", None], SAME),
    "masked times": (
        np.ma.masked_array(np.array(["2020-01-01", "2021-01-01"], "M8[ns]"), [False, True]),
        ["2020-01-01T00:00:00.000000000", None],
        SAME,
    ),
    "masked complex": (np.ma.masked_array([1j, 2], [False, True]), [{"real": 0.0, "imag": 1.0}, None], SAME),
    "masked long doubles": (np.ma.masked_array(np.array([1, 2], "g"), [False, True]), [1.0, None], SAME),
    "masked objects": (np.ma.masked_array(np.array(["a", 1], object), [True, False]), [None, 1], SAME),
    "masked structures": (
        np.ma.masked_array([(1, 2.0), (3, 4.0)], [(False, True), (True, False)], STRUCTURE),
        [{"n": 1, "mean": None}, {"n": None, "mean": 4.0}],
        SAME,
    ),
    "a masked array without a mask": (np.ma.masked_array(5), 5, SAME),
    "a masked array with its own fill value": (np.ma.masked_array([1], [True], fill_value=-9), [None], SAME),
    "the masked value": (np.ma.masked, None, SAME),
    "a sparse array": (pd.arrays.SparseArray([0, 0, 1]), [0, 0, 1], SAME),
    "a sparse series": (pd.Series(pd.arrays.SparseArray([1.5, math.nan])), {"0": 1.5, "1": None}, SAME),
    "a sparse frame": (
        pd.get_dummies(pd.Series(["f", "m"]), sparse=True),
        {"f": {"0": True, "1": False}, "m": {"0": False, "1": True}},
        SAME,
    ),
    "intervals": (pd.interval_range(0, 2, name="age"), ["(0, 1]", "(1, 2]"], SAME),
    "intervals with a missing one": (
        pd.arrays.IntervalArray([pd.Interval(0, 1, "left"), None], closed="left"),
        ["[0.0, 1.0)", None],
        SAME,
    ),
    "groups of ages": (pd.cut(pd.Series([3, 20]), [0, 15, 40]), {"0": "(0, 15]", "1": "(15, 40]"}, SAME),
    "counts of groups": (
        pd.cut(pd.Series([3, 20, 21]), [0, 15, 40]).value_counts(),
        {"(15, 40]": 2, "(0, 15]": 1},
        SAME,
    ),
    "counts of periods": (pd.Series([1], pd.period_range("2020-01", periods=1, freq="M")), {"2020-01": 1}, SAME),
    "an Arrow array": (pa.array([1, None]), [1, None], SAME),
    "an empty Arrow array": (pa.array([], pa.int8()), [], SAME),
    "an Arrow array in chunks": (pa.chunked_array([[b"a"], [None]]), ["YQ==", None], SAME),
    "an Arrow array without chunks": (pa.chunked_array([], pa.int8()), [], SAME),
    "a dictionary of Arrow": (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"], SAME),
    "an Arrow number": (pa.scalar(3), 3, SAME),
    "a missing Arrow number": (pa.scalar(None, pa.int64()), None, SAME),
    "an Arrow list": (pa.scalar([1]), [1], SAME),
    "an Arrow structure": (pa.scalar({"a": 1.5}), {"a": 1.5}, SAME),
    "a missing Arrow structure": (pa.scalar(None, pa.struct([("a", pa.int8())])), None, SAME),
    "an Arrow moment": (pa.scalar(3, pa.timestamp("ns", "UTC")), "1970-01-01T00:00:00.000000003+00:00", SAME),
    "an Arrow batch": (
        ARROW.to_batches()[0],
        {"a": {"0": 1, "1": None}, "b": {"0": "x", "1": "y"}},
        ARROW,
    ),
    "objects in Polars": (
        pl.DataFrame({"a": [1], "b": pl.Series([uuid.UUID(int=1)], dtype=pl.Object), "c": [2.5]}),
        {"a": {"0": 1}, "b": {"0": str(uuid.UUID(int=1))}, "c": {"0": 2.5}},
        SAME,
    ),
}


def simplify(value: Any) -> Any:
    """Return a comparable form: types and contents, in which NaN equals NaN."""
    kind = type(value)
    if value is np.ma.masked:
        return kind
    if isinstance(value, Mapping) and not isinstance(value, pa.Scalar):
        return kind, [(simplify(key), simplify(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return kind, [simplify(item) for item in value]
    if isinstance(value, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(value)
        return kind, value.dtype, mask.tolist(), repr(value.tolist()), str(value.fill_value)
    if isinstance(value, np.ndarray):
        return kind, value.dtype, value.shape, [simplify(item) for item in value.ravel().tolist()]
    if isinstance(value, pd.Index):
        return kind, value.dtype, simplify(list(value.names)), simplify(value.tolist())
    if isinstance(value, pd.Series):
        return kind, value.dtype, simplify(value.name), simplify(value.index), simplify(value.tolist())
    if isinstance(value, pd.DataFrame):
        columns = [value.iloc[:, position] for position in range(value.shape[1])]
        return kind, simplify(value.index), simplify(value.columns), [simplify(column) for column in columns]
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return kind, value.dtype, simplify(value.tolist())
    if isinstance(value, (pl.DataFrame, pl.Series)):
        frame = value.to_frame() if isinstance(value, pl.Series) else value
        return kind, frame.schema, simplify(frame.rows())
    if isinstance(value, (pa.Table, pa.Array, pa.ChunkedArray)):
        return kind, value.schema if isinstance(value, pa.Table) else value.type, simplify(value.to_pylist())
    if isinstance(value, pa.Scalar):
        return kind, value.type, simplify(value.as_py())
    return kind, repr(value) if not isinstance(value, datetime.datetime) else value.isoformat()


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_value_has_a_json_form_and_is_restored_in_the_master(name):
    value, form, restored = ACCEPTED[name]

    assert plain({"a": [value]}) == {"a": [form]}
    assert simplify(round_trip({"a": [value]})["a"][0]) == simplify(value if restored is SAME else restored)


@pytest.mark.parametrize("value", [value for name, (value, *_) in ACCEPTED.items() if "masked" in name])
def test_a_value_under_the_mask_is_not_sent(value):
    assert np.int64(SECRET).tobytes() not in encode_rich(value)
    assert np.float64(SECRET).tobytes() not in encode_rich(value)


def test_an_excluded_field_of_a_model_is_not_sent():
    assert ModelResult(part=1).rows == [SECRET]
    assert (
        round_trip(ModelResult(part=ModelResult(part=2)))
        == plain(ModelResult(part=ModelResult(part=2)))
        == {"part": {"part": 2}}
    )


@pytest.mark.parametrize("encode", [encode_plain, encode_rich])
def test_an_error_of_a_models_serializer_is_the_functions_error(encode):
    with pytest.raises(FunctionRaised, match="a model that the function returned") as excinfo:
        encode([FailingModelResult(part=SECRET)])
    assert str(SECRET) not in excinfo.value.message


# --- Keys. ---

KEYS: dict[str, tuple[Any, str, Any]] = {
    "NaN": (math.nan, "NaN", SAME),
    "infinity": (-math.inf, "-Infinity", SAME),
    "NaN of numpy": (np.float64(math.nan), "NaN", math.nan),
    "a large integer": (2**70, str(2**70), SAME),
    "a date": (datetime.date(2020, 1, 2), "2020-01-02", SAME),
    "a moment": (datetime.datetime(2020, 1, 2, 3), "2020-01-02T03:00:00", SAME),  # noqa: DTZ001
    "a duration": (datetime.timedelta(1), "P1DT0H0M0S", SAME),
    "a time": (datetime.time(1), "01:00:00", SAME),
    "a decimal": (decimal.Decimal("1.10"), "1.10", SAME),
    "a UUID": (uuid.UUID(int=1), str(uuid.UUID(int=1)), SAME),
    "bytes": (b"a", "YQ==", SAME),
    "complex": (1j, '{"real": 0.0, "imag": 1.0}', SAME),
    "a Timestamp": (pd.Timestamp("2020-01-02"), "2020-01-02T00:00:00", SAME),
    "a Timedelta": (pd.Timedelta(1, "D"), "P1DT0H0M0S", SAME),
    "NaT": (pd.NaT, "null", SAME),
    "NA": (pd.NA, "null", SAME),
    "a period": (pd.Period("2020-01", "M"), "2020-01", SAME),
    "an interval": (pd.Interval(0, 15), "(0, 15]", SAME),
    "an enum": (ResultSex.FEMALE, "f", "f"),
    "an enum of integers": (ResultLevel.HIGH, "3", 3),
    "an enum of tuples": (ResultSex.MALE, '["m", 1]', ("m", 1)),
    "a tuple": (("ü", 1, None), '["ü", 1, null]', SAME),
    "a tuple with NaN": (("f", math.nan), '["f", null]', SAME),
    "a tuple of tuples and dates": (((1,), datetime.date(2020, 1, 2)), '[[1], "2020-01-02"]', SAME),
    "a named tuple": (ResultPair(np.int64(1), ResultSex.FEMALE), '[1, "f"]', (1, "f")),
    "an integer of numpy": (np.int8(4), "4", 4),
    "a text of numpy": (np.str_("a"), "a", "a"),
    "a long double": (np.longdouble(1.5), "1.5", SAME),
    "a datetime64": (np.datetime64("2020-01-02T00:00:00.000000001"), "2020-01-02T00:00:00.000000001", SAME),
    "a timedelta64": (np.timedelta64(1, "D"), "1 days", SAME),
    "NaT of numpy": (np.datetime64("NaT", "D"), "null", SAME),
    "an Arrow number": (pa.scalar(3), "3", SAME),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_has_a_text_and_is_restored_in_the_master(name):
    key, text, restored = KEYS[name]

    assert plain({key: 0, "other": 1}) == {text: 0, "other": 1}
    result = round_trip({key: 0, "other": 1})
    assert simplify(result) == simplify({key if restored is SAME else restored: 0, "other": 1})


@pytest.mark.parametrize("encode", [encode_plain, encode_rich])
def test_an_enum_and_its_value_as_keys_are_refused(encode):
    with pytest.raises(NotSerializable, match=r"result\[key 2\]: two keys of the mapping have the same"):
        encode({ResultSex.FEMALE: 1, "f": 2})


def test_an_integer_with_too_many_digits_as_a_key_has_no_json_form():
    with pytest.raises(NotSerializable, match=r"result\[key 1\]: a key is an integer with too many digits"):
        encode_plain({10**5000: 1})
    assert round_trip({10**5000: 1}) == {10**5000: 1}


# --- Values that both encodings refuse. ---

REFUSED = {
    "a set": {1},
    "a frozen set": frozenset({1}),
    "an object": object(),
    "a class": DataclassResult,
    "a function": len,
    "a range": range(3),
    "a deque": collections.deque([1]),
    "a view of a dict": {}.keys(),
    "a memory view": memoryview(b"a"),
    "a path": pathlib.PurePosixPath("a"),
    "a zone": datetime.timezone.utc,
    "a dtype": np.dtype("i4"),
    "a generator of numpy": np.random.default_rng(1),
    "structures with objects": np.zeros(1, [("a", object)]),
    "masked structures with objects": np.ma.masked_array(np.zeros(1, [("a", object)])),
    "an array of sets": np.array([{1}], object),
    "an offset of pandas": pd.offsets.Day(1),
    "a group of pandas": pd.DataFrame({"a": [1]}).groupby("a"),
    "a column of sets": pd.Series([{1}]),
    "a type of Arrow": pa.int8(),
    "an expression of Polars": pl.col("a"),
    "a column of sets in Polars": pl.Series([{1}], dtype=pl.Object),
    "a frozen dataclass as a key": {DataclassResult(1): 1},
    "a frozen set as a key": {frozenset(): 1},
    "a set in a key": {("a", frozenset()): 1},
    "a class as a key": {int: 1},
    "a model with a set": ModelResult(part={1}),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("encode", [encode_plain, encode_rich])
def test_a_value_of_an_unsupported_type_is_refused_by_both_encodings(name, encode):
    assert refusal(encode, REFUSED[name]).startswith("result")


OUT_OF_RANGE = {
    "Arrow": pa.scalar(2**40, pa.timestamp("s")),
    "Arrow, an array": pa.array([2**62], pa.duration("s")),
    "Polars": pl.Series([2**62], dtype=pl.Datetime("us")),
    "pandas": pd.Series([2**40], dtype=pd.ArrowDtype(pa.timestamp("s"))),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_a_date_that_python_does_not_have_is_refused(name):
    assert "is out of Python's range; return it as a text" in refusal(encode_plain, {"a": OUT_OF_RANGE[name]})
    assert refusal(encode_rich, {"a": OUT_OF_RANGE[name]}) == ""


# --- The property. ---


def pick(values: list[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy whose representation is short, unlike that of ``sampled_from``."""
    return st.integers(0, len(values) - 1).map(lambda position: values[position])


scalar_keys = pick([key for key, *_ in KEYS.values()]) | st.text(max_size=3) | st.integers() | st.none()
keys = st.recursive(scalar_keys, lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=4)
leaves = (
    pick([value for value, *_ in ACCEPTED.values()])
    | pick([key for key, _, restored in KEYS.values() if restored is SAME])
    | st.text()
    | st.integers()
    | st.floats()
)


def nest(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return containers of values: those of Python, and arrays and tables of Python objects."""
    lists = st.lists(inner, max_size=3)
    return (
        lists
        | lists.map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.tuples(inner, inner).map(lambda pair: ResultPair(*pair))
        | st.sampled_from([DataclassResult, AttrsResult, StructResult]).flatmap(lambda kind: st.builds(kind, inner))
        | st.builds(ModelResult, part=inner)
        | lists.map(make_array)
        | lists.map(lambda items: pd.Series(make_array(items), dtype=object))
        | lists.map(lambda items: pd.DataFrame({("a", 1): pd.Series(make_array(items), dtype=object)}))
        # Polars cannot create a column of objects that begins with an enum.
        | lists.filter(lambda items: not any(isinstance(item, enum.Enum) for item in items)).map(
            lambda items: pl.DataFrame({"a": pl.Series(items, dtype=pl.Object)})
        )
    )


def make_array(items: list[Any]) -> Any:
    array = np.empty(len(items), object)
    for position, item in enumerate(items):
        array[position] = item
    return array


accepted = st.recursive(leaves, nest, max_leaves=6)
mixed = st.recursive(leaves | pick(list(REFUSED.values())), nest, max_leaves=6)


def decode_expected(value: Any) -> Any:
    """Return the value that a master gets for a value."""
    for original, _, restored in ACCEPTED.values():
        if value is original and restored is not SAME:
            return restored
    if isinstance(value, (DataclassResult, AttrsResult, StructResult, ModelResult)):
        return {"part": decode_expected(value.part)}
    if isinstance(value, (list, tuple)):
        return (list if isinstance(value, list) else tuple)(map(decode_expected, value))
    if type(value) is dict:
        return {decode_expected_key(key): decode_expected(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == object and not isinstance(value, np.ma.MaskedArray):
        return make_array([decode_expected(item) for item in value])
    if isinstance(value, pd.Series) and value.dtype == object:
        return pd.Series(make_array([decode_expected(item) for item in value.array]), value.index, dtype=object)
    if isinstance(value, pd.DataFrame) and ("a", 1) in value.columns:
        return pd.DataFrame({("a", 1): decode_expected(value.iloc[:, 0])})
    if isinstance(value, pl.DataFrame) and value.dtypes == [pl.Object]:
        return pl.DataFrame({"a": pl.Series([decode_expected(row) for row in value["a"]], dtype=pl.Object)})
    return value


def decode_expected_key(key: Any) -> Any:
    """Return the key that a master gets for a key."""
    for original, _, restored in KEYS.values():
        if key is original and restored is not SAME:
            return restored
    return tuple(map(decode_expected_key, key)) if isinstance(key, tuple) else key


@given(mixed)
@settings(max_examples=examples(400), suppress_health_check=[HealthCheck.too_slow])
def test_both_encodings_accept_the_same_values(value):
    reasons = [refusal(encode, value) for encode in (encode_plain, encode_rich)]
    assume(not any("two keys of the mapping" in reason for reason in reasons))

    assert bool(reasons[0]) == bool(reasons[1]), reasons


@given(accepted)
@settings(max_examples=examples(400), suppress_health_check=[HealthCheck.too_slow])
def test_a_value_that_a_researcher_can_get_is_restored_in_a_master(value):
    assume("two keys of the mapping" not in refusal(encode_plain, value))

    assert refusal(encode_plain, value) == ""
    assert simplify(round_trip(value)) == simplify(decode_expected(value))
