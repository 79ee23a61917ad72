"""Every form reads an awkward file, table, frame or response to the same values, or refuses it.

A part of the corpus is read in each run of the tests, and all of it with `make test-all`.
``python -m tests.data.test_corpus`` prints the wrong outcomes, and ``--page`` writes the tables of the page.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import sys
import tempfile
import uuid
import warnings
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from algotools import data
from algotools.errors import DatabaseUnreadable
from algotools.task import Database

from ..conftest import WHOLE
from .corpus import FILES, AwkwardFile
from .corpus_frames import FRAMES, AwkwardFrame, AwkwardResponse
from .corpus_sql import TABLES as TABLES_OF_SQL
from .corpus_sql import AwkwardTable, Servers
from .forms import TABLES, to_lists

LAZY = ("lazy", "batches", "duckdb", "ibis")
NOT_PANDAS = tuple(TABLES[1:])

_LATE = "The first rows decide the types of a lazy form, which refuses other values further down."
_OBJECTS = "pandas has Python's objects, the other forms have the database's text."
_MIXED = "Columns of SQLite with values of several types: pandas has both types, Ibis refuses, the others have text."
_ENGINE = "DuckDB has values that Python does not have."
_INTERVALS = "Ibis computes with intervals, but does not return any."
_ROWS = "DuckDB needs a column, so a table without columns has the numbers of its rows."
_TWO_DIMENSIONS = "Arrow has no matrices."
_MAPS = "A map is a dict of Python, or Arrow's list of pairs."
_FLOATS = "A number of 32 bits has other digits when it becomes one of 64 bits."

DIFFERENCES: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("csv", "a late text"): (LAZY, _LATE),
    ("csv", "a late float"): (LAZY, _LATE),
    ("csv", "a late underscore"): (LAZY, _LATE),
    ("csv", "a late hexadecimal number"): (("lazy", "duckdb", "ibis"), _LATE),
    ("csv", "a late infinity"): (LAZY, _LATE),
    **dict.fromkeys(
        (
            ("sqlite", "values of several types"),
            ("sqlite", "integers and texts"),
            ("sqlite", "texts, then an integer"),
            ("sqlite", "blobs and texts"),
            ("sqlite", "a strict table"),
            ("sqlite", "an empty text in a column of numbers"),
        ),
        (("arrow", "batches", "polars", "lazy", "duckdb"), _MIXED),
    ),
    ("duckdb", "infinite dates"): (("duckdb",), _ENGINE),
    ("duckdb", "maps"): (("arrow", "batches", "ibis"), _MAPS),
    ("duckdb", "bits"): (("duckdb", "ibis"), _ENGINE),
    ("duckdb", "intervals"): (("ibis",), _INTERVALS),
    ("duckdb", "intervals of months"): (("ibis",), _INTERVALS),
    ("frame", "spans"): (("ibis",), _INTERVALS),
    ("frame", "no columns"): (("duckdb", "ibis"), _ROWS),
    ("frame", "names of two levels"): (("duckdb", "ibis"), _ROWS),
    ("postgresql", "floats"): (NOT_PANDAS, _FLOATS),
    ("postgresql", "midnight"): (("arrow", "batches", "polars", "lazy", "duckdb"), _ENGINE),
    ("postgresql", "arrays of two dimensions"): (NOT_PANDAS, _TWO_DIMENSIONS),
    **dict.fromkeys(
        (
            ("postgresql", "times with a zone"),
            ("postgresql", "JSON"),
            ("postgresql", "binary JSON"),
            ("postgresql", "arrays of timestamps"),
            ("postgresql", "addresses"),
            ("postgresql", "ranges"),
            ("postgresql", "rows"),
        ),
        (NOT_PANDAS, _OBJECTS),
    ),
}
"""Cases in which some forms differ from pandas: the forms, and the reason."""

ONLY_PANDAS = ("only pandas supports", "which DuckDB does not support", "several types", "with the same name")
"""Parts of the reasons for which a form refuses what its library cannot represent."""

CASES: list[AwkwardFile | AwkwardTable | AwkwardFrame | AwkwardResponse] = [*FILES, *TABLES_OF_SQL, *FRAMES]


class Outcome(NamedTuple):
    """What a form makes of a file."""

    columns: dict[str, list[object]] | None
    refusal: str


def read_form(database: Database, form: str, columns: Collection[str] | None) -> Outcome:
    """Return the values of a file in a form, or the reason of the refusal."""
    with ExitStack() as closing:
        try:
            values = to_lists(form, data.load(database, form, columns, closing).value)
        except DatabaseUnreadable as error:
            return Outcome(None, str(error))
        except BaseException as error:  # a lazy form fails in the function, with the library's error
            return Outcome(None, f"{type(error).__module__.partition('.')[0]}: {type(error).__name__}")
    return Outcome({name: list(map(normalize, items)) for name, items in values.items()}, "")


def normalize(value: object) -> object:
    """Return a value without its library's type: 5.0 becomes 5, a Decimal a number, a timestamp at midnight a date."""
    if hasattr(value, "tolist"):  # an array or a number of NumPy
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [normalize(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, decimal.Decimal) or (isinstance(value, int) and abs(value) >= 2**63):
        value = float(value)  # integers of more than 64 bits are floats in most forms
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else float(f"{value:.15g}")
    if isinstance(value, dt.timedelta):
        return f"{value.total_seconds()} s"
    if isinstance(value, dt.datetime):
        value = (
            dt.datetime.fromisoformat(value.isoformat()[:26] + value.isoformat()[29:])
            if hasattr(value, "nanosecond") and value.nanosecond
            else value
        )
        value = value.astimezone(dt.timezone.utc) if value.tzinfo else value
        return str(value)[:10] if value.time() == dt.time() and value.tzinfo is None else str(value)
    if isinstance(value, (dt.date, uuid.UUID)):
        return str(value)
    return value


def compare(case: Any, form: str, outcome: Outcome, reference: Outcome) -> str:
    """Return what a form makes of a case, compared with pandas: one of ``WORDS``."""
    if outcome.refusal and reference.refusal:
        return "refused"
    if outcome == reference:
        return "same"
    if outcome.columns is None and any(text in outcome.refusal for text in ONLY_PANDAS):
        return "unsupported"
    return "different" if form in DIFFERENCES.get((case.kind, case.name), ((), ""))[0] else "WRONG"


WORDS = {
    "same": "✓",
    "refused": "refused",
    "unsupported": "refused, pandas reads",
    "different": "differs",
    "WRONG": "**wrong**",
}
"""Word in the file of outcomes -> word on the page."""


def list_forms(case: Any) -> list[str]:
    """Return the forms that a case has; Ibis has no driver for MariaDB."""
    return [form for form in TABLES[1:] if (case.kind, form) != ("mariadb", "ibis")]


def read_case(case: Any, folder: Path, servers: Servers) -> tuple[dict[str, str], list[str]]:
    """Return a word for each form, and a description of each form whose outcome is wrong.

    All columns are requested, the first one, and the last one. The word is the one of the worst outcome.
    """
    database = case.make_database(folder, servers)
    cells = dict.fromkeys(list_forms(case), "same")
    problems = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ibis calls what DuckDB will remove, and pandas warns about mixed columns
        whole = read_form(database, "pandas", None)
        requests: list[frozenset[str] | None] = [None]
        if whole.columns:
            names = list(whole.columns)
            last = {names[-1]}
            requests += [frozenset({name}) for name in (last if case.name.startswith("a late") else {names[0], *last})]
        for columns in requests:
            reference = read_form(database, "pandas", columns)
            for form in cells:
                outcome = read_form(database, form, columns)
                word = compare(case, form, outcome, reference)
                cells[form] = max(cells[form], word, key=["same", "refused", "unsupported", "different", "WRONG"].index)
                if word == "WRONG":
                    problems.append(
                        f"{form}, columns {sorted(columns or ()) or 'all'}: {outcome} instead of {reference}"
                    )
    return cells, problems


def is_long(case: Any) -> bool:
    """Whether a file has hundreds of thousands of rows, which nine forms read three times."""
    return bool(case.name.startswith(("a late ", "late ")))


SAMPLE = [case for case in CASES if not is_long(case)][::20]
"""A twentieth of the short cases. `test_csv_late.py` and `test_csv_widths.py` read long files in each form."""


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{case.kind}-{case.name}") for case in (CASES if WHOLE else SAMPLE)],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Polars panics on invalid UTF-8
def test_every_form_has_the_same_values_or_refuses_the_case(case, tmp_path, servers):
    cells, problems = read_case(case, tmp_path, servers)
    assert problems == []
    assert find_row(f"{case.kind}: {case.name}") == format_row(f"{case.kind}: {case.name}", cells)


# --- The page. ---

PAGE = Path(__file__).parents[2] / "docs/concepts/data.md"
BEGIN, END = "<!-- Written by `python -m tests.data.test_corpus --page`. -->", "<!-- End of the written part. -->"


def find_row(name: str) -> str:
    """Return the row of a case on the page; an empty text if the forms do not differ."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return next((line for line in lines if line.startswith(f"| {name} | ")), "")


def format_row(name: str, cells: dict[str, str]) -> str:
    """Return the row of a case whose forms differ; an empty text for another case."""
    if set(cells.values()) in ({"same"}, {"refused"}):
        return ""
    return f"| {name} | {' | '.join(WORDS[cells[form]] if form in cells else '-' for form in TABLES[1:])} |"


def format_table(outcomes: dict[str, dict[str, str]]) -> str:
    """Return the tables of the page."""
    lines = [
        "| source | cases | same values in every form | refused in every form | forms differ |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    different = {}
    for kind in dict.fromkeys(case.kind for case in CASES):
        rows = {name: cells for name, cells in outcomes.items() if name.startswith(f"{kind}: ")}
        same = [name for name, cells in rows.items() if set(cells.values()) == {"same"}]
        refused = [name for name, cells in rows.items() if set(cells.values()) == {"refused"}]
        mixed = {name: cells for name, cells in rows.items() if name not in (*same, *refused)}
        different |= mixed
        lines.append(f"| {kind} | {len(rows)} | {len(same)} | {len(refused)} | {len(mixed)} |")
    forms = TABLES[1:]
    lines += [
        "",
        "These are the cases in which forms differ. A form has the values of pandas (✓), refuses what only pandas has,",
        "or differs for a reason in the list above.",
        "",
        f"| case | {' | '.join(f'`{form}`' for form in forms)} |",
        f"| --- | {' | '.join('---' for _ in forms)} |",
    ]
    lines += [format_row(name, cells) for name, cells in different.items()]
    return "\n".join(lines)


def main() -> None:
    """Read all cases and print the wrong ones. With ``--page``, write the tables of the page."""
    outcomes = {}
    with ExitStack() as stack:
        servers = Servers(stack)
        for case in CASES:
            with tempfile.TemporaryDirectory() as folder:
                cells, problems = read_case(case, Path(folder), servers)
            outcomes[f"{case.kind}: {case.name}"] = cells
            if problems:
                sys.stdout.write(
                    f"{case.kind}: {case.name}\n" + "".join(f"    {problem[:400]}\n" for problem in problems)
                )
                sys.stdout.flush()
    if "--page" in sys.argv:
        before, _, following = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        after = following.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n\n{format_table(outcomes)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
