"""Eighteen statistics equal those of other packages, on nodes of every kind, in the fewest rounds or one more."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from algotools import Pooled
from algotools.federation import Federation

from .data import SPLITS
from .nodes import run_at_nodes
from .peers import STATISTICS, TABLE, WEEKS, assert_equal, import_statistics


@pytest.fixture(scope="module")
def functions() -> Iterator[Any]:
    with import_statistics() as algorithm:
        yield algorithm


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_equals_that_of_another_package(name: str, split: str, functions: Any) -> None:
    statistic = STATISTICS[name]
    outcome = run_at_nodes(getattr(functions, name), SPLITS[split](TABLE), **statistic.arguments)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="statsmodels")  # statsmodels reports its own use of pandas and numpy
        expected = statistic.peer(TABLE)
    assert_equal(outcome.result, expected, statistic.tolerance)
    assert outcome.rounds <= statistic.rounds + 1


@pytest.mark.sample(3)  # a property of the reductions, which all statistics use
@pytest.mark.parametrize("name", STATISTICS)
def test_any_split_of_the_rows_gives_the_same_statistic(name: str, functions: Any) -> None:
    statistic = STATISTICS[name]
    function = getattr(functions, name)
    tolerance = max(statistic.tolerance, 1e-6)
    proved = Federation.prove(function, TABLE, tolerance=tolerance, **statistic.arguments)
    assert_equal(proved, function(TABLE, Pooled(), **statistic.arguments), 1e-12)


def test_survival_equals_that_of_lifelines(functions: Any) -> None:
    # Figures of lifelines 0.30.0, which requires pandas 2, so that it cannot be installed with the tests.
    survival = [0.9416666666666671, 0.6668619637497039, 0.4512334679817032, 0.20061765351922808]
    outcome = run_at_nodes(functions.kaplan_meier, SPLITS["even"](TABLE), time="week", event="died", grid=WEEKS)
    by_week = dict(zip(WEEKS, outcome.result["survival"], strict=True))
    np.testing.assert_allclose([by_week[week] for week in (1, 5, 10, 20)], survival, rtol=1e-12)

    # lifelines handles ties as Efron does, so these times have no ties.
    untied = TABLE.assign(week=TABLE["week"] + TABLE.index / 1000)
    grid = untied["week"].tolist()
    outcome = run_at_nodes(
        functions.cox, SPLITS["even"](untied), time="week", event="died", covariates=["age", "dose"], grid=grid
    )
    np.testing.assert_allclose(
        outcome.result, [0.00025997089604647714, -0.05852620061778724], rtol=1e-5
    )  # the precision of lifelines
