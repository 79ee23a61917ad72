"""Rpcs that return many numbers, and masters that receive them and return the transfer time."""

import time
from typing import Any

import numpy as np

from algotools import AlgorithmClient, master, rpc


def make_numbers(size: int) -> np.ndarray:
    """Return random numbers with all digits, which are the same for all contestants."""
    return np.random.default_rng(7).random(size)


@rpc
def as_array(size: int) -> dict[str, Any]:
    """Return an array and the current time. All processes of a machine have the same CLOCK_MONOTONIC."""
    values = make_numbers(size)
    return {"values": values, "returned": time.monotonic()}


@rpc
def as_list(size: int) -> dict[str, Any]:
    """Return a list of Python numbers and the current time."""
    values = make_numbers(size).tolist()
    return {"values": values, "returned": time.monotonic()}


def measure_transfer(result: dict[str, Any], size: int) -> dict[str, float]:
    """Return the time until the master received the numbers. They must be identical bit for bit."""
    seconds = time.monotonic() - result["returned"]
    if np.asarray(result["values"]).tobytes() != make_numbers(size).tobytes():
        raise ValueError("the received numbers differ from the sent numbers")
    return {"seconds": seconds}


@master
def take_array(client: AlgorithmClient, size: int) -> dict[str, float]:
    """Receive an array through ``client.run``."""
    return measure_transfer(client.run(as_array, size=size)[0], size)


@master
def take_list(client: AlgorithmClient, size: int) -> dict[str, float]:
    """Receive a JSON list through the calls of v4's client."""
    task = client.task.create(input_={"method": "as_list", "kwargs": {"size": size}}, organizations=[2])
    return measure_transfer(client.wait_for_results(task["id"])[0], size)
