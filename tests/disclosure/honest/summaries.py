"""Honest functions: descriptive statistics."""

from __future__ import annotations

from ..cases import Honest
from ..nodes import DIABETES, EMPTY, FAIR, LARGE, MIDDLE, SMALL, VISITS

BY_SEX = {"row": "diagnosis", "column": "sex", "levels": ["C50", "E11", "I10", "J45"], "columns": ["F", "M"]}
AGES = [20, 35, 50, 65, 90]

HONEST = [
    Honest(
        name="summary",
        tables=[EMPTY, *SMALL, *MIDDLE, "patients_2000"],
        arguments={"columns": ["height", "pressure", "age"]},
    ),
    Honest(name="summary_of_polars", tables=[EMPTY, *SMALL, *LARGE], arguments={"column": "weight"}),
    Honest(name="summary_of_duckdb", tables=[*SMALL, *LARGE], arguments={"column": "days"}),
    Honest(
        name="summary_of_diabetes",
        method="summary",
        tables=DIABETES,
        arguments={"columns": ["age", "bmi", "bp", "s1", "s6", "target"]},
    ),
    Honest(name="group_means", method="group_sums", tables=LARGE, arguments={"column": "height", "by": "diagnosis"}),
    Honest(
        name="group_means_of_fair", method="group_sums", tables=FAIR, arguments={"column": "affairs", "by": "religious"}
    ),
    Honest(name="crosstab_suppressed", tables=[*MIDDLE, "patients_2000"], arguments=BY_SEX),
    Honest(
        name="crosstab_whole",
        tables=FAIR,
        arguments={"row": "rate_marriage", "column": "religious", "rows": [4, 5], "columns": [2, 3]},
    ),
    Honest(name="histogram", tables=[*SMALL, *MIDDLE, "patients_2000"], arguments={"column": "age", "edges": AGES}),
    Honest(name="labelled_histogram", tables=[*DIABETES, "anes_944"], arguments={"column": "age", "edges": AGES}),
    Honest(name="levels", tables=LARGE, arguments={"column": "diagnosis"}),
    Honest(
        name="levels_of_fair",
        method="levels",
        tables=FAIR,
        arguments={"column": "occupation"},
        small_numbers="levels are the numbers 1 to 6",
    ),
    Honest(name="counts", tables=[EMPTY, *SMALL[1:], *LARGE], arguments={"columns": ["age", "days", "diagnosis"]}),
    Honest(name="schema", tables=[EMPTY, *SMALL, "heart_8", "cancer_70", *FAIR, *VISITS]),
    Honest(name="missing", tables=[*SMALL, *MIDDLE], arguments={"columns": ["age", "weight"]}),
    Honest(
        name="empty_selection",
        method="selection",
        tables=[EMPTY, *SMALL, *MIDDLE],
        arguments={"column": "height", "by": "age", "low": 130, "high": 140},
    ),
    Honest(name="selection", tables=LARGE, arguments={"column": "height", "by": "age", "low": 30, "high": 60}),
    Honest(name="t_test_sums", tables=LARGE, arguments={"column": "height", "group": "sex", "level": "F"}),
    Honest(name="bisection_step", tables=[*SMALL, *LARGE, "patients_70"], arguments={"column": "age", "limit": 50.5}),
    Honest(name="moments", tables=[*DIABETES, "cancer_499"], arguments=lambda frame: {"column": frame.columns[0]}),
    Honest(name="proportions", tables=LARGE, arguments={"column": "diagnosis", "levels": ["C50", "E11", "I10", "J45"]}),
    Honest(name="person_means", tables=VISITS, arguments={"person": "patient_id", "column": "pressure"}),
]
