"""Every honest function runs on all of its tables, and its results contain no value of few rows."""

from __future__ import annotations

import functools

import pytest

from algotools.payload import decode_rich, encode_rich
from algotools.runtime.logs import read_failure

from .cases import Honest, load, make_federation
from .claims import FEWEST, find_rare_cells, walk
from .corpus import HONEST, MESSAGES
from .honest.statistics import OF_STATISTIC
from .nodes import read_table

SUMMARIES = """
summary group_means crosstab_whole crosstab_suppressed histogram labelled_histogram levels counts schema missing
empty_selection t_test_sums bisection_step moments proportions
"""
MODELS = """
linear_partial logistic_partial poisson_partial least_squares federated_average cox_on_grid kaplan_meier_on_grid
cross_product correlations loadings kmeans_partial wide_gradient naive_bayes binned_roc pruned_tree
table_of_coefficients stochastic_descent bootstrap_error weighted_outcomes
"""
"""The honest functions that the design of the gate lists."""

RUNS = [(honest, table) for honest in HONEST for table in honest.tables]
ids = [f"{honest.name}-{table}" for honest, table in RUNS]


def list_small_numbers(result: object, arguments: object) -> list[object]:
    """Return the whole numbers 1 and 2 of a result that are not an argument. Keys are texts, and do not count."""
    known = [leaf for _, leaf in walk(arguments)]
    leaves = [leaf for _, leaf in walk(result) if isinstance(leaf, (int, float)) and not isinstance(leaf, bool)]
    return [leaf for leaf in leaves if leaf in range(1, FEWEST) and leaf not in known]


@functools.cache
def read(run: int) -> tuple[object, list[object], list[object]]:
    """Return the result of a run, its small numbers and its rare values, as a researcher reads them."""
    honest, table = RUNS[run]
    (result,), (arguments,) = honest.read(table), honest.list_tasks(table)
    return (
        result,
        [] if result is None else list_small_numbers(result, arguments),
        [] if result is None else find_rare_cells(result, read_table(table), arguments),
    )


@pytest.mark.parametrize("run", range(len(RUNS)), ids=ids)
def test_a_result_has_no_value_of_few_rows(run: int) -> None:
    honest, _ = RUNS[run]
    _, small_numbers, rare_cells = read(run)
    assert honest.rare_cells or rare_cells == []
    assert honest.small_numbers or small_numbers == []


@pytest.mark.parametrize("honest", HONEST, ids=[honest.name for honest in HONEST])
def test_a_result_also_travels_to_a_master(honest: Honest) -> None:
    (value,) = honest.run(honest.tables[0])
    decode_rich(encode_rich(value))


@pytest.mark.parametrize("honest", HONEST, ids=[honest.name for honest in HONEST])
def test_a_function_returns_a_result_and_needs_its_exceptions(honest: Honest) -> None:
    """A function that returns nothing on all of its tables would test nothing."""
    results, small_numbers, rare_cells = zip(*(read(i) for i, run in enumerate(RUNS) if run[0] is honest), strict=True)
    assert any(results)
    assert any(small_numbers) is bool(honest.small_numbers)
    assert any(rare_cells) is bool(honest.rare_cells)
    assert set(honest.right_refusals) <= set(honest.tables)


def test_messages_reach_the_researcher() -> None:
    with make_federation(MESSAGES, "standard") as federation:
        for case in MESSAGES:
            for table in case.tables:
                *lines, last = case.read_log(federation, table).splitlines()
                failure = read_failure(last)
                assert [*lines, failure.message if failure else last] == case.log


def test_the_honest_functions_are_those_of_the_design() -> None:
    assert len(HONEST) >= 35
    assert {honest.method or honest.name for honest in [*HONEST, *MESSAGES]} == load("honest").functions.keys()
    names = {honest.name for honest in HONEST}
    assert set(f"{SUMMARIES} {MODELS}".split()) <= names
    assert all(set(partials) <= names for partials in OF_STATISTIC.values())
    assert len(OF_STATISTIC) == 18 + 1
