"""Rpcs that receive many numbers as an argument, and masters that send the numbers and return the transfer time."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from algotools import AlgorithmClient, Argument, master, rpc

COLUMNS = 10


def make_numbers(size: int) -> npt.NDArray[np.float64]:
    """Return random numbers with all digits, which are the same for all contestants."""
    return np.random.default_rng(7).random(size)


def measure_transfer(values: Any, size: int, sent: float) -> float:
    """Return the time until the rpc received the numbers. They must be identical bit for bit."""
    seconds = time.monotonic() - sent  # all processes of a machine have the same CLOCK_MONOTONIC
    if np.asarray(values).tobytes() != make_numbers(size).tobytes():
        raise ValueError("the received numbers differ from the sent numbers")
    return seconds


@rpc
def receive_array(values: npt.NDArray[np.float64], size: int, sent: float) -> float:
    """Receive an array."""
    return measure_transfer(values, size, sent)


@rpc
def receive_frame(values: Argument[pd.DataFrame], size: int, sent: float) -> float:
    """Receive a frame of ten columns."""
    return measure_transfer(values.to_numpy().ravel(), size, sent)


@rpc
def receive_list(values: list[float], size: int, sent: float) -> float:
    """Receive a list of Python numbers."""
    return measure_transfer(values, size, sent)


@master
def send_array(client: AlgorithmClient, size: int) -> dict[str, float]:
    """Send an array."""
    values = make_numbers(size)
    return {"seconds": client.run(receive_array, values=values, size=size, sent=time.monotonic())[0]}


@master
def send_frame(client: AlgorithmClient, size: int) -> dict[str, float]:
    """Send a frame of ten columns."""
    values = pd.DataFrame(make_numbers(size).reshape(-1, COLUMNS))
    return {"seconds": client.run(receive_frame, values=values, size=size, sent=time.monotonic())[0]}


@master
def send_list(client: AlgorithmClient, size: int) -> dict[str, float]:
    """Send a list of Python numbers."""
    values = make_numbers(size).tolist()
    return {"seconds": client.run(receive_list, values=values, size=size, sent=time.monotonic())[0]}
