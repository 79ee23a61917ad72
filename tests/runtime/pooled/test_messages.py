"""Messages that an author reads while a pooled function does not work yet."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from algotools import Column, Federation, Pooled
from algotools.declare.federated import PooledFunction, Pooling
from algotools.errors import FederationError, NodesDisagree, NotSerializable, ProofFailed, TotalRefused, UnknownColumn
from algotools.runtime.pooled import Aggregator, rounds

from .nodes import run_directly

ROWS = pd.DataFrame({"x": np.arange(24) / 4, "sex": ["m", "f", "f", "m"] * 6})
LEVELS = pd.DataFrame({"g": [*"aaabbbbcddd"]})


def make(function: Callable[..., Any], **annotations: Any) -> PooledFunction:
    function.__annotations__ = {"data": pd.DataFrame, "total": Aggregator, **annotations, "return": float}
    return PooledFunction(function, "master", function.__name__, Pooling())


def find_line(function: Callable[..., Any], number: int) -> int:
    """Return a line of a function; the line of its ``def`` is 0."""
    return function.__code__.co_firstlineno + number


# An exception of the author's function


def test_prove_names_the_line_of_an_exception_and_a_node_without_rows() -> None:
    def first_value(data, total):
        first = data["x"].iloc[0]
        return total.count(data["x"]) + 0 * first

    with pytest.raises(ProofFailed) as caught:
        Federation.prove(make(first_value), ROWS)
    assert caught.value.message == (
        f"first_value raises IndexError in line {find_line(first_value, 1)} at a node with 0 rows (with all rows "
        "at one of 3 nodes (0, 24, 0 rows)); a node may have no rows. IndexError: single positional "
        "indexer is out-of-bounds"
    )
    cause = caught.value.__cause__
    assert cause is not None
    assert traceback.extract_tb(cause.__traceback__)[0].name == "first_value"


def test_prove_names_the_rows_of_an_exception_that_does_not_depend_on_an_empty_node() -> None:
    def whole_table(data, total):
        if len(data) < 24:
            raise ValueError("too few")
        return total.count(data["x"])

    with pytest.raises(ProofFailed, match=r"with 8 rows \(with equal parts at 3 nodes \(8, 8, 8 rows\)\)\. ValueError"):
        Federation.prove(make(whole_table), ROWS)


# A loop that one node leaves before another one


def sum_levels(data, total):
    sums = 0.0
    for level in sorted(data["sex"].unique()):
        sums = sums + total.sum(data["x"][data["sex"] == level])
    return sums


def stop_early(data, total):
    size = 0.0
    for step in range(4):
        size = size + total.sum(data["x"]) * step
        if len(data) < 2:
            break
    return size + total.count(data["x"])


@pytest.mark.parametrize(
    ("function", "name", "end"),
    [(sum_levels, "level", "returns a result"), (stop_early, "step", "requests a count in line {}")],
    ids=["levels", "steps"],
)
def test_a_loop_that_one_node_leaves_first_is_named(function: Callable[..., Any], name: str, end: str) -> None:
    with pytest.raises(NodesDisagree) as caught:
        Federation.prove(make(function), ROWS)
    end = end.format(find_line(function, 6))
    assert caught.value.message == (
        f"the loop over '{name}' has different passes: node 1 {end}, node 2 requests a sum in line "
        f"{find_line(function, 3)}. It runs over the levels of one node, or a condition on rows skips passes. Loop "
        "over total.levels(...), compute all groups at once with by=, or let a total decide (with all rows at one of 3 "
        "nodes (0, 24, 0 rows))"
    )


def test_a_branch_that_calls_a_helper_is_not_a_loop() -> None:
    def add_up(data, total, column):
        return total.sum(data[column])

    def branch(data, total):
        return add_up(data, total, "x") if len(data) else 0.0

    with pytest.raises(NodesDisagree, match="nodes take different branches: node 1 returns a result, node 2 requests"):
        Federation.prove(make(branch), ROWS)


@pytest.mark.parametrize("file", [__file__, "/nothing/size_{}.py"])
def test_a_line_a_file_and_a_name_of_generated_code_are_not_named(file: str, tmp_path: Path) -> None:
    def request(data, total):
        size = len(data) + 90_000
        namespace: dict[str, Any] = {}
        source = "\n" * (size - 1) + f"def add(total, size_{size}): return total.sum(size_{size})\n"
        exec(compile(source, file.format(size), "exec"), namespace)
        return namespace["add"](total, data["g"].str.len())

    with pytest.raises(NodesDisagree) as caught:
        run_directly(make(request), [LEVELS, LEVELS.iloc[:7]], tmp_path)
    assert caught.value.message.startswith("the loop over 'generated code' around generated code has different values")


# What the log of the master reports


def test_the_master_logs_how_many_levels_each_node_has_left_out(tmp_path: Path) -> None:
    def list_levels(data, total):
        return total.levels(data["g"])

    nodes = [LEVELS, LEVELS.iloc[:7], LEVELS.iloc[6:], LEVELS.iloc[:0]]
    outcome = run_directly(make(list_levels), nodes, tmp_path, minimum_records=3)
    assert outcome.result == ["a", "b", "d"]
    [line] = [line for line in outcome.lines if "node " in line]
    assert line == (
        f"info > levels in line {find_line(list_levels, 1)}: node 1 left out 1 level, node 3 left out 2 levels with "
        "fewer records than the node's minimum; their rows still count in other totals. To leave the rows out, keep "
        "only rows of listed levels: rows[rows[group].isin(levels)]"
    )


def count_slowly(data, total):
    count = 0.0
    for _ in range(5):
        count = count + total.count(data["x"])
    return count + 0 * len(data)


def test_many_rounds_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rounds, "_ROUNDS_TO_WARN", {3})
    warning = "info > 3 rounds so far; request all totals before the first use, or compute all groups at once with by="
    outcome = run_directly(make(count_slowly), [ROWS, ROWS, ROWS], tmp_path)
    assert outcome.rounds >= 5
    assert outcome.lines.count(warning) == 1
    capsys.readouterr()
    Federation.prove(make(count_slowly), ROWS)
    assert capsys.readouterr().err.splitlines() == [warning]


# Values that cannot be reduced, and verbs that do not exist

REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a text in by": (
        lambda total: total.count(ROWS["x"], by="sex"),
        "has a text in by=; by= needs a column, such as data",
    ),
    "texts in by": (lambda total: total.sum(ROWS["x"], by=["sex"]), "has a text in by="),
    "the name of a column": (
        lambda total: total.table("sex"),
        "is a str, not rows; pass a column, such as data['age']",
    ),
    "an integer": (lambda total: total.mean(5), "is an int, not rows; total.add adds up"),
    "an object": (lambda total: total.add(object()), "is an object, which cannot be added; use a number"),
    "texts": (
        lambda total: total.quantile(ROWS["sex"], 0.5),
        "are not numbers; convert them, such as with pd.to_numeric",
    ),
    "a number of bins": (lambda total: total.histogram(ROWS["x"], 10), "needs edges that are an increasing array"),
    "falling edges": (lambda total: total.histogram(ROWS["x"], [2, 1]), "needs edges that are an increasing array"),
    "a table by group": (
        lambda total: total.variance(ROWS[["x", "x"]], by=ROWS["sex"]),
        "has several columns; pass one",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_value_has_a_way_out(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(TotalRefused) as caught:
        call(Pooled())
    assert message in caught.value.message


def test_an_unknown_verb_is_compared_with_the_verbs() -> None:
    with pytest.raises(AttributeError) as caught:
        Pooled().median(ROWS["x"])  # type: ignore[attr-defined]
    assert str(caught.value) == (
        "totals have no verb 'median' (did you mean quantile(values, 0.5)?); the verbs: add, count, cross_product, "
        "histogram, levels, maximum, mean, minimum, moments, quantile, sum, table, variance"
    )
    with pytest.raises(AttributeError, match=r"no verb 'cout' \(did you mean count\?\)"):
        Pooled().cout(ROWS["x"])  # type: ignore[attr-defined]
    assert not hasattr(Pooled(), "xyz")
    assert not hasattr(Pooled(), "__array__")
    assert copy.deepcopy(copy.copy(Pooled(seed=3))).rng.random() == Pooled(seed=3).rng.random()


def test_a_returned_aggregator_has_its_public_name(tmp_path: Path) -> None:
    def give_back(data, total):
        return {"total": total}

    with pytest.raises(NotSerializable, match="a value of type Aggregator cannot travel between nodes"):
        run_directly(make(give_back), [ROWS], tmp_path)


# The arguments of prove


def test_prove_needs_the_rows_in_one_frame() -> None:
    with pytest.raises(FederationError, match=r"splits the rows itself; pass one frame .* such as pd.concat\(frames\)"):
        Federation.prove(make(sum_levels), [ROWS, ROWS])
    with pytest.raises(FederationError, match="prove needs the rows as a DataFrame"):
        Federation.prove(make(sum_levels), 5)


def test_prove_names_a_column_that_the_frame_does_not_contain() -> None:
    def mean(data, total, column):
        return total.mean(data[column])

    with pytest.raises(UnknownColumn, match=r"no column 'sexx' in the frame \(did you mean 'sex'\?\)"):
        Federation.prove(make(mean, column=Column), ROWS, column="sexx")


@pytest.mark.parametrize("selection", ["sex", ["x", "sex"]])
def test_prove_explains_a_column_that_was_not_read(selection: Any) -> None:
    def mean(data, total, column):
        return total.mean(data[column]) + 0 * total.count(data[selection])

    with pytest.raises(ProofFailed) as caught:
        Federation.prove(make(mean, column=Column), ROWS, column="x")
    assert caught.value.message == (
        f"mean raises KeyError in line {find_line(mean, 1)}: a node reads only the columns that arguments name; to "
        "read more, annotate the DataFrame with Columns.of(…)"
    )

    def fail(data, total, column):
        return {"y": total.mean(data[column])}["sexes"]

    with pytest.raises(KeyError, match="sexes"):
        Federation.prove(make(fail, column=Column), ROWS, column="x")
