"""Rounds of a pooled function: what is computed, logged, drawn and compared how often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from algotools import Pooled, log
from algotools.declare.federated import PooledFunction, Pooling
from algotools.errors import NodesDisagree, RoundsDisagree
from algotools.runtime.pooled import Aggregator
from algotools.runtime.pooled._checksum import compute_checksum, is_same
from algotools.runtime.pooled._difference import find_difference
from algotools.runtime.pooled.rounds import MINIMUM_RECORDS, perform_rpc
from algotools.task import RunInfo

from . import helpers
from .nodes import run_directly

TABLE = pd.DataFrame({"x": [1.0, 4.0, 2.0, 8.0, 5.0, 7.0], "g": ["a", "b", "b", "b", "a", "c"]})
NODES = [TABLE.iloc[:3], TABLE.iloc[3:4], TABLE.iloc[4:]]


def make(function: Callable[..., Any]) -> PooledFunction:
    function.__annotations__ = {"data": pd.DataFrame, "total": Aggregator, "return": float}
    return PooledFunction(function, "master", function.__name__, Pooling())


def test_a_lambda_is_not_called_again_for_a_known_total(tmp_path: Path) -> None:
    calls: list[str] = []

    def iterate(data, total):
        value = 0.0
        for _ in range(4):
            value = value / 2 + total.add(lambda: calls.append("one") or data["x"].sum())
        a, b = (total.add(lambda name=name: calls.append(name) or data["x"].sum()) for name in "ab")
        return a + b + value + total.sum(data["x"])

    outcome = run_directly(make(iterate), NODES, tmp_path)
    assert outcome.result == iterate(TABLE, Pooled())
    # Once at each node, and once on the one table. A total beside an unknown total is computed once more.
    assert calls.count("one") == 4 * len(NODES) + 4
    assert calls.count("a") == len(NODES) + 1
    assert calls.count("b") == 2 * len(NODES) + 1


def test_each_line_is_logged_once_at_each_node(tmp_path: Path) -> None:
    def report(data, total):
        log("begins")
        mean = total.sum(data["x"]) / total.count(data["x"])
        log("has the mean")
        deviation = total.sum((data["x"] - mean) ** 2)
        log("has the deviation")
        return len(data) * 0 + deviation + total.count(data["x"])

    lines = run_directly(make(report), NODES, tmp_path).lines
    for text in ("begins", "has the mean", "has the deviation"):
        assert lines.count(f"info > {text}") == len(NODES)
    rounds = [line for line in lines if line.startswith("info > round")]
    assert rounds == ["info > round 1: 2 totals", "info > round 2: 1 total", "info > round 3: 1 total"]


def test_levels_of_few_records_are_left_out_without_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def list_levels(data, total):
        return total.levels(data["g"])

    info = RunInfo(task_id=1, node_id=1, organization_id=1, collaboration_id=1, temporary_folder=tmp_path, variables={})
    values = {"data": TABLE, "_request": "", "_run": info}
    plain = perform_rpc(make(list_levels).partial, values, MINIMUM_RECORDS)
    assert plain["contributions"] == [["b"]]
    assert "info > 2 levels are left out: fewer than 3 records at this node" in capsys.readouterr().err


def test_random_numbers_of_the_aggregator_are_the_same_everywhere(tmp_path: Path) -> None:
    draws: list[float] = []

    def draw(data, total):
        first = total.rng.normal()
        draws.append(first)
        mean = total.sum(data["x"] * first) / total.count(data["x"])
        return [first, mean, total.rng.normal() + len(data) * 0]

    outcome = run_directly(make(draw), NODES, tmp_path)
    assert outcome.result == pytest.approx(draw(TABLE, Pooled()))
    assert len(set(draws)) == 1


def test_helpers_of_another_module_are_the_authors(tmp_path: Path) -> None:
    def deviation(data, total):
        return total.sum(helpers.center(data["x"], total) ** 2)

    outcome = run_directly(make(deviation), NODES, tmp_path)
    assert outcome.result == pytest.approx(deviation(TABLE, Pooled()))
    assert outcome.rounds == 2

    def add_up(data, total):
        return helpers.add_up_levels(data, total)[0]

    nodes = [TABLE.iloc[[0, 1]], TABLE.iloc[[1, 0]]]
    with pytest.raises(
        NodesDisagree, match=r"the loop over 'level' around line \d+ of helpers.py has different values"
    ):
        run_directly(make(add_up), nodes, tmp_path)


def test_the_same_helper_called_in_two_places_gives_two_call_sites(tmp_path: Path) -> None:
    def mean(values, total):
        return total.sum(values) / total.count(values)

    def swap(data, total):
        if data["x"].iloc[0] > 4:
            return mean(data["x"], total) + 0 * mean(data["x"] * 2, total)
        return mean(data["x"] * 2, total) + 0 * mean(data["x"], total)

    with pytest.raises(NodesDisagree, match="nodes take different branches"):
        run_directly(make(swap), NODES, tmp_path)


def test_a_source_that_is_not_available_costs_a_round_and_no_digit(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {}
    exec("def mean(data, total):\n    return total.sum(data['x']) / total.count(data['x'])\n", namespace)
    outcome = run_directly(make(namespace["mean"]), NODES, tmp_path)
    assert outcome.result == TABLE["x"].mean()
    assert outcome.rounds == 2


def test_several_tables_have_rows_of_their_own(tmp_path: Path) -> None:
    def ratio(data, total):
        visits = data.merge(data, on="g")
        return total.count(visits["g"]) / total.count(data["g"])

    nodes = [TABLE[TABLE["g"] == level] for level in "abc"]
    assert run_directly(make(ratio), nodes, tmp_path).result == ratio(TABLE, Pooled())


NUMBERS = np.random.default_rng(1).normal(size=50)


@pytest.mark.parametrize(
    "contribution",
    [
        3.5,
        NUMBERS,
        NUMBERS * 1j,
        {"a": NUMBERS, "b": 2},
        pd.Series(NUMBERS, index=[f"level {i}" for i in range(50)]),
        pd.DataFrame({"a": NUMBERS, "b": NUMBERS**2}, index=[f"level {i}" for i in range(50)]),
    ],
    ids=["number", "array", "complex", "dict", "series", "table"],
)
def test_a_checksum_shows_a_change_but_no_rounding(contribution: Any) -> None:
    def scale(value: Any, factor: float) -> Any:
        return {k: v * factor for k, v in value.items()} if isinstance(value, dict) else value * factor

    checksum = compute_checksum(contribution)
    assert is_same(checksum, compute_checksum(scale(contribution, 1 + 1e-13)), 1e-9)
    assert not is_same(checksum, compute_checksum(scale(contribution, 1 + 1e-6)), 1e-9)
    if isinstance(contribution, (pd.Series, pd.DataFrame)):
        assert is_same(checksum, compute_checksum(contribution.iloc[::-1]), 1e-9)
        assert not is_same(checksum, compute_checksum(contribution.rename(index={"level 3": "level 99"})), 1e-9)
    if isinstance(contribution, np.ndarray):
        assert not is_same(checksum, compute_checksum(contribution[::-1].copy()), 1e-9)
        assert not is_same(checksum, compute_checksum(contribution[:-1]), 1e-9)


SAME = [
    (1.0, 1.0 + 1e-12),
    (float("nan"), float("nan")),
    (1e-17, -3e-17),
    ({"a": 1e6, "b": 1e-12}, {"a": 1e6, "b": -1e-12}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ([1, "x", None], (1, "x", None)),
    (np.array([1.0, 1e-15]), np.array([1.0, 0.0])),
    (pd.Series([1.0, 2.0], index=["a", "b"]), pd.Series([2.0, 1.0], index=["b", "a"])),
    (3, 3.0),
]
DIFFERENT = [
    (1.0, 1.0 + 1e-6, "result"),
    (1e-6, 2e-6, "result"),
    (True, False, "result"),
    ({"n": 1e6, "p": 0.01}, {"n": 1e6, "p": 0.011}, "result.p"),
    ({"n": 1, "Jane": 2}, {"n": 1, "Jane": 3}, "result[key 2]"),
    ({"n": 1}, {"m": 1}, "result"),
    ([1, [2, 3]], [1, [2, 4]], "result[1][1]"),
    ([1], [1, 2], "result"),
    (np.ones(2), np.ones(3), "result"),
    (pd.DataFrame({"n": [1.0], "Jane": [2.0]}), pd.DataFrame({"n": [1.0], "Jane": [3.0]}), "result[key 2]"),
    (pd.Series([1.0], index=["a"]), pd.Series([1.0], index=["b"]), "result"),
    ("x", "y", "result"),
    (None, 1.0, "result"),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_results_that_differ_by_rounding_agree(a: Any, b: Any) -> None:
    assert find_difference(a, b, 1e-9) is None


@pytest.mark.parametrize(("a", "b", "path"), DIFFERENT)
def test_the_path_of_a_difference_has_no_key_of_the_data(a: Any, b: Any, path: str) -> None:
    assert find_difference(a, b, 1e-9, {"n", "m", "p"}) == path


def test_a_loop_that_changes_between_rounds_is_found(tmp_path: Path) -> None:
    # Imported here, because `faulty` calls `type`, which costs each function of a module that imports it a round.
    from .faulty import loop_in_every_round

    class Shuffled:
        reads = 0

        def copy(self) -> pd.DataFrame:
            self.reads += 1
            return TABLE.iloc[:: (-1) ** self.reads]

    with pytest.raises(
        RoundsDisagree, match=r"the loop over 'level' around line \d+( of faulty.py)? has other values than"
    ):
        run_directly(make(loop_in_every_round), [Shuffled()], tmp_path)
