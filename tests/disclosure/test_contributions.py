"""Each contribution to a total has evidence: a node that refuses numbers without evidence accepts all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from algotools import Aggregator, federated
from algotools.errors import RunsFailed
from algotools.federation import Federation

ROWS = 60


def make_rows(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(200, 900, ROWS) / 10,
            "weight": np.where(np.arange(ROWS) % 11 == 4, np.nan, rng.normal(70, 10, ROWS)),
            "dead": np.arange(ROWS) % 4 == 0,
            "sex": np.where(np.arange(ROWS) % 3, "F", "M"),
            "first": np.arange(ROWS) == 0,
            "rare": np.where(np.arange(ROWS) < 2, "x", "y"),
        }
    )


NODES = [make_rows(seed) for seed in range(3)]


@federated
def every_total(data: pd.DataFrame, total: Aggregator) -> dict[str, Any]:
    columns = data[["age", "weight"]]
    return {
        "sum": total.sum(data["age"]),
        "sums": total.sum(columns),
        "deaths": total.sum(data["dead"], by=data["sex"]),
        "count": total.count(data["weight"]),
        "counts": total.count(data["age"], by=[data["sex"], data["dead"]]),
        "mean": total.mean(data["weight"]),
        "means": total.mean(data["age"], by=data["sex"]),
        "variance": total.variance(columns),
        "variances": total.variance(data["age"], by=data["sex"]),
        "moments": total.moments(data["age"], 3),
        "table": total.table(data["sex"], data["dead"]),
        "levels": total.levels(data["sex"]),
        "histogram": total.histogram(data["age"], [0, 50, 100]),
        "product": total.cross_product(columns.fillna(70), weights=np.ones(len(data))),
        "gradient": total.add({"a": np.array([1.5, 2.5])}, records=len(data)),
    }


@federated
def a_median(data: pd.DataFrame, total: Aggregator) -> float:
    return total.quantile(data["age"], 0.5, edges=[0, 30, 50, 70, 100])


@federated
def a_bare_value(data: pd.DataFrame, total: Aggregator) -> float:
    return total.add(float(data["age"].sum()))


@federated
def a_rare_group(data: pd.DataFrame, total: Aggregator) -> Any:
    return total.sum(data["age"], by=data["rare"])


@federated
def a_dummy(data: pd.DataFrame, total: Aggregator) -> Any:
    return total.cross_product(data[["age", "first"]].astype(float))


@federated
def all_and_all_but_one(data: pd.DataFrame, total: Aggregator) -> list[float]:
    return [total.sum(data["age"]), total.sum(data["age"][~data["first"]])]


@federated
def few_stated(data: pd.DataFrame, total: Aggregator) -> float:
    return total.add(float(data["age"].sum()), records=2)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Federation]:
    functions = [every_total, a_median, a_bare_value, a_rare_group, a_dummy, all_and_all_but_one, few_stated]
    with Federation(NODES, algorithm=functions, policy={"undeclared": "refuse"}) as federation:
        yield federation


def test_each_total_has_evidence(nodes: Federation) -> None:
    result = nodes.ask(every_total)
    rows = pd.concat(NODES)
    assert result["sum"] == pytest.approx(rows["age"].sum())
    assert result["mean"] == pytest.approx(rows["weight"].mean())
    assert result["levels"] == ["F", "M"]
    assert nodes.ask(a_median) == pytest.approx(rows["age"].median(), abs=10)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (a_bare_value, "rule undeclared"),
        (a_rare_group, r"the sum in line \d+ represents fewer than 3 records \(rule threshold\)"),
        (a_dummy, r"the cross product in line \d+ represents fewer than 3 records \(rule threshold\)"),
        (all_and_all_but_one, "rule difference"),
        (few_stated, "rule threshold"),
    ],
)
def test_a_total_of_few_records_is_refused(function: Any, message: str, nodes: Federation) -> None:
    with pytest.raises(RunsFailed, match=message):
        nodes.ask(function)


@federated
def levels_of(data: pd.DataFrame, total: Aggregator) -> list[str]:
    return total.levels(data["group"])


def test_levels_have_enough_persons() -> None:
    # 10 rows of 2 persons have the level b.
    rows = pd.DataFrame({"person": np.repeat(np.arange(8), 5), "group": ["a"] * 30 + ["b"] * 10})
    policy = {"persons": ["default=person"]}
    with Federation([rows] * 3, algorithm=[levels_of], policy=policy) as nodes:
        assert nodes.ask(levels_of) == ["a"]
