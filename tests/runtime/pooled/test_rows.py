"""Totals over nodes equal those of pandas, numpy and scipy over one table, for rows of every kind."""

from __future__ import annotations

import datetime
import decimal
import itertools
from collections.abc import Sequence
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st

from algotools import Pooled
from algotools.disclosure.reductions import rows
from algotools.errors import TotalRefused
from algotools.payload import decode_rich, encode_rich
from algotools.runtime.pooled._combine import ShapesDiffer, combine
from algotools.runtime.pooled.aggregator import Aggregator, TotalRequest

from ...conftest import examples


class Parts:
    """The rows of several nodes, in the place of the rows of one."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = parts


class AtNodes(Aggregator):
    """Totals over parts: what nodes contribute is encoded and combined as in a task."""

    def request_parts(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        count = next(len(value.parts) for value in arguments if isinstance(value, Parts))
        self.contributions: list[Any] = []
        for i in range(count):
            self.result = getattr(self, method)(
                *(value.parts[i] if isinstance(value, Parts) else value for value in arguments),
                **{name: value.parts[i] if isinstance(value, Parts) else value for name, value in keywords.items()},
            )
        return self.result

    def _request(self, request: TotalRequest) -> Any:
        self.contributions.append(decode_rich(encode_rich(self._reduce(request))))
        return request.finish(add_up(request.combine, self.contributions))


def add_up(way: str, contributions: Sequence[Any]) -> Any:
    return decode_rich(encode_rich(combine(way, contributions)))


def cut(rows: Any, cuts: Sequence[int]) -> Parts:
    """Return parts of rows, some of them empty."""
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    select = rows.iloc if hasattr(rows, "iloc") else rows
    return Parts([select[a:b] for a, b in itertools.pairwise(edges)])


FLOATS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1.5, 1.5, 2.0])
CUTS = st.lists(st.integers(0, 20), min_size=1, max_size=3)
MISSING = st.none() | FLOATS
LEVELS = st.sampled_from(["b", "a", "c", None])


def compute(method: str, *arguments: Any, **keywords: Any) -> Any:
    return AtNodes().request_parts(method, *arguments, **keywords)


@pytest.mark.filterwarnings("ignore:Precision loss occurred:RuntimeWarning")  # scipy, for values that are nearly equal
@given(values=st.lists(MISSING, max_size=20), cuts=CUTS)
def test_moments_equal_those_of_numpy_and_scipy(values: list[float | None], cuts: list[int]) -> None:
    column = pd.Series(values, dtype=float)
    present = column.dropna().to_numpy()
    parts = cut(column, cuts)
    assert compute("count", parts) == len(present)
    np.testing.assert_allclose(compute("sum", parts), present.sum(), rtol=1e-9, atol=1e-6)
    scale = max(np.abs(present).max(initial=0), 1)
    mean = present.mean() if len(present) else np.nan
    np.testing.assert_allclose(compute("mean", parts), mean, rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(compute("variance", parts), column.var(), rtol=1e-9, atol=1e-9 * scale**2)
    expected = [mean, *(scipy.stats.moment(present, k) if len(present) else np.nan for k in (2, 3, 4))]
    for order, (moment, peer) in enumerate(zip(compute("moments", parts, 4), expected, strict=True), start=1):
        np.testing.assert_allclose(moment, peer, rtol=1e-9, atol=1e-9 * scale**order)
    assert compute("minimum", parts) == pytest.approx(column.min(), nan_ok=True)
    assert compute("maximum", parts) == pytest.approx(column.max(), nan_ok=True)


def test_the_variance_of_a_large_mean_keeps_its_digits() -> None:
    values = np.random.default_rng(1).normal(size=60)
    parts = cut(pd.Series(values + 1e9), [1, 7, 7])
    assert compute("variance", parts) == pytest.approx((values + 1e9).var(ddof=1), rel=1e-7)
    assert compute("moments", parts, 3)[2] == pytest.approx(scipy.stats.moment(values, 3), rel=1e-5, abs=1e-6)


def test_the_variance_by_group_keeps_its_digits() -> None:
    values = np.random.default_rng(1).normal(size=60) + np.repeat([1e9, -1e9], 30)
    groups = np.repeat(["a", "b"], 30)
    variances = compute("variance", cut(values, [1, 40, 40]), by=cut(groups, [1, 40, 40]))
    expected = pd.Series(values).groupby(groups).var()
    np.testing.assert_allclose(variances, expected, rtol=1e-7)
    infinite = np.where(np.arange(60) == 0, np.inf, values)
    assert Pooled().variance(infinite, by=groups).isna().to_dict() == {"a": True, "b": False}


INFINITE = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, 1.0, 5e-324, np.inf, -np.inf])


@given(
    values=st.lists(INFINITE, min_size=1, max_size=20),
    cuts=CUTS,
    q=st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=3),
)
@example(values=[-0.0, -0.0], cuts=[1], q=[0.5])
@example(values=[1.0, 2.0, np.inf], cuts=[0], q=[0.5, 1.0])
def test_quantiles_equal_those_of_numpy_to_the_last_bit(values: list[float], cuts: list[int], q: list[float]) -> None:
    array = np.array(values)

    class Counting(AtNodes):
        def _request(self, request: TotalRequest) -> Any:
            counts = []
            for part in cut(array, cuts).parts:
                bounds = request.reduce(Recorder())
                counts.append(rows.count_parts(part, *bounds))
            return combine("add", counts)

    class Recorder:
        def count_parts(self, _: Any, starts: Any, ends: Any) -> Any:
            return starts, ends

    with np.errstate(all="ignore"):
        expected = np.quantile(array, q)
        np.testing.assert_array_equal(Counting().quantile(array, q), expected)
        assert Pooled().quantile(values, q[0]) == pytest.approx(np.quantile(array, q[0]), rel=0, nan_ok=True)


@given(values=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20), q=st.floats(0, 1))
def test_quantiles_of_integers_equal_those_of_numpy(values: list[int], q: float) -> None:
    assert Pooled().quantile(np.array(values), q) == np.quantile(values, q)
    assert Pooled().quantile(pd.Series(values, dtype="Int64"), q) == np.quantile(values, q)


@given(
    values=st.lists(st.floats(0, 10) | st.integers(0, 10), min_size=1, max_size=30),
    cuts=CUTS,
    q=st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=3),
    edges=st.lists(st.floats(0.5, 9.5), max_size=5).map(lambda inner: [0.0, *sorted(inner), 10.0]),
)
def test_quantiles_in_bins_are_wrong_by_at_most_the_width_of_a_bin(
    values: list[float], cuts: list[int], q: list[float], edges: list[float]
) -> None:
    array = np.array(values, dtype=float)
    in_bins = compute("quantile", cut(array, cuts), q, edges=edges)
    np.testing.assert_array_equal(in_bins, Pooled().quantile(array, q, edges=edges))
    assert np.abs(in_bins - np.quantile(array, q)).max() <= np.diff(edges).max() + 1e-12


def test_quantiles_in_bins_treat_values_as_evenly_spread() -> None:
    ages = np.arange(0, 100) + 0.5
    edges = [0, 25, 50, 100]
    np.testing.assert_allclose(
        Pooled().quantile(ages, [0, 0.1, 0.5, 1], edges=edges), np.quantile(ages, [0, 0.1, 0.5, 1])
    )
    assert Pooled().quantile(ages, 0.5, edges=edges) == pytest.approx(50.0)
    assert np.isnan(Pooled().quantile(ages[:0], 0.5, edges=edges))


def test_values_outside_the_edges_count_and_a_quantile_among_them_is_nan() -> None:
    ages = np.array([-5.0, 10.0, 20.0, 30.0, 999.0])
    quantiles = Pooled().quantile(ages, [0.0, 0.25, 0.5, 0.75, 0.9, 1.0], edges=[9.5, 10.5, 19.5, 20.5, 29.5, 30.5])
    np.testing.assert_array_equal(quantiles, [np.nan, 10.0, 20.0, 30.0, np.nan, np.nan])


@pytest.mark.parametrize("edges", [[0.0], [2.0, 1.0], [0.0, np.inf], [0.0, np.nan]])
def test_edges_that_are_no_bins_are_refused(edges: list[float]) -> None:
    with pytest.raises(TotalRefused, match=r"the value of total\.quantile in line \d+ needs"):
        Pooled().quantile(np.array([1.0, 2.0]), 0.5, edges=edges)


def test_sums_of_booleans_are_counts() -> None:
    total = Pooled()
    rows = pd.DataFrame({"a": [True, False, True], "b": [True, True, True]})
    assert type(total.sum(rows["a"])) is int
    assert total.sum(rows).dtype == total.sum(rows.to_numpy()).dtype == total.sum(rows["a"], by=rows["b"]).dtype == int
    assert total.sum(pd.Series([True, None], dtype="boolean")) == 1
    assert total.sum(rows * 1.0).dtype == float


def test_the_counts_of_a_variance_are_integers_which_a_gate_recognizes() -> None:
    values, groups = Parts([np.array([1.0, 2.5, 4.0])]), Parts([pd.Series(["a", "b", "a"])])
    for request in ({}, {"by": groups}):
        nodes = AtNodes()
        nodes.request_parts("variance", values, **request)
        [contribution] = nodes.contributions
        assert np.asarray(contribution["count"]).dtype == np.int64


ROWS = st.lists(st.tuples(MISSING, LEVELS, LEVELS), max_size=20)
FORMS = ["object", "category", "category with more levels", "string"]


def make_groups(rows: list[Any], form: str) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["x", "g", "h"])
    table["x"] = table["x"].astype(float)
    for name in "gh":
        column = table[name].astype(object)
        kind: Any = {"category with more levels": pd.CategoricalDtype(["c", "b", "a", "z"])}.get(form, form)
        table[name] = column.astype(kind)
    return table


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=examples(15))
@given(rows=ROWS, cuts=CUTS)
def test_sums_by_group_equal_those_of_pandas(form: str, rows: list[Any], cuts: list[int]) -> None:
    table = make_groups(rows, form)
    plain = make_groups(rows, "object")
    parts = {name: cut(table[name], cuts) for name in table}
    for by, keys in (
        (parts["g"], ["g"]),
        (Parts(list(zip(parts["g"].parts, parts["h"].parts, strict=True))), list("gh")),
    ):
        groups = plain.groupby(keys, sort=True)["x"]
        sums, counts = compute("sum", parts["x"], by=by), compute("count", parts["x"], by=by)
        assert list(sums.index) == list(counts.index) == list(groups.sum().index)
        assert list(sums.index.names) == keys
        np.testing.assert_allclose(sums, groups.sum(), rtol=1e-9, atol=1e-6)
        assert counts.tolist() == groups.count().tolist()
        means, variances = compute("mean", parts["x"], by=by), compute("variance", parts["x"], by=by)
        assert list(means.index) == list(variances.index) == list(groups.sum().index)
        np.testing.assert_allclose(means, groups.mean(), rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(variances, groups.var(), rtol=1e-9, atol=1e-3)
    given_levels = compute("sum", parts["x"], by=parts["g"], levels=["c", "z", "a"])
    assert list(given_levels.index) == ["c", "z", "a"]
    expected = plain.groupby("g")["x"].sum().reindex(["c", "z", "a"], fill_value=0.0)
    np.testing.assert_allclose(given_levels, expected, rtol=1e-9, atol=1e-6)
    for verb in ("mean", "variance"):
        complete = compute(verb, parts["x"], by=parts["g"])
        chosen = compute(verb, parts["x"], by=parts["g"], levels=["c", "z", "a"])
        pd.testing.assert_series_equal(chosen, complete.reindex(["c", "z", "a"]), check_index_type=False)
    pairs = Parts(list(zip(parts["g"].parts, parts["h"].parts, strict=True)))
    crossed = compute("count", parts["x"], by=pairs, levels=[["a", "b"], ["c", "a"]])
    assert list(crossed.index) == [("a", "c"), ("a", "a"), ("b", "c"), ("b", "a")]
    assert compute("levels", parts["g"]) == sorted(plain["g"].dropna().unique())


@settings(max_examples=examples(40))
@given(rows=ROWS, cuts=CUTS)
def test_tables_equal_those_of_pandas(rows: list[Any], cuts: list[int]) -> None:
    table = make_groups(rows, "object")
    parts = {name: cut(table[name], cuts) for name in table}
    counts = compute("table", parts["g"])
    expected = table["g"].value_counts().sort_index()
    assert dict(counts) == dict(expected)
    crossed = compute("table", parts["g"], parts["h"])
    complete = table.dropna(subset=["g", "h"])
    if len(complete):
        peer = pd.crosstab(complete["g"], complete["h"])
        assert list(crossed.index) == list(peer.index)
        assert sorted(crossed.columns) == list(peer.columns)
        np.testing.assert_array_equal(crossed[list(peer.columns)], peer)


@given(values=st.lists(st.floats(-100, 100), max_size=20), cuts=CUTS)
def test_histograms_and_products_equal_those_of_numpy(values: list[float], cuts: list[int]) -> None:
    array = np.array(values)
    edges = [-100.0, -1.0, 0.0, 0.5, 100.0]
    np.testing.assert_array_equal(compute("histogram", cut(array, cuts), edges), np.histogram(array, edges)[0])
    x = np.column_stack([np.ones(len(array)), array, array**2])
    parts = cut(x, cuts)
    np.testing.assert_allclose(compute("cross_product", parts), x.T @ x, rtol=1e-9, atol=1e-3)
    np.testing.assert_allclose(compute("cross_product", parts, cut(array, cuts)), x.T @ array, rtol=1e-9, atol=1e-3)
    weighted = compute("cross_product", parts, weights=cut(array**2, cuts))
    np.testing.assert_allclose(weighted, x.T @ (x * (array**2)[:, None]), rtol=1e-9, atol=1e-3)
    np.testing.assert_allclose(compute("sum", parts), x.sum(axis=0), rtol=1e-9, atol=1e-6)


COLUMNS: dict[str, Any] = {
    "floats": pd.Series([1.0, 2.0, np.nan]),
    "float32": pd.Series([1.0, 2.0, np.nan], dtype="float32"),
    "nullable integers": pd.Series([1, 2, None], dtype="Int64"),
    "nullable floats": pd.Series([1, 2, None], dtype="Float64"),
    "objects": pd.Series([1, 2.0, None], dtype=object),
    "objects with NA": pd.Series([1, 2.0, pd.NA], dtype=object),
    "decimals": pd.Series([decimal.Decimal("1.0"), decimal.Decimal(2), None]),
    "arrow integers": pd.Series([1, 2, None], dtype="int64[pyarrow]"),
    "arrow decimals": pd.Series(
        [decimal.Decimal(1), decimal.Decimal(2), None], dtype=pd.ArrowDtype(pa.decimal128(5, 2))
    ),
    "polars": pl.Series([1, 2, None]),
    "polars decimals": pl.Series([decimal.Decimal(1), decimal.Decimal(2), None]),
    "arrow array": pa.array([1, 2, None]),
    "arrow chunks": pa.chunked_array([[1], [2, None]]),
    "list": [1.0, 2.0, np.nan],
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_numbers_of_every_library_give_the_same_totals(column: Any) -> None:
    total = Pooled()
    if not isinstance(column, list):  # numpy keeps NaN
        assert total.sum(column) == 3.0
    assert total.count(column) == 2
    assert total.mean(column) == 1.5
    assert total.variance(column) == 0.5
    assert total.minimum(column) == 1.0
    assert total.maximum(column) == 2.0
    assert total.quantile(column, 0.5) == 1.5
    assert total.histogram(column, [0, 1.5, 3]).tolist() == [1, 1]
    assert total.sum(column, by=pd.Series(["a", "a", "b"])).to_dict() == {"a": 3.0, "b": 0.0} or isinstance(
        column, list
    )
    assert total.levels(column) == [1, 2]


@pytest.mark.parametrize("column", [pd.Series([True, False, None], dtype="boolean"), pd.Series([True, False])])
def test_booleans_are_numbers(column: Any) -> None:
    total = Pooled()
    assert total.sum(column) == 1.0
    assert total.mean(column) == 0.5
    assert total.sum(column, by=pd.Series(["a"] * len(column))).to_dict() == {"a": 1.0}


REFUSED_ROWS: dict[str, Any] = {
    "dates": pd.Series(pd.to_datetime(["2020-01-01"])),
    "date objects": pd.Series([datetime.date(2020, 1, 1)]),
    "durations": pd.Series(pd.to_timedelta([1], unit="D")),
    "numpy dates": np.array(["2020-01-01"], dtype="datetime64[D]"),
    "texts": pd.Series(["1", "2"]),
    "text objects": pd.Series(["1", "2"], dtype=object),
    "numpy texts": np.array(["1", "2"]),
    "categories": pd.Series([1, 2], dtype="category"),
    "lists": pd.Series([[1], [2]]),
    "a table with a text": pd.DataFrame({"a": [1.0], "b": ["x"]}),
    "polars dates": pl.Series([datetime.date(2020, 1, 1)]),
    "an arrow scalar": pa.scalar(1.0),
    "a polars expression": pl.col("a"),
    "a generator": (i for i in range(3)),
    "a dict": {"a": 1},
    "nothing": None,
}


@pytest.mark.parametrize("verb", ["sum", "mean", "variance", "minimum", "maximum", "cross_product"])
@pytest.mark.parametrize("rows", REFUSED_ROWS.values(), ids=REFUSED_ROWS)
def test_values_that_are_not_numbers_are_refused(rows: Any, verb: str) -> None:
    with pytest.raises(TotalRefused, match=f"the value of total.{verb} in line "):
        getattr(Pooled(), verb)(rows)


def test_sums_of_large_integers_do_not_overflow() -> None:
    rows = pd.Series([2**62] * 4)
    assert Pooled().sum(rows) == 2.0**64
    assert Pooled().sum(pd.DataFrame({"a": rows}))["a"] == 2.0**64
    assert Pooled().sum(rows.to_numpy()) == 2.0**64
    assert Pooled().sum(rows, by=pd.Series(["a"] * 4))["a"] == 2.0**64
    assert Pooled().sum(rows.astype("Int64")) == 2.0**64
    assert combine("add", [2**62] * 4) == 2**64


def test_numbers_of_several_types_add_up() -> None:
    assert combine("add", [0, 2.5, 1]) == 3.5
    assert combine("add", [1, 2]) == 3
    assert combine("add", [1, 2j]) == 1 + 2j
    small = AtNodes().request_parts("add", Parts([np.array([100], dtype=np.int8)] * 3))
    assert small.tolist() == [300]
    assert compute("add", Parts([np.float32(0.1)] * 2)) == pytest.approx(2 * np.float64(np.float32(0.1)), rel=1e-15)
    assert compute("add", Parts([True, False, True])) == 2


def test_labelled_values_add_up_by_label() -> None:
    a = pd.Series([1, 2], index=pd.Index(["x", "y"], name="level"), dtype="Int64")
    b = pd.Series([10, None], index=pd.Index(["y", "z"], name="level"), dtype="Int64")
    added = compute("add", Parts([a, b.fillna(0), a.iloc[:0]]))
    assert added.to_dict() == {"x": 1, "y": 12, "z": 0}
    assert np.isnan(compute("add", Parts([a, b]))["z"])
    categories = pd.Series([1.0, 2.0], index=pd.CategoricalIndex(["x", "y"], name="level"))
    assert compute("add", Parts([categories, a.iloc[:1]])).to_dict() == {"x": 2.0, "y": 2.0}
    pairs = pd.DataFrame({"n": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["a", "b"]))
    total = compute("add", Parts([pairs, pairs.iloc[:0], pairs.iloc[1:].rename(columns={"n": "m"})]))
    assert total.to_dict() == {"m": {("x", 1): 0, ("y", 2): 2}, "n": {("x", 1): 1, ("y", 2): 2}}
    nested = compute("add", Parts([{"a": 1, "b": {"c": 2.0}}, {"a": 1}, {"b": {"d": 1.0}}]))
    assert nested == {"a": 2, "b": {"c": 2.0, "d": 1.0}}


@pytest.mark.parametrize(
    "values", [[np.ones(2), np.ones(3)], [1.0, np.ones(1)], [{"a": 1}, 2], [pd.Series([1.0]), 1.0]]
)
def test_values_of_several_shapes_are_refused(values: list[Any]) -> None:
    for pair in (values, values[::-1]):
        with pytest.raises(ShapesDiffer) as caught:
            combine("add", pair)
        assert "2" not in str(caught.value)


def test_the_tables_of_nodes_may_lack_columns() -> None:
    tables = [pd.DataFrame({"a": [1.0, 3.0], "b": [5.0, 9.0]}), pd.DataFrame({"a": [5.0]}), pd.DataFrame()]
    variances = compute("variance", Parts(tables))
    assert variances.to_dict() == {"a": 4.0, "b": 8.0}
    assert compute("maximum", Parts(tables)).to_dict() == {"a": 5.0, "b": 9.0}
    assert compute("mean", Parts(tables)).to_dict() == {"a": 3.0, "b": 7.0}


def test_labels_of_numbers_and_dates_are_levels() -> None:
    x = pd.Series([1.0, 2.0, 4.0])
    days = pd.Series(pd.to_datetime(["2020-01-02", "2020-01-01", None]))
    assert compute("sum", cut(x, [1]), by=cut(days, [1])).tolist() == [2.0, 1.0]
    codes = Parts([pd.Series([1, 2]), pd.Series([2.0, np.nan])])
    sums = compute("sum", Parts([x[:2], pd.Series([8.0, 16.0])]), by=codes)
    assert sums.to_dict() == {1: 1.0, 2: 10.0}
    missing = pd.Series([1, None, 2], dtype="Int64").astype("category")
    assert compute("count", cut(x, [2]), by=cut(missing, [2])).to_dict() == {1: 1, 2: 1}
    truths = pd.Series([True, False, True])
    assert compute("sum", cut(x, [1]), by=cut(truths, [1])).to_dict() == {False: 2.0, True: 5.0}


def test_tables_of_engines_are_rows() -> None:
    table = pd.DataFrame({"x": [1.0, 2.0, 4.0], "g": ["a", "b", "a"]})
    with duckdb.connect() as connection:
        relation = connection.from_df(table)
        assert Pooled().sum(relation.select("x"))["x"] == 7.0
        by_group = Pooled().sum(relation.select("x"), by=relation.select("g"))
        assert by_group["x"].to_dict() == {"a": 5.0, "b": 2.0}
        with pytest.raises(TotalRefused, match="is a DuckDBPyConnection, not rows"):
            Pooled().sum(connection)
    expression = ibis.memtable(table)
    assert Pooled().sum(expression.x) == 7.0
    assert Pooled().sum(expression.x, by=expression.g).to_dict() == {"a": 5.0, "b": 2.0}
    lazy = pl.from_pandas(table).lazy()
    assert Pooled().mean(lazy.select("x"))["x"] == pytest.approx(7 / 3)
    assert Pooled().levels(lazy.select("g")) == ["a", "b"]
