"""Cheats that return rows or columns."""

from __future__ import annotations

import numpy as np

from ..cases import Cheat
from ..claims import Cells, Fact, Group, cells
from ..nodes import LARGE, MIDDLE, PATIENTS, SMALL


def read_steps(result, _):
    start = result["start"] + result["mean"]
    return [Cells("height", np.cumsum([start, *result["steps"]]))]


CHEATS = [
    Cheat(name="records", tables=PATIENTS, reveals=cells("name", lambda r: [row["name"] for row in r])),
    Cheat(
        name="frame",
        tables=PATIENTS,
        arguments={"columns": ["age", "postcode", "cost"]},
        reveals=cells("cost", lambda r: r["cost"].values()),
    ),
    Cheat(name="head", tables=PATIENTS, reveals=cells("birth", lambda r: r["birth"])),
    Cheat(
        name="sorted_column",
        tables=PATIENTS,
        arguments={"column": "weight"},
        reveals=cells("weight", lambda r: r["values"]),
    ),
    Cheat(
        name="sorted_column_of_heart",
        method="sorted_column",
        tables=["heart_8", "heart_61"],
        arguments={"column": "survival"},
        reveals=cells("survival", lambda r: r["values"]),
    ),
    Cheat(name="values_as_keys", tables=PATIENTS, arguments={"column": "height"}, reveals=cells("height")),
    Cheat(name="counts_of_unique", tables=PATIENTS, arguments={"column": "birth"}, reveals=cells("birth")),
    Cheat(
        name="indices_of_old",
        tables=PATIENTS,
        arguments={"column": "age", "limit": 66},
        reveals=lambda r, a: [Group({"row": i, "age": lambda s: s > a["limit"]}, 1) for i in r["index"]],
    ),
    Cheat(
        name="one_row",
        tables=PATIENTS,
        arguments={"column": "pressure", "other": ["age", "sex", "cost"]},
        reveals=lambda r, _: [Group({"age": r["age"], "sex": r["sex"], "cost": r["cost"]}, 1)],
    ),
    Cheat(name="sample_of_rows", tables=PATIENTS, reveals=cells("patient_id", lambda r: [x["patient_id"] for x in r])),
    Cheat(name="column_as_array", tables=PATIENTS, arguments={"column": "days"}, reveals=cells("days")),
    Cheat(
        name="rows_of_polars",
        tables=PATIENTS,
        arguments={"column": "height", "limit": 165.0},
        reveals=cells("height", lambda r: [row[0] for row in r]),
    ),
    Cheat(
        name="lowest_of_lazy_frame",
        tables=PATIENTS,
        arguments={"columns": ["age", "cost"], "by": "height"},
        reveals=lambda r, _: [Group({"age": age, "cost": cost}, 1) for age, cost in zip(*r.values(), strict=True)],
    ),
    Cheat(
        name="slice_of_arrow",
        tables=PATIENTS,
        reveals=cells("note", lambda r: r["note"].values()),
    ),
    Cheat(name="limit_of_duckdb", tables=PATIENTS, reveals=cells("patient_id", lambda r: [row[0] for row in r])),
    Cheat(
        name="page_of_rows",
        tables=[*SMALL, *LARGE],
        arguments={"page": 0},
        reveals=cells("name", lambda r: [row[r["columns"].index("name")] for row in r["rows"]]),
    ),
    Cheat(
        name="scatter_points",
        tables=PATIENTS,
        arguments={"x": "age", "y": "weight"},
        reveals=lambda r, _: [Cells("weight", [y for _, y in r]), Group({"age": r[0][0], "weight": r[0][1]}, 1)],
    ),
    Cheat(
        name="z_scores",
        tables=PATIENTS,
        arguments={"column": "weight"},
        reveals=cells("weight", lambda r: np.array(r["scores"]) * r["sd"] + r["mean"]),
    ),
    Cheat(name="steps_between", tables=PATIENTS, arguments={"column": "height"}, reveals=read_steps),
    Cheat(
        name="linked_ids",
        tables=PATIENTS,
        arguments=lambda frame: {
            "column": "patient_id",
            "candidates": [*frame["patient_id"].tolist()[:2], *range(40_000, 40_050)],
        },
        reveals=lambda r, _: [Group({"patient_id": i}, 1) for i in r],
    ),
    Cheat(
        name="duplicated_rows",
        tables=MIDDLE,
        arguments={"columns": ["age", "sex"]},
        reveals=lambda r, _: [
            Group({"age": age, "sex": sex}, 2)
            for age, sex in set(zip(r["age"], r["sex"], strict=True))
            if list(zip(r["age"], r["sex"], strict=True)).count((age, sex)) == 2
        ],
    ),
    Cheat(
        name="lines_of_file",
        tables=["patients_5", "patients_2000"],
        reveals=lambda r, _: [Cells("name", [line.split(",")[r[0].split(",").index("name")]]) for line in r[1:]],
    ),
    Cheat(
        name="invalid_rows",
        tables=PATIENTS,
        arguments={"column": "height", "other": "patient_id", "low": 160, "high": 180},
        reveals=lambda r, _: [Fact({"row": int(row)}, "patient_id", value) for row, value in r.items()],
    ),
]
