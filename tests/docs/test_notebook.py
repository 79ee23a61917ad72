"""The notebook: every cell runs in a real kernel, gives what is stored, and leaves nothing behind."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from .conftest import DOCS

STORED = nbformat.read(DOCS / "notebook.ipynb", as_version=4)

BEFORE = """
import json as _json, threading as _threading, time as _time, warnings as _warnings
import psutil as _psutil
_warnings.simplefilter("error")

def _alive():
    return [len(_threading.enumerate()), len(_psutil.Process().children(recursive=True))]

_before = _alive()
print(_json.dumps(_before))
"""

CENSUS = """
for _ in range(100):  # a thread that has given its answer may need a moment more to end
    if _alive() == _before:
        break
    _time.sleep(0.05)
print(_json.dumps(_alive()))
"""
"""Threads and child processes of the kernel."""

AFTER = "_warnings.resetwarnings()  # what the kernel itself does to end is its own affair"


@pytest.fixture(scope="module")
def executed() -> Any:
    """The notebook, all cells run anew, warnings being errors; behind each cell a census."""
    notebook = copy.deepcopy(STORED)
    own = codes(notebook)
    for cell in own:
        cell.outputs = []
    between = [cell for code in own for cell in (code, new_code_cell(CENSUS))]
    notebook.cells = [new_code_cell(BEFORE), *between, new_code_cell(AFTER)]
    NotebookClient(notebook, timeout=60, kernel_name="python3", coalesce_streams=True).execute()
    return notebook


def shown(outputs: list[Any]) -> list[str]:
    """What outputs say, as text; a cell's own file has another name each time."""
    texts = ["".join(output.get("text") or output["data"]["text/plain"]) for output in outputs]
    return [re.sub(r"\d{5,}\.py", "cell.py", text) for text in texts]


def codes(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_cell_gives_what_is_stored(executed: Any) -> None:
    own = codes(executed)[1:-1:2]
    assert [cell.source for cell in own] == [cell.source for cell in codes(STORED)]
    assert [shown(cell.outputs) for cell in own] == [shown(cell.outputs) for cell in codes(STORED)]


def test_it_leaves_no_thread_and_no_process_behind_even_between_two_cells(executed: Any) -> None:
    before, *after = [json.loads(text) for cell in codes(executed)[::2] for text in shown(cell.outputs)]
    assert len(after) > 10
    assert after == [before] * len(after)


def test_what_it_shows(executed: Any) -> None:
    """In case that both, what is stored and what is given, are wrong."""
    html = [
        o["data"]["text/html"] for cell in codes(executed) for o in cell.outputs if "text/html" in o.get("data", {})
    ]
    answers = [text for text in html if "<th>organization</th>" in text]
    assert len(answers) == 2
    assert all(re.findall(r"<td>(\w+ \(\d\))</td>", text) == ["north (2)", "south (3)", "east (4)"] for text in answers)
    assert all("<th>count</th><th>sum</th><th>squares</th>" in text for text in answers)
    texts = "\n".join(text for cell in codes(executed) for text in shown(cell.outputs))
    assert "west (id 5): crashed: fewer than 10 rows have a value" in texts
    assert "'missing': [5]" in texts
    assert re.search(r"40 ZeroDivisionError in sloppy at cell.py, line \d\nZeroDivisionError: division by zero", texts)


def test_it_needs_nothing_but_what_algotools_brings() -> None:
    source = "\n".join(cell.source for cell in codes(STORED))
    assert set(re.findall(r"(?m)^(?:import|from) (\w+)", source)) == {"algotools", "math", "numpy", "pandas"}
