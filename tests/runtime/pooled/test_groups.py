"""Sums and counts by group agree with ``DataFrame.groupby``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from algotools import Pooled

SIZE = 60
rng = np.random.default_rng(5)
INDEX = rng.permutation(SIZE) + 7
ROWS = pd.DataFrame({"x": rng.normal(size=SIZE), "y": rng.integers(0, 9, SIZE)}, index=INDEX)
ROWS.loc[ROWS.index[::5], "x"] = np.nan
KEYS: dict[str, Any] = {
    "integers": pd.Series(rng.integers(0, 4, SIZE), index=INDEX, name="k"),
    "texts with missing values": pd.Series(rng.choice(["b", "a", None], SIZE), index=INDEX, dtype=object),
    "categories": pd.Series(rng.choice(["b", "a"], SIZE), index=INDEX).astype(pd.CategoricalDtype(["a", "b", "c"])),
    "nullable": pd.Series(rng.integers(0, 3, SIZE), index=INDEX, dtype="Int64"),
    "booleans": pd.Series(rng.integers(0, 2, SIZE) == 1, index=INDEX),
    "floats with NaN": pd.Series(rng.choice([1.0, 2.5, np.nan], SIZE), index=INDEX),
    "dates": pd.Series(pd.to_datetime(rng.choice(["2020-01-01", "2021-02-03"], SIZE)), index=INDEX),
}
PAIRS = [["integers", "categories"], ["texts with missing values", "floats with NaN", "booleans"]]


def to_plain(table: Any) -> dict[Any, Any]:
    return {label: table.loc[label] for label in table.index.tolist()}


@pytest.mark.parametrize("key", KEYS)
def test_sums_and_counts_by_one_key(key: str) -> None:
    groups = ROWS.groupby(KEYS[key], observed=True)
    sums = Pooled().sum(ROWS["x"], by=KEYS[key])
    assert to_plain(sums) == pytest.approx(to_plain(groups["x"].sum()), rel=1e-14)
    assert to_plain(Pooled().count(ROWS["x"], by=KEYS[key])) == to_plain(groups["x"].count())
    assert (sums.index.name, sums.name) == (KEYS[key].name, "x")
    table = Pooled().sum(ROWS, by=KEYS[key])
    assert table["x"].equals(sums)
    assert to_plain(table["y"]) == to_plain(groups["y"].sum())


@pytest.mark.parametrize("names", PAIRS, ids=", ".join)
def test_sums_by_several_keys(names: list[str]) -> None:
    keys = [KEYS[name] for name in names]
    # pandas has no group of a category that no row has, but one of each pair of categories
    expected = ROWS["x"].groupby([key.astype(object) for key in keys]).sum()
    assert to_plain(Pooled().sum(ROWS["x"], by=keys)) == pytest.approx(to_plain(expected), rel=1e-14)


def test_levels_choose_and_order_the_groups() -> None:
    key = KEYS["texts with missing values"]
    sums = Pooled().sum(ROWS["y"], by=key, levels=["z", "b", "a"])
    expected = ROWS["y"].groupby(key).sum()
    assert list(sums.items()) == [("z", 0.0), ("b", expected["b"]), ("a", expected["a"])]


def test_an_array_and_a_table_without_rows_have_the_same_form() -> None:
    x, none = ROWS[["x", "y"]].to_numpy(), ROWS.iloc[:0]
    assert Pooled().sum(x, by=KEYS["integers"].to_numpy()).shape == (4, 2)
    assert Pooled().sum(none, by=none["y"], levels=[1, 2]).to_numpy().tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert Pooled().sum(none["x"], by=none["y"]).empty
