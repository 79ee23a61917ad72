"""Real tables for the pooled statistics, with the columns of their tests, cut into uneven nodes of at least 200 rows.

A column with few records of a level at the smallest node is merged into larger groups, as an author must do.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from .nodes import read_statsmodels

WEEKS = [1.0, 2.0, 3.0]
"""The grid of event times: the periods into which the times are merged."""

COVARIATES = ["age", "dose", "pressure"]


def make_fair() -> pd.DataFrame:
    """Return the survey "fair": marriages, with an affair as the event."""
    fair = read_statsmodels("fair").sample(frac=1, random_state=7)
    return pd.DataFrame(
        {
            "age": fair["age"],
            "dose": fair["rate_marriage"],
            "pressure": fair["educ"],
            "group": fair["religious"].map({1: "x", 2: "y", 3: "z", 4: "z"}),
            "sex": np.where(fair["educ"] <= 14, "f", "m"),
            "ill": (fair["affairs"] > 0).astype(int),
            "visits": fair["children"].astype(int),
            "week": np.searchsorted([2.5, 9], fair["yrs_married"]) + 1.0,
            "died": (fair["affairs"] > 0).astype(int),
        }
    ).reset_index(drop=True)


def make_rand() -> pd.DataFrame:
    """Return 5,000 records of the health insurance experiment "randhie"; visits of a doctor take the place of weeks."""
    rand = read_statsmodels("randhie").sample(5000, random_state=7)
    return pd.DataFrame(
        {
            "age": rand["lncoins"],
            "dose": rand["disea"],
            "pressure": rand["lpi"],
            "group": np.where(rand["hlthg"] == 1, "y", np.where(rand["lpi"] > 6, "z", "x")),
            "sex": np.where(rand["idp"] == 1, "f", "m"),
            "ill": (rand["mdvis"] > 2).astype(int),
            "visits": rand["mdvis"],
            "week": 1.0 + np.searchsorted([0, 2], rand["mdvis"]),
            "died": (rand["fmde"] == 0).astype(int),
        }
    ).reset_index(drop=True)


def cut(table: pd.DataFrame, *positions: int) -> list[pd.DataFrame]:
    """Return the rows of each node."""
    return [table[a:b].reset_index(drop=True) for a, b in itertools.pairwise([0, *positions, len(table)])]


TABLES = {"fair": make_fair, "rand": make_rand}
CUTS = {"fair": (240, 631, 1880), "rand": (260, 640, 1800)}

_BOTH: dict[str, dict[str, Any]] = {
    "summary": {"column": "age"},
    "summary_in_two_passes": {"column": "age"},
    "group_means": {"column": "age", "group": "group"},
    "crosstab": {"rows": "group", "columns": "sex"},
    "correlations": {"columns": COVARIATES},
    "principal_components": {"columns": COVARIATES},
    "linear": {"outcome": "pressure", "predictors": ["age", "dose"]},
    "welch": {"column": "age", "group": "sex", "pair": ["f", "m"]},
    "anova": {"column": "age", "group": "group"},
    "binomial": {"outcome": "ill", "numbers": ["dose"], "categories": ["group"]},
    "poisson": {"outcome": "visits", "numbers": ["dose"], "categories": ["group"]},
    "kaplan_meier": {"time": "week", "event": "died", "grid": WEEKS},
    "cox": {"time": "week", "event": "died", "covariates": ["age", "dose"], "grid": WEEKS},
    "ridge": {"outcome": "pressure", "predictors": ["age", "dose"], "penalty": 2.0},
    "logistic_by_bfgs": {"outcome": "ill", "predictors": ["dose"]},
}

ARGUMENTS: dict[str, dict[str, dict[str, Any]]] = {
    "fair": {
        **_BOTH,
        "histogram": {"column": "age", "bins": 3, "bounds": [15.0, 45.0]},
        "quantiles": {"column": "age", "q": [0.0, 0.1, 0.5, 0.9], "edges": [15.0, 24.5, 29.5, 34.5, 45.0]},
        "clusters": {"columns": ["age", "dose"], "start": [[22.0, 4.0], [30.0, 4.0], [40.0, 4.0]]},
        "location": {"column": "age", "low": 15.0, "high": 60.0},
    },
    "rand": {
        **_BOTH,
        "histogram": {"column": "age", "bins": 3, "bounds": [-0.5, 5.0]},
        "quantiles": {"column": "dose", "q": [0.0, 0.1, 0.5, 0.9], "edges": [0.0, 7.0, 10.0, 15.0, 60.0]},
        "clusters": {"columns": ["age", "dose"], "start": [[0.0, 10.0], [4.0, 10.0], [4.0, 20.0]]},
        "location": {"column": "dose", "low": 0.0, "high": 60.0},
    },
}
"""Table -> statistic -> its arguments, with ranges and event times, and bins of many records at every node."""
