"""Honest messages: log lines, progress and errors that the researcher may read."""

from __future__ import annotations

from ..cases import Honest

TABLES = ["patients_8", "patients_21", "patients_70"]
PRESSURE = {"column": "pressure"}

HONEST = [
    Honest(
        name="log_of_round",
        tables=TABLES,
        arguments={**PRESSURE, "round_number": 2},
        log=["info > round 2: sum of pressure"],
    ),
    Honest(name="log_of_rows", tables=TABLES[1:2], arguments=PRESSURE, log=["info > used 21 rows"]),
    Honest(
        name="log_of_fit",
        tables=TABLES,
        arguments=PRESSURE,
        log=["info > fit started", "info > fit finished after 1 iteration"],
    ),
    Honest(
        name="progress_of_steps",
        tables=TABLES,
        arguments={**PRESSURE, "steps": 2},
        log=["progress > 50% step 1 of 2", "progress > 100% step 2 of 2"],
    ),
    Honest(
        name="error_of_few_rows",
        tables=TABLES[:1],
        arguments=PRESSURE,
        log=["fewer than 10 rows have a value in pressure"],
    ),
    Honest(
        name="error_of_scale",
        tables=TABLES,
        arguments={"column": "event"},
        log=["event is binary; choose a numeric column"],
    ),
]
