"""The result of a pooled function that finishes at the nodes leaves only if it is computed from totals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from algotools import Aggregator, Column, federated
from algotools.errors import RunsFailed
from algotools.federation import Federation

ROWS = 220


def make_rows(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(200, 900, ROWS) / 10 + 0.03 * np.arange(1, ROWS + 1),
            "salary": rng.permutation(np.arange(10_000, 90_000, 7))[:ROWS],
            "name": [f"person {seed} {i}" for i in range(ROWS)],
            "group": np.where(np.arange(ROWS) % 2, "a", "b"),
        }
    )


NODES = [make_rows(seed) for seed in range(3)]


def finish_at_the_nodes(data: pd.DataFrame, total: Any) -> int:
    """Use a total and the number of local rows, which the master does not have."""
    return int(total.count(data.iloc[:, 0]) > len(data) - ROWS)


@federated
def all_rows(data: pd.DataFrame, total: Aggregator) -> list[float]:
    finish_at_the_nodes(data, total)
    return (data["age"] + 1).round(3).tolist()


@federated
def first_names(data: pd.DataFrame, total: Aggregator) -> list[str]:
    finish_at_the_nodes(data, total)
    return data["name"].head(2).tolist()


@federated
def first_age(data: pd.DataFrame, total: Aggregator) -> float:
    finish_at_the_nodes(data, total)
    return float(data["age"].iloc[0])


@federated
def largest_salary(data: pd.DataFrame, total: Aggregator) -> int:
    finish_at_the_nodes(data, total)
    return int(data["salary"].max())


@federated
def ages_as_keys(data: pd.DataFrame, total: Aggregator) -> dict[float, int]:
    n = finish_at_the_nodes(data, total)
    return dict.fromkeys(data["age"].head(2).tolist(), n)


@federated
def encoded_rows(data: pd.DataFrame, total: Aggregator) -> int:
    finish_at_the_nodes(data, total)
    return int("".join(str(salary) for salary in data["salary"].head(10)))


@federated
def many_numbers(data: pd.DataFrame, total: Aggregator) -> list[float]:
    finish_at_the_nodes(data, total)
    return [0.123 * float(i) + float(data["age"].iloc[i]) for i in range(ROWS - 1) for _ in range(3)]


@federated
def from_totals(data: pd.DataFrame, total: Aggregator, column: Column, group: Column) -> dict[str, Any]:
    """A number of steps, a total, a total that equals a cell by chance, and levels."""
    steps = 1 + finish_at_the_nodes(data, total)
    levels, n, s = total.levels(data[group]), total.count(data[column]), total.sum(data[column])
    return {"steps": steps, "n": n, "mean": s / n, "levels": levels}


@federated
def a_total_and_its_parts(data: pd.DataFrame, total: Aggregator, column: Column) -> dict[str, float]:
    """Totals of a share of the rows: numbers that a node knows from the request."""
    finish_at_the_nodes(data, total)
    return {"sum": total.sum(data[column]), "half": total.sum(data[column]) / 2}


FUNCTIONS = [
    all_rows,
    first_names,
    first_age,
    largest_salary,
    ages_as_keys,
    encoded_rows,
    many_numbers,
    from_totals,
    a_total_and_its_parts,
]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Federation]:
    with Federation(NODES, algorithm=FUNCTIONS, policy="standard") as federation:
        yield federation


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (all_rows, "length"),
        (first_names, "text"),
        (first_age, "echo"),
        (largest_salary, "extreme"),
        (ages_as_keys, "label"),
        (encoded_rows, "kind"),
        (many_numbers, "numbers"),
    ],
)
def test_a_result_that_has_rows_or_values_of_one_record_is_refused_at_the_node(
    function: Any, rule: str, nodes: Federation
) -> None:
    with pytest.raises(RunsFailed, match=f"rule {rule}"):
        nodes.ask(function)


def test_a_result_of_totals_passes_at_the_nodes(nodes: Federation) -> None:
    everything = pd.concat(NODES)
    result = nodes.ask(from_totals, column="age", group="group")
    assert result == {
        "steps": 2,
        "n": len(everything),
        "mean": pytest.approx(everything["age"].mean()),
        "levels": ["a", "b"],
    }
    assert nodes.ask(a_total_and_its_parts, column="age")["sum"] == pytest.approx(everything["age"].sum())


def test_a_total_of_an_earlier_round_may_equal_a_cell_by_chance() -> None:
    alternating = np.where(np.arange(ROWS) % 2, 1.5, -1.5)
    columns = [np.concatenate([extra, alternating]) for extra in ([100.25, -40.0], [30.0, 7.0], [1.0, 2.0])]
    frames = [pd.DataFrame({"age": column}) for column in columns]
    with Federation(frames, algorithm=FUNCTIONS, policy="standard") as federation:
        assert federation.ask(a_total_and_its_parts, column="age") == {"sum": 100.25, "half": 50.125}
