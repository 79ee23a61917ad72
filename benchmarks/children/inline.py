"""Time a federation of inline nodes; runs in our environment, a process of its own for every first time.

Standard input: JSON with ``algorithm`` (a folder), ``databases`` (one csv file a node) and ``rounds``. Standard
output: JSON with the seconds of each partial and of each master, the first of the process ahead.
"""

import json
import sys
import time
from typing import Any

import pandas as pd  # noqa: F401 - imports are not what is timed, and the algorithm needs this one

from algotools import Federation

COLUMN = "age"


def main() -> None:
    """Ask a partial of all nodes, then a master at one of them that asks all, several times."""
    asked = json.load(sys.stdin)
    with Federation(asked["databases"], algorithm=asked["algorithm"], runner="inline") as federation:
        everyone = list(federation.organizations())
        call = {"method": "average_partial", "master": False, "kwargs": {"column_name": COLUMN}}
        whole = {
            "method": "master",
            "master": True,
            "kwargs": {"column_name": COLUMN, "organizations": everyone},
        }
        times: dict[str, list[float]] = {"partial": [], "master": []}
        for _ in range(asked["rounds"]):
            times["partial"].append(seconds(federation, everyone, call))
            times["master"].append(seconds(federation, everyone[:1], whole))
    json.dump(times, sys.stdout)


def seconds(federation: Federation, organizations: list[int], call: dict[str, Any]) -> float:
    """From the task's creation until its last run has ended and the answers are read."""
    client = federation.client()
    started = time.perf_counter()
    task = client.task.create(collaboration=1, organizations=organizations, input=call)
    if not federation.wait(task["id"], timeout=60):
        raise TimeoutError("the federation did not answer within a minute")
    results = client.result.list(task=task["id"])["data"]
    taken = time.perf_counter() - started
    if failed := [result["log"] for result in results if result["status"] != "completed"]:
        raise RuntimeError(f"{len(failed)} of {len(results)} runs failed; the first says: {failed[0]}")
    return taken


main()
