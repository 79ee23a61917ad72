"""Cheats whose results are harmless: values leave through the log, the progress or the failure of the run.

``reveals`` gets the log of the run, as the researcher reads it.
"""

from __future__ import annotations

import hashlib
import inspect
import re

from ..cases import Cheat, load
from ..claims import Cells, Fact, Group
from ..nodes import SMALL

TABLES = SMALL[1:]


def find(column, pattern, convert=str):
    """Return the function that claims the cells that match a pattern in the log."""
    return lambda log, _: [Cells(column, [convert(match) for match in re.findall(pattern, log)])]


def know_patient(frame):
    """Return the arguments of a researcher who knows the number of one patient."""
    return {"column": "event", "by": "patient_id", "patient": int(frame["patient_id"].iloc[0])}


def know_names(frame):
    return {"column": "name", "excluded": ["A. Nobody", frame["name"].iloc[2], "B. Nobody"]}


def read_pseudonyms(log, _):
    ages_by_hash = {hashlib.md5(str(age).encode()).hexdigest(): age for age in range(120)}
    return [Cells("age", [ages_by_hash[pseudonym] for pseudonym in re.findall("[0-9a-f]{32}", log)])]


def read_choice(log, arguments):
    """Claim that one patient is above a limit, in a table of which the researcher knows the second largest age."""
    return [Group({"age": lambda s: s > arguments["limit"]}, 1)] if "at least one" in log else []


def read_line(log, _):
    """Claim the decade of the oldest patient, from the line of the assertion."""
    lines, start = inspect.getsourcelines(load("cheats").functions["failing_line"].__wrapped__)
    match = re.search("channels.py, line ([0-9]+)", log)
    if not match:
        return []
    decade = int(lines[int(match[1]) - start].split()[-1])
    return [Group({"*": lambda f: (f["age"] == f["age"].max()) & (f["age"] // 10 == decade)}, 1)]


def read_kind(log, arguments):
    event = int("ArithmeticError" in log)
    return [Fact({"patient_id": arguments["patient"]}, "event", event)]


CHEATS = [
    Cheat(
        name="log_text",
        leak="log",
        tables=TABLES,
        arguments={"column": "height", "name": "name"},
        reveals=find("name", "value of (.*)"),
    ),
    Cheat(
        name="log_number",
        leak="log",
        tables=TABLES,
        arguments={"column": "cost"},
        reveals=find("cost", r"up to ([\d.]+)", float),
    ),
    Cheat(
        name="log_index",
        leak="log",
        tables=TABLES,
        arguments={"column": "age", "limit": 60},
        reveals=lambda log, _: [
            Group({"row": int(row), "age": lambda s: s > 60}, 1) for row in re.findall(r"\d+", log)
        ],
    ),
    Cheat(name="log_pseudonyms", leak="log", tables=TABLES, arguments={"column": "age"}, reveals=read_pseudonyms),
    Cheat(
        name="log_lines",
        leak="log",
        tables=TABLES,
        arguments={"column": "age"},
        reveals=lambda log, _: [Cells("age", [log.count("next iteration")])],
    ),
    Cheat(
        name="log_choice",
        leak="log",
        tables=TABLES,
        arguments=lambda frame: {"column": "age", "limit": float(frame["age"].nlargest(2).min())},
        reveals=read_choice,
    ),
    Cheat(
        name="log_letters",
        leak="log",
        tables=TABLES,
        arguments={"column": "name"},
        reveals=lambda log, _: [Cells("name", ["".join(re.findall("info > ?(.?)\n", log))])],
    ),
    Cheat(
        name="log_steps",
        leak="log",
        tables=TABLES,
        arguments={"time": "days", "event": "event"},
        reveals=find("days", r"set at (\d+)", int),
    ),
    Cheat(
        name="progress_percent",
        leak="progress",
        tables=TABLES,
        arguments={"column": "age"},
        reveals=find("age", r"> (\d+)%", int),
    ),
    Cheat(
        name="progress_text",
        leak="progress",
        tables=TABLES,
        arguments={"column": "birth"},
        reveals=find("birth", "reading (.*)"),
    ),
    Cheat(
        name="progress_steps",
        leak="progress",
        tables=TABLES,
        arguments={"column": "age"},
        reveals=find("age", r"> (\d+)%", int),
    ),
    Cheat(
        name="user_error_field",
        leak="error",
        tables=TABLES,
        arguments={"column": "cost", "limit": 1000},
        reveals=find("cost", r"value is ([\d.]+)", float),
    ),
    Cheat(
        name="user_error_of_list",
        leak="error",
        tables=TABLES,
        arguments=know_names,
        reveals=find("name", "patient (.*) is excluded"),
    ),
    Cheat(
        name="class_name",
        leak="error",
        tables=TABLES,
        arguments={"column": "diagnosis"},
        reveals=find("diagnosis", "G12|[A-Z][0-9]{2}"),
        closed="a message shows the name of a class only if the name is in the source",
    ),
    Cheat(
        name="class_text",
        leak="error",
        tables=TABLES,
        arguments={"column": "diagnosis"},
        reveals=find("diagnosis", "no ([A-Z][0-9]{2})"),
        closed="the text of a class must be in the source",
    ),
    Cheat(
        name="own_error",
        leak="error",
        tables=TABLES,
        arguments={"column": "name"},
        reveals=find("name", 'cannot process (.*)"'),
        closed="an error of algotools that the author's code raises is shown without its text",
    ),
    Cheat(
        name="system_exit",
        leak="error",
        tables=TABLES,
        arguments=know_patient,
        reveals=lambda log, a: [Fact({"patient_id": a["patient"]}, "event", int("SystemExit" not in log))],
    ),
    Cheat(name="failing_line", leak="error", tables=TABLES, arguments={"column": "age"}, reveals=read_line),
    Cheat(name="failure_kind", leak="error", tables=TABLES, arguments=know_patient, reveals=read_kind),
    Cheat(
        name="path_of_null",
        leak="log",
        tables=TABLES,
        arguments={"column": "age"},
        reveals=find("age", r"\]\[(\d+)\]", int),
    ),
    Cheat(
        name="unserializable",
        leak="error",
        tables=TABLES,
        arguments={"column": "age"},
        reveals=find("age", r"result\[(\d+)\]", int),
    ),
]
