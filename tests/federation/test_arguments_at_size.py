"""Arrays as arguments of an rpc are exact, and arguments above the limit are refused before they are sent."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from algotools import Federation
from algotools.errors import ArgumentsError, ResultTooLarge, RunsFailed
from algotools.federation.contract import NAMES
from algotools.payload import values

from ..conftest import ALGORITHMS

ALGORITHM = ALGORITHMS / "at_size"
NODES = [pd.DataFrame({"x": [1]})]
CODE = ResultTooLarge.exit_code


@pytest.mark.parametrize("contract", NAMES)
@pytest.mark.parametrize("is_in_v4_style", [False, True])
def test_arrays_and_frames_of_a_master_are_exact(contract: str, is_in_v4_style: bool) -> None:
    with Federation(NODES, algorithm=ALGORITHM, runner="process", contract=contract) as federation:
        assert federation.ask("send_values_out", size=200_000, is_in_v4_style=is_in_v4_style)


def test_a_master_sends_an_array_in_base64_and_not_as_numbers() -> None:
    with Federation(NODES, algorithm=ALGORITHM) as federation:
        assert federation.ask("send_weights", method="sum_weights", size=1000) == 1000.0
        (subtask,) = federation.subtasks(1)
        assert 8 * 1000 * 4 / 3 < len(subtask.runs[0].input) < 8 * 1000 * 4 / 3 + 500
        assert list(json.loads(subtask.runs[0].input)["kwargs"]["weights"]) == ["algotools."]


def test_an_array_for_a_function_without_arrays_is_sent_as_a_list() -> None:
    with Federation(NODES, algorithm=ALGORITHM) as federation:
        assert federation.ask("send_weights", method="count_items", size=3) == "list of 3"
        assert federation.run("count_items", weights=np.ones(3)) == ["list of 3"]


@pytest.mark.parametrize("contract", NAMES)
def test_a_researcher_passes_an_array_or_a_list(contract: str) -> None:
    with Federation(NODES, algorithm=ALGORITHM, contract=contract) as federation:
        assert federation.run("sum_weights", weights=np.arange(4.0)) == [6.0]
        assert federation.run("sum_weights", weights=[0, 1.5]) == [1.5]
        client = federation.client()
        task = client.task.create(organizations=[2], input={"method": "sum_weights", "kwargs": {"weights": [1, 2]}})
        assert federation.wait(task["id"])
        assert federation.answer(federation.task(task["id"]).runs[0]) == 3.0
        with pytest.raises(ArgumentsError, match="weights: expected numpy ndarray of float64, got a list of str"):
            federation.run("sum_weights", weights=["Jane"])


@pytest.fixture
def lower_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "LARGEST", 100_000)


@pytest.mark.usefixtures("lower_limit")
def test_arguments_above_the_limit_are_not_sent() -> None:
    with Federation(NODES, algorithm=ALGORITHM) as federation:
        assert federation.ask("send_weights", method="sum_weights", size=9_000) == 9_000.0
        message = rf"the argument 'weights' of 'sum_weights' has 0\.075\d* MB or more, but the limit is.*code {CODE}\]"
        with pytest.raises(RunsFailed, match=message):
            federation.ask("send_weights", method="sum_weights", size=9_376)
        message = rf"the arguments of 'count_items' have 0\.12 MB, but the limit is 0\.1 MB; send fewer .*code {CODE}\]"
        with pytest.raises(RunsFailed, match=message):
            federation.ask("send_weights", method="count_items", size=30_000)
        assert [len(federation.subtasks(task.id)) for task in federation.tasks() if task.parent_id is None] == [1, 0, 0]
        with pytest.raises(ResultTooLarge, match=r"the argument 'weights' of 'sum_weights' has"):
            federation.run("sum_weights", weights=np.ones(9_376))
