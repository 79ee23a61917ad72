"""Functions that once had a silently wrong result, a crash or a misleading message."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from algotools import Federation, Pooled, federated
from algotools.declare.federated import PooledFunction, Pooling
from algotools.errors import NodesDisagree, RoundsDisagree, TotalRefused
from algotools.runtime.pooled import Aggregator

from .nodes import run_at_nodes, run_directly

ROWS = pd.DataFrame({"x": np.arange(24) / 4, "y": np.arange(24)[::-1] ** 1.5})
ROWS["g"] = ["m", "f", "f"] * 8
ROWS["gap"] = [1.0, np.nan, 2.0] * 4 + [2.0, np.nan, np.nan] * 2 + [3.0, np.nan, 1.0] * 2
ROWS["whole"] = pd.array([1, None, 3] * 8, dtype="Int64")
NODES = [ROWS.iloc[:0], ROWS.iloc[:1], ROWS.iloc[1:12], ROWS.iloc[12:]]


def make(function: Callable[..., Any], **annotations: Any) -> PooledFunction:
    function.__annotations__ = {"data": pd.DataFrame, "total": Aggregator, **annotations, "return": float}
    return PooledFunction(function, "master", function.__name__, Pooling())


def changed_array(data, total):
    products = total.cross_product(data[["x", "y"]])
    products += np.eye(2)
    return products.sum() + total.sum(data["x"])


def changed_series(data, total):
    sums = total.sum(data["x"], by=data["g"])
    sums["f"] += 1000
    return sums.sum() + total.sum(data["x"])


def changed_dict(data, total):
    sums = total.add({"x": data["x"].sum()})
    sums["x"] += 1000
    return sums["x"] + total.sum(data["x"])


def callback_that_collects(data, total):
    names = []
    data.columns.map(names.append)
    return [total.sum(data["x"]), len(names)]


def callback_in_a_list(data, total):
    names = []
    data[["x"]].agg([lambda column: names.append(column.name) or 0.0])
    return [total.sum(data["x"]), len(names) > 0]


def callback_of_numpy(data, total):
    calls = []
    np.apply_along_axis(lambda row: calls.append(1) or 0.0, 0, data[["x"]].to_numpy())
    return [total.sum(data["x"]), len(calls) > 0]


def exit_in_a_handler(data, total):
    try:
        first = total.sum(data["x"]) * 1
    except BaseException:
        raise SystemExit(3) from None
    return first


def nan_labels(data, total):
    sums = total.add(data.groupby("gap", dropna=False)["x"].sum())
    return [len(sums), sums.sum()]


def nan_labels_in_two_columns(data, total):
    sums = total.add(data.groupby(["g", "gap"], dropna=False)["x"].sum())
    return [len(sums), sums.sum()]


def nan_keys(data, total):
    sums = total.add(data.groupby("gap", dropna=False)["x"].sum().to_dict())
    return [len(sums), sum(sums.values())]


def extreme_of_whole_numbers_with_gaps(data, total):
    return [total.minimum(data["whole"]), *total.maximum(data[["whole", "x"]])]


def tuples_as_groups(data, total):
    return total.sum(data["x"], by=data["g"].map(lambda level: (level, "clinic"))).tolist()


def table_without_types_at_an_empty_node(data, total):
    rows = data[["x", "y"]] if len(data) else data[["x", "y"]].astype(object)
    sums = [total.sum(rows), total.mean(rows), total.maximum(rows), *total.cross_product(rows)]
    return [float(value) for values in sums for value in values]


def column_of_texts_at_an_empty_node(data, total):
    values = data["x"] if len(data) else data["x"].astype(str)
    return [total.sum(values), total.mean(values), *total.sum(values, by=data["g"])]


@pytest.mark.parametrize(
    "function",
    [
        changed_array,
        changed_series,
        changed_dict,
        callback_that_collects,
        exit_in_a_handler,
        nan_labels,
        nan_labels_in_two_columns,
        nan_keys,
        extreme_of_whole_numbers_with_gaps,
        tuples_as_groups,
        table_without_types_at_an_empty_node,
        column_of_texts_at_an_empty_node,
    ],
    ids=lambda function: function.__name__,
)
def test_the_result_is_that_of_one_table(function: Callable[..., Any]) -> None:
    outcome = run_at_nodes(make(function), NODES)
    assert outcome.result == pytest.approx(function(ROWS.copy(), Pooled()), rel=1e-9)


@pytest.mark.parametrize("function", [callback_in_a_list, callback_of_numpy], ids=lambda function: function.__name__)
def test_a_function_that_rows_would_call_is_called(function: Callable[..., Any]) -> None:
    assert run_at_nodes(make(function), NODES[1:]).result == [ROWS["x"].sum(), True]


HELPERS = """
import pandas as pd

def weigh(value):
    return 2.0 if type(value) is float else 3.0

def weigh_rows(rows):
    return 2.0 if type(rows) is pd.DataFrame else 3.0
"""

QUESTIONS_ABOUT_ROWS = {
    "match": """
def f(data, total):
    match data.shape:
        case (_, _):
            factor = 2.0
        case _:
            factor = 3.0
    return total.sum(data["x"]) * factor
""",
    "none": """
def f(data, total):
    return total.sum(data["x"]) * (2.0 if data.index.name is None else 3.0)
""",
    "name": """
def f(data, total):
    inserted = data.insert(0, "z", data["x"])
    return total.sum(data["z"]) * (2.0 if inserted is None else 3.0)
