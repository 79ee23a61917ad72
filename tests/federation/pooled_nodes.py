"""Nodes that fail, lose a result or go offline in a chosen round of a pooled function, and the expected results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest

from algotools import Federation
from algotools.federation import Dead, Wrong
from algotools.federation.faults import Faults, Rounds

from ..conftest import ALGORITHMS

IN_ROUNDS = ALGORITHMS / "in_rounds"
COLUMN = {"column": "x"}
FRAMES = [
    pd.DataFrame({"x": [1.0, 2.25, 3.5, 9.1]}),
    pd.DataFrame({"x": [6.3, -4.7]}),
    pd.DataFrame({"x": [3.9]}),
    pd.DataFrame({"x": [2.2, 0.1, 40.0]}),
]
"""The rows of the organizations 2, 3, 4 and 5."""


def compute_trimmed_mean(frames: Sequence[pd.DataFrame]) -> Any:
    """Return the expected result of the project's pooled functions, computed by pandas, up to rounding."""
    values = pd.concat(frames)["x"]
    near = values[(values - values.mean()).abs() < values.std()]
    expected = {"n": len(values), "mean": values.mean(), "sd": values.std(), "trimmed": near.mean()}
    return pytest.approx(expected, rel=1e-12)


def fail_in_round(number: int) -> Wrong:
    """Return the fault of a node whose run fails in a round."""
    replies: list[Any] = []

    def fail(reply: Any) -> Any:
        replies.append(reply)
        if len(replies) == number:
            raise ValueError("the node is tired")
        return reply

    return Wrong(fail)


class _EventfulRounds(Rounds):
    """Calls a function when the node has finished its *number*-th run; if it returns false, the result is lost."""

    def __init__(self, number: int, event: Callable[[], bool]) -> None:
        super().__init__(Faults(), 0)
        self._number = number
        self._event = event
        self._count = 0

    def finish(self, run_id: int, pause: Callable[[float], object]) -> bool:
        self._count += 1
        return self._count != self._number or self._event()


def lose_result(federation: Federation, organization: int, number: int) -> None:
    """Let a node lose the result of a round. The fault ``Loses`` depends on the times of two runs."""
    federation._platform.nodes[organization].rounds = _EventfulRounds(number, lambda: False)


def die_after(federation: Federation, organization: int, number: int) -> None:
    """Let a node go offline after a round."""
    node, store = federation._platform.nodes[organization], federation._platform.store

    def die() -> bool:
        node.faults = Faults.combine(Dead())
        store.offline_node_ids.add(store.node_id(organization))
        return True

    node.rounds = _EventfulRounds(number, die)


def count_lines(federation: Federation, line: str) -> dict[int, int]:
    """Return how often the runs of each organization have logged a line."""
    counts: dict[int, int] = {}
    for task in federation.tasks():
        for run in task.runs:
            counts[run.organization_id] = counts.get(run.organization_id, 0) + run.log.splitlines().count(line)
    return counts
