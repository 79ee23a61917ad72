"""Large results of an rpc, within the limits and beyond them."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from numpy.typing import NDArray

from algotools import AlgorithmClient, Argument, log, master, rpc


def make_values(size: int) -> np.ndarray:
    """Return floats with random bits; among them are NaN with a payload, zeros, infinities and subnormal numbers."""
    values = np.random.default_rng(7).integers(0, 2**64, size, "u8").view("f8")
    values[:6] = np.array([0x7FF8000000000001, 0xFFF0000000000001, 1 << 63, 1, 0x7FF0 << 48, 0xFFF0 << 48], "u8").view(
        "f8"
    )
    return values


def digest(values: np.ndarray) -> str:
    """Return a hash of all bits."""
    return hashlib.sha256(values.tobytes()).hexdigest()


@rpc
def send_values(size: int) -> dict[str, Any]:
    """Return the values in three forms."""
    values = make_values(size)
    return {
        "array": values,
        "frame": pd.DataFrame({"x": values, "text": pd.Series(["ü"] * size)}),
        "table": pa.table({"x": values}),
    }


@master
def compare_values(client: AlgorithmClient, size: int) -> list[bool]:
    """Return whether each form is exact, and whether the array and the frame are writable."""
    result = client.run(send_values, size=size)[0]
    columns = [result["array"], result["frame"]["x"].to_numpy(), result["table"]["x"].to_numpy()]
    same = [digest(column) == digest(make_values(size)) for column in columns]
    result["array"][0] = 1
    result["frame"].loc[0, "x"] = 1
    return [*same, bool(result["array"][0] == result["frame"]["x"][0] == 1)]


@rpc
def return_array(size: int) -> Any:
    """Return an array of zeros that uses the memory of one value."""
    return np.broadcast_to(np.zeros(1), size)


@rpc
def return_text(size: int) -> list[str]:
    """Return one long text."""
    return ["x" * size]


@rpc
def return_batches(batches: int) -> Any:
    """Return batches of a thousand numbers, and log a line for each batch."""
    schema = pa.schema([("x", pa.float64())])

    def generate() -> Iterator[pa.RecordBatch]:
        for _ in range(batches):
            log("a batch")
            yield pa.record_batch([np.zeros(1000)], schema)

    return pa.RecordBatchReader.from_batches(schema, generate())


@rpc
def return_little() -> list[int]:
    """Return a small result."""
    return [1]


@master
def request_values(client: AlgorithmClient, method: str, amount: int) -> int:
    """Request a result that may be too large."""
    name = "batches" if method == "return_batches" else "size"
    return len(client.run(method, **{name: amount})[0])


@rpc
def receive_values(array: np.ndarray, frame: Argument[pd.DataFrame], more: dict[str, list[np.ndarray]]) -> list[object]:
    """Return digests of the received values, and whether the array is writable."""
    columns = [array, frame["x"].to_numpy(), *more["a"]]
    digests: list[object] = [digest(column) for column in columns]
    array[0] = 1
    return [*digests, str(frame["text"].dtype), array[0] == 1]


@master
def send_values_out(client: AlgorithmClient, size: int, is_in_v4_style: bool) -> bool:
    """Return whether an rpc receives the values that this master sends."""
    values = make_values(size)
    frame = pd.DataFrame({"x": values, "text": pd.Categorical(["ü"] * size)})
    arguments = {"array": values, "frame": frame, "more": {"a": [values[::2]]}}
    if is_in_v4_style:
        content = {"method": "receive_values", "args": [values, frame], "kwargs": {"more": arguments["more"]}}
        task = client.task.create(input_=content)
        result = client.wait_for_results(task["id"])[0]
    else:
        result = client.run(receive_values, arguments=arguments)[0]
    return bool(result == [digest(values), digest(values), digest(values[::2]), "category", True])


@rpc
def sum_weights(weights: NDArray[np.float64]) -> float:
    """Return the sum of an array."""
    return float(weights.sum())


@rpc
def count_items(weights: list[float]) -> str:
    """Return the type and the number of items of a list."""
    return f"{type(weights).__name__} of {len(weights)}"


@master
def send_weights(client: AlgorithmClient, method: str, size: int) -> Any:
    """Send an array to a method."""
    return client.run(method, weights=np.broadcast_to(np.ones(1), size))[0]