""",
    "helper": """
import HELPERS

def f(data, total):
    return total.sum(data["x"]) * HELPERS.weigh_rows(data)
""",
    "helper_in_the_body": """
def f(data, total):
    from HELPERS import weigh_rows

    return total.sum(data["x"]) * weigh_rows(data)
""",
}
"""Code that gets an answer about a placeholder without an operation of it, each in a module of its own."""

QUESTIONS_ABOUT_TOTALS = {
    "match": """
def f(data, total):
    match total.add({"x": data["x"].sum()}):
        case {"x": _}:
            factor = 2.0
        case _:
            factor = 3.0
    return total.sum(data["x"] * factor)
""",
    "helper": """
from HELPERS import weigh

def f(data, total):
    first = total.sum(data["x"])
    return first + total.sum(data["x"] * weigh(first))
""",
}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a source with a function *f*, and the helpers beside it."""
    names = (f"helpers_of_{tmp_path.name}", f"asks_in_{tmp_path.name}")
    monkeypatch.syspath_prepend(tmp_path)

    def load_source(source: str) -> Any:
        for name, text in zip(names, (HELPERS, source), strict=True):
            (tmp_path / f"{name}.py").write_text(text.replace("HELPERS", names[0]), encoding="utf-8")
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module(names[1]).f

    return load_source


@pytest.mark.parametrize("name", QUESTIONS_ABOUT_ROWS)
def test_an_answer_about_rows_comes_from_a_node(name: str, load: Callable[[str], Any]) -> None:
    outcome = run_at_nodes(make(load(QUESTIONS_ABOUT_ROWS[name])), NODES)
    assert outcome.result == pytest.approx(ROWS["x"].sum() * 2)


@pytest.mark.parametrize("name", QUESTIONS_ABOUT_TOTALS)
def test_a_contribution_that_depends_on_the_type_of_a_placeholder_is_refused(
    name: str, load: Callable[[str], Any], tmp_path: Path
) -> None:
    with pytest.raises(RoundsDisagree, match="changed between two rounds"):
        run_directly(make(load(QUESTIONS_ABOUT_TOTALS[name])), NODES, tmp_path)


def test_a_parameter_that_is_compared_with_none_costs_no_round(load: Callable[[str], Any]) -> None:
    function = load("""
def f(data, total, weights=None):
    return total.sum(data["x"]) * (2.0 if weights is None else 3.0)
""")
    outcome = run_at_nodes(make(function, weights=float | None), NODES)
    assert (outcome.result, outcome.rounds) == (pytest.approx(ROWS["x"].sum() * 2), 1)


def test_an_argument_that_the_function_changes_is_sent_unchanged() -> None:
    def extend(data, total, names):
        names.append("y")
        first = total.sum(data["x"]) * 1
        return [first, len(names), total.count(data["x"])]

    function = make(extend, names=list[str])
    assert run_at_nodes(function, NODES, names=["x"]).result == [ROWS["x"].sum(), 2, 24]
    assert Federation.prove(function, ROWS, names=["x"]) == [ROWS["x"].sum(), 2, 24]


def test_a_draw_in_a_lazy_value_is_refused() -> None:
    @federated
    def draw(data: pd.DataFrame, total: Aggregator) -> float:
        first = total.add(lambda: float(data["x"].sum() * total.rng.normal()))
        return first + total.rng.normal()

    with pytest.raises(TotalRefused, match=r"the function that total\.add calls in line \d+ draws from total\.rng"):
        run_at_nodes(draw, NODES)


def test_columns_with_one_name_twice_are_refused() -> None:
    @federated
    def cross(data: pd.DataFrame, total: Aggregator) -> float:
        table = pd.crosstab(data["g"], data["gap"])
        table.columns = ["n"] * len(table.columns)
        return float(total.add(table).to_numpy().sum())

    with pytest.raises(NodesDisagree, match="has different labels at two nodes, some of them twice"):
        run_at_nodes(cross, NODES[1:])


def test_the_message_names_the_node_that_continues() -> None:
    def first_part(data, total):
        first, *_ = [total.sum(part["x"]) for _, part in data.groupby("g", sort=False)]
        return first

    nodes = [ROWS.iloc[:1], ROWS.iloc[3:4], ROWS.iloc[:2]]
    with pytest.raises(NodesDisagree, match="node 1 returns a result, node 3 requests a sum in line"):
        run_at_nodes(make(first_part), nodes)


def test_labels_of_several_types_have_one_order() -> None:
    @federated
    def sums(data: pd.DataFrame, total: Aggregator) -> list[Any]:
        return list(total.sum(data["x"], by=data["mixed"]).index)

    table = ROWS.assign(mixed=pd.Series([1, "a"] * 6 + [2, 2.5] * 6, dtype=object))
    nodes = [table.iloc[:12], table.iloc[12:].assign(mixed=table["mixed"].iloc[12:].astype(float))]
    assert run_at_nodes(sums, nodes).result == sums(table, Pooled()) == [1, 2, 2.5, "a"]


def test_levels_that_do_not_fit_the_groups_are_refused() -> None:
    @federated
    def sums_by_two(data: pd.DataFrame, total: Aggregator) -> list[float]:
        return list(total.sum(data["x"], by=[data["g"], data["whole"]], levels=["m", "f"]))

    with pytest.raises(TotalRefused, match="has levels= that do not fit by="):
        run_at_nodes(sums_by_two, NODES)
