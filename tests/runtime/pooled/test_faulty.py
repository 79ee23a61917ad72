"""Faulty functions are refused at run time, or found by `prove`; functions that only look faulty give the right result.

The table in `docs/concepts/pooled.md` lists the faults that are not detected at run time.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from algotools import Federation, Pooled
from algotools.declare.federated import PooledFunction, Pooling
from algotools.errors import AlgotoolsError, NodesDisagree, ProofFailed, RoundsDisagree, TotalRefused
from algotools.runtime.pooled import Aggregator

from . import faulty
from .nodes import run_directly


def make_table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"x": rng.permutation(36) / 4})
    table["g"] = ["m", "f", "f", "m", "f", "f"] * 6
    table["code"] = rng.choice([0, 8], 36)
    table["gaps"] = table["x"].where(table["x"] < 6)
    table["lacking"] = ["a"] * 12 + ["a", "b"] * 12
    return table


TABLE = make_table()
EVEN = [TABLE.iloc[:12], TABLE.iloc[12:24].iloc[::-1], TABLE.iloc[24:]]
UNEVEN = [TABLE.iloc[:10], TABLE.iloc[10:24].iloc[::-1], TABLE.iloc[24:]]
EMPTY = [TABLE.iloc[:0], TABLE.iloc[:30], TABLE.iloc[30:]]


def make(function: Callable[..., Any]) -> PooledFunction:
    """Derive master and rpc. The functions of `faulty` have no annotations, which would hide their few lines."""
    function.__annotations__ = {"data": pd.DataFrame, "total": Aggregator, "return": float}
    return PooledFunction(function, "master", function.__name__, Pooling())


def find_line(function: Callable[..., Any], mark: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if line.rstrip().endswith(f"# {mark}"))


def loop(variable: str = "level") -> str:
    return (
        f"the loop over '{variable}' around line A has different values at node 1 and node 2, because it runs over "
        "the levels of one node. Loop over total.levels(...), or compute all groups at once with by="
    )


BRANCHES = (
    "nodes take different branches: node 1 requests a {} in line {}, node 3 {}. Let a total decide, for example: "
)
CHANGED = "the contribution to the sum in line A changed between two rounds: the function modified its data, used "
ROWS = "the value of total.add in line A has one entry per row. Use total.sum, which adds up rows"
SHAPES = "the sum in line A has different shapes at two nodes. If a node lacks a level, use total.levels(...). If the "
DIFFERS = " differs between node 1 and node 2, because it depends on the rows of one node. Return only values that are "
OTHER_RUN = "the function uses a total of another run, which it has stored outside itself"

REFUSED: dict[str, tuple[type[AlgotoolsError], str, list[pd.DataFrame]]] = {
    "local_branch": (NodesDisagree, BRANCHES.format("sum", "A", "requests a sum in line B"), EVEN),
    "local_return": (NodesDisagree, "node 1 returns a result, node 2 requests a sum in line A", UNEVEN),
    "local_condition_in_one_line": (NodesDisagree, BRANCHES.format("sum", "A", "requests a sum in line A"), EVEN),
    "local_exception": (NodesDisagree, "requests a count in line B", EVEN),
    "local_loop": (NodesDisagree, loop(), EVEN),
    "local_comprehension": (NodesDisagree, loop(), EVEN),
    "local_generator": (NodesDisagree, loop(), EVEN),
    "loop_over_groups": (NodesDisagree, loop(), EVEN),
    "loop_over_a_set": (NodesDisagree, loop(), EVEN),
    "loop_over_numbered_levels": (NodesDisagree, loop("i"), EVEN),
    "loop_in_a_lambda": (NodesDisagree, loop(), EVEN),
    "loop_in_a_helper": (NodesDisagree, loop(), EVEN),
    "levels_that_are_used_up": (NodesDisagree, loop(), EVEN),
    "dummies_of_local_levels": (NodesDisagree, SHAPES, EVEN),
    "rows_in_add": (TotalRefused, ROWS, EVEN),
    "labelled_rows_in_add": (TotalRefused, "the value of total.add in line A has one entry per row", EVEN),
    "rows_in_a_dict": (TotalRefused, ROWS, EVEN),
    "length_in_the_result": (NodesDisagree, "result.n" + DIFFERS, UNEVEN),
    "rows_in_the_result": (NodesDisagree, "result.rows" + DIFFERS, EVEN),
    "local_value_in_the_result": (NodesDisagree, "result.parts[1]" + DIFFERS, EVEN),
    "local_keys_in_the_result": (NodesDisagree, "result" + DIFFERS, EVEN),
    "unseeded_draws": (RoundsDisagree, CHANGED, EVEN),
    "unseeded_sample": (RoundsDisagree, CHANGED, EVEN),
    "unseeded_order": (RoundsDisagree, CHANGED, EVEN),
    "rows_that_grow": (RoundsDisagree, CHANGED, EVEN),
    "branch_by_the_exact_type": (
        RoundsDisagree,
        (
            "total 2 was requested in line B and is now requested in line A: the function must take the same path in "
            "every round. Do not branch on the type of a total"
        ),
        EVEN,
    ),
    "exact_type_of_a_total": (RoundsDisagree, CHANGED, EVEN),
    "total_in_a_thread": (TotalRefused, "the total in line A is requested in another thread", EVEN),
    "total_in_another_process": (TotalRefused, "the function sends its totals to another process", EVEN),
    "total_in_a_lambda": (TotalRefused, "the function that total.add calls requests a total in line A", EVEN),
    "hidden_total_in_a_lambda": (TotalRefused, "the function that total.add calls requests a total in line A", EVEN),
    "total_of_another_run": (RoundsDisagree, OTHER_RUN, EVEN),
    "number_in_sum": (
        TotalRefused,
        "the value of total.sum in line A is a float64, not rows; total.add adds up values that are already reduced",
        EVEN,
    ),
    "text_in_sum": (TotalRefused, "the value of total.sum in line A contains values that are not numbers", EVEN),
    "dates_in_sum": (TotalRefused, "the value of total.sum in line A contains values that are not numbers", EVEN),
    "list_in_add": (TotalRefused, "the value of total.add in line A is a list, which cannot be added", EVEN),
    "rows_of_another_table": (TotalRefused, "the value of total.sum in line A has another number of rows than", EVEN),
    "records_that_are_not_a_number": (TotalRefused, "the value of total.add in line A has records= that is not", EVEN),
}
"""Function -> its error, the beginning of the message, and nodes at which it is refused."""

ONLY_PROVED = [
    "local_mean",
    "local_fill",
    "local_scale",
    "local_rank",
    "local_quantiles",
    "local_duplicates",
    "local_order",
    "local_mode",
    "same_branch_everywhere",
    "total_in_add",
    "constant_in_add",
    "local_means_in_add",
    "numbers_that_are_used_up",
    "rows_in_add_at_small_nodes",
    "draw_for_each_row",
    "draw_in_the_result",
    "draw_in_a_lambda",
]

RIGHT = [
    "kind_of_the_rows",
    "type_of_a_total",
    "factor_by_the_type_of_a_total",
    "text_of_a_total",
    "swallowed_length",
    "missing_column",
    "missing_attribute",
    "type_of_rows",
    "text_of_rows",
    "array_that_is_filled",
    "array_that_is_filled_without_rows",
    "same_object",
    "data_that_is_modified",
    "seeded_draws",
]


@pytest.fixture(autouse=True)
def store() -> Iterator[None]:
    faulty.STORE.clear()
    yield
    faulty.STORE.clear()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the thread's own fault
@pytest.mark.parametrize("name", REFUSED)
def test_a_faulty_function_is_refused(name: str, tmp_path: Path) -> None:
    function = getattr(faulty, name)
    kind, beginning, nodes = REFUSED[name]
    with pytest.raises(kind) as caught:
        run_directly(make(function), nodes, tmp_path)
    expected = re.sub(r"line ([AB])\b", lambda match: f"line {find_line(function, match[1])}", beginning)
    assert expected in caught.value.message
    message = re.sub(r"line \d+", "", caught.value.message)
    for value in ("'m'", "'f'", "'a'", "'b'", "12", "10", "(2"):
        assert value not in message


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # means of an empty node
@pytest.mark.parametrize("name", ONLY_PROVED)
def test_prove_finds_a_local_value(name: str) -> None:
    with pytest.raises((ProofFailed, NodesDisagree, TotalRefused)) as caught:
        Federation.prove(make(getattr(faulty, name)), TABLE)
    assert "rows)" in caught.value.message  # the split


@pytest.mark.parametrize("nodes", [EVEN, UNEVEN, EMPTY], ids=["even", "uneven", "empty"])
@pytest.mark.parametrize("name", RIGHT)
def test_a_function_that_looks_faulty_gives_the_right_result(
    name: str, nodes: list[pd.DataFrame], tmp_path: Path
) -> None:
    function = make(getattr(faulty, name))
    expected = function(pd.concat(nodes), Pooled())
    assert run_directly(function, nodes, tmp_path).result == pytest.approx(expected, rel=1e-9)


def test_a_database_that_changes_between_rounds_is_found(tmp_path: Path) -> None:
    def deviation(data, total):
        mean = total.sum(data["x"]) / total.count(data["x"])
        return total.sum((data["x"] - mean) ** 2)

    class Changing:
        reads = 0

        def copy(self) -> pd.DataFrame:
            self.reads += 1
            return TABLE.iloc[: 20 + self.reads]

    with pytest.raises(RoundsDisagree, match="or the database changed"):
        run_directly(make(deviation), [TABLE, Changing()], tmp_path)
