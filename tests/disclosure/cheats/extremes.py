"""Cheats that return the value of one record, because the value is the largest, the smallest or in the middle."""

from __future__ import annotations

import itertools

import numpy as np

from ..cases import Cheat
from ..claims import Cells, LargestAt, cells
from ..nodes import DIABETES, MIDDLE, PATIENTS, SMALL, TINY


def read_clipped_sums(result, arguments):
    """Claim the maximum: between the last two limits with a sum, each unit above a limit is that of one row."""
    pairs = list(zip(arguments["limits"], result, strict=True))
    slopes = [(x, s) for (x, s), (y, t) in itertools.pairwise(pairs) if t > 0 and abs((s - t) / (y - x) - 1) < 1e-6]
    return [Cells("height", [slopes[-1][0] + slopes[-1][1]], within=1e-6)] if slopes else []


CHEATS = [
    Cheat(
        name="minimum",
        tables=PATIENTS,
        arguments={"column": "height"},
        reveals=cells("height", lambda r: [r["minimum"]]),
    ),
    Cheat(
        name="maximum", tables=PATIENTS, arguments={"column": "days"}, reveals=cells("days", lambda r: [r["maximum"]])
    ),
    Cheat(
        name="range_of_columns",
        tables=PATIENTS,
        arguments={"columns": ["age", "cost"]},
        reveals=cells("cost", lambda r: r["cost"]),
    ),
    Cheat(
        name="range_of_diabetes",
        method="range_of_columns",
        tables=DIABETES,
        arguments={"columns": ["bmi", "s6"]},
        reveals=cells("bmi", lambda r: r["bmi"]),
    ),
    Cheat(
        name="median_of_5",
        method="median",
        tables=["patients_5", "patients_21"],
        arguments={"column": "height"},
        reveals=cells("height", lambda r: [r["median"]] if r["n"] % 2 else []),
    ),
    Cheat(
        name="quantiles_of_5",
        method="quantiles",
        tables=["patients_5"],
        arguments={"column": "height", "q": [0.25, 0.5, 0.75]},
        reveals=cells("height"),
    ),
    Cheat(
        name="quantile_at_the_end",
        method="quantiles",
        tables=[*SMALL, *MIDDLE],
        arguments={"column": "cost", "q": [0.999999]},
        reveals=lambda r, _: [Cells("cost", r, within=0.01)],
    ),
    Cheat(
        name="birthday",
        method="first_birthday",
        tables=PATIENTS,
        arguments={"column": "birth"},
        reveals=cells("birth", lambda r: [r["from"][:10], r["to"][:10]]),
    ),
    Cheat(
        name="percentiles_of_20",
        method="percentiles",
        tables=["patients_21"],
        arguments={"column": "days"},
        # 21 values: each is a percentile, every fifth.
        reveals=cells("days", lambda r: r[::5]),
    ),
    Cheat(name="outliers", tables=[*SMALL, *MIDDLE], arguments={"column": "cost"}, reveals=cells("cost")),
    Cheat(
        name="box_plot",
        tables=PATIENTS,
        arguments={"column": "weight"},
        reveals=cells("weight", lambda r: [r["low"], r["high"]]),
    ),
    Cheat(
        name="describe_numbers",
        tables=PATIENTS,
        arguments={"column": "height"},
        reveals=cells("height", lambda r: [r["min"], r["max"]]),
    ),
    Cheat(
        name="describe_with_polars",
        tables=PATIENTS,
        arguments={"column": "height"},
        reveals=cells("height", lambda r: [row["height"] for row in r if row["statistic"] in {"min", "max"}]),
    ),
    Cheat(name="three_largest", tables=PATIENTS, arguments={"column": "cost"}, reveals=cells("cost")),
    Cheat(name="extremes_by_group", tables=PATIENTS, arguments={"column": "days", "by": "sex"}, reveals=cells("days")),
    Cheat(
        name="edges_of_histogram",
        tables=PATIENTS,
        arguments={"column": "height"},
        reveals=cells("height", lambda r: [r["edges"][0], r["edges"][-1]]),
    ),
    Cheat(
        name="scaling",
        tables=PATIENTS,
        arguments={"columns": ["height", "cost"]},
        # The scaler maps the smallest value to 0 and the largest to 1.
        reveals=lambda r, _: [
            Cells("cost", [-r["offset"][1] / r["scale"][1], (1 - r["offset"][1]) / r["scale"][1]], within=1e-6)
        ],
    ),
    Cheat(
        name="robust_scaling",
        tables=["patients_5", "patients_21"],
        arguments={"column": "height"},
        reveals=lambda r, _: [Cells("height", [r["centre"]])] if r["n"] % 2 else [],
    ),
    Cheat(
        name="position_of_largest",
        tables=PATIENTS,
        arguments={"column": "age"},
        reveals=lambda r, _: [LargestAt("age", r)],
    ),
    Cheat(
        name="clipped_sums",
        tables=PATIENTS,
        arguments={"column": "height", "limits": np.arange(150, 230, 0.5).tolist()},
        reveals=read_clipped_sums,
    ),
    Cheat(
        name="largest_share",
        tables=PATIENTS,
        arguments={"column": "cost"},
        reveals=lambda r, _: [Cells("cost", [r["total"] * r["share"]], within=1e-6)],
    ),
    Cheat(
        name="outer_norm",
        tables=[*TINY, "patients_70"],
        arguments={"column": "cost", "order": 20},
        reveals=lambda r, _: [Cells("cost", [r * 1000], within=1e-6)],
    ),
    Cheat(
        name="smooth_maximum",
        tables=PATIENTS,
        arguments={"column": "days"},
        # The times are whole days, and the rest is below one half unless the next patient is one day apart.
        reveals=lambda r, _: [Cells("days", [round(r)])],
    ),
]
