"""Cheats that return tables with small cells, or tables from which hidden cells can be computed."""

from __future__ import annotations

import numpy as np

from ..cases import Cheat
from ..claims import Cells, Fact, Group, Statistic, cells
from ..nodes import MIDDLE, PATIENTS, SMALL, WITH_SINGLETON

KEYS = {"row": "diagnosis", "column": "sex"}
WITH_SMALL_CELLS = [*SMALL[1:], *MIDDLE]


def claim_counts(counts, *columns):
    """Claim the groups of 1 or 2 rows of a table: pairs of keys and counts."""
    return [Group(dict(zip(columns, key, strict=True)), round(n)) for key, n in counts if round(n) in {1, 2}]


def flatten(table):
    """Yield the keys and the value of each cell of two nested dicts: outer key first."""
    for outer, cells_of_outer in table.items():
        for inner, value in cells_of_outer.items():
            if value is not None:
                yield (outer, inner), value


def read_frame(result, _):
    return claim_counts(flatten(result), "sex", "diagnosis")


def read_rows(get):
    return lambda result, _: claim_counts(get(result), "diagnosis", "sex")


def solve_margins(result, _):
    """Compute each cell that is the only hidden cell of its row."""
    solved = []
    for level, total in result["rows"].items():
        row = {column: values[level] for column, values in result["cells"].items()}
        hidden = [column for column, n in row.items() if n is None]
        if len(hidden) == 1:
            solved.append(((level, hidden[0]), total - sum(n for n in row.values() if n is not None)))
    return claim_counts(solved, "diagnosis", "sex")


def read_bins(result, arguments):
    low, high = arguments["low"], arguments["high"]
    width = (high - low) / len(result)
    return [
        Group({"height": lambda s, a=low + i * width: (s >= a) & (s < a + width)}, n)
        for i, n in enumerate(result)
        if n in {1, 2}
    ]


def read_peaks(result, arguments):
    """Claim the heights at which the density has a peak."""
    grid = np.linspace(arguments["low"], arguments["high"], arguments["points"])
    inner = np.array(result)
    peaks = (inner[1:-1] > 1e-9) & (inner[1:-1] > inner[:-2]) & (inner[1:-1] > inner[2:])
    return [Cells("height", grid[1:-1][peaks])]


def read_percentages(result, _):
    return [
        Fact({"diagnosis": level}, "sex", sex)
        for (level, sex), share in flatten(result["percent"])
        if result["n"][level] is None and share == 1
    ]


def read_pyramid(result, _):
    table = zip(result["index"], result["data"], strict=True)
    counts = [((sex, age), n) for sex, row in table for age, n in zip(result["columns"], row, strict=True)]
    return claim_counts(counts, "sex", "age")


def read_joint(result, arguments):
    xs, ys = arguments["edges_x"], arguments["edges_y"]
    return [
        Group({
            "age": lambda s, i=i: (s >= xs[i]) & (s < xs[i + 1]),
            "height": lambda s, j=j: (s >= ys[j]) & (s < ys[j + 1]),
        }, round(n))
        for i, row in enumerate(result)
        for j, n in enumerate(row)
        if n in {1, 2} and i < len(xs) - 2 and j < len(ys) - 2  # the last bins include their upper edge
    ]  # fmt: skip


def read_odds(result, _):
    counts = [((level, event), row[i]) for level, row in result.items() for i, event in ((0, 1), (1, 0))]
    return claim_counts(counts, "diagnosis", "event")


def read_rest(result, _):
    remainder = result["total"] - sum(result["levels"].values())
    return [Group({"diagnosis": lambda s: ~s.isin(list(result["levels"]))}, remainder)] if remainder in {1, 2} else []


def read_residuals(result):
    errors = dict(flatten(result["error"]))
    # pandas rounds a table by columns, so both are dicts of columns or of rows: the keys are the same.
    return [(key, n + errors[key]) for key, n in flatten(result["rounded"])]


def read_chi(result):
    counts = np.array(result["expected"]) + np.array(result["signed"]) * np.sqrt(np.array(result["expected"]))
    return [
        ((level, column), counts[i, j])
        for i, level in enumerate(result["levels"])
        for j, column in enumerate(result["columns"])
    ]


