"""The record of a finished task: how many rows of a node are behind its numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from algotools import Federation, aggregate, rpc

from ..conftest import default_policy

ROWS = pd.DataFrame(
    {"x": [None, None, None, *(float(i) for i in range(57))], "y": [float(i) for i in range(60)], "g": list("ab") * 30}
)


@rpc
def rows_and_missing(data: pd.DataFrame) -> dict[str, int]:
    return {"rows": len(data), "missing": aggregate.sum(data["x"].isna())}


@rpc
def share_of_missing(data: pd.DataFrame) -> float:
    return aggregate.mean(data["x"].isna())


@rpc
def missing_and_count(data: pd.DataFrame) -> list[int]:
    return [aggregate.sum(data["x"].isna()), aggregate.count(data["x"])]


@rpc
def sum_with_a_zero(data: pd.DataFrame) -> float:
    return aggregate.sum(data["x"])


@rpc
def sums_of_groups(data: pd.DataFrame) -> dict[str, float]:
    return {name: aggregate.sum(data["x"][data["g"] == name]) for name in "ab"}


@rpc
def undeclared(data: pd.DataFrame) -> list[float]:
    return [aggregate.count(data["x"][data["x"] > 30]), float(data["x"].std())]


@rpc
def all_rows_and_undeclared(data: pd.DataFrame) -> list[float]:
    return [aggregate.sum(data["y"]), float(data["x"].std())]


@pytest.mark.parametrize(
    ("function", "used", "missing"),
    [
        (rows_and_missing, None, None),
        (share_of_missing, None, None),
        (missing_and_count, 57, 3),
        (sum_with_a_zero, 57, 3),
        (sums_of_groups, None, None),
        (undeclared, None, None),
        (all_rows_and_undeclared, 60, 0),
    ],
)
def test_rows_used_is_null_if_more_rows_may_have_been_used(
    function: object, used: int | None, missing: int | None, tmp_path: Path
) -> None:
    with default_policy(), Federation([ROWS], algorithm=[function], ledger=tmp_path / "ledger") as federation:
        federation.run(function)  # type: ignore[arg-type]
        [node] = federation.record(1)["nodes"]
    assert (node["rows"], node["rows_used"], node["rows_missing"]) == (60, used, missing)
