"""Arrays and tables as arguments: declarations, the rich encoding, the JSON forms and their bounds."""

import dataclasses
import json
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from algotools import Argument, Column, Columns, Database
from algotools.declare.annotations import COLUMN, format_annotation
from algotools.declare.arguments import Specification, specify
from algotools.errors import ArgumentsError, DeclarationError, NotSerializable
from algotools.payload import encode_arguments

Matrix = np.ndarray[tuple[int, Literal[2]], np.dtype[np.float64]]


@dataclasses.dataclass
class Layer:
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64] | None = None
    name: Column = "age"


class Model(msgspec.Struct):
    layers: list[Layer]
    table: Argument[pd.DataFrame] | None = None


def make_specification(annotation: Any, **default: Any) -> Specification:
    def function(value: annotation) -> int:
        return 1

    if default:
        function.__defaults__ = (default["default"],)
    return specify(function, "rpc")


def send(annotation: Any, value: Any) -> Any:
    """Return the value that a function gets from a caller that knows the annotation."""
    specification = make_specification(annotation)
    return receive(specification, specification.pack({"value": value}, "fit"))


def receive(specification: Specification, arguments: Any) -> Any:
    return specification.validate((), json.loads(encode_arguments(arguments)))["value"]


def send_json(annotation: Any, value: Any) -> Any:
    """Return the value that a function gets from a caller that does not know the annotation."""
    return receive(make_specification(annotation), {"value": value})


def get_fault(annotation: Any, value: Any) -> str:
    with pytest.raises(ArgumentsError) as caught:
        send(annotation, value)
    return caught.value.message.partition(" (the function takes ")[0]


def get_refusal(annotation: Any) -> str:
    with pytest.raises(DeclarationError) as caught:
        make_specification(annotation)
    return caught.value.message


# --- Round trips. ---

DTYPES = st.one_of(
    st_numpy.scalar_dtypes(),
    st_numpy.unicode_string_dtypes(),
    st_numpy.byte_string_dtypes(),
    st_numpy.complex_number_dtypes(),
    st_numpy.datetime64_dtypes(),
)
SHAPES = st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@given(st_numpy.arrays(DTYPES, SHAPES), st.booleans(), st.booleans())
def test_an_array_is_received_bit_for_bit(array, is_transposed, is_strided):
    array = array.T if is_transposed else array
    array = array[::-2] if is_strided and array.ndim else array
    received = send(np.ndarray, array)
    assert received.dtype == array.dtype
    assert received.shape == array.shape
    assert received.tobytes() == array.tobytes()


@given(st.integers(0, 2**51 - 1), st.sampled_from(["<f8", ">f8"]))
def test_the_payload_of_nan_is_received(payload, dtype):
    bits = np.array([0x7FF8 << 48 | payload], "<u8" if dtype == "<f8" else ">u8")
    received = send(npt.NDArray[np.float64], bits.view(dtype))
    assert received.tobytes() == bits.tobytes()


FRAME = pd.DataFrame(
    {
        "nullable": pd.array([1, None], "Int64"),
        "kind": pd.Categorical(["b", "a"], categories=["a", "b", "c"], ordered=True),
        "at": pd.to_datetime(["2020-01-01", None]).tz_localize("Europe/Amsterdam"),
        "text": pd.array(["é", None], "string"),
        "value": [1.5, float("nan")],
    },
    index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["site", None]),
)


@pytest.mark.parametrize(
    "frame", [FRAME, FRAME.droplevel(0).iloc[:0], FRAME[[]], FRAME.iloc[::-1]], ids=["all", "0", "none", "-1"]
)
def test_a_frame_of_pandas_is_received_with_its_types(frame):
    pd.testing.assert_frame_equal(send(Argument[pd.DataFrame], frame), frame)


def test_the_other_classes_of_tables_are_received():
    series, polars_series = pd.Series([1, None], [3, 4], "Int8", "n"), pl.Series("n", ["a", None])
    pd.testing.assert_series_equal(send(pd.Series, series), series)
    assert send(pl.Series, polars_series).equals(polars_series)
    assert send(Argument[pl.DataFrame], pl.DataFrame({"a": [1, None]})).equals(pl.DataFrame({"a": [1, None]}))
    assert send(Argument[pa.Table], pa.table({"a": [1, None]})).equals(pa.table({"a": [1, None]}))


