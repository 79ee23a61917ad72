"""A run in which a total was requested and not known never counts, however it ended.

The functions here use totals in libraries, and swallow exceptions around them. The result at nodes is the result of one
table, or an error of algotools; it is never another number.
"""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algotools import Pooled
from algotools.declare.federated import PooledFunction, Pooling
from algotools.errors import AlgotoolsError

from ...conftest import examples
from .nodes import run_directly

TABLE = pd.DataFrame({"x": [1.0, 4.0, 2.0, 8.0, 5.0, 7.0, 3.0, 6.0]})
NODES = [TABLE.iloc[:5], TABLE.iloc[5:6], TABLE.iloc[:0], TABLE.iloc[6:]]

HEADER = """
import contextlib, json, math, sys, threading
import duckdb, numpy as np, pandas as pd, polars as pl, pyarrow as pa, pyarrow.compute as pc
import scipy.integrate, scipy.optimize, scipy.stats
import statsmodels.api as sm
from sklearn.linear_model import LinearRegression
from algotools import Aggregator

class Swallow:
    def __enter__(self): return self
    def __exit__(self, *exception): return True

def use_safely(use):
    try:
        return float(use())
    except BaseException:
        return 0.0

X = np.arange(6.0).reshape(-1, 1)
"""

USES = {
    "nothing": "3.0",
    "float": "float({t})",
    "isinstance": "2.0 if isinstance({t}, float) else 1.0",
    "name of the type": "float(len(type({t}).__name__))",
    "repr": "float(len(repr({t})))",
    "format": "float(f'{{{t}:.3f}}')",
    "in a list": "float(max([{t}, 1.0]))",
    "json": "float(json.dumps({t}))",
    "numpy": "np.sqrt({t})",
    "numpy assignment": "np.append(np.zeros(2), {t}).sum()",
    "numpy solve": "np.linalg.solve(np.eye(2) * {t}, np.ones(2)).sum()",
    "scipy in C": "scipy.optimize.brentq(lambda v: v - {t}, -1000, 1000)",
    "scipy minimize": "scipy.optimize.minimize(lambda v: (v[0] - {t}) ** 2, [1.0]).fun < 1e-3",
    "scipy quad": "scipy.integrate.quad(lambda v: v * {t}, 0, 1)[0]",
    "scipy stats": "scipy.stats.norm.cdf({t} / 40)",
    "pandas": "pd.Series([{t}, 1.0]).astype(float).sum()",
    "pandas apply": "pd.Series([1.0, 2.0]).apply(lambda v: v * {t}).sum()",
    "pandas isna": "float(pd.isna({t}))",
    "polars": "pl.Series([{t}]).sum()",
    "polars map": "pl.Series([1.0, 2.0]).map_elements(lambda v: v * {t}, return_dtype=pl.Float64).sum()",
    "arrow": "pc.sum(pa.array([{t}, 1.0])).as_py()",
    "duckdb": "duckdb.sql('SELECT ? + 1', params=[{t}]).fetchone()[0]",
    "statsmodels": "sm.OLS(X[:, 0] * {t}, sm.add_constant(X)).fit().params.sum()",
    "scikit-learn": "LinearRegression().fit(X, X[:, 0] * {t}).coef_[0]",
}
"""Uses of a total `{t}` that give a number."""

WRAPPERS = {
    "nothing": "{use}",
    "try bare": "try:\n    {use}\nexcept:\n    a += 100.0",
    "try Exception": "try:\n    {use}\nexcept Exception:\n    a += 100.0",
    "try BaseException": "try:\n    {use}\nexcept BaseException as error:\n    a += 100.0",
    "try and another total": "try:\n    {use}\nexcept BaseException:\n    a += total.sum(x) + total.count(x)",
    "try and a new exception": "try:\n    {use}\nexcept BaseException:\n    raise KeyError('lost') from None",
    "try and an exit": "try:\n    {use}\nexcept BaseException:\n    sys.exit(1)",
    "finally with return": "try:\n    {use}\nfinally:\n    return {{'a': a, 'n': 0}}",
    "finally with a total": "try:\n    {use}\nfinally:\n    a += total.count(x)",
    "suppress": "with contextlib.suppress(BaseException):\n    {use}",
    "context that swallows": "with Swallow():\n    {use}\n    a += total.sum(x)",
    "retries": "for _ in range(3):\n    with Swallow():\n        {use}\n        break\n    a += 1000.0",
    "generator": "with Swallow():\n    a += sum(float(v) for v in (total.sum(x * k) for k in range(3)))\n    {use}",
    "lambda that swallows": "a += total.add(lambda: x.sum() * use_safely(lambda: {expression}))",
    "thread": "def work():\n    with Swallow():\n        nonlocal_[0] = total.sum(x)\n"
    "nonlocal_ = [50.0]\nthread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
    "a += nonlocal_[0]\n{use}",
    "sibling of the same round": "b = total.sum(x * use_safely(lambda: {expression}))\nreturn {{'a': t + b, 'n': 0}}",
    "lazy sibling": "b = total.add(lambda: x.sum() * use_safely(lambda: {expression}))\nreturn {{'a': t + b, 'n': 0}}",
}
"""Statements around a use, of which the result is added to `a`."""


