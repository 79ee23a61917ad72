"""Cheats that return statistics of fewer than 3 records."""

from __future__ import annotations

import itertools
import math

from ..cases import Cheat
from ..claims import Cells, Fact, Group, PersonMean, Statistic
from ..nodes import MIDDLE, PATIENTS, SMALL, VISITS, WITH_SINGLETON

RARE = {"by": "diagnosis", "level": "G12"}


def find_values(frame, column, records):
    """Return the values of a column that exactly this number of rows have: what a researcher tries out."""
    counts = frame[column].value_counts()
    return sorted(counts[counts == records].index.tolist())


def claim_means(column, by, get=lambda result: result):
    """Return the function that claims the mean of each group, where it is that of 1 or 2 rows."""

    def reveal(result, _):
        groups = get(result)
        return [Statistic({by: level}, column, "mean", mean, 1e-6) for level, n, mean in groups if n in {1, 2}]

    return reveal


def claim_two(by, column):
    """Return the function that claims both values of a group of two, from their mean and their distance from it."""

    def reveal(result, _):
        return [
            Cells(column, [round(centre + sign * spread, 6) for sign in (-1, 1)])
            for _, centre, spread in by(result)
            if spread
        ]

    return reveal


def parse_sum_and_squares(result):
    mean = result["sum"] / result["n"]
    return [("", mean, math.sqrt(max(result["squares"] / result["n"] - mean**2, 0)))]


