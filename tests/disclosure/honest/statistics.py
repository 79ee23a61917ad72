"""Honest functions: the other partials of the 18 statistics of the pooled functions."""

from __future__ import annotations

from ..cases import Honest
from ..nodes import DIABETES, FAIR, LARGE

TABLE = {"rows": ["C50", "E11", "I10", "J45"], "columns": ["F", "M"]}
OF_PATIENTS = {"numbers": ["age", "height"], "factor": "diagnosis", "levels": ["C50", "E11", "I10", "J45"]}

HONEST = [
    Honest(name="squares_around", tables=[*DIABETES, *FAIR], arguments={"column": "age", "mean": 45.0}),
    Honest(name="cells_of_chi_square", tables=LARGE, arguments={"row": "diagnosis", "column": "sex", **TABLE}),
    Honest(
        name="bins_of_quantile",
        tables=[*DIABETES, "cancer_499"],
        arguments=lambda frame: {"column": frame.columns[0], "low": 5, "high": 80, "bins": 20},
    ),
    Honest(
        name="centred_products",
        tables=DIABETES,
        arguments={"columns": ["bmi", "bp", "s1", "s6"], "means": [26.4, 94.6, 189.0, 91.3]},
    ),
    Honest(name="welch_sums", tables=DIABETES, arguments={"column": "target", "group": "sex", "limit": 1.5}),
    Honest(
        name="sums_of_anova",
        tables=["patients_242", "patients_2000"],
        arguments={"column": "height", "group": "diagnosis", "levels": TABLE["rows"]},
    ),
    Honest(
        name="binomial_with_factor",
        tables=LARGE,
        arguments={"outcome": "event", **OF_PATIENTS, "beta": [0.1, 0.01, 0.0, 0.2, 0.1, -0.1]},
    ),
    Honest(
        name="poisson_with_factor",
        tables=FAIR,
        arguments={
            "outcome": "affairs",
            "numbers": ["rate_marriage", "age"],
            "factor": "religious",
            "levels": [1.0, 2.0, 3.0, 4.0],
            "beta": [0.5, -0.3, 0.01, -0.1, -0.2, -0.3],
        },
    ),
    Honest(
        name="cox_at_times",
        tables=LARGE,
        arguments={
            "time": "days",
            "event": "event",
            "covariate": "age",
            "beta": 0.01,
            "times": [900, 1900, 3000, 4000, 5000],
        },
    ),
    Honest(
        name="ridge_of_scores",
        tables=DIABETES,
        arguments={
            "outcome": "target",
            "predictors": ["bmi", "bp", "s6"],
            "means": [26.4, 94.6, 91.3],
            "sds": [4.4, 13.8, 11.5],
        },
    ),
    Honest(
        name="loss_and_gradient",
        tables=FAIR,
        arguments={"outcome": "affairs", "limit": 0, "predictors": ["rate_marriage", "age"], "beta": [1.0, -0.5, 0.01]},
    ),
    Honest(
        name="score_at",
        tables=[*DIABETES, "cancer_499"],
        arguments=lambda frame: {"column": frame.columns[2], "shape": 2.0},
    ),
]

OF_STATISTIC = {
    "mean and sd, from moments": ["summary"],
    "mean and sd, two passes": ["summary", "squares_around"],
    "group means": ["group_means"],
    "crosstab and chi2": ["cells_of_chi_square"],
    "histogram": ["histogram"],
    "quantiles": ["bins_of_quantile"],
    "correlation, two passes": ["centred_products"],
    "principal components": ["centred_products", "loadings"],
    "least squares with standard errors": ["linear_partial", "least_squares"],
    "Welch's t": ["welch_sums", "t_test_sums"],
    "analysis of variance": ["sums_of_anova"],
    "binomial with categories": ["binomial_with_factor"],
    "Poisson with categories": ["poisson_with_factor"],
    "k-means": ["kmeans_partial"],
    "Kaplan-Meier on a grid": ["kaplan_meier_on_grid"],
    "Cox at event times": ["cox_at_times"],
    "z-scores, then ridge": ["summary", "ridge_of_scores"],
    "an optimiser over sums": ["loss_and_gradient"],
    "a root finder over sums": ["score_at"],
}
"""Statistic of the pooled functions -> the cases of its partials. The two forms of the mean are one of the 18."""
