"""The same analysis in four dialects, and what it gives in each of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from algotools import Federation
from algotools.contract.platform import Run

from ..conftest import ALGORITHMS

NODES = [pd.DataFrame({"age": [1, 2, None]}), pd.DataFrame({"age": [30.0]}), pd.DataFrame({"age": [4, 5, 6]})]
OURS = ALGORITHMS / "pooled"
GENERATIONS = ("v3", "v4", "v5")

ANSWERS: dict[str, list[Any]] = {
    "partial": [{"sum": 3.0, "count": 2}, {"sum": 30.0, "count": 1}, {"sum": 15.0, "count": 3}],
    "central": [{"average": 8.0, "count": 6, "organizations": [2, 3, 4], "order": [2, 1, 3]}],
}
"""Method -> the answers, of one organization for the master; as ours has them."""


def theirs(generation: str) -> Any:
    """The folder of the analysis as a generation's own tools have it."""
    return ALGORITHMS / f"peer_{generation}"


def answers(generation: str) -> dict[str, list[Any]]:
    """The answers by a generation's own tools: to a master of v4 or v5, results come last organization first."""
    order = ANSWERS["central"][0]["order"]
    order = order if generation == "v3" else order[::-1]
    return {**ANSWERS, "central": [{**ANSWERS["central"][0], "order": order}]}


def runs(federation: Federation, method: str, organizations: list[int] | None = None, **kwargs: object) -> list[Run]:
    """The runs of a task, ended."""
    input_: dict[str, object] = {"method": method, "kwargs": kwargs}
    if federation.contract == "v3":
        input_["master"] = federation.role_of(method) == "master"
    asked = organizations or [2, 3, 4]
    task = federation.client().task.create(collaboration=1, organizations=asked, input=input_)
    assert federation.wait(task["id"], 100)
    return federation.task(task["id"]).runs


def told(federation: Federation) -> dict[str, list[Any]]:
    """What a federation gives for every part of the analysis."""
    ended = {
        "partial": runs(federation, "partial", column="age"),
        "central": runs(federation, "central", [3], column="age"),
    }
    return {method: [federation.answer(run) for run in found] for method, found in ended.items()}


def statuses(federation: Federation) -> dict[str, list[str]]:
    """How runs end, of methods that do not all end well, and of their tasks."""
    found = {}
    for method in ("fails", "exits", "missing"):
        ended = runs(federation, method, [2, 4])
        found[method] = [*(run.status for run in ended), federation.task(ended[0].task_id).status]
    return found
