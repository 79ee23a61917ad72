"""Time a federation of inline nodes. Runs in the environment of algotools, in a new process for each first time.

Standard input: JSON with ``algorithm`` (a folder), ``databases`` (a CSV file for each node) and ``rounds``. Standard
output: JSON with the times of all partials and all masters in seconds, in order.
"""

import json
import sys
import time
from typing import Any

import pandas as pd  # noqa: F401 - the import of pandas by the algorithm is not part of the time

from algotools import Federation

COLUMN = "age"


def main() -> None:
    """Run the partial at all nodes, then a master at one node that runs it at all nodes, several times."""
    parameters = json.load(sys.stdin)
    with Federation(
        parameters["databases"], algorithm=parameters["algorithm"], runner="inline", policy="off"
    ) as federation:
        organizations = list(federation.organizations())
        partial = {"method": "average_partial", "master": False, "kwargs": {"column_name": COLUMN}}
        master = {
            "method": "master",
            "master": True,
            "kwargs": {"column_name": COLUMN, "organizations": organizations},
        }
        times: dict[str, list[float]] = {"partial": [], "master": []}
        for _ in range(parameters["rounds"]):
            times["partial"].append(measure_seconds(federation, organizations, partial))
            times["master"].append(measure_seconds(federation, organizations[:1], master))
    json.dump(times, sys.stdout)


def measure_seconds(federation: Federation, organizations: list[int], call: dict[str, Any]) -> float:
    """Return the time from the creation of a task until its results are read."""
    client = federation.client()
    started = time.perf_counter()
    task = client.task.create(collaboration=1, organizations=organizations, input=call)
    if not federation.wait(task["id"], timeout=60):
        raise TimeoutError("the federation did not finish within a minute")
    results = client.result.list(task=task["id"])["data"]
    seconds = time.perf_counter() - started
    if failed := [result["log"] for result in results if result["status"] != "completed"]:
        raise RuntimeError(f"{len(failed)} of {len(results)} runs failed; log of the first: {failed[0]}")
    return seconds


main()
