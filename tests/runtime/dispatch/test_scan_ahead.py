"""The worker of a container scans a large CSV file in another process, which exits before the function is called."""

import json
import os
import sys
from pathlib import Path

import pytest

from ...conftest import CompletedRun, ManualNode

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and a second processor"
)

ALGORITHM = """
import os
from pathlib import Path

import polars as pl

from algotools import Column, rpc
from algotools.data import ahead

was_started = bool(ahead._SCANS)


def has_children() -> bool:
    try:
        return bool(os.waitpid(-1, os.WNOHANG))
    except ChildProcessError:
        return False


@rpc
def add(data: pl.LazyFrame, column: Column) -> dict[str, float | bool]:
    total = data.select(pl.col(column).sum()).collect().item()
    return {"total": total, "was_started": was_started, "has_children": has_children()}


@rpc
def measure(data: Path) -> dict[str, float | bool]:
    return {"total": data.stat().st_size, "was_started": was_started, "has_children": has_children()}
"""

ROWS = 300_000


def run(by_hand: ManualNode, content: str, method: str, *, load: float = 0.0, **arguments: str) -> CompletedRun:
    by_hand.databases["default"].write_text(content)
    (by_hand.folder / "scanned.py").write_text(ALGORITHM)
    (by_hand.folder / "sitecustomize.py").write_text(f"import os; os.getloadavg = lambda: ({load}, 0.0, 0.0)")
    posted = json.dumps({"method": method, "kwargs": arguments}).encode()
    environment = by_hand.environment(Path("scanned"), posted)
    return by_hand.run({**environment, "PYTHONPATH": str(by_hand.folder)})


def test_the_reader_takes_the_traits_of_a_large_file(by_hand: ManualNode) -> None:
    content = "name,age\n" + "Doe,2\n" * ROWS + '"Doe, Jane",5\n' + "x,1\n" * 100_000
    outcome = run(by_hand, content, "add", column="age")
    assert json.loads(outcome.output) == {"total": 2 * ROWS + 100_005, "was_started": True, "has_children": False}


def test_a_small_file_is_not_scanned_ahead(by_hand: ManualNode) -> None:
    outcome = run(by_hand, "name,age\nDoe,2\n", "add", column="age")
    assert json.loads(outcome.output) == {"total": 2, "was_started": False, "has_children": False}


def test_a_loaded_machine_does_not_scan_ahead(by_hand: ManualNode) -> None:
    outcome = run(by_hand, "name,age\n" + "Doe,2\n" * 10 * ROWS, "add", load=1000.0, column="age")
    assert json.loads(outcome.output) == {"total": 20 * ROWS, "was_started": False, "has_children": False}


def test_the_scan_of_a_file_that_the_function_reads_itself_is_stopped(by_hand: ManualNode) -> None:
    content = "name,age\n" + "Doe,2\n" * (10 * ROWS)
    outcome = run(by_hand, content, "measure")
    assert json.loads(outcome.output) == {"total": len(content), "was_started": True, "has_children": False}


def test_a_row_with_too_many_fields_is_refused(by_hand: ManualNode) -> None:
    outcome = run(by_hand, "name,age,sex\n" + "Doe,2,f\n" * ROWS + "Doe,Jane,2,f\n", "add", column="age")
    assert outcome.code == 31
    assert "a row has more fields than the header" in outcome.log
