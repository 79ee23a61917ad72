"""Many numbers, on their way from an rpc to its master; more of them than there may be."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from algotools import AlgorithmClient, log, master, rpc


def bits(size: int) -> np.ndarray:
    """Numbers of every sort: any 64 bits are one, NaN with whatever it carries among them."""
    values = np.random.default_rng(7).integers(0, 2**64, size, "u8").view("f8")
    values[:6] = np.array([0x7FF8000000000001, 0xFFF0000000000001, 1 << 63, 1, 0x7FF0 << 48, 0xFFF0 << 48], "u8").view(
        "f8"
    )
    return values


def digest(values: np.ndarray) -> str:
    """Changes with every bit."""
    return hashlib.sha256(values.tobytes()).hexdigest()


@rpc
def sent(size: int) -> dict[str, Any]:
    """The numbers in three forms."""
    values = bits(size)
    return {
        "array": values,
        "frame": pd.DataFrame({"x": values, "text": pd.Series(["ü"] * size)}),
        "table": pa.table({"x": values}),
    }


@master
def taken(client: AlgorithmClient, size: int) -> list[bool]:
    """Whether each form is what was sent, and the array and the frame may be written to."""
    found = client.run(sent, size=size)[0]
    columns = [found["array"], found["frame"]["x"].to_numpy(), found["table"]["x"].to_numpy()]
    same = [digest(column) == digest(bits(size)) for column in columns]
    found["array"][0] = 1
    found["frame"].loc[0, "x"] = 1
    return [*same, bool(found["array"][0] == found["frame"]["x"][0] == 1)]


@rpc
def too_many(size: int) -> Any:
    """So many zeros, of which the computer's memory has one."""
    return np.broadcast_to(np.zeros(1), size)


@rpc
def too_long(size: int) -> list[str]:
    """A text."""
    return ["x" * size]


@rpc
def too_many_batches(batches: int) -> Any:
    """Batches of a thousand numbers, and a line in the log for each that is made."""
    schema = pa.schema([("x", pa.float64())])

    def made() -> Iterator[pa.RecordBatch]:
        for _ in range(batches):
            log("a batch")
            yield pa.record_batch([np.zeros(1000)], schema)

    return pa.RecordBatchReader.from_batches(schema, made())


@rpc
def few() -> list[int]:
    """What always has room."""
    return [1]


@master
def asks(client: AlgorithmClient, method: str, amount: int) -> int:
    """Take what does not come."""
    name = "batches" if method == "too_many_batches" else "size"
    return len(client.run(method, **{name: amount})[0])
