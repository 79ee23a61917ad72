"""The reductions of ``aggregate`` agree with pandas and numpy in each form of data, and hide cells of few records."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotools import aggregate
from algotools.disclosure.facts import Matches, Permission
from algotools.disclosure.register import Register, use_register
from algotools.disclosure.tables import ReadTables
from algotools.errors import TotalRefused
from algotools.payload import encode_plain

from ..conftest import examples

OPEN = Register(Permission())

FORMS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "lazy": lambda frame: pl.from_pandas(frame).lazy(),
    "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "duckdb": duckdb.from_df,
    "ibis": ibis.memtable,
}


def select(table: Any, name: str) -> Any:
    """Return a column as an author selects it."""
    if isinstance(table, (pl.LazyFrame, duckdb.DuckDBPyRelation)):
        return table.select(name if isinstance(table, pl.LazyFrame) else f'"{name}"')
    return table[name]


def to_series(table: Any) -> pd.Series:
    """Return the only column of a lazy form as a Series."""
    return table.iloc[:, 0] if isinstance(table, pd.DataFrame) else table


numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
tables = st.lists(st.tuples(numbers | st.none(), st.sampled_from("abc")), min_size=1, max_size=40).map(
    lambda rows: pd.DataFrame(
        {"x": np.array([value for value, _ in rows], dtype=float), "g": pd.Series([g for _, g in rows], dtype=object)}
    )
)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "Int64"])
def test_the_sum_of_whole_numbers_is_an_int_that_is_exact(dtype: str) -> None:
    column = pd.Series([250, 3, 0], dtype=dtype)
    assert repr(aggregate.sum(column)) == repr(aggregate.sum(column.to_numpy(dtype="int64"))) == "253"
    assert repr(aggregate.sum(column.astype(float))) == "253.0"
    assert repr(aggregate.sum(pd.Series([2**62, 2**62]))) == repr(2.0**63)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=examples(20))
@given(frame=tables)
def test_reductions_agree_with_pandas(form: str, frame: pd.DataFrame) -> None:
    table, x = FORMS[form](frame), frame["x"]
    column, group = select(table, "x"), select(table, "g")
    with use_register(OPEN):
        assert np.ravel(aggregate.count(column)) == x.count()
        assert np.ravel(aggregate.sum(column)) == pytest.approx(x.sum())
        assert np.ravel(aggregate.mean(column)) == pytest.approx(x.mean(), nan_ok=True)
        assert np.ravel(aggregate.variance(column)) == pytest.approx(x.var(), nan_ok=True, rel=1e-6, abs=1e-6)
        assert aggregate.table(group) == frame["g"].value_counts().to_dict()
        assert aggregate.levels(group) == sorted(set(frame["g"]))
        sums = to_series(aggregate.sum(column, by=group))
        assert sums.to_dict() == pytest.approx(frame.groupby("g")["x"].sum().to_dict())
        means = aggregate.by_group(table, "x", "g", "mean")
        assert means == pytest.approx(frame.groupby("g")["x"].mean().to_dict(), nan_ok=True)
        bins = aggregate.histogram(column, [-1e6, -10.0, 0.0, 1e6])
        assert bins == np.histogram(x.dropna(), [-1e6, -10.0, 0.0, 1e6])[0].tolist()


@given(values=st.lists(numbers, min_size=3, max_size=40), order=st.integers(1, 4))
def test_moments_are_means_of_powers(values: list[float], order: int) -> None:
    with use_register(OPEN):
        moments = aggregate.moments(pd.Series(values), order)
    deviations = np.array(values) - np.mean(values)
    expected = [np.mean(values), *(np.mean(deviations**power) for power in range(2, order + 1))]
    assert moments == pytest.approx(expected, rel=1e-6, abs=1e-3)


@given(values=st.lists(numbers, min_size=1, max_size=30), q=st.floats(0, 1))
def test_a_quantile_is_the_mean_of_neighbours(values: list[float], q: float) -> None:
    with use_register(OPEN):
        one = aggregate.quantile(pd.Series(values), q)
    assert one in {float(np.quantile(values, q, method=method)) for method in ("lower", "higher")}
    three = aggregate.quantile(pd.Series(values), q)
    ordered = sorted(values)
    windows = [ordered[start : start + 3] for start in range(max(len(values) - 2, 1))]
    assert any(three == pytest.approx(np.mean(window)) for window in windows)


def test_a_cross_product_agrees_with_numpy() -> None:
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(30, 3)), rng.normal(size=30), rng.uniform(size=30)
    np.testing.assert_allclose(aggregate.cross_product(x), x.T @ x)
    np.testing.assert_allclose(aggregate.cross_product(pd.DataFrame(x), pd.Series(y), weights=w), x.T @ (w * y))


ROWS = 60
FRAME = pd.DataFrame(
    {
        "age": np.random.default_rng(0).integers(200, 900, ROWS) / 10,
        "sex": ["F", "M"] * 30,
        "group": ["a"] * 40 + ["b"] * 18 + ["rare"] * 2,
        "grade": [1] * 30 + [2] * 28 + [3] * 2,
    }
)


def run(function: Callable[[Any], object], table: Any = FRAME, form: str = "pandas", **limits: Any) -> Matches:
    """Return the facts about the result of a function."""
    reads = ReadTables()
    reads.add("default", form, table, limits.pop("person", None))
    register = Register(Permission(is_judged=True, **limits), reads)
    with use_register(register):
        return reads.match_result(encode_plain(function(table)).data, (), tuple, register)


def list_records(matches: Matches) -> list[int]:
    return sorted(part.evidence.records for part in matches.evidence)


@pytest.mark.parametrize("form", FORMS)
def test_small_cells_are_hidden_in_each_form(form: str) -> None:
    table = FORMS[form](FRAME)
    group, sex = select(table, "group"), select(table, "sex")
    assert aggregate.table(group) == {"a": 40, "b": 18}
    assert aggregate.levels(group) == ["a", "b"]
    assert aggregate.by_group(table, "age", "group", "mean").keys() == {"a", "b"}
    assert to_series(aggregate.count(select(table, "age"), by=group)).to_dict() == {"a": 40, "b": 18}
    assert aggregate.table(group, sex) == {"a": {"F": 20, "M": 20}, "b": {"F": 9, "M": 9}}
    means = to_series(aggregate.mean(select(table, "age"), by=group, levels=["a", "rare", "none"]))
    assert means.isna().tolist() == [False, True, True]
    assert aggregate.histogram(select(table, "age"), [0, 1, 1e3]) == [0, ROWS]


def test_a_hidden_cell_of_a_table_is_none() -> None:
    frame = pd.DataFrame({"a": list("xxxxxyyyyy"), "b": list("ppppqpqqqq")})
    assert aggregate.table(frame["a"], frame["b"]) == {"x": {"p": 4, "q": None}, "y": {"p": None, "q": 4}}
    assert aggregate.histogram(pd.Series([1.0, 2, 2, 3, 3, 3, 3]), [1, 2, 3, 4]) == [None, None, 4]


def test_hidden_cells_are_counted_and_their_margins_reported() -> None:
    matches = run(lambda table: aggregate.table(table["group"]))
    assert matches.withheld == 1
    assert [(part.cells, part.records) for part in matches.hidden_cells] == [(1, 2)]
    total = run(lambda table: [aggregate.table(table["group"]), aggregate.count(table["group"])])
    [evidence] = [part.evidence for part in total.evidence if part.evidence.operation == "aggregate.count"]
    assert evidence.row_set == total.hidden_cells[0].row_set


def test_the_margins_of_a_cross_table_are_rows_and_columns() -> None:
    frame = pd.DataFrame({"a": list("x" * 10 + "y" * 10), "b": list("p" * 8 + "q" * 2 + "p" * 5 + "q" * 5)})
    matches = run(lambda table: aggregate.table(table["a"], table["b"]), frame)
    # The whole, the row x and the column q have the one hidden cell.
    assert [(part.cells, part.records) for part in matches.hidden_cells] == [(1, 2)] * 3
    assert matches.withheld == 1


def test_a_table_that_is_not_returned_hides_nothing() -> None:
    assert run(lambda table: [aggregate.table(table["group"]), 7.5][1:]).hidden_cells == ()


def test_the_cells_have_their_records_and_labels() -> None:
    matches = run(lambda table: aggregate.sum(table["age"], by=table["group"]))
    assert list_records(matches) == [18, 40]
    assert matches.texts_with_evidence == {"a": 40, "b": 18}
    levels = run(lambda table: aggregate.levels(table["grade"]))
    assert list_records(levels) == [28, 30]


def test_small_cells_are_reported_if_they_are_refused() -> None:
    matches = run(lambda table: aggregate.table(table["group"]), small_cells="refuse")
    assert list_records(matches) == [2, 18, 40]
    assert matches.texts_with_evidence["rare"] == 2
    assert matches.withheld == 0


def test_cells_are_rounded() -> None:
    frame = pd.DataFrame({"a": list("x" * 10 + "y" * 12), "b": list("p" * 8 + "q" * 2 + "p" * 4 + "q" * 8)})
    results: list[Any] = []
    matches = run(
        lambda table: results.append(aggregate.table(table["a"], table["b"])) or results[0], frame, small_cells="round"
    )
    assert results == [{"x": {"p": 10, "q": 0}, "y": {"p": 5, "q": 10}}]
    assert set(list_records(matches)) == {22}
    assert matches.hidden_cells == ()
    assert matches.withheld == 1


def test_groups_are_of_persons() -> None:
    frame = pd.DataFrame({"person": np.repeat(np.arange(8), 5), "group": ["a"] * 30 + ["b"] * 10, "x": 1.5})
    matches = run(lambda table: aggregate.table(table["group"]), frame, person="person")
    assert list_records(matches) == [6]
    assert matches.withheld == 1


@pytest.mark.parametrize("form", ["polars", "lazy", "arrow", "duckdb", "ibis"])
def test_groups_are_of_persons_in_each_form(form: str) -> None:
    frame = pd.DataFrame({"person": np.repeat(np.arange(8), 5), "group": ["a"] * 30 + ["b"] * 10, "x": 1.5})
    matches = run(
        lambda table: [aggregate.table(select(table, "group")), aggregate.sum(select(table, "x"))],
        FORMS[form](frame),
        form,
        person="person",
    )
    assert list_records(matches) == [6, 8]
    assert matches.withheld == 1


def test_the_variance_by_group_agrees_with_pandas() -> None:
    variances = aggregate.variance(FRAME["age"], by=FRAME["sex"])
    assert variances.to_dict() == pytest.approx(FRAME.groupby("sex")["age"].var().to_dict())


def test_a_function_reduces_each_group() -> None:
    medians = aggregate.by_group(FRAME, "age", "sex", lambda ages: aggregate.quantile(ages, 0.5))
    assert medians.keys() == {"F", "M"}
    with pytest.raises(TotalRefused, match="unknown statistic"):
        aggregate.by_group(FRAME, "age", "sex", "median")


def test_an_extreme_has_few_records() -> None:
    matches = run(lambda table: aggregate.quantile(table["age"], [0, 0.5, 1]))
    assert list_records(matches) == [1, 3]
    assert list_records(run(lambda table: aggregate.quantile(table["age"], 0.5), minimum_records=10)) == [10]


def test_a_dummy_of_one_person_is_visible() -> None:
    design = pd.DataFrame({"one": 1.0, "age": FRAME["age"], "first": (FRAME.index == 0).astype(float)})
    [part] = run(lambda _: aggregate.cross_product(design)).evidence
    assert (part.evidence.records, part.evidence.parameters) == (1, 1)


def test_the_parameters_per_record_are_those_of_all_rows() -> None:
    """A dummy variable of 6 of 60 records does not make a model of 5 parameters one of 6 records."""
    rng = np.random.default_rng(0)
    design = pd.DataFrame(rng.uniform(1, 2, (ROWS, 4)), columns=list("abcd")).assign(rare=np.arange(ROWS) < 6)
    [part] = run(lambda _: aggregate.cross_product(design)).evidence
    assert (part.evidence.records, part.evidence.parameters) == (6, 1)
    few_rows = FRAME[["age", "grade"]].head(6)
    [part] = run(lambda _: aggregate.cross_product(few_rows)).evidence
    assert (part.evidence.records, part.evidence.parameters) == (6, 2)


def test_forged_weights_are_visible() -> None:
    weights = np.where(np.arange(ROWS) == 3, 1.0, 1e-9)
    [part] = run(lambda table: aggregate.cross_product(table[["age"]], weights=weights)).evidence
    assert part.evidence.records == 1
    equal = run(lambda table: aggregate.cross_product(table[["age"]], weights=np.ones(ROWS)))
    assert list_records(equal) == [ROWS]


def test_declared_and_derived_numbers() -> None:
    matches = run(lambda table: aggregate.declare({"slope": [1.25, 2.5], "n": ROWS}, records=ROWS, parameters=2))
    [part] = matches.evidence
    assert (part.evidence.records, part.evidence.parameters, part.evidence.is_stated) == (ROWS, 2, True)

    def derive(table: pd.DataFrame) -> object:
        mean = aggregate.mean(table["age"])
        sums = aggregate.sum(table["age"], by=table["group"], levels=["a", "b"])
        return [aggregate.derive(round(mean, 1), mean), aggregate.derive(mean - sums["b"] / 18, mean, sums["b"])]

    assert list_records(run(derive)) == [18, ROWS]
    assert run(lambda _: aggregate.derive(0.125, 7.5)).evidence == ()


def test_a_group_table_loses_the_rows_of_few_records() -> None:
    groups = FRAME.groupby("group")["age"].agg(["mean", "size"]).reset_index()
    for form, convert in FORMS.items():
        table = convert(groups)
        shown = aggregate.suppress(table, records="size")
        assert len(shown) == 2, form
        assert type(shown) is type(table) or isinstance(shown, pd.DataFrame)
    matches = run(lambda _: aggregate.suppress(groups, records="size").to_dict("list"))
    assert list_records(matches) == [18, 40]
    assert matches.texts_with_evidence == {"a": 40, "b": 18}
    assert matches.withheld == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aggregate.sum(5), "aggregate.sum in line [0-9]+ is an int, not rows; aggregate.declare declares"),
        (lambda: aggregate.mean(pd.Series(["a"])), "count them with aggregate.table"),
        (lambda: aggregate.histogram(FRAME["age"], [3, 1]), "needs edges"),
        (lambda: aggregate.quantile(FRAME["age"], 2), "is not between 0 and 1"),
        (lambda: aggregate.declare(1.5, records=-1), "records= that is not a whole number"),
        (lambda: aggregate.suppress(FRAME), "is not a table with the column that records= names"),
        (lambda: aggregate.by_group(FRAME, "age", "name", "mean"), "is not a table with the two columns"),
        (
            lambda: aggregate.by_group(FRAME, "age", ["sex", "group"], "mean"),
            "by= of aggregate.mean and others can be a list",
        ),
        (lambda: aggregate.moments(FRAME["age"], 0), "order that is not a whole number"),
    ],
)
def test_a_value_that_cannot_be_reduced_names_the_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TotalRefused, match=message) as refused:
        call()
    assert f"line {call.__code__.co_firstlineno} " in refused.value.message


def test_nothing_is_nan_by_chance() -> None:
    assert math.isnan(aggregate.mean(FRAME["age"].head(0)))
    assert aggregate.table(FRAME["group"].head(0)) == {}
    assert aggregate.levels(FRAME["group"].head(0)) == []
