"""The 18 pooled statistics pass the gate at nodes of at least 200 rows; totals of few records are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from algotools import Pooled
from algotools.errors import RunsFailed
from algotools.federation import Federation
from algotools.payload import encode_plain

from ..conftest import ALGORITHMS, WHOLE
from ..runtime.pooled.peers import STATISTICS, assert_equal, import_statistics
from .pooled_functions import (
    FUNCTIONS,
    counts_in_bins,
    counts_of_levels,
    frequent_levels,
    greatest_value,
    least_value,
    means_by_level,
    median_of,
    moments_above,
    number_above,
    numbers_at_risk,
    sums_of_levels,
    variances_by_level,
)
from .pooled_tables import ARGUMENTS, CUTS, TABLES, cut

MINIMA = (3, 5, 10)

SETTINGS = [*(("fair", minimum) for minimum in MINIMA), ("rand", MINIMA[-1])]
"""Table and minimum of the nodes. A sample has each table once, with the largest and the smallest minimum."""

NODES = {table: cut(make(), *CUTS[table]) for table, make in TABLES.items()}


def make_policy(minimum: int) -> dict[str, int]:
    return {"minimum_cell": minimum, "minimum_rows": minimum}


def read_plain(value: object) -> Any:
    """Return a value as a researcher reads it."""
    return json.loads(encode_plain(value).data)


@pytest.fixture(scope="module")
def functions() -> Iterator[Any]:
    with import_statistics() as algorithm:
        yield algorithm


@pytest.fixture(scope="module", params=SETTINGS if WHOLE else [("fair", MINIMA[-1]), ("rand", MINIMA[0])], ids=str)
def federation(request: pytest.FixtureRequest) -> Iterator[tuple[Federation, str]]:
    table, minimum = request.param
    with Federation(NODES[table], algorithm=ALGORITHMS / "statistics", policy=make_policy(minimum)) as nodes:
        yield nodes, table


def test_each_node_has_at_least_200_rows_and_nodes_are_uneven() -> None:
    for nodes in NODES.values():
        sizes = [len(node) for node in nodes]
        assert min(sizes) >= 200
        assert len(set(sizes)) == len(sizes) >= 3
        assert max(sizes) > 10 * min(sizes)


@pytest.mark.sample(2)  # each statistic with one of the two federations
@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_passes_at_each_minimum_and_equals_that_of_one_table(
    name: str, federation: tuple[Federation, str], functions: Any
) -> None:
    nodes, table = federation
    arguments = ARGUMENTS[table][name]
    result = nodes.ask(name, **arguments)
    expected = getattr(functions, name)(pd.concat(NODES[table]), Pooled(), **arguments)
    assert_equal(read_plain(result), read_plain(expected), STATISTICS[name].tolerance or 1e-9)


@pytest.mark.parametrize("table", TABLES)
def test_statistics_with_ranges_as_arguments_equal_those_of_numpy(table: str, functions: Any) -> None:
    rows = pd.concat(NODES[table])
    arguments = ARGUMENTS[table]["histogram"]
    counts, edges = np.histogram(rows[arguments["column"]], arguments["bins"], arguments["bounds"])
    assert_equal(functions.histogram(rows, Pooled(), **arguments), {"edges": edges, "counts": counts}, 1e-12)

    arguments = ARGUMENTS[table]["quantiles"]
    quantiles = functions.quantiles(rows, Pooled(), **arguments)
    differences = np.abs(quantiles - np.quantile(rows[arguments["column"]], arguments["q"]))
    assert differences.max() <= np.diff(arguments["edges"]).max()


# --- Totals of few records ---

ROWS = 250
RARE = 2
"""Records of a level, a bin and a time at one node."""


def make_rows(seed: int) -> pd.DataFrame:
    """Draw a table in which the first node has two records of a level, a bin and the latest time."""
    rng = np.random.default_rng(seed)
    is_rare = (np.arange(ROWS) < RARE) & (seed == 0)
    return pd.DataFrame(
        {
            "age": np.where(is_rare, 97.5, rng.integers(200, 800, ROWS) / 10 + 0.05),
            "level": np.where(is_rare, "g12", np.where(np.arange(ROWS) % 2, "i10", "e11")),
            "grade": np.where(is_rare, 9.0, 1.0 + np.arange(ROWS) % 4),
            "time": np.where(is_rare, 4.0, 1.0 + np.arange(ROWS) % 3),
            "died": np.where(is_rare, 1, rng.integers(0, 2, ROWS)),
        }
    )


RARE_NODES = [make_rows(seed) for seed in range(3)]


class Refused(NamedTuple):
    """A call that the gate refuses, the rule, and words of the way out."""

    function: Any
    arguments: dict[str, Any]
    rule: str
    way_out: str


REFUSED = {
    "the smallest value": Refused(least_value, {"column": "age"}, "extreme", "range"),
    "the largest value": Refused(greatest_value, {"column": "age"}, "extreme", "range"),
    "the largest of few whole numbers": Refused(greatest_value, {"column": "grade"}, "extreme", "range"),
    "an exact median": Refused(median_of, {"column": "age"}, "threshold", "edges="),
    "a median in narrow bins": Refused(
        median_of, {"column": "age", "edges": [0.0, 50.0, 90.0, 100.0]}, "threshold", "wider bins"
    ),
    "values outside the edges": Refused(
        median_of, {"column": "age", "edges": [0.0, 50.0, 90.0]}, "threshold", "wider bins"
    ),
    "a bin of two records": Refused(
        counts_in_bins, {"column": "age", "edges": [0.0, 50.0, 90.0, 100.0]}, "threshold", "wider bins"
    ),
    "a level of two records": Refused(counts_of_levels, {"group": "level"}, "threshold", "merge small groups"),
    "a number of two records as a level": Refused(
        counts_of_levels, {"group": "grade"}, "threshold", "merge small groups"
    ),
    "means by a group of two": Refused(
        means_by_level, {"column": "age", "group": "level"}, "threshold", "merge small groups"
    ),
    "variances by a group of two": Refused(
        variances_by_level, {"column": "age", "group": "grade"}, "threshold", "merge small groups"
    ),
    "moments of two records": Refused(
        moments_above, {"column": "age", "limit": 90.0}, "threshold", "merge small groups"
    ),
    "a count of two records": Refused(
        number_above, {"column": "age", "limit": 90.0}, "threshold", "merge small groups"
    ),
    "two records at risk": Refused(
        numbers_at_risk, {"time": "time", "grid": [1.0, 2.0, 3.0, 4.0]}, "threshold", "merge small groups"
    ),
}

ALLOWED = {
    "a median in wide bins": (median_of, {"column": "age", "edges": [0.0, 50.0, 100.0]}),
    "wide bins": (counts_in_bins, {"column": "age", "edges": [0.0, 50.0, 100.0]}),
    "frequent levels that are numbers": (frequent_levels, {"group": "grade"}),
    "sums of frequent levels": (sums_of_levels, {"group": "level"}),
    "a count of many records": (number_above, {"column": "age", "limit": 50.0}),
    "many at risk": (numbers_at_risk, {"time": "time", "grid": [1.0, 2.0, 3.0]}),
}


@pytest.fixture(scope="module")
def strict_nodes() -> Iterator[Federation]:
    with Federation(RARE_NODES, algorithm=FUNCTIONS, policy=make_policy(3)) as nodes:
        yield nodes


@pytest.mark.parametrize("name", REFUSED)
def test_a_total_of_few_records_is_refused(name: str, strict_nodes: Federation) -> None:
    call = REFUSED[name]
    with pytest.raises(RunsFailed) as caught:
        strict_nodes.ask(call.function, **call.arguments)
    message = str(caught.value)
    assert f"rule {call.rule}" in message
    assert call.way_out in message
    for value in ("97.5", "g12", "9.0"):
        assert value not in message


@pytest.mark.parametrize("name", ALLOWED)
def test_a_total_of_many_records_passes(name: str, strict_nodes: Federation) -> None:
    function, arguments = ALLOWED[name]
    result = strict_nodes.ask(function, **arguments)
    if "level" in name:
        assert len(result) == len({"frequent levels that are numbers": [1, 2, 3, 4]}.get(name, ["e11", "i10"]))
    else:
        expected = function(pd.concat(RARE_NODES), Pooled(), **arguments)
        assert_equal(read_plain(result), read_plain(expected), 1e-12)


@pytest.mark.parametrize("name", REFUSED)
def test_a_total_of_few_records_passes_without_a_policy(name: str) -> None:
    call = REFUSED[name]
    with Federation(RARE_NODES, algorithm=FUNCTIONS, policy="off") as nodes:
        result = nodes.ask(call.function, **call.arguments)
    expected = call.function(pd.concat(RARE_NODES), Pooled(), **call.arguments)
    assert_equal(read_plain(result), read_plain(expected), 1e-9)


@pytest.mark.parametrize(("minimum", "levels"), [(3, ["a", "b"]), (4, ["a", "b"]), (5, ["a"])])
def test_levels_have_the_minimum_of_the_nodes_owner(minimum: int, levels: list[str]) -> None:
    frames = [pd.DataFrame({"level": ["a"] * 30 + ["b"] * 4}) for _ in range(3)]
    lines: list[str] = []
    with Federation(
        frames, algorithm=FUNCTIONS, policy=make_policy(minimum), listen=lambda _, line: lines.append(line)
    ) as nodes:
        assert nodes.ask(frequent_levels, group="level") == levels
    # The line of algotools about its own omission is not withheld, as a line of the author would be.
    is_omitted = [line for line in lines if f"1 level is left out: fewer than {minimum} records at this node" in line]
    assert len(is_omitted) == (0 if len(levels) == 2 else 3)
    assert not [line for line in lines if "withheld" in line]


def test_a_worker_of_its_own_reports_the_same_facts() -> None:
    with Federation(RARE_NODES, algorithm=FUNCTIONS, policy=make_policy(3), runner="process") as nodes:
        function, arguments = ALLOWED["a median in wide bins"]
        expected = function(pd.concat(RARE_NODES), Pooled(), **arguments)
        assert nodes.ask(function, **arguments) == pytest.approx(expected)
        with pytest.raises(RunsFailed, match=r"\[2\] of the histogram in line \d+ represents fewer than 3 records"):
            nodes.ask(counts_in_bins, **REFUSED["a bin of two records"].arguments)
