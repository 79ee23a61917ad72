"""The page of speed is what the stored figures make, and hides none of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT
from .conftest import DOCS

STORED = ROOT / "benchmarks/data.json"
PAGE = (DOCS / "performance.md").read_text(encoding="utf-8")


@pytest.fixture
def figures() -> dict[str, Any]:
    """What was measured, and where."""
    stored: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))
    return stored


def page_of(content: dict[str, Any], folder: Path) -> str:
    """The page that the benchmark's own command writes of some figures."""
    stored, page = folder / "figures.json", folder / "page.md"
    stored.write_text(json.dumps(content), encoding="utf-8")
    command = [sys.executable, ROOT / "benchmarks/data.py", "--json", stored, "--page", page]
    subprocess.run(command, check=True, timeout=60)
    return page.read_text(encoding="utf-8")


def targets_on(page: str) -> dict[str, str]:
    """Each target that a page tells -> whether it is met."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in page.splitlines()]
    return {row[0]: row[3].strip("*") for row in rows if len(row) == 4 and row[3].strip("*") in ("met", "missed")}


def test_the_page_is_what_the_stored_figures_make(figures, tmp_path) -> None:
    assert page_of(figures, tmp_path) == PAGE


@pytest.mark.parametrize(
    ("about", "count"),
    [
        ("CSV, `pandas.DataFrame`: time, by vantage6", 1),
        ("CSV, `pandas.DataFrame`: memory, by vantage6", 1),
        ("CSV, `pol", 5),
        ("CSV, `pyarrow", 5),
        ("CSV, `duckdb", 3),
        ("Parquet, ", 7),
        ("PostgreSQL, `ibis.Table`: rows that leave the server", 1),
        ("PostgreSQL, `ibis.Table`: time with 80 columns", 1),
        ("100 rows, `pandas.DataFrame`", 1),
        ("100 rows, `Database`", 1),
    ],
)
def test_every_target_is_on_the_page(about, count) -> None:
    assert len([target for target in targets_on(PAGE) if target.startswith(about)]) == count


def test_what_is_stored_of_a_target_is_what_the_page_says(figures) -> None:
    told = {target["promise"]: "met" if target["met"] else "missed" for target in figures["targets"]}
    assert targets_on(PAGE) == told


def test_a_target_that_is_missed_is_told(figures, tmp_path) -> None:
    slow = figures["figures"]["csv, 1000000, ours pandas, time"]
    slow["samples"] = [100 * sample for sample in slow["samples"]]
    told = targets_on(page_of(figures, tmp_path))
    assert told["CSV, `pandas.DataFrame`: time, by vantage6 4.15's"] == "missed"


def test_who_gives_no_answer_is_told_and_has_missed_the_targets(figures, tmp_path) -> None:
    who = "csv, 1000000, ours lazy"
    for what in ("time", "memory"):
        del figures["figures"][f"{who}, {what}"]
    figures["failed"][who] = "no word"
    page = page_of(figures, tmp_path)
    assert f"No answer came from {who}." in page
    assert [state for target, state in targets_on(page).items() if target.startswith("CSV, `polars.LazyFrame`")] == [
        "missed",
        "missed",
        "missed",
    ]


def test_the_stored_figures_have_every_single_measurement_and_name_no_machine(figures) -> None:
    assert {stored["unit"] for stored in figures["figures"].values()} >= {"ms", "MB", "rows"}
    assert all(len(stored["samples"]) >= 1 for stored in figures["figures"].values())
    assert "/" not in json.dumps(figures["about"])
