"""Cheats of survival analysis: event times, and sums of risk sets that differ by one patient."""

from __future__ import annotations

from ..cases import Cheat
from ..claims import Cells, Fact, Group, cells
from ..nodes import MIDDLE, PATIENTS, SMALL, WITH_SINGLETON

TABLES = [*SMALL, *MIDDLE]
TIMES = {"time": "days", "event": "event"}
OF_HEART = {"time": "survival", "event": "censors"}
HEART = ["heart_8", "heart_61"]


def read_kaplan_meier(time, event):
    return lambda result, _: [
        Group({time: row["time"], event: row["events"]}, 1) for row in result if row["events"] + row["censored"] == 1
    ]


def read_risk_sets(result, _):
    """Claim the covariates of the patients who are in one risk set and not in the next."""
    pairs = zip(result, [*result[1:], [0, 0]], strict=True)
    return [Cells("height", [s - t], within=1e-6) for (n, s), (m, t) in pairs if round(n - m) == 1]


def read_life_table(result, arguments):
    width = arguments["width"]
    return [Group({"days": lambda s, a=start: (s >= a) & (s < a + width)}, n) for start, n, _ in result if n in {1, 2}]


def read_log_rank(result, _):
    """Claim the group of each case: its term is positive if the case is treated."""

    def is_case(number):
        return lambda frame: frame["days"] == sorted(frame.loc[frame["event"] == 1, "days"])[number]

    return [Fact({"*": is_case(i)}, "treated", int(term > 0)) for i, term in enumerate(result) if term]


CHEATS = [
    Cheat(
        name="kaplan_meier_per_event",
        method="kaplan_meier",
        tables=TABLES,
        arguments=TIMES,
        reveals=read_kaplan_meier("days", "event"),
    ),
    Cheat(
        name="kaplan_meier_of_heart",
        method="kaplan_meier",
        tables=HEART,
        arguments=OF_HEART,
        reveals=read_kaplan_meier("survival", "censors"),
    ),
    Cheat(
        name="curve_alone",
        method="survival_curve",
        tables=TABLES,
        arguments=TIMES,
        reveals=cells("days", lambda r: r["time"]),
    ),
    Cheat(
        name="curve_of_heart",
        method="survival_curve",
        tables=HEART,
        arguments=OF_HEART,
        reveals=cells("survival", lambda r: r["time"]),
    ),
    Cheat(name="event_times", method="unique_event_times", tables=TABLES, arguments=TIMES, reveals=cells("days")),
    Cheat(name="risk_set_sums", tables=TABLES, arguments={**TIMES, "covariate": "height"}, reveals=read_risk_sets),
    Cheat(
        name="last_at_risk", tables=PATIENTS, arguments={"time": "days"}, reveals=cells("days", lambda r: [r["until"]])
    ),
    Cheat(
        name="cumulative_hazard",
        tables=TABLES,
        arguments={**TIMES, "covariate": "cost"},
        reveals=cells("cost", lambda r: r["covariate"]),
    ),
    Cheat(
        name="median_survival",
        tables=TABLES,
        arguments=TIMES,
        reveals=cells("days", lambda r: [r["median"]] if r["median"] else []),
    ),
    Cheat(name="censoring_times", tables=TABLES, arguments=TIMES, reveals=cells("days")),
    Cheat(name="life_table", tables=TABLES, arguments={**TIMES, "width": 30.0}, reveals=read_life_table),
    Cheat(
        name="schoenfeld_residuals",
        tables=TABLES,
        arguments={**TIMES, "covariate": "height"},
        reveals=lambda r, _: [
            Cells("height", [x + m for x, m in zip(r["residuals"], r["means"], strict=True)], within=1e-9)
        ],
    ),
    Cheat(name="log_rank_terms", tables=TABLES, arguments={**TIMES, "group": "treated"}, reveals=read_log_rank),
    Cheat(
        name="person_time",
        tables=WITH_SINGLETON,
        arguments={**TIMES, "by": "diagnosis"},
        reveals=lambda r, _: [Fact({"diagnosis": "G12"}, "days", r["G12"]["time"])],
    ),
]
