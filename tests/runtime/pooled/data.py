"""One table with columns for every statistic, and its rows at nodes of several kinds."""

from __future__ import annotations

import numpy as np
import pandas as pd


def make_table(rows: int = 120, seed: int = 1) -> pd.DataFrame:
    """Return patients with numbers, groups, outcomes and weeks until an event."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"age": rng.normal(50, 10, rows), "dose": rng.normal(size=rows)})
    table["pressure"] = 0.1 * table["age"] + table["dose"] + rng.normal(size=rows)
    table["group"] = rng.choice(["x", "y", "z"], rows)
    table["sex"] = rng.choice(["f", "m"], rows)
    table["ill"] = (rng.random(rows) < 1 / (1 + np.exp(-table["dose"] - (table["group"] == "x")))).astype(int)
    table["visits"] = rng.poisson(np.exp(0.3 * table["dose"] + (table["group"] == "y")))
    table["week"] = np.ceil(rng.exponential(8, rows))
    table["died"] = (rng.random(rows) < 0.7).astype(int)
    return table


def split_evenly(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return three equal parts."""
    return [table.iloc[i::3] for i in range(3)]


def split_with_tiny_and_empty(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return an empty node, a node of 3 rows, and two uneven parts."""
    return [table.iloc[:0], table.iloc[:3], table.iloc[3:30], table.iloc[30:]]


def split_by_level(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return nodes of which one lacks a group, and one has a single sex: its columns of a design are collinear."""
    has_group = table["group"] == "z"
    is_collinear = ~has_group & (table["sex"] == "f")
    return [table[has_group], table[is_collinear], table[~has_group & ~is_collinear]]


def split_by_dose(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return nodes of 2 rows each, whose predictors are collinear, and the other rows."""
    return [table.iloc[:2], table.iloc[2:4], table.iloc[4:]]


SPLITS = {
    "even": split_evenly,
    "tiny and empty": split_with_tiny_and_empty,
    "by level": split_by_level,
    "collinear": split_by_dose,
}
