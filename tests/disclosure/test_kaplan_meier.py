"""A Kaplan-Meier function that returns a row for each patient is refused; a curve on a grid passes.

The leak is that of the field's own algorithm: with its defaults it returns five rows of one patient each for five
patients, and it ignores the setting for the fewest records that its documentation names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from algotools import Aggregator, AlgorithmClient, Column, Pooled, federated, master, rpc
from algotools.errors import RunsFailed
from algotools.federation import Federation

from ..runtime.pooled.peers import assert_equal

FIVE = [
    pd.DataFrame({"days": [13 + i, 271 + i, 402 + i, 588 + i, 731 + i], "event": [1, 0, 1, 1, 0]}) for i in range(3)
]
"""Three nodes with five patients each, all with times of their own."""


def make_patients(seed: int, rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"days": rng.integers(5, 900, rows), "event": rng.integers(0, 2, rows)})


LARGE = [make_patients(seed, rows) for seed, rows in enumerate((210, 420, 900))]
QUARTERS = [180.0, 360.0, 540.0, 720.0, 900.0]


@rpc
def life_table(
    data: pd.DataFrame, time: Column, event: Column, minimum_records: int = 10
) -> list[dict[str, int]]:  # the setting is documented, and ignored
    rows = data.groupby(time)[event].agg(removed="size", observed="sum").reset_index()
    rows["censored"] = rows["removed"] - rows["observed"]
    rows["at_risk"] = rows["removed"][::-1].cumsum()[::-1]
    records: list[dict[str, int]] = rows.to_dict("records")
    return records


@master
def curve(client: AlgorithmClient, time: Column, event: Column) -> list[Any]:
    return [row for rows in client.run(life_table, time=time, event=event) for row in rows]


@federated
def pooled_curve(data: pd.DataFrame, total: Aggregator, time: Column, event: Column) -> dict[str, list[float]]:
    times = data[time]
    events, left = total.sum(data[event], by=times), total.count(data[event], by=times)
    at_risk = left[::-1].cumsum()[::-1]
    return {"time": left.index.tolist(), "survival": (1 - events / at_risk).cumprod().tolist()}


@federated
def curve_on_grid(
    data: pd.DataFrame, total: Aggregator, time: Column, event: Column, grid: list[float]
) -> dict[str, list[float]]:
    """Survival at the end of each period, by the actuarial estimate without censoring within a period."""
    ends = np.array(grid)
    starts = np.concatenate([[-np.inf], ends[:-1]])
    times, died = data[time].to_numpy()[:, None], data[event].to_numpy()[:, None] == 1
    at_risk = total.sum(times > starts)
    events = total.sum((times > starts) & (times <= ends) & died)
    return {"time": grid, "survival": np.cumprod(1 - events / at_risk).tolist()}


FUNCTIONS = [life_table, curve, pooled_curve, curve_on_grid]
TIMES = {"time": "days", "event": "event"}


@pytest.fixture(scope="module", params=["five patients", "many patients"])
def nodes(request: pytest.FixtureRequest) -> Iterator[Federation]:
    frames = FIVE if request.param == "five patients" else LARGE
    with Federation(frames, algorithm=FUNCTIONS, policy="standard") as federation:
        yield federation


@pytest.mark.parametrize("function", [curve, pooled_curve])
def test_rows_of_single_patients_are_refused(function: Any, nodes: Federation) -> None:
    with pytest.raises(RunsFailed) as caught:
        nodes.ask(function, **TIMES)
    message = str(caught.value)
    assert "withheld" in message
    assert "rule " in message
    assert not [day for frame in FIVE for day in frame["days"] if f"{day}']" in message or f"[{day}" in message]


def test_each_node_refuses_the_rows_of_five_patients() -> None:
    with (
        Federation(FIVE, algorithm=FUNCTIONS, policy="standard") as federation,
        pytest.raises(RunsFailed) as caught,
    ):
        federation.run(life_table, **TIMES)
    assert len(caught.value.failures) == len(FIVE)
    assert {failure.exit_code for failure in caught.value.failures.values()} == {54}


def test_without_a_policy_the_rows_of_five_patients_leave() -> None:
    with Federation(FIVE, algorithm=FUNCTIONS, policy="off") as federation:
        [first, *_] = federation.run(life_table, **TIMES)
    assert [row["removed"] for row in first] == [1] * 5


@pytest.mark.parametrize("minimum", [3, 5, 10])
def test_a_curve_on_a_grid_of_many_records_passes(minimum: int) -> None:
    policy = {"minimum_cell": minimum, "minimum_rows": minimum}
    with Federation(LARGE, algorithm=FUNCTIONS, policy=policy) as federation:
        result = federation.ask(curve_on_grid, **TIMES, grid=QUARTERS)
    assert_equal(result, curve_on_grid(pd.concat(LARGE), Pooled(), **TIMES, grid=QUARTERS), 1e-12)