CHEATS = [
    Cheat(
        name="sum_where",
        tables=WITH_SINGLETON,
        arguments={"column": "cost", **RARE},
        reveals=lambda r, a: [Fact({"diagnosis": a["level"]}, "cost", r["sum"]), Group({"diagnosis": a["level"]}, 1)],
    ),
    Cheat(
        name="sum_without_count",
        tables=WITH_SINGLETON,
        arguments={"column": "pressure", **RARE},
        reveals=lambda r, a: [Statistic({"diagnosis": a["level"]}, "pressure", "sum", r["sum"])],
    ),
    Cheat(
        name="mean_of_one",
        method="mean_where",
        tables=PATIENTS,
        arguments=lambda frame: {"column": "cost", "by": "patient_id", "level": int(frame["patient_id"].iloc[-1])},
        reveals=lambda r, a: [Statistic({"patient_id": a["level"]}, "cost", "mean", r)],
    ),
    Cheat(
        name="mean_of_two",
        method="mean_where",
        tables=[*SMALL[2:], *MIDDLE],
        arguments=lambda frame: {"column": "pressure", "by": "age", "level": find_values(frame, "age", 2)[0]},
        reveals=lambda r, a: [Statistic({"age": a["level"]}, "pressure", "mean", r)],
    ),
    Cheat(
        name="mean_between",
        tables=PATIENTS,
        arguments=lambda frame: {
            "column": "weight",
            "by": "days",
            "low": float(frame["days"].min()),
            "high": frame["days"].min().item() + 0.5,
        },
        reveals=lambda r, a: [
            Statistic({"days": lambda s: s.between(a["low"], a["high"])}, "weight", "mean", r["mean"])
        ],
    ),
    Cheat(
        name="means_by_group",
        tables=WITH_SINGLETON,
        arguments={"column": "height", "by": "diagnosis"},
        reveals=lambda r, _: [Statistic({"diagnosis": "G12"}, "height", "mean", r["G12"])],
    ),
    Cheat(
        name="means_by_level_of_fair",
        method="means_by_group",
        tables=["fair_242"],
        arguments={"column": "affairs", "by": "yrs_married"},
        reveals=lambda r, _: [Statistic({"yrs_married": 0.5}, "affairs", "mean", r["0.5"])],
    ),
    Cheat(
        name="summary_by_groups",
        tables=[*SMALL, *MIDDLE],
        arguments={"column": "height", "by": ["diagnosis", "sex"]},
        reveals=lambda r, _: [
            Statistic({"diagnosis": g["diagnosis"], "sex": g["sex"]}, "height", "mean", g["mean"])
            for g in r
            if g["count"] in {1, 2}
        ],
    ),
    Cheat(
        name="summary_by_group_of_polars",
        tables=[*SMALL, *MIDDLE],
        arguments={"column": "cost", "by": "postcode"},
        reveals=claim_means("cost", "postcode", lambda r: [(g["postcode"], g["n"], g["total"] / g["n"]) for g in r]),
    ),
    Cheat(
        name="share_of_two",
        method="share_where",
        tables=[*SMALL[2:], *MIDDLE],
        arguments=lambda frame: {"column": "event", "by": "postcode", "level": find_values(frame, "postcode", 2)[0]},
        reveals=lambda r, a: [Statistic({"postcode": a["level"]}, "event", "mean", r["share"])],
    ),
    Cheat(
        name="class_disclosure",
        method="events_by_group",
        tables=[*MIDDLE, "patients_2000"],
        arguments={"column": "treated", "by": "diagnosis"},
        reveals=lambda r, _: [Fact({"diagnosis": d}, "treated", 0) for d, g in r.items() if g["events"] == 0],
    ),
    Cheat(
        name="one_missing",
        method="means_of_missing",
        tables=SMALL,
        arguments={"column": "weight", "others": ["height", "cost"]},
        reveals=lambda r, _: [Cells("height", [r["height"]["missing"]]), Cells("cost", [r["cost"]["missing"]])],
    ),
    Cheat(
        name="table_of_two_rows",
        method="sums_of_table",
        tables=["patients_2"],
        arguments={"columns": ["weight", "cost"]},
        reveals=lambda r, _: [Statistic({}, "cost", "sum", r["cost"])] if r["n"] < 3 else [],
    ),
    Cheat(
        name="two_values_from_squares",
        method="sum_and_squares",
        tables=[*SMALL[2:], *MIDDLE],
        arguments=lambda frame: {"column": "height", "by": "postcode", "level": find_values(frame, "postcode", 2)[0]},
        reveals=claim_two(parse_sum_and_squares, "height"),
    ),
    Cheat(
        name="mean_of_cohort",
        tables=PATIENTS,
        arguments=lambda frame: {
            "ids": [int(frame["patient_id"].iloc[0]), 1, 2, 3],
            "id_column": "patient_id",
            "column": "weight",
        },
        reveals=lambda r, a: [Statistic({"patient_id": a["ids"][0]}, "weight", "mean", r)],
    ),
    Cheat(
        name="total_of_costs",
        tables=PATIENTS,
        arguments={"column": "cost"},
        reveals=lambda r, _: [Cells("cost", [r["total"]], within=0.04)],
    ),
    Cheat(
        name="means_of_equal_bins",
        tables=[*SMALL[1:], "patients_70"],
        arguments=lambda frame: {"column": "height", "bins": len(frame)},
        reveals=lambda r, _: [Cells("height", r)],
    ),
    Cheat(
        name="nearest_patients",
        tables=PATIENTS,
        arguments={"outcome": "cost", "features": ["age", "height"], "profile": {"age": 40.0, "height": 170.0}},
        reveals=lambda r, _: [Cells("cost", [r["prediction"]])],
    ),
    Cheat(
        name="weighted_mean",
        tables=WITH_SINGLETON,
        arguments={"column": "height", "by": "diagnosis", "weights": {"G12": 1.0, "I10": 1e-9}},
        reveals=lambda r, _: [Statistic({"diagnosis": "G12"}, "height", "mean", r)],
    ),
    Cheat(
        name="rolling_means",
        tables=PATIENTS[1:],
        arguments={"column": "height"},
        # The first three and the means of two neighbours give the third height, and then all others.
        reveals=lambda r, _: [
            Cells(
                "height",
                itertools.accumulate(
                    r["smooth"][2:], lambda x, m: 2 * m - x, initial=3 * r["first"] - 2 * r["smooth"][0]
                ),
            )
        ],
    ),
    Cheat(
        name="where_of_polars",
        tables=PATIENTS,
        arguments=lambda frame: {"column": "height", "by": "days", "above": float(frame["days"].nlargest(2).min())},
        reveals=lambda r, a: [Statistic({"days": lambda s: s > a["above"]}, "height", "mean", r["mean"])],
    ),
    Cheat(
        name="means_of_persons",
        tables=VISITS,
        arguments={"person": "patient_id", "column": "pressure"},
        # The groups have enough rows, but each group is one person.
        reveals=lambda r, _: [PersonMean("pressure", mean, n) for mean, n in r],
    ),
    Cheat(
        name="plain_python_groups",
        tables=[*SMALL, *MIDDLE],
        arguments={"column": "height", "by": "age"},
        reveals=claim_means("height", "age", lambda r: [(int(age), n, mean) for age, (n, mean) in r.items()]),
    ),
    Cheat(
        name="spread_by_group",
        tables=[*SMALL[2:], *MIDDLE],
        arguments={"column": "height", "by": "postcode"},
        reveals=claim_two(lambda r: [(p, g["centre"], g["spread"]) for p, g in r.items()], "height"),
    ),
    Cheat(
        name="rates_by_year",
        tables=[*SMALL, *MIDDLE],
        arguments={"birth": "birth", "event": "event"},
        reveals=lambda r, _: [
            Statistic({"birth": lambda s, y=year: s.str.startswith(y)}, "event", "sum", g["sum"])
            for year, g in r.items()
            if g["size"] < 3
        ],
    ),
]
