"""The lists of ``algorithms/values`` as an author sends and takes them with the peer's own tools."""

import time
from typing import Any

import numpy as np
from vantage6.algorithm.client import AlgorithmClient
from vantage6.algorithm.tools.decorators import algorithm_client


def numbers(size: int) -> Any:
    """The same for everybody."""
    return np.random.default_rng(7).random(size)


def as_list(size: int) -> dict[str, Any]:
    """The numbers, and the moment; the peer's output takes no arrays."""
    values = numbers(size).tolist()
    return {"values": values, "returned": time.monotonic()}


@algorithm_client
def take_list(client: AlgorithmClient, size: int) -> dict[str, float]:
    """It looks ten times a second for results: once a second, as it does by itself, would blur what is measured."""
    task = client.task.create(input_={"method": "as_list", "kwargs": {"size": size}}, organizations=[2])
    answer = client.wait_for_results(task_id=task["id"], interval=0.1)[0]
    seconds = time.monotonic() - answer["returned"]
    if np.asarray(answer["values"]).tobytes() != numbers(size).tobytes():
        raise ValueError("other numbers came than were sent")
    return {"seconds": seconds}
