"""The lists of ``algorithms/sends``, sent and received with the tools of vantage6."""

import time
from typing import Any

import numpy as np
from vantage6.algorithm.client import AlgorithmClient
from vantage6.algorithm.tools.decorators import algorithm_client


def make_numbers(size: int) -> Any:
    """Return random numbers, which are the same for all contestants."""
    return np.random.default_rng(7).random(size)


def receive_list(values: Any, size: int, sent: float) -> float:
    """Receive a list. The input of vantage6 supports no arrays."""
    seconds = time.monotonic() - sent
    if np.asarray(values).tobytes() != make_numbers(size).tobytes():
        raise ValueError("the received numbers differ from the sent numbers")
    return seconds


@algorithm_client
def send_list(client: AlgorithmClient, size: int) -> dict[str, float]:
    """Send a list of Python numbers."""
    values = make_numbers(size).tolist()
    kwargs = {"values": values, "size": size, "sent": time.monotonic()}
    task = client.task.create(input_={"method": "receive_list", "kwargs": kwargs}, organizations=[2])
    return {"seconds": client.wait_for_results(task_id=task["id"], interval=0.1)[0]}
