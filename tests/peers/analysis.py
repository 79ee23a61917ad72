"""The same analysis, written with the tools of v3, v4 and v5 and with algotools, and its results."""

from __future__ import annotations

from typing import Any

import pandas as pd

from algotools import Federation
from algotools.federation.contract.rest import RunRecord

from ..conftest import ALGORITHMS
from ..processes import LIMIT

NODES = [pd.DataFrame({"age": [1, 2, None]}), pd.DataFrame({"age": [30.0]}), pd.DataFrame({"age": [4, 5, 6]})]
OURS = ALGORITHMS / "pooled"
GENERATIONS = ("v3", "v4", "v5")

PARTIAL: list[Any] = [{"sum": 3.0, "count": 2}, {"sum": 30.0, "count": 1}, {"sum": 15.0, "count": 3}]
"""The results of ``partial`` of our algorithm."""

RESULTS: dict[str, list[Any]] = {
    "partial": PARTIAL[:1],
    "central": [{"average": 8.0, "count": 6, "organizations": [2, 3, 4], "order": [2, 1, 3]}],
}
"""Method -> the results of our algorithm at one organization. The master calls ``partial`` at all organizations."""


def peer_folder(generation: str) -> Any:
    """Return the folder of the analysis that is written with the tools of a generation."""
    return ALGORITHMS / f"peer_{generation}"


def peer_results(generation: str) -> dict[str, list[Any]]:
    """Return the results with the tools of a generation. A master of v4 or v5 gets the last organization first."""
    order = RESULTS["central"][0]["order"]
    order = order if generation == "v3" else order[::-1]
    return {**RESULTS, "central": [{**RESULTS["central"][0], "order": order}]}


def runs(
    federation: Federation, method: str, organizations: list[int] | None = None, **kwargs: object
) -> list[RunRecord]:
    """Create a task, wait for it, and return its runs."""
    input_: dict[str, object] = {"method": method, "kwargs": kwargs}
    if federation.contract == "v3":
        input_["master"] = federation.find_role(method) == "master"
    targets = organizations or [2, 3, 4]
    task = federation.client().task.create(collaboration=1, organizations=targets, input=input_)
    assert federation.wait(task["id"], LIMIT)
    return federation.task(task["id"]).runs


def collect_results(federation: Federation) -> dict[str, list[Any]]:
    """Return the results of all methods of the analysis in a federation."""
    runs_by_method = {
        "partial": runs(federation, "partial", [2], column="age"),
        "central": runs(federation, "central", [3], column="age"),
    }
    return {method: [federation.answer(run) for run in task_runs] for method, task_runs in runs_by_method.items()}


def statuses(federation: Federation) -> dict[str, list[str]]:
    """Return the statuses of the run and the task of methods that fail."""
    statuses_by_method = {}
    for method in ("fails", "exits", "missing"):
        [run] = runs(federation, method, [2])
        statuses_by_method[method] = [run.status, federation.task(run.task_id).status]
    return statuses_by_method