def indent(text: str, spaces: int = 4) -> str:
    return "\n".join(" " * spaces + line for line in text.splitlines())


def wrap(wrapper: str, use: str, total: str = "t") -> str:
    expression = USES[use].format(t=total)
    lines = WRAPPERS[wrapper].split("\n")
    return "\n".join(lines).format(use=f"a += {expression}", expression=expression)


def make_functions(bodies: list[str], file: Path) -> list[PooledFunction]:
    """Write functions to a file, because call sites come from a source, and return them."""
    source = HEADER
    for i, body in enumerate(bodies):
        source += f"\ndef f{i}(data: pd.DataFrame, total: Aggregator):\n    x, a = data['x'], 0.0\n{indent(body)}\n"
        source += "    return {'a': float(a), 'n': total.count(x)}\n"
    file.write_text(source)
    linecache.checkcache(str(file))
    namespace: dict[str, Any] = {"__name__": file.stem}
    exec(compile(source, str(file), "exec"), namespace)
    functions = [namespace[f"f{i}"] for i in range(len(bodies))]
    return [PooledFunction(function, "master", function.__name__, Pooling()) for function in functions]


def assert_sound(function: PooledFunction, folder: Path, body: str) -> bool:
    """Assert that nodes give the result of one table or an error; return whether they give the result."""
    expected, expected_error = call(lambda: function.__wrapped__(TABLE.copy(), Pooled()))
    outcome, error = call(lambda: run_directly(function, NODES, folder))
    if isinstance(error, AlgotoolsError):
        return False
    assert type(error) is type(expected_error), body
    if error is None:
        assert outcome.result == pytest.approx(expected, rel=1e-9), body
    return error is None


def call(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Return a result, or an error."""
    try:
        return function(), None
    except (Exception, SystemExit) as error:
        return None, error


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Polars prints the exception
@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
def test_no_swallowed_exception_gives_a_wrong_number(wrapper: str, tmp_path: Path) -> None:
    bodies = [f"t = total.sum(x)\n{wrap(wrapper, use)}" for use in USES]
    # One file for each function: a call of `type` anywhere in a file costs all of its functions a round.
    functions = [make_functions([body], tmp_path / f"functions_{i}.py")[0] for i, body in enumerate(bodies)]
    right = {
        use
        for use, function, body in zip(USES, functions, bodies, strict=True)
        if assert_sound(function, tmp_path, body)
    }
    # An error is allowed only where the use decides differently for a placeholder, or where a thread requests a total.
    tolerated = {"isinstance", "name of the type", "repr", "json", "pandas isna", "polars", "arrow", "duckdb", "pandas"}
    if wrapper not in {
        "sibling of the same round",
        "lazy sibling",
        "thread",
        "finally with return",
        "try and an exit",
        "try and a new exception",
    }:
        assert right >= USES.keys() - tolerated


PLAIN_USES = ["float", "isinstance", "repr", "numpy", "scipy in C", "pandas", "pandas apply", "numpy solve"]

SIMPLE = st.one_of(
    st.sampled_from(
        ["a += 1.0", "t = total.sum(x)", "t = total.mean(x)", "u = total.count(x)", "u = t", "t, u = u, t"]
    ),
    st.integers(1, 9).map(lambda k: f"u = total.sum(x * {k})"),
    st.tuples(st.sampled_from(PLAIN_USES), st.sampled_from("tu")).map(lambda pair: wrap("nothing", *pair)),
    st.tuples(st.sampled_from(PLAIN_USES), st.sampled_from("tu")).map(lambda pair: wrap("lambda that swallows", *pair)),
)


def nest(blocks: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return statements that contain blocks."""
    handlers = ["except:", "except Exception:", "except BaseException:", "finally:"]
    return st.one_of(
        st.tuples(blocks, st.sampled_from(handlers), blocks).map(
            lambda parts: f"try:\n{indent(parts[0])}\n{parts[1]}\n{indent(parts[2])}"
        ),
        blocks.map(lambda body: f"with Swallow():\n{indent(body)}"),
        blocks.map(lambda body: f"for _ in range(2):\n{indent(body)}"),
        st.tuples(st.sampled_from("tua"), blocks, blocks).map(
            lambda parts: f"if {parts[0]} > 20.5:\n{indent(parts[1])}\nelse:\n{indent(parts[2])}"
        ),
    )


def make_block(statements: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(statements, min_size=1, max_size=4).map("\n".join)


PROGRAMS = make_block(SIMPLE | nest(make_block(SIMPLE | nest(make_block(SIMPLE)))))

numbers = itertools.count()


@given(program=PROGRAMS)
@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck), database=None)
def test_no_program_gives_a_wrong_number(program: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("program")
    body = f"t = total.sum(x)\nu = total.sum(x**2)\n{program}"
    [function] = make_functions([body], folder / f"program_{next(numbers)}.py")
    with np.errstate(all="ignore"):
        assert_sound(function, folder, body)
