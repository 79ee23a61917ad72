"""Honest functions: partials and fits of models."""

from __future__ import annotations

from ..cases import Honest
from ..nodes import DIABETES, FAIR, LARGE

OF_DIABETES = {"outcome": "target", "predictors": ["age", "bmi", "bp"]}
OF_FAIR = {"outcome": "affairs", "predictors": ["rate_marriage", "age", "educ"]}
CANCER = ("cancer_70", "cancer_499")
GRID = {"time": "survival", "event": "censors", "grid": [60, 300, 2000]}
GRID_OF_PATIENTS = {"time": "days", "event": "event", "grid": [900, 1900, 3000, 5000]}


def name_columns(number):
    """Return the arguments that name the first columns of the table."""
    return lambda frame: {"columns": frame.columns[:number].tolist()}


HONEST = [
    Honest(name="linear_partial", tables=DIABETES, arguments=OF_DIABETES),
    Honest(name="linear_partial_of_fair", method="linear_partial", tables=FAIR, arguments=OF_FAIR),
    Honest(name="logistic_partial", tables=FAIR, arguments={**OF_FAIR, "limit": 0, "beta": [0.5, -0.3, 0.01, -0.02]}),
    Honest(name="poisson_partial", tables=FAIR, arguments={**OF_FAIR, "beta": [0.5, -0.3, 0.01, -0.02]}),
    Honest(name="least_squares", tables=[*DIABETES], arguments=OF_DIABETES),
    Honest(name="local_logistic", tables=DIABETES, arguments={**OF_DIABETES, "limit": 140}),
    Honest(
        name="federated_average", tables=DIABETES, arguments={**OF_DIABETES, "weights": [150.0, 0, 0, 0], "rate": 0.1}
    ),
    Honest(
        name="stochastic_descent",
        tables=DIABETES,
        arguments={**OF_DIABETES, "weights": [150.0, 0, 0, 0], "rate": 0.05, "seed": 5},
    ),
    Honest(name="cox_on_grid", tables=["heart_61"], arguments={**GRID, "covariates": ["age"], "beta": [0.02]}),
    Honest(
        name="cox_on_grid_of_patients",
        method="cox_on_grid",
        tables=LARGE,
        arguments={**GRID_OF_PATIENTS, "covariates": ["age", "height"], "beta": [0.01, 0.0]},
    ),
    Honest(name="kaplan_meier_on_grid", tables=["heart_8", "heart_61"], arguments=GRID),
    Honest(
        name="kaplan_meier_on_grid_of_patients",
        method="kaplan_meier_on_grid",
        tables=["patients_21", "patients_70", *LARGE],
        arguments=GRID_OF_PATIENTS,
    ),
    Honest(name="cross_product", tables=CANCER, arguments=name_columns(6)),
    Honest(
        name="cross_product_of_31",
        method="cross_product",
        tables=CANCER,
        arguments=name_columns(31),
        right_refusals={"cancer_70": "961 numbers of 70 rows and 31 columns: more than a third of the cells"},
    ),
    Honest(
        name="correlations",
        tables=["digits_1000", "cancer_499"],
        arguments=lambda frame: {"columns": frame.columns[(frame != 0).any()][:20].tolist()},
        small_numbers="the diagonal of a correlation matrix",
    ),
    Honest(name="loadings", tables=[*DIABETES, *CANCER], arguments=name_columns(7)),
    Honest(
        name="kmeans_partial",
        tables=DIABETES,
        arguments={"columns": ["bmi", "bp"], "centres": [[22.0, 85.0], [27.0, 95.0], [32.0, 110.0]]},
    ),
    Honest(
        name="wide_gradient",
        tables=["rand_10000"],
        arguments={
            "outcome": "mdvis",
            "predictors": ["lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"],
            "features": 4998,
            "seed": 1,
        },
    ),
    Honest(name="naive_bayes", tables=LARGE, arguments={"label": "diagnosis", "columns": ["height", "age"]}),
    Honest(
        name="naive_bayes_of_cancer",
        method="naive_bayes",
        tables=CANCER,
        arguments={"label": "target", "columns": ["mean radius", "mean texture"]},
    ),
    Honest(
        name="binned_roc",
        tables=DIABETES,
        arguments={"score": "bmi", "outcome": "target", "limit": 140, "edges": [15, 24, 28, 45]},
    ),
    Honest(
        name="pruned_tree",
        tables=[*DIABETES[1:], "fair_2000"],
        arguments=lambda frame: OF_DIABETES if "target" in frame else OF_FAIR,
        small_numbers="numbers of features",
    ),
    Honest(
        name="table_of_coefficients",
        tables=[*DIABETES, *FAIR],
        arguments=lambda frame: OF_DIABETES if "target" in frame else OF_FAIR,
    ),
    Honest(
        name="bootstrap_error",
        tables=[*DIABETES, "cancer_499"],
        arguments=lambda frame: {"column": frame.columns[0], "seed": 3},
    ),
    Honest(
        name="weighted_outcomes",
        tables=DIABETES,
        arguments={"outcome": "target", "treatment": "bp", "limit": 95, "predictors": ["age", "bmi"]},
    ),
]