CHEATS = [
    Cheat(name="singletons", method="crosstab", tables=WITH_SMALL_CELLS, arguments=KEYS, reveals=read_frame),
    Cheat(
        name="margins",
        method="crosstab_with_margins",
        tables=WITH_SMALL_CELLS,
        arguments=KEYS,
        reveals=solve_margins,
    ),
    Cheat(
        name="three_way_table",
        tables=WITH_SMALL_CELLS,
        arguments={"by": ["sex", "diagnosis", "treated"]},
        reveals=lambda r, _: claim_counts([(key, n) for *key, n in r], "sex", "diagnosis", "treated"),
    ),
    Cheat(
        name="table_of_means",
        tables=WITH_SINGLETON,
        arguments={**KEYS, "value": "cost"},
        reveals=lambda r, _: [
            Statistic({"diagnosis": "G12", "sex": sex}, "cost", "mean", means["G12"])
            for sex, means in r.items()
            if means.get("G12") is not None
        ],
    ),
    Cheat(
        name="hundred_bins",
        method="fine_histogram",
        tables=[*SMALL, *MIDDLE],
        arguments={"column": "height", "low": 140, "high": 210},
        reveals=read_bins,
    ),
    Cheat(
        name="density",
        tables=[*SMALL, *MIDDLE],
        arguments={"column": "height", "low": 130, "high": 220, "points": 901, "width": 0.02},
        reveals=read_peaks,
    ),
    Cheat(
        name="proportions_table",
        tables=WITH_SMALL_CELLS,
        arguments=KEYS,
        reveals=read_rows(lambda r: [(key, share * r["n"]) for key, share in flatten(r["table"])]),
    ),
    Cheat(name="row_percentages", tables=WITH_SMALL_CELLS, arguments=KEYS, reveals=read_percentages),
    Cheat(name="age_pyramid", tables=WITH_SMALL_CELLS, arguments={"age": "age", "sex": "sex"}, reveals=read_pyramid),
    Cheat(
        name="missing_patterns",
        tables=SMALL,
        reveals=lambda r, _: [Group({"weight": lambda s: s.isna()}, r["weight"])] if r.get("weight", 3) < 3 else [],
    ),
    Cheat(
        name="joint_histogram",
        tables=WITH_SMALL_CELLS,
        arguments={
            "x": "age",
            "y": "height",
            "edges_x": [20, 30, 40, 50, 60, 90],
            "edges_y": [140, 160, 170, 180, 220],
        },
        reveals=read_joint,
    ),
    Cheat(
        name="distribution_function",
        tables=PATIENTS,
        arguments={"column": "height"},
        reveals=cells("height", lambda r: r["at"]),
    ),
    Cheat(
        name="sparse_cells",
        tables=WITH_SMALL_CELLS,
        arguments={"row": "diagnosis", "column": "postcode"},
        reveals=lambda r, _: claim_counts([(key, n) for *key, n in r], "diagnosis", "postcode"),
    ),
    Cheat(
        name="odds_ratios",
        tables=WITH_SMALL_CELLS,
        arguments={"exposure": "diagnosis", "outcome": "event"},
        reveals=read_odds,
    ),
    Cheat(name="totals_and_rest", tables=WITH_SMALL_CELLS, arguments={"column": "diagnosis"}, reveals=read_rest),
    Cheat(
        name="rounded_with_residuals",
        tables=WITH_SMALL_CELLS,
        arguments=KEYS,
        reveals=read_rows(read_residuals),
    ),
    Cheat(name="expected_and_chi", tables=WITH_SMALL_CELLS, arguments=KEYS, reveals=read_rows(read_chi)),
    Cheat(
        name="correlation_by_group",
        tables=[*SMALL[2:], *MIDDLE],
        arguments={"by": "postcode", "x": "height", "y": "days"},
        reveals=lambda r, _: [
            Group({"postcode": level}, 2) for level, value in r.items() if value and abs(abs(value) - 1) < 1e-9
        ],
    ),
]
