"""Reductions in careless code: one person's value does not leave, and honest data of each type is reduced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from algotools import Federation, aggregate, rpc
from algotools.disclosure.facts import Permission
from algotools.disclosure.reductions.records import find_records
from algotools.disclosure.register import Register
from algotools.disclosure.tables import ReadTables
from algotools.errors import RunsFailed, TotalRefused

FRAME = pd.DataFrame(
    {
        "age": [97.3 if row == 7 else 20.5 + (37 * row) % 61 for row in range(60)],
        "weight": [None if row % 9 == 4 else 50.25 + (7 * row) % 61 for row in range(60)],
        "sex": ["F", "M"] * 30,
    }
)


def run(function: Callable[[pd.DataFrame], object], frame: pd.DataFrame = FRAME, undeclared: str = "refuse") -> Any:
    """Return the result of a function at a node; by default, the node requires evidence."""

    def careless(data: pd.DataFrame) -> object:
        return function(data)

    careless.__annotations__ = {"data": pd.DataFrame}
    algorithm = rpc(careless)
    with Federation(
        {"alpha": frame}, algorithm=[algorithm], runner="inline", policy={"undeclared": undeclared}
    ) as nodes:
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


FORMS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["age", "weight"])
def test_repeated_rows_are_counted_once_in_each_form(form: str, name: str) -> None:
    reads = ReadTables()
    reads.add("default", form, FORMS[form](FRAME))
    rows = FRAME.loc[[7, 7, 8, 14, 14, 14, 7, 8]].reset_index(drop=True)
    for column in (rows[name], rows[name].convert_dtypes()):
        assert find_records(Register(Permission(is_judged=True), reads), column).count_records() == 3


def test_several_quantiles_of_a_column_leave() -> None:
    probabilities = [0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9]
    assert len(run(lambda data: aggregate.quantile(data["age"], probabilities))) == len(probabilities)
    assert find_rule(lambda data: [aggregate.quantile(data["age"], q / 40) for q in range(3, 37)]) == "numbers"


def test_a_condition_by_group_is_refused_beside_the_groups() -> None:
    def count(data: pd.DataFrame, limit: float) -> dict[str, object]:
        is_young = aggregate.sum(data["age"] < limit, by=data["sex"])
        return {"young": is_young.to_dict(), "all": aggregate.count(data["age"], by=data["sex"]).to_dict()}

    assert find_rule(lambda data: count(data, 90)) == "difference"
    assert run(lambda data: count(data, 50))["all"] == {"F": 30, "M": 30}


@pytest.mark.parametrize("statistic", ["sum", "mean"])
def test_a_total_of_pandas_beside_a_table_with_a_hidden_cell_is_refused(statistic: str) -> None:
    frame = FRAME.assign(ward=["surgery"] * 30 + ["geriatrics"] * 28 + ["isolation"] * 2)

    def describe(data: pd.DataFrame, *, with_total: bool) -> dict[str, object]:
        wards = getattr(aggregate, statistic)(data["weight"], by=data["ward"])
        total = float(getattr(data["weight"], statistic)())
        return {"wards": wards.to_dict(), "total": total if with_total else 0.0}

    with pytest.raises(RunsFailed, match="rule margin"):
        run(lambda data: describe(data, with_total=True), frame, "structure")
    assert run(lambda data: describe(data, with_total=False), frame, "structure")["wards"].keys() == {
        "surgery",
        "geriatrics",
    }


def list_mistakes(data: pd.DataFrame) -> dict[str, Callable[[], object]]:
    """Return calls with mistakes, by a part of the message."""
    age, sex = data["age"], data["sex"]
    return {
        "sum .* in another order than by=": lambda: aggregate.sum(age, by=sex.sort_values()),
        "variance .* in another order than by=": lambda: aggregate.variance(age, by=sex.sort_values()),
        "cross_product .* in another order than x": lambda: aggregate.cross_product(data[["age"]], age.sort_values()),
        "mean .* empty list in by=": lambda: aggregate.mean(age, by=[]),
        "count .* lists or dicts": lambda: aggregate.count(age, by=pd.Series([[1], [2]] * 30)),
        "table .* different numbers of rows": lambda: aggregate.table(sex, sex.head(3)),
        "sum .* levels= with lists": lambda: aggregate.sum(age, by=sex, levels=[["F"], ["M"]]),
        "histogram .* needs edges": lambda: aggregate.histogram(age, ["a"]),
        "quantile .* probability that is not a number": lambda: aggregate.quantile(age, "a"),
        "variance .* ddof= that is not a number": lambda: aggregate.variance(age, ddof=cast(Any, "a")),
        "suppress .* values that are not numbers": lambda: aggregate.suppress(data, records="sex"),
        "by_group .* two columns": lambda: aggregate.by_group(data, "size", "sex", "mean"),
    }


@pytest.mark.parametrize("message", list_mistakes(FRAME))
def test_a_mistake_is_named(message: str) -> None:
    with pytest.raises(TotalRefused, match=rf"aggregate\.{message}"):
        list_mistakes(FRAME)[message]()


def test_filtered_rows_with_their_groups_are_reduced() -> None:
    old = FRAME[FRAME["age"] > 40].sort_values("weight")
    expected = old.groupby("sex")["age"].sum().to_dict()
    assert aggregate.sum(old["age"], by=old["sex"]).to_dict() == pytest.approx(expected)
    assert aggregate.sum(old["age"], by=old["sex"].reset_index(drop=True)).to_dict() == pytest.approx(expected)


MASKS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "where": lambda data: data["age"].where(data["age"] <= 89, 0),
    "product": lambda data: data["age"] * (data["age"] <= 89),
    "array": lambda data: np.where(data["age"] <= 89, data["age"], 0),
    "other value": lambda data: data["age"].where(data["age"] <= 89, 50),
    "clip": lambda data: data["age"].clip(upper=89),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("statistic", ["sum", "mean", "variance"])
def test_values_that_a_condition_replaces_for_few_records_are_refused_beside_all_values(
    mask: str, statistic: str
) -> None:
    def describe(data: pd.DataFrame) -> dict[str, object]:
        reduce = getattr(aggregate, statistic)
        return {"masked": reduce(MASKS[mask](data)), "all": reduce(data["age"])}

    assert find_rule(describe) == "difference"


def test_a_product_without_a_name_is_compared_and_cells_of_groups() -> None:
    def multiply(data: pd.DataFrame) -> dict[str, object]:
        is_young = (data["age"] <= 89).astype(int)
        return {"young": aggregate.sum(data["age"] * is_young.rename("x")), "all": aggregate.sum(data["age"])}

    def group(data: pd.DataFrame) -> dict[str, object]:
        young = data["age"].where(data["age"] <= 89, 0)
        return {
            "young": aggregate.sum(young, by=data["sex"]).to_dict(),
            "all": aggregate.sum(data["age"], by=data["sex"]).to_dict(),
        }

    assert find_rule(multiply) == "difference"
    assert find_rule(group) == "difference"


def test_zeros_of_a_column_and_of_its_transformations_are_no_difference() -> None:
    frame = FRAME.assign(age=[float(row) for row in range(60)], died=[1] * 58 + [0] * 2, ill=[1] * 60)

    def describe(data: pd.DataFrame) -> dict[str, object]:
        age = data["age"]
        return {
            "n": aggregate.count(age),
            "sum": aggregate.sum(age),
            "variance": aggregate.variance(age),
            "squares": aggregate.sum((age - 30) ** 2),
            "logarithms": aggregate.sum(np.log1p(age)),
            "died": aggregate.sum(data["died"]),
            "ill": aggregate.sum(data["ill"]),
            "means": aggregate.mean(age, by=data["sex"]).to_dict(),
        }

    assert run(describe, frame)["n"] == 60


def test_a_total_beside_groups_that_few_records_miss_is_refused() -> None:
    def describe(data: pd.DataFrame, limit: float, statistic: str = "sum") -> dict[str, object]:
        reduce = getattr(aggregate, statistic)
        groups = reduce(data["age"], by=data["sex"].where(data["age"] <= limit))
        return {"groups": groups.to_dict(), "total": reduce(data["age"])}

    assert find_rule(lambda data: describe(data, 89)) == "margin"
    assert find_rule(lambda data: describe(data, 89, "mean")) == "margin"
    assert find_rule(lambda data: {**describe(data, 89), "total": aggregate.mean(data["age"])}) == "margin"
    assert run(lambda data: describe(data, 100))["groups"].keys() == {"F", "M"}
    assert run(lambda data: describe(data, 60))["groups"].keys() == {"F", "M"}
    assert run(lambda data: describe(data, 89, "count"))["total"] == 60


CELLS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "extreme": lambda data: float(data["age"].max()),
    "echo": lambda data: float(data["exact"].iloc[12]),
}


@pytest.mark.parametrize("undeclared", ["refuse", "structure"])
@pytest.mark.parametrize("rule", CELLS)
def test_stated_evidence_does_not_cover_a_cell(rule: str, undeclared: str) -> None:
    frame = FRAME.assign(exact=FRAME["age"] / 7)
    with pytest.raises(RunsFailed, match=f"rule {rule}"):
        run(lambda data: aggregate.derive(CELLS[rule](data), aggregate.count(data["age"])), frame, undeclared)
    with pytest.raises(RunsFailed, match=f"rule {rule}"):
        run(lambda data: {"n": -aggregate.declare(CELLS[rule](data), records=len(data))}, frame, undeclared)


def test_rounded_numbers_and_thresholds_that_are_cells_leave() -> None:
    def describe(data: pd.DataFrame) -> dict[str, object]:
        mean = aggregate.mean(data["age"])
        return {
            "rounded": aggregate.derive(49.5, mean),
            "threshold": aggregate.declare([97.3], records=len(data), parameters=2),
            "sum": aggregate.sum(data["age"]),
        }

    assert FRAME["age"].isin([49.5]).sum() == 1
    assert run(describe)["rounded"] == 49.5


def test_numbers_of_the_source_need_no_evidence() -> None:
    @rpc
    def count(data: pd.DataFrame, *, is_careless: bool) -> dict[str, object]:
        edges = [-5.5, 20, 40.25, 60, 120]
        older = int((data["age"] > 40.25).sum()) if is_careless else 60
        return {"edges": edges, "counts": aggregate.histogram(data["age"], edges), "older": older}

    with Federation({"alpha": FRAME}, algorithm=[count], runner="inline", policy={"undeclared": "refuse"}) as nodes:
        assert nodes.run(count, at="alpha", is_careless=False)[0]["edges"] == [-5.5, 20, 40.25, 60, 120]
        with pytest.raises(RunsFailed, match="rule undeclared"):
            nodes.run(count, at="alpha", is_careless=True)
