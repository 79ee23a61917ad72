"""The page on performance is generated from the stored figures and shows all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT
from ..processes import LIMIT
from .conftest import DOCS

STORED = ROOT / "benchmarks/data.json"
PAGE = (DOCS / "performance.md").read_text(encoding="utf-8")


@pytest.fixture
def figures() -> dict[str, Any]:
    """Return the stored measurements and their machine."""
    stored: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))
    return stored


def generate_page(content: dict[str, Any], folder: Path) -> str:
    """Return the page that the benchmark's command writes for some figures."""
    stored, page = folder / "figures.json", folder / "page.md"
    stored.write_text(json.dumps(content), encoding="utf-8")
    command = [sys.executable, ROOT / "benchmarks/data.py", "--json", stored, "--page", page]
    subprocess.run(command, check=True, timeout=LIMIT)
    return page.read_text(encoding="utf-8")


def read_targets(page: str) -> dict[str, str]:
    """Return target -> ``met`` or ``missed`` for each target of a page."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in page.splitlines()]
    return {row[0]: row[3].strip("*") for row in rows if len(row) == 4 and row[3].strip("*") in ("met", "missed")}


def test_the_page_is_generated_from_the_stored_figures(figures, tmp_path) -> None:
    assert generate_page(figures, tmp_path) == PAGE


@pytest.mark.parametrize(
    ("subject", "count"),
    [
        ("CSV, `pandas.DataFrame`: time, relative to vantage6", 1),
        ("CSV, `pandas.DataFrame`: memory, relative to vantage6", 1),
        ("CSV, `pol", 5),
        ("CSV, `pyarrow", 5),
        ("CSV, `duckdb", 3),
        ("Parquet, ", 7),
        ("PostgreSQL, `ibis.Table`: rows sent by the server", 1),
        ("PostgreSQL, `ibis.Table`: time with 80 columns", 1),
        ("100 rows, `pandas.DataFrame`", 1),
        ("100 rows, `Database`", 1),
    ],
)
def test_every_target_is_on_the_page(subject, count) -> None:
    assert len([target for target in read_targets(PAGE) if target.startswith(subject)]) == count


def test_the_page_shows_the_stored_state_of_each_target(figures) -> None:
    states = {target["promise"]: "met" if target["met"] else "missed" for target in figures["targets"]}
    assert read_targets(PAGE) == states


def test_the_page_shows_a_missed_target(figures, tmp_path) -> None:
    slow = figures["figures"]["csv, 1000000, ours pandas, time"]
    slow["samples"] = [100 * sample for sample in slow["samples"]]
    states = read_targets(generate_page(figures, tmp_path))
    assert states["CSV, `pandas.DataFrame`: time, relative to vantage6 4.15"] == "missed"


def test_a_variant_without_a_result_is_named_and_misses_its_targets(figures, tmp_path) -> None:
    variant = "csv, 1000000, ours lazy"
    for quantity in ("time", "memory"):
        del figures["figures"][f"{variant}, {quantity}"]
    figures["failed"][variant] = "no word"
    page = generate_page(figures, tmp_path)
    assert f"No result from {variant}." in page
    assert [state for target, state in read_targets(page).items() if target.startswith("CSV, `polars.LazyFrame`")] == [
        "missed",
        "missed",
        "missed",
    ]


def test_the_stored_figures_have_all_samples_and_no_path(figures) -> None:
    assert {stored["unit"] for stored in figures["figures"].values()} >= {"ms", "MB", "rows"}
    assert all(len(stored["samples"]) >= 1 for stored in figures["figures"].values())
    assert "/" not in json.dumps(figures["about"])


ADD_TO_STORED = """
import json, sys
import data
stored, measured = json.load(sys.stdin)
json.dump(data.add_stored(measured, stored), sys.stdout)
"""


def add_to_stored(measured: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """Return the figures that the benchmark stores after it has measured some parts only."""
    process = subprocess.run(
        [sys.executable, "-c", ADD_TO_STORED],
        input=json.dumps([stored, measured]),
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    )
    merged: dict[str, Any] = json.loads(process.stdout)
    return merged


def test_parts_that_are_not_measured_stay_stored(figures) -> None:
    csv = {name: {**figure, "samples": [1.0]} for name, figure in figures["figures"].items() if name.startswith("csv,")}
    missing = {name for name in csv if name.startswith("csv, 1000000, ours lazy")}
    measured = {
        "about": figures["about"],
        "targets": [],
        "failed": {"csv, 1000000, ours lazy": "no word"},
        "figures": {name: figure for name, figure in csv.items() if name not in missing},
    }
    merged = add_to_stored(measured, figures)
    figures_of_others = {name: figure for name, figure in figures["figures"].items() if name not in csv}
    assert merged["figures"] == figures_of_others | measured["figures"]
    assert merged["failed"] == figures["failed"] | measured["failed"]
    targets = {target["promise"]: target for target in merged["targets"]}
    assert targets.keys() == {target["promise"] for target in figures["targets"]}
    assert not targets["CSV, `polars.LazyFrame`: time, relative to vantage6 4.15"]["met"]
