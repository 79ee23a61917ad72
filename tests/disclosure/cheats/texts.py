"""Cheats that return texts of the table, or texts made from them."""

from __future__ import annotations

import csv
import hashlib
import io
import json

from ..cases import Cheat
from ..claims import Cells, Fact, Group, Statistic, cells
from ..nodes import MIDDLE, PATIENTS, SMALL, WITH_SINGLETON

IDS = range(40_000, 99_999)
"""All possible patient numbers."""


def read_codes(result, _):
    return [Cells("diagnosis", result.values() if isinstance(result, dict) else result)]


def read_words(result, _):
    return [Group({"note": lambda s, w=word: s.str.contains(w, regex=False)}, 1) for word, n in result if "06-" in word]


CHEATS = [
    Cheat(
        name="joined_names",
        tables=PATIENTS,
        arguments={"column": "name"},
        reveals=cells("name", lambda r: r.split(", ")),
    ),
    Cheat(
        name="csv_text",
        tables=PATIENTS,
        arguments={"columns": ["birth", "cost"]},
        reveals=cells("birth", lambda r: [row["birth"] for row in csv.DictReader(io.StringIO(r))]),
    ),
    Cheat(
        name="json_text",
        tables=PATIENTS,
        arguments={"columns": ["postcode", "days"]},
        reveals=cells("days", lambda r: [row[1] for row in json.loads(r["table"])["data"]]),
    ),
    Cheat(name="top_texts", tables=PATIENTS, arguments={"column": "note"}, reveals=cells("note")),
    Cheat(
        name="means_by_name",
        tables=PATIENTS,
        arguments={"column": "pressure", "name": "name"},
        reveals=lambda r, _: [Fact({"name": name}, "pressure", mean) for name, mean in r.items()],
    ),
    Cheat(name="unique_postcodes", tables=PATIENTS, arguments={"column": "postcode"}, reveals=cells("postcode")),
    Cheat(
        name="hashes",
        tables=SMALL,
        arguments={"column": "patient_id"},
        reveals=cells("patient_id", lambda r: [i for i in IDS if hashlib.sha256(str(i).encode()).hexdigest() in r]),
    ),
    Cheat(
        name="salted_hash_counts",
        tables=SMALL,
        arguments={"column": "age", "salt": "study"},
        reveals=lambda r, a: [
            Group({"age": age}, r[key])
            for age in range(120)
            if (key := hashlib.sha256(f"{a['salt']}{age}".encode()).hexdigest()[:16]) in r and r[key] < 3
        ],
    ),
    Cheat(name="levels_with_singleton", tables=WITH_SINGLETON, arguments={"column": "diagnosis"}, reveals=read_codes),
    Cheat(name="category_codes", tables=WITH_SINGLETON, arguments={"column": "diagnosis"}, reveals=read_codes),
    Cheat(name="levels_of_polars", tables=WITH_SINGLETON, arguments={"column": "diagnosis"}, reveals=read_codes),
    Cheat(
        name="longest_text", tables=PATIENTS, arguments={"column": "note"}, reveals=cells("note", lambda r: [r["text"]])
    ),
    Cheat(
        name="matches_in_texts",
        tables=PATIENTS,
        arguments={"column": "note", "pattern": "06-[0-9]+"},
        reveals=lambda r, _: [Group({"note": lambda s, p=phone: s.str.contains(p)}, 1) for phone in r[:20]],
    ),
    Cheat(name="words_of_texts", tables=SMALL, arguments={"column": "note"}, reveals=read_words),
    Cheat(
        name="described",
        tables=PATIENTS,
        arguments={"columns": ["name", "weight"]},
        reveals=lambda r, _: [
            Cells("name", [r["name"]["top"]]),
            Statistic({"name": r["name"]["top"]}, "treated", "count", 1),
            Cells("weight", [r["weight"]["max"]]),
        ],
    ),
    Cheat(
        name="name_of_largest",
        tables=[*SMALL, *MIDDLE],
        arguments={"column": "weight", "name": "name"},
        reveals=cells("name", lambda r: [r]),
    ),
    Cheat(
        name="report",
        tables=PATIENTS,
        arguments={"column": "height", "name": "birth"},
        reveals=cells("birth", lambda r: [r.partition("(")[2].rstrip(")")]),
    ),
    Cheat(
        name="conversion_problem",
        tables=PATIENTS,
        arguments={"column": "note"},
        reveals=cells("note", lambda r: [r["problem"].partition(": ")[2].strip("'")]),
    ),
]
