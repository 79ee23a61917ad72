"""Mypy accepts the types of the package in an author's project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

POOLED_FUNCTION = '''
"""A project of an author."""

import numpy as np
import pandas as pd

from algotools import Aggregator, Column, Pooled, federated


@federated
def regression(
    data: pd.DataFrame, total: Aggregator, outcome: Column, predictors: list[Column]
) -> dict[str, float]:
    """Linear regression over all nodes."""
    rows = data[[outcome, *predictors]].dropna()
    y = rows[outcome]
    x = np.column_stack([np.ones_like(y), rows[predictors]])
    coefficients = np.linalg.solve(total.cross_product(x), total.cross_product(x, y))
    return dict(zip(["intercept", *predictors], coefficients, strict=True))


@federated(name="central", minimum_organizations=4)
def average(data: pd.DataFrame, total: Aggregator, column: Column) -> float:
    """Average over all nodes."""
    values = data[column]
    smallest: int = total.add(len(values))
    lazily: int = total.add(lambda: len(values))
    vector: np.ndarray[tuple[int], np.dtype[np.float64]] = total.add(np.ones(2))
    counts: "pd.Series[float]" = total.sum(values, by=values)
    result: float = total.sum(values) / total.count(values)
    return result + smallest * 0 + lazily * 0 + float(vector.sum()) * 0 + float(counts.sum()) * 0


def call(frame: pd.DataFrame) -> float:
    """Call a pooled function on one table."""
    result: float = average(frame, Pooled(), column="age")
    return result
'''


def test_the_types_of_a_pooled_function(tmp_path: Path, mypy_cache: Path) -> None:
    file = tmp_path / "algorithm.py"
    file.write_text(POOLED_FUNCTION)
    options = ["--strict", "--cache-dir", str(mypy_cache), "--config-file="]
    command = [sys.executable, "-m", "mypy", *options, str(file)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
