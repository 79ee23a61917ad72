"""Reductions in careless code: one person's value does not leave, and honest data of each type is reduced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from algotools import Federation, aggregate, rpc
from algotools.errors import RunsFailed

FRAME = pd.DataFrame(
    {
        "age": [97.3 if row == 7 else 20.5 + (37 * row) % 61 for row in range(60)],
        "weight": [None if row % 9 == 4 else 50.25 + (7 * row) % 41 for row in range(60)],
        "sex": ["F", "M"] * 30,
    }
)


def run(function: Callable[[pd.DataFrame], object], frame: pd.DataFrame = FRAME) -> Any:
    """Return the result of a function at a node that requires evidence."""

    def careless(data: pd.DataFrame) -> object:
        return function(data)

    careless.__annotations__ = {"data": pd.DataFrame}
    algorithm = rpc(careless)
    with Federation({"alpha": frame}, algorithm=[algorithm], runner="inline", policy={"undeclared": "refuse"}) as nodes:
        return nodes.run(algorithm, at="alpha")[0]


def find_rule(function: Callable[[pd.DataFrame], object]) -> str:
    """Return the rule that refuses the result of a function."""
    with pytest.raises(RunsFailed) as caught:
        run(function)
    return str(caught.value).partition("(rule ")[2].partition(")")[0]


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_missing_cells_of_each_type_are_left_out(backend: Any) -> None:
    def reduce(data: pd.DataFrame) -> dict[str, float]:
        weights = data.convert_dtypes(dtype_backend=backend)["weight"]
        return {"sum": aggregate.sum(weights), "count": aggregate.count(weights)}

    weights = FRAME["weight"]
    assert run(reduce) == {"sum": pytest.approx(weights.sum()), "count": weights.count()}


def test_a_condition_that_few_records_miss_is_refused_beside_all_records() -> None:
    def count(data: pd.DataFrame) -> dict[str, float]:
        return {"young": aggregate.sum(data["age"] < 90), "all": aggregate.count(data["age"])}

    assert find_rule(count) == "difference"
    assert run(lambda data: aggregate.sum(data["age"] < 90)) == 59


def test_weights_that_few_records_miss_are_refused_beside_all_records() -> None:
    def multiply(data: pd.DataFrame) -> dict[str, object]:
        x = data[["age"]]
        return {
            "young": aggregate.cross_product(x, weights=np.where(data["age"] < 90, 1.0, 0.0)),
            "all": aggregate.cross_product(x),
        }

    assert find_rule(multiply) == "difference"


def test_repeated_rows_are_one_record() -> None:
    def extend(data: pd.DataFrame) -> pd.DataFrame:
        return data.merge(pd.DataFrame({"month": range(20)}), how="cross")  # numbered anew

    assert find_rule(lambda data: aggregate.mean(extend(data[data["age"] > 90])["age"])) == "threshold"
    assert run(lambda data: aggregate.mean(extend(data)["age"])) == pytest.approx(FRAME["age"].mean())

    def reduce_groups(data: pd.DataFrame) -> object:
        months = extend(data)
        return aggregate.count(months["age"], by=(months["age"] > 90).map({True: "sex", False: "age"}))

    assert run(reduce_groups) == {"age": 59 * 20}


def test_rows_that_are_drawn_again_have_their_records() -> None:
    def draw(data: pd.DataFrame) -> object:
        sample = data.sample(frac=1.0, replace=True, random_state=2).reset_index(drop=True)
        return {"mean": aggregate.mean(sample["age"]), "means": aggregate.mean(sample["age"], by=sample["sex"])}

    assert run(draw)["means"].keys() == {"F", "M"}


@pytest.mark.parametrize("statistic", ["max", "min", "first", "median"])
def test_a_group_table_of_single_values_is_refused(statistic: str) -> None:
    frame = FRAME.iloc[:-2]  # an odd number of rows in each group, so that a median is a cell

    def describe(data: pd.DataFrame) -> object:
        return aggregate.suppress(data.groupby("sex").agg(n=("age", "size"), value=("age", statistic)).reset_index())

    with pytest.raises(RunsFailed, match="rule threshold"):
        run(describe, frame)


@pytest.mark.parametrize("statistic", ["sum", "mean", "std", "count"])
def test_a_group_table_of_all_values_leaves(statistic: str) -> None:
    def describe(data: pd.DataFrame) -> object:
        return aggregate.suppress(data.groupby("sex").agg(n=("age", "size"), value=("age", statistic)).reset_index())

    expected = FRAME.groupby("sex")["age"].agg(statistic).tolist()
    assert list(run(describe)["value"].values()) == pytest.approx(expected)
