"""A run in which a total was requested and not known never counts, whatever a library does with the placeholder."""

from __future__ import annotations

import copy
import datetime
import json
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.linalg
import scipy.optimize
import scipy.stats

from algotools.runtime.pooled._unknown import Pause, Unknown

OPERANDS = [2, 2.5, np.float64(2), np.ones(3), pd.Series([1.0, 2.0]), pl.Series([1.0]), pa.scalar(1.0), "text", [1]]
BINARY = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "and_",
    "or_",
    "xor",
    "lshift",
    "rshift",
]

USES: dict[str, Callable[[Any], object]] = {
    "bool": bool,
    "float": float,
    "int": int,
    "str": str,
    "format": lambda u: f"{u}",
    "len": len,
    "hash": hash,
    "iter": list,
    "attribute": lambda u: u.shape,
    "set attribute": lambda u: setattr(u, "x", 1),
    "item": lambda u: u[0],
    "membership": lambda u: 1 in u,
    "as a key": lambda u: {u: 1},
    "round": round,
    "math.sqrt": math.sqrt,
    "math.isnan": math.isnan,
    "sum": lambda u: sum([u, 1]),
    "max": lambda u: max(u, 1),
    "sorted": lambda u: sorted([u, 1]),
    "range": range,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "np.asarray": np.asarray,
    "np.array of it": lambda u: np.array([u, 1.0], dtype=float),
    "np.sqrt": np.sqrt,
    "np.where": lambda u: np.where(np.ones(2) > u, 1, 0),
    "np.dot": lambda u: np.dot(np.ones(2), u),
    "np.linalg.solve": lambda u: np.linalg.solve(np.eye(2), u),
    "np.linalg.inv": np.linalg.inv,
    "scipy.linalg": scipy.linalg.cholesky,
    "scipy.stats": scipy.stats.norm.cdf,
    "a callback of scipy in C": lambda u: scipy.optimize.brentq(lambda x: x - u, -1, 1),
    "a callback of an optimiser": lambda u: scipy.optimize.minimize(lambda x: x[0] - u, [0.0]),
    "Series + it": lambda u: pd.Series([1.0]) + u,
    "Series > it": lambda u: pd.Series([1.0])[pd.Series([1.0]) > u],
    "Series.clip": lambda u: pd.Series([1.0]).clip(upper=u),
    "DataFrame / it": lambda u: pd.DataFrame({"a": [1.0]}) / u,
    "polars filter": lambda u: pl.Series([1.0]) > u,
}

OTHER_OUTCOMES: dict[str, Callable[[Any], object]] = {
    "json": json.dumps,
    "pl.lit": pl.lit,
    "pa.array": lambda u: pa.array([u]),
    "pa.scalar": pa.scalar,
    "an element of an array": lambda u: np.zeros((1, 1)).__setitem__((0, 0), u),
    "pl.Series": lambda u: pl.Series([u]),
    "DuckDB": lambda u: duckdb.sql("SELECT ?", params=[u]),
    "isinstance": lambda u: isinstance(u, float),
    "is None": lambda u: u is None,
    "in a list": lambda u: [u] * 3,
    "repr": repr,
    "timedelta": lambda u: datetime.timedelta(days=u),
    "Series as float": lambda u: pd.Series([u, 1.0]).astype(float),
    "in a Series": lambda u: pd.Series([u, 1.0]),
}
"""Uses that do not pause: they raise another error, or do not need the value."""


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_use_pauses_the_run(use: Callable[[Any], object]) -> None:
    uses: list[str] = []
    with pytest.raises(Pause):
        use(Unknown(14, lambda: uses.append("used")))
    assert uses


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("operand", OPERANDS, ids=lambda operand: type(operand).__name__)
def test_an_operator_pauses_the_run(name: str, operand: Any) -> None:
    with pytest.raises(Pause):
        getattr(operator, name)(Unknown(14, lambda: None), operand)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("operand", OPERANDS, ids=lambda operand: type(operand).__name__)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Polars prints the exception
def test_an_operator_of_a_library_does_not_crash(name: str, operand: Any) -> None:
    use_without_crash(lambda unknown: getattr(operator, name)(operand, unknown))


@pytest.mark.parametrize("use", OTHER_OUTCOMES.values(), ids=OTHER_OUTCOMES)
def test_other_uses_raise_or_do_not_use_the_value(use: Callable[[Any], object]) -> None:
    use_without_crash(use)


def use_without_crash(use: Callable[[Any], object]) -> None:
    """Use a placeholder. Any outcome is right except an error of the interpreter."""
    error: BaseException | None = None
    try:
        use(Unknown(14, lambda: None))
    except (Exception, Pause) as caught:
        error = caught
    assert not isinstance(error, SystemError)


def test_a_debugger_shows_where_the_total_was_requested() -> None:
    assert repr(Unknown(14, lambda: None)) == "<total of line 14, known in the next round>"
