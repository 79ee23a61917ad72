"""The statistics of the algorithm *statistics*, and the same statistics by other packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.stats
import statsmodels.api as sm
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from statsmodels.duration.api import PHReg, SurvfuncRight
from statsmodels.formula.api import glm

from ...conftest import ALGORITHMS
from .data import make_table

TABLE = make_table()
WEEKS = sorted(TABLE["week"].unique().tolist())
STARTS = [[40.0, 0.0], [50.0, 0.0], [60.0, 0.0]]

FAMILIES = {"binomial": sm.families.Binomial, "poisson": sm.families.Poisson}


def describe(table: pd.DataFrame) -> dict[str, float]:
    return {"n": len(table), "mean": table["age"].mean(), "sd": table["age"].std()}


def cross(table: pd.DataFrame) -> dict[str, Any]:
    observed = pd.crosstab(table["group"], table["sex"])
    chi2, p, _, _ = scipy.stats.chi2_contingency(observed, correction=False)
    return {"table": observed, "chi2": chi2, "p": p}


def count_bins(table: pd.DataFrame) -> dict[str, Any]:
    counts, edges = np.histogram(table["age"], 8)
    return {"edges": edges, "counts": counts}


def find_components(table: pd.DataFrame) -> dict[str, Any]:
    peer = PCA().fit(table[["age", "dose", "pressure"]])
    signs = np.sign(peer.components_.sum(axis=1, keepdims=True))
    return {"variances": peer.explained_variance_, "components": peer.components_ * signs}


def fit_linear(table: pd.DataFrame) -> dict[str, Any]:
    peer = sm.OLS(table["pressure"], sm.add_constant(table[["age", "dose"]])).fit()
    return {"coefficients": peer.params.to_numpy(), "errors": peer.bse.to_numpy()}


def compare_two(table: pd.DataFrame) -> dict[str, float]:
    peer = scipy.stats.ttest_ind(*(table["age"][table["sex"] == sex] for sex in "fm"), equal_var=False)
    return {"t": peer.statistic, "df": peer.df, "p": peer.pvalue}


def compare_groups(table: pd.DataFrame) -> dict[str, float]:
    peer = scipy.stats.f_oneway(*(group["age"] for _, group in table.groupby("group")))
    return {"F": peer.statistic, "p": peer.pvalue}


def fit_glm(outcome: str, family: str) -> Callable[[pd.DataFrame], Any]:
    def fit(table: pd.DataFrame) -> Any:
        peer = glm(f"{outcome} ~ dose + C(group)", table, family=FAMILIES[family]()).fit(tol=1e-14)
        return peer.params[["Intercept", "dose", "C(group)[T.y]", "C(group)[T.z]"]].to_numpy()

    return fit


def find_clusters(table: pd.DataFrame) -> dict[str, Any]:
    peer = KMeans(3, init=np.array(STARTS), n_init=1, algorithm="lloyd", tol=0).fit(table[["age", "dose"]].to_numpy())
    return {"centres": peer.cluster_centers_, "steps": peer.n_iter_}


def estimate_survival(table: pd.DataFrame) -> dict[str, Any]:
    peer = SurvfuncRight(table["week"], table["died"])
    weeks = sorted(table["week"].unique())
    survival = pd.Series(peer.surv_prob, index=peer.surv_times).reindex(weeks).ffill().fillna(1.0)
    return {"at_risk": [(table["week"] >= week).sum() for week in weeks], "survival": survival.to_numpy()}


def fit_cox(table: pd.DataFrame) -> Any:
    peer = PHReg(table["week"], table[["age", "dose"]], table["died"], ties="breslow")
    return peer.fit(method="newton", maxiter=50, tol=1e-12, disp=False).params


def fit_ridge(table: pd.DataFrame) -> Any:
    x = table[["age", "dose"]]
    z = (x - x.mean()) / x.std(ddof=0)
    return Ridge(alpha=2.0, solver="cholesky").fit(z, table["pressure"]).coef_


def fit_logistic(table: pd.DataFrame) -> Any:
    return sm.Logit(table["ill"], sm.add_constant(table[["dose"]])).fit(disp=False).params.to_numpy()


def find_centre(table: pd.DataFrame) -> float:
    return scipy.optimize.brentq(lambda centre: np.tanh(table["age"] - centre).sum(), 20, 80, xtol=1e-12)


class Statistic(NamedTuple):
    """A statistic, the fewest rounds in which it can be computed, and a package that computes the same."""

    arguments: dict[str, Any]
    rounds: int
    peer: Callable[[pd.DataFrame], Any]
    tolerance: float = 1e-9


STATISTICS = {
    "summary": Statistic({"column": "age"}, 1, describe),
    "summary_in_two_passes": Statistic({"column": "age"}, 2, describe),
    "group_means": Statistic(
        {"column": "age", "group": "group"}, 1, lambda table: table.groupby("group")["age"].mean()
    ),
    "crosstab": Statistic({"rows": "group", "columns": "sex"}, 1, cross),
    "histogram": Statistic({"column": "age", "bins": 8}, 2, count_bins),
    "quantiles": Statistic(
        {"column": "age", "q": [0.0, 0.1, 0.5, 0.9]}, 6, lambda table: np.quantile(table["age"], [0, 0.1, 0.5, 0.9]), 0
    ),
    "correlations": Statistic(
        {"columns": ["age", "dose", "pressure"]},
        2,
        lambda table: table[["age", "dose", "pressure"]].corr().to_numpy(),
    ),
    "principal_components": Statistic({"columns": ["age", "dose", "pressure"]}, 2, find_components),
    "linear": Statistic({"outcome": "pressure", "predictors": ["age", "dose"]}, 1, fit_linear),
    "welch": Statistic({"column": "age", "group": "sex", "pair": ["f", "m"]}, 1, compare_two),
    "anova": Statistic({"column": "age", "group": "group"}, 1, compare_groups),
    "binomial": Statistic(
        {"outcome": "ill", "numbers": ["dose"], "categories": ["group"]}, 6, fit_glm("ill", "binomial")
    ),
    "poisson": Statistic(
        {"outcome": "visits", "numbers": ["dose"], "categories": ["group"]}, 6, fit_glm("visits", "poisson")
    ),
    "clusters": Statistic({"columns": ["age", "dose"], "start": STARTS}, 5, find_clusters),
    "kaplan_meier": Statistic({"time": "week", "event": "died", "grid": WEEKS}, 1, estimate_survival),
    "cox": Statistic({"time": "week", "event": "died", "covariates": ["age", "dose"], "grid": WEEKS}, 4, fit_cox),
    "ridge": Statistic({"outcome": "pressure", "predictors": ["age", "dose"], "penalty": 2.0}, 3, fit_ridge),
    "logistic_by_bfgs": Statistic({"outcome": "ill", "predictors": ["dose"]}, 30, fit_logistic, 1e-5),
    "location": Statistic({"column": "age", "low": 20.0, "high": 80.0}, 10, find_centre),
}


@contextmanager
def import_statistics() -> Iterator[Any]:
    """Import the algorithm, and forget it afterwards."""
    source = str(ALGORITHMS / "statistics" / "src")
    sys.path.insert(0, source)
    try:
        import pooled_statistics

        yield pooled_statistics
    finally:
        sys.path.remove(source)
        for name in [name for name in sys.modules if name.partition(".")[0] == "pooled_statistics"]:
            del sys.modules[name]


def assert_equal(result: Any, expected: Any, tolerance: float) -> None:
    """Compare at any depth."""
    if isinstance(expected, dict):
        assert result.keys() == expected.keys()
        for key in expected:
            assert_equal(result[key], expected[key], tolerance)
        return
    if isinstance(expected, pd.Series):
        assert list(result.index) == list(expected.index)
    np.testing.assert_allclose(
        np.asarray(result, float), np.asarray(expected, float), rtol=tolerance, atol=tolerance * 1e-3
    )
