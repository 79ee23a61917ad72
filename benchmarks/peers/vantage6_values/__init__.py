"""The lists of ``algorithms/values``, sent and received with the tools of vantage6."""

import time
from typing import Any

import numpy as np
from vantage6.algorithm.client import AlgorithmClient
from vantage6.algorithm.tools.decorators import algorithm_client


def make_numbers(size: int) -> Any:
    """Return random numbers, which are the same for all contestants."""
    return np.random.default_rng(7).random(size)


def as_list(size: int) -> dict[str, Any]:
    """Return a list and the current time. The output of vantage6 supports no arrays."""
    values = make_numbers(size).tolist()
    return {"values": values, "returned": time.monotonic()}


@algorithm_client
def take_list(client: AlgorithmClient, size: int) -> dict[str, float]:
    """Receive a list. The polling interval is 0.1 s, because the default of 1 s would hide differences."""
    task = client.task.create(input_={"method": "as_list", "kwargs": {"size": size}}, organizations=[2])
    result = client.wait_for_results(task_id=task["id"], interval=0.1)[0]
    seconds = time.monotonic() - result["returned"]
    if np.asarray(result["values"]).tobytes() != make_numbers(size).tobytes():
        raise ValueError("the received numbers differ from the sent numbers")
    return {"seconds": seconds}