def test_arrays_inside_of_other_types_are_received():
    ones, zeros = np.ones((2, 3)), np.zeros(0, "i2")
    assert [a.dtype for a in send(list[np.ndarray], [ones, zeros])] == [ones.dtype, zeros.dtype]
    assert send(dict[str, np.ndarray], {"a": ones})["a"].tolist() == ones.tolist()
    assert send(tuple[np.ndarray, ...], (ones,))[0].tolist() == ones.tolist()
    assert send(tuple[int, np.ndarray], (1, zeros))[1].dtype == zeros.dtype
    assert send(np.ndarray | None, None) is None
    layer = send(Layer, Layer(ones, name="sex"))
    assert (layer.weights.tolist(), layer.bias, layer.name) == (ones.tolist(), None, "sex")
    model = send(Model, Model([Layer(ones), Layer(ones, bias=ones)], FRAME))
    assert model.layers[1].bias.tolist() == ones.tolist()
    pd.testing.assert_frame_equal(model.table, FRAME)


def test_a_mapping_may_be_sent_for_a_class():
    model = send(Model, {"layers": [{"weights": np.ones(2)}, Layer(np.zeros(1))]})
    assert [layer.weights.tolist() for layer in model.layers] == [[1.0, 1.0], [0.0]]


def test_columns_are_found_beside_arrays():
    specification = make_specification(Model | None)
    value = send(Model, Model([Layer(np.ones(1), name="sex"), Layer(np.ones(1))], FRAME))
    assert specification.find_marked({"value": value}, COLUMN) == ["sex", "age"]


def test_a_text_like_the_encoding_is_a_text():
    value = {"algotools.": "QUJD"}
    assert send(dict[str, str], value) == value
    assert send(Any, [value]) == [value]
    assert send(list[str], ["algotools.", "QUJD"]) == ["algotools.", "QUJD"]
    assert send(npt.NDArray[np.str_], np.array(["algotools.", "QUJD"])).tolist() == ["algotools.", "QUJD"]
    assert send_json(npt.NDArray[np.str_], ["algotools.", "QUJD"]).tolist() == ["algotools.", "QUJD"]
    assert send_json(Argument[pd.DataFrame], {"algotools.": ["QUJD"]}).to_dict("list") == {"algotools.": ["QUJD"]}


def test_an_array_for_an_argument_that_is_a_list_is_sent_as_a_list():
    assert send(list[float], np.ones(2)) == [1.0, 1.0]
    assert send(Any, np.ones(2)) == [1.0, 1.0]


# --- The JSON forms. ---


@pytest.mark.parametrize(
    ("annotation", "value", "dtype"),
    [
        (np.ndarray, [1, 2], "int64"),
        (np.ndarray, [1, 2.5], "float64"),
        (np.ndarray, [[True], [False]], "bool"),
        (np.ndarray, ["a", "bc"], "<U2"),
        (np.ndarray, [], "float64"),
        (np.ndarray, [[], []], "float64"),
        (npt.NDArray[np.float64], [1, 2], "float64"),
        (npt.NDArray[np.float64], [float("nan"), float("-inf")], "float64"),
        (npt.NDArray[np.float32], [0.1], "float32"),
        (npt.NDArray[np.int8], [-128, 127], "int8"),
        (npt.NDArray[np.uint64], [2**64 - 1], "uint64"),
        (npt.NDArray[np.int32], [], "int32"),
        (npt.NDArray[np.complex128], [1, 2.5], "complex128"),
        (npt.NDArray[np.floating[Any]], [1], "float64"),
        (npt.NDArray[np.integer[Any]], [1], "int64"),
        (npt.NDArray[np.number[Any]], [1.5], "float64"),
        (npt.NDArray[np.bool_], [True], "bool"),
        (npt.NDArray[np.datetime64], ["2020-01-01"], "datetime64[D]"),
        (Matrix, [[1, 2]], "float64"),
        (np.ndarray[tuple[()], np.dtype[np.float64]], 3, "float64"),
    ],
)
def test_a_list_becomes_an_array(annotation, value, dtype):
    array = send_json(annotation, value)
    assert array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(array, np.array(value, dtype))


@pytest.mark.parametrize("array", [np.arange(3.0), np.ones((2, 2), bool), np.array(["a"]), np.arange(2, dtype="u1")])
def test_a_caller_that_does_not_know_the_annotation_sends_a_list(array):
    np.testing.assert_array_equal(send_json(np.ndarray, array), array)


