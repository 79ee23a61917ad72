"""Cheats that return sums of many records whose difference, or solution, is that of few records."""

from __future__ import annotations

import itertools

import numpy as np

from ..cases import Cheat
from ..claims import Cells, Fact, Statistic
from ..nodes import MIDDLE, SMALL, WITH_SINGLETON
from .encoded import solve_power_sums

TABLES = [*SMALL, *MIDDLE]


def limits_around_one(column, by, **more):
    """Return the arguments of two tasks whose limits have exactly one row between them."""

    def make(frame):
        ordered = sorted(frame[by].tolist())
        limits = ordered[len(ordered) // 2 - 1 : len(ordered) // 2 + 1]
        return [{"column": column, "by": by, "limit": float(limit), **more} for limit in limits]

    return make


def read_two_limits(results, tasks):
    first, second = results
    if second["count"] - first["count"] != 1:
        return []
    return [Statistic({"days": lambda s: s == tasks[1]["limit"]}, "cost", "sum", second["sum"] - first["sum"])]


def read_two_means(results, tasks):
    first, second = results
    difference = second["mean"] * second["n"] - first["mean"] * first["n"]
    return [Statistic({"days": lambda s: s == tasks[1]["limit"]}, "height", "sum", difference)]


def read_halves(results, tasks):
    """Solve the sums of random halves for the values of all rows: the seeds tell which rows each half has."""
    for size in (5, 8, 21, 70):
        halves = np.array([np.random.default_rng(task["seed"]).random(size) < 0.5 for task in tasks], dtype=float)
        values, residuals, *_ = np.linalg.lstsq(halves, np.array(results), rcond=None)
        if residuals.size and residuals[0] < 1e-3:
            return [Fact({"row": i}, "height", round(value, 4)) for i, value in enumerate(values)]
    return []


def read_bisection(counts, tasks):
    """Claim the largest age: the first limit with no patient above it."""
    return [Cells("age", [tasks[counts.index(0)]["limit"]])]


def read_folds(results, tasks):
    """Each fold leaves out one row; the sum of the means is the sum of the rows."""
    n, total = tasks[0]["folds"], sum(results)
    return [Fact({"row": i}, "height", round(total - (n - 1) * mean, 6)) for i, mean in enumerate(results)]


def read_winsorized(means, tasks):
    """Two limits below the largest value give the number of rows; the mean without a limit then gives the value."""
    low, high, _ = (task["limit"] for task in tasks)
    rows = (high - low) / (means[1] - means[0])
    return [Cells("cost", [high + rows * (means[2] - means[1])], within=1e-6)]


def read_limits(result, _):
    pairs = itertools.pairwise(result)
    return [Cells("height", [s - t], within=1e-7) for (n, s), (m, t) in pairs if n - m == 1]


def read_nested(result, arguments):
    limits = arguments["limits"]
    counts = [result[f"{limit:g}"] for limit in limits]
    return [
        Statistic({"age": lambda s, a=a, b=b: (s >= a) & (s < b)}, "cost", "sum", x - y, 1e-5)
        for a, b, (n, x), (m, y) in zip(limits, limits[1:], counts, counts[1:], strict=False)
        if n - m in {1, 2}
    ]


def read_pair(get, where, column):
    """Claim the sum of the 1 or 2 rows in which two groups of the result differ."""

    def reveal(result, _):
        (n, x), (m, y) = get(result)
        return [Statistic(where, column, "sum", x - y)] if n - m in {1, 2} else []

    return reveal


CHEATS = [
    Cheat(
        name="limit_twice",
        method="sum_up_to",
        leak="several tasks",
        tables=TABLES,
        arguments=limits_around_one("cost", "days"),
        reveals=read_two_limits,
    ),
    Cheat(
        name="limit_twice_of_polars",
        method="mean_up_to_of_polars",
        leak="several tasks",
        tables=TABLES,
        arguments=limits_around_one("height", "days"),
        reveals=read_two_means,
    ),
    Cheat(
        name="exclusion_twice",
        method="sum_without",
        leak="several tasks",
        tables=TABLES,
        arguments=lambda frame: [
            {"column": "cost", "by": "patient_id", "excluded": excluded}
            for excluded in ([], [int(frame["patient_id"].iloc[0])])
        ],
        reveals=lambda r, tasks: [
            Fact({"patient_id": tasks[1]["excluded"][0]}, "cost", round(r[0]["sum"] - r[1]["sum"], 2))
        ],
    ),
    Cheat(
        name="random_halves",
        method="sum_of_half",
        leak="several tasks",
        tables=["patients_5", "patients_70"],
        arguments=[{"column": "height", "seed": seed} for seed in range(220)],
        reveals=read_halves,
    ),
    Cheat(
        name="sql_twice",
        method="sum_where_sql",
        leak="several tasks",
        tables=TABLES,
        arguments=lambda frame: [
            {"column": "height", "condition": condition}
            for condition in ("days > 0", f"days > 0 and patient_id <> {frame['patient_id'].iloc[-1]}")
        ],
        reveals=lambda r, tasks: [
            Statistic({"patient_id": int(tasks[1]["condition"].split()[-1])}, "height", "sum", r[0][0] - r[1][0])
        ],
    ),
    Cheat(
        name="power_made_column",
        method="sum_of_power",
        leak="several tasks",
        tables=["patients_5"],
        arguments=[{"column": "height", "power": power} for power in range(6)],
        reveals=lambda sums, _: [Cells("height", solve_power_sums(sums), within=1e-3)],
    ),
    Cheat(
        name="bisection_of_largest",
        method="count_above",
        leak="several tasks",
        tables=TABLES,
        arguments=[{"column": "age", "limit": float(age)} for age in range(50, 90)],
        reveals=read_bisection,
    ),
    Cheat(
        name="folds_of_one",
        method="mean_of_fold",
        leak="several tasks",
        tables=SMALL,
        arguments=lambda frame: [{"column": "height", "folds": len(frame), "fold": i} for i in range(len(frame))],
        reveals=read_folds,
    ),
    Cheat(
        name="winsorized_thrice",
        method="winsorized_mean",
        leak="several tasks",
        tables=TABLES,
        arguments=[{"column": "cost", "limit": limit} for limit in (20_000.0, 21_000.0, 1e9)],
        reveals=read_winsorized,
    ),
    Cheat(
        name="all_and_without_one",
        tables=TABLES,
        arguments={"column": "cost"},
        reveals=lambda r, _: [Cells("cost", [r["n"] * r["all"] - (r["n"] - 1) * r["without"]], within=1e-6)],
    ),
    Cheat(
        name="jackknife",
        tables=TABLES,
        arguments={"column": "height"},
        reveals=lambda r, _: [
            Fact({"row": i}, "height", round(r["n"] * r["mean"] - (r["n"] - 1) * e, 4))
            for i, e in enumerate(r["estimates"])
        ],
    ),
    Cheat(
        name="cumulative_sums",
        tables=TABLES,
        arguments={"column": "height", "by": "age"},
        reveals=lambda r, _: [Cells("height", np.round(np.diff(r, prepend=0), 4))],
    ),
    Cheat(
        name="expression_of_one",
        method="sum_of_expression",
        tables=TABLES,
        arguments=lambda frame: {"expression": f"cost * (patient_id == {frame['patient_id'].iloc[1]})"},
        reveals=lambda r, a: [Fact({"patient_id": int(a["expression"].split()[-1].rstrip(")"))}, "cost", r)],
    ),
    Cheat(
        name="hidden_expression",
        method="sum_of_expression",
        tables=TABLES,
        # The sum of all ages is in the last digits, and one height is in the first digits.
        arguments=lambda frame: {"expression": f"height * 1e7 * (patient_id == {frame['patient_id'].iloc[1]}) + age"},
        reveals=lambda r, a: [
            Fact({"patient_id": int(a["expression"].split("== ")[1].partition(")")[0])}, "height", round(r / 1e7, 1))
        ],
    ),
    Cheat(
        name="sums_at_limits",
        tables=TABLES,
        arguments={"column": "height", "limits": np.arange(140, 220, 0.5).tolist()},
        reveals=read_limits,
    ),
    Cheat(
        name="complete_cases",
        tables=SMALL,
        arguments={"column": "height", "other": "weight"},
        reveals=read_pair(lambda r: (r["all"], r["complete"]), {"weight": lambda s: s.isna()}, "height"),
    ),
    Cheat(
        name="with_and_without_level",
        tables=WITH_SINGLETON,
        arguments={"column": "height", "by": "diagnosis", "level": "G12"},
        reveals=read_pair(
            lambda r: [(n, n * mean) for n, mean in (r["all"], r["rest"])], {"diagnosis": "G12"}, "height"
        ),
    ),
    Cheat(
        name="nested_ages",
        method="overlapping_groups",
        tables=MIDDLE,
        arguments={"column": "cost", "by": "age", "limits": list(range(20, 90))},
        reveals=read_nested,
    ),
    Cheat(
        name="training_and_all",
        tables=TABLES,
        arguments={"predictors": ["height", "cost"]},
        reveals=lambda r, _: [
            Cells("height", [(r["all"][0][0] - r["training"][0][0]) ** 0.5], within=1e-6),
        ],
    ),
]
