"""Pooled functions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import pandas as pd

from algotools import Aggregator, Column, Columns, Database, federated


@federated(name="master")
def average(data: pd.DataFrame, total: Aggregator, column_name: Column) -> dict[str, float]:
    """Return the average of a column over all nodes.

    Args:
        data: the rows.
        total: the totals.
        column_name: the column to average.
    """
    values = data[column_name].dropna()
    return {"average": total.sum(values) / total.count(values)}


@federated
def variance(data: pd.DataFrame, total: Aggregator, column: Column, ddof: int = 1) -> float:
    """Return the variance of a column over all nodes, in two passes."""
    values = data[column].dropna()
    n = total.count(values)
    mean = float(total.sum(values) / n)
    return float(total.sum((values - mean) ** 2) / (n - ddof))


@federated(minimum_organizations=1)
def gated(data: pd.DataFrame, total: Aggregator, gate: str) -> float:
    """Return the number of rows over all nodes, after a file exists."""
    n = float(total.add(len(data)))
    while not Path(gate).exists():
        time.sleep(0.02)
    return n


@federated
def both(
    first: pd.DataFrame,
    codes: Annotated[pd.DataFrame, Database("codes"), Columns.of("code")],
    total: Aggregator,
    by: Column,
) -> dict[str, float]:
    """Return the rows of two tables over all nodes."""
    return {"rows": total.count(first[by]), "codes": total.count(codes["code"])}