@pytest.mark.parametrize(
    ("annotation", "value", "fault"),
    [
        (np.ndarray, 3, "expected a list for numpy ndarray, got int"),
        (np.ndarray, "a", "expected a list for numpy ndarray, got str"),
        (np.ndarray, None, "expected a list for numpy ndarray, got null"),
        (np.ndarray, [1, "Jane"], "the elements must be numbers, booleans or texts, all of one type"),
        (np.ndarray, [1, True], "the elements must be numbers, booleans or texts, all of one type"),
        (np.ndarray, [{}], "the elements must be numbers, booleans or texts, all of one type"),
        (np.ndarray, [1.5, None], "a null is not a number; write NaN for a missing number"),
        (np.ndarray, [[1], [2, 3]], "the lists have different lengths or depths, so this is not an array"),
        (np.ndarray, [[1], 2], "the lists have different lengths or depths, so this is not an array"),
        (np.ndarray, [10**30], "numpy ndarray: an integer has more than 64 bits"),
        (npt.NDArray[np.float64], ["a"], "expected numpy ndarray of float64, got a list of str"),
        (npt.NDArray[np.float64], [True], "expected numpy ndarray of float64, got a list of bool"),
        (npt.NDArray[np.int64], [1.0], "expected numpy ndarray of int64, got a list of float"),
        (npt.NDArray[np.int8], [128], "a number is too large for numpy ndarray of int8"),
        (npt.NDArray[np.uint8], [-1], "a number is too large for numpy ndarray of uint8"),
        (npt.NDArray[np.float32], [1e300], "a number is too large for numpy ndarray of float32"),
        (npt.NDArray[np.datetime64], ["yesterday"], "not a valid numpy ndarray of datetime64 (ValueError)"),
        (npt.NDArray[np.int64], np.ones(1), "expected numpy ndarray of int64, got float64; convert it with astype"),
        (npt.NDArray[np.float32], np.ones(1), "expected numpy ndarray of float32, got float64; convert it with astype"),
        (Matrix, np.ones((2, 3)), "expected numpy ndarray of float64 with the shape (any, 2), got an array of another"),
        (Matrix, [1.0, 2.0], "expected numpy ndarray of float64 with the shape (any, 2), got an array of 1 dimension"),
        (np.ndarray, {"algotools.": "?"}, "the text under 'algotools.' is not the encoding of an array; pass a list"),
        (np.ndarray, {"algotools.": ""}, "the text under 'algotools.' is not the encoding of an array; pass a list"),
        (Argument[pl.DataFrame], [1], "expected an object with a list for each column for polars DataFrame, got array"),
        (Argument[pd.DataFrame], {"a": 1}, "expected an object with a list for each column for pandas DataFrame"),
        (Argument[pd.DataFrame], {"a": [1], "b": []}, "the columns have different rows"),
        (Argument[pa.Table], {"a": [1, "b"]}, "the elements must be numbers, booleans or texts, all of one type"),
        (Argument[pa.Table], {"a": [10**30]}, "not a valid pyarrow Table (OverflowError)"),
        (pd.Series, "a", "expected a list for pandas Series, got str"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(annotation, value, fault):
    assert get_fault(annotation, value).startswith(f"value: {fault}")
    assert "Jane" not in get_fault(annotation, value)


def test_the_encoding_of_another_class_is_refused():
    packed = make_specification(Argument[pd.DataFrame]).pack({"value": FRAME}, "fit")
    with pytest.raises(ArgumentsError, match=r"value: expected numpy ndarray, got pandas DataFrame \("):
        receive(make_specification(np.ndarray), packed)


def test_a_fault_names_its_place():
    value = {"layers": [{"weights": [1.0]}, {"weights": [1.0], "bias": ["a"]}]}
    fault = "expected numpy ndarray of float64, got a list of str at .layers[1].bias"
    assert get_fault(Model, value) == f"value: {fault}"
    assert get_fault(dict[str, list[np.ndarray]], {"a": [[1], 2]}).endswith("got int at [...][1]")
    assert get_fault(Layer, {"weights": [1.0], "bais": [2.0]}) == (
        "value: unknown field bais (Layer has weights, bias, name)"
    )


def test_an_array_of_lossless_elements_is_converted():
    assert send(npt.NDArray[np.float64], np.arange(2)).dtype == np.float64
    assert send(npt.NDArray[np.int64], np.arange(2, dtype="u1")).dtype == np.int64


def test_a_table_is_read_from_columns_of_lists_or_of_rows():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert send_json(Argument[pd.DataFrame], {"a": [1, 2], "b": ["x", None]}).equals(frame)
    assert send_json(Argument[pd.DataFrame], frame).equals(frame)
    indexed = frame.set_axis(["r", "s"])
    assert send_json(Argument[pd.DataFrame], indexed).equals(indexed)
    assert send_json(pd.Series, pd.Series([1, 2], ["r", "s"])).to_dict() == {"r": 1, "s": 2}
    assert send_json(pd.Series, [1, 2]).tolist() == [1, 2]
    assert send_json(Argument[pd.DataFrame], {}).empty
    assert send_json(Argument[pl.DataFrame], {"a": [1, 2.5], "b": [None, "x"]}).to_dict(as_series=False) == {
        "a": [1.0, 2.5],
        "b": [None, "x"],
    }
    assert send_json(Argument[pa.Table], pa.table({"a": [1, 2]})).to_pydict() == {"a": [1, 2]}


# --- Declarations. ---


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (
            pd.DataFrame | int,
            "write Argument[pandas.DataFrame] if the task sends it, or a parameter with the annotation",
        ),
        (list[pl.DataFrame], "a polars.DataFrame inside list[DataFrame] is neither data of the node nor an argument"),
        (dict[int, pa.Table], "a pyarrow.Table inside dict[int, Table] is neither data of the node nor an argument"),
        (Argument[pl.LazyFrame], "a task cannot send a polars.LazyFrame; use Argument[pandas.DataFrame]"),
        (Argument[Database], "a task cannot send a algotools.Database"),
        (Annotated[Argument[pd.DataFrame], Database("register")], "remove one of them"),
        (Annotated[Argument[pd.DataFrame], Columns.of("sex")], "remove one of them"),
        (set[np.ndarray], "an array or a table cannot be a key or an item of a set; use a list"),
        (dict[np.ndarray, int], "an array or a table cannot be a key or an item of a set; use a list"),
        (npt.NDArray[np.object_], "the elements of an array must be numbers, booleans, texts or times"),
        (np.ndarray[int, np.dtype[np.float64]], "the shape of an array must be a tuple"),
        (np.ndarray[tuple[str], np.dtype[np.float64]], "a length in the shape of an array must be int or Literal[3]"),
        (np.ndarray | list[float], "cannot be written as JSON"),
        (Argument[complex], "cannot be written as JSON"),
    ],
)
def test_a_declaration_that_is_ambiguous_or_cannot_be_checked_is_refused(annotation, reason):
    assert reason in get_refusal(annotation)


def test_a_table_in_a_class_needs_argument():
    @dataclasses.dataclass
    class Setup:
        table: pd.DataFrame

    assert "write Argument[pandas.DataFrame]" in get_refusal(Setup)
    assert make_specification(Argument[Setup]).arguments


def test_a_frame_without_argument_is_data():
    def function(data: pd.DataFrame, table: Argument[pd.DataFrame], weights: np.ndarray) -> int:
        return 1

    specification = specify(function, "rpc")
    assert [p.name for p in specification.data] == ["data"]
    assert [p.name for p in specification.arguments] == ["table", "weights"]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (np.ndarray, "ndarray"),
        (npt.NDArray[np.float64], "NDArray[float64]"),
        (Matrix, "ndarray[tuple[int, Literal[2]], dtype[float64]]"),
        (list[Argument[pd.DataFrame]] | None, "list[Argument[DataFrame]] | None"),
    ],
)
def test_an_annotation_is_formatted_as_python_code(annotation, text):
    assert format_annotation(annotation) == text


def test_the_schema_shows_the_json_form():
    schema = make_specification(Model).schema()
    assert schema["$defs"]["Layer"]["properties"]["weights"] == {"type": "array", "format": "numpy.ndarray"}
    table = {"anyOf": [{"type": "object", "format": "pandas.DataFrame"}, {"type": "null"}], "default": None}
    assert schema["$defs"]["Model"]["properties"]["table"] == table


def test_a_default_is_checked_and_shown_as_a_list():
    specification = make_specification(npt.NDArray[np.float64], default=np.arange(2.0))
    assert specification.schema()["properties"]["value"]["default"] == [0.0, 1.0]
    assert "default" not in make_specification(np.ndarray, default=np.array([np.nan])).schema()["properties"]["value"]
    with pytest.raises(DeclarationError, match="the default is not of type NDArray"):
        make_specification(npt.NDArray[np.int64], default=np.ones(2))


def test_an_array_that_cannot_be_sent_is_refused_by_the_sender():
    records = np.zeros(1, [("a", object)])
    with pytest.raises(
        NotSerializable, match=r"^the argument 'value' of 'fit': an array of structures .*; pass a table"
    ):
        make_specification(np.ndarray).pack({"value": records}, "fit")
