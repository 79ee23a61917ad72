"""An rpc that returns many numbers, and masters that take them; each tells how long the numbers were on the way."""

import time
from typing import Any

import numpy as np

from algotools import AlgorithmClient, master, rpc


def numbers(size: int) -> np.ndarray:
    """The same for everybody: as many digits as numbers have that nobody chose."""
    return np.random.default_rng(7).random(size)


@rpc
def as_array(size: int) -> dict[str, Any]:
    """The numbers, and the moment: CLOCK_MONOTONIC is the same in every process of the machine."""
    values = numbers(size)
    return {"values": values, "returned": time.monotonic()}


@rpc
def as_list(size: int) -> dict[str, Any]:
    """The numbers as Python's own."""
    values = numbers(size).tolist()
    return {"values": values, "returned": time.monotonic()}


def taken(answer: dict[str, Any], size: int) -> dict[str, float]:
    """How long it took until the master had the numbers; they must be all that there are, bit for bit."""
    seconds = time.monotonic() - answer["returned"]
    if np.asarray(answer["values"]).tobytes() != numbers(size).tobytes():
        raise ValueError("other numbers came than were sent")
    return {"seconds": seconds}


@master
def take_array(client: AlgorithmClient, size: int) -> dict[str, float]:
    """By our own call, as an array."""
    return taken(client.run(as_array, size=size)[0], size)


@master
def take_list(client: AlgorithmClient, size: int) -> dict[str, float]:
    """By v4's calls, as a list in JSON."""
    task = client.task.create(input_={"method": "as_list", "kwargs": {"size": size}}, organizations=[2])
    return taken(client.wait_for_results(task["id"])[0], size)
