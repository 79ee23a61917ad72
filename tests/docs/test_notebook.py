"""The notebook: every cell runs in a real kernel, prints the stored output, and leaves no thread or process."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from ..processes import LIMIT
from .conftest import DOCS

STORED = nbformat.read(DOCS / "notebook.ipynb", as_version=4)

FIRST_CELL = """
import json as _json, threading as _threading, time as _time, warnings as _warnings
import psutil as _psutil
from algotools import RunsIncomplete as _RunsIncomplete
_warnings.simplefilter("error")
_warnings.simplefilter("ignore", _RunsIncomplete)  # the text of a cell announces this warning

def _alive():
    return [len(_threading.enumerate()), len(_psutil.Process().children(recursive=True))]

_before = _alive()
print(_json.dumps(_before))
"""

CENSUS = """
for _ in range(100):  # a thread may need a moment to exit after it has returned its result
    if _alive() == _before:
        break
    _time.sleep(0.05)
print(_json.dumps(_alive()))
"""
"""A cell that prints the number of threads and child processes of the kernel."""

LAST_CELL = "_warnings.resetwarnings()  # warnings of the kernel's own shutdown are not errors"


@pytest.fixture(scope="module")
def executed() -> Any:
    """Run the notebook, with warnings as errors, and with a census after each cell."""
    notebook = copy.deepcopy(STORED)
    cells = code_cells(notebook)
    for cell in cells:
        cell.outputs = []
    with_census = [cell for code in cells for cell in (code, new_code_cell(CENSUS))]
    notebook.cells = [new_code_cell(FIRST_CELL), *with_census, new_code_cell(LAST_CELL)]
    NotebookClient(notebook, timeout=int(LIMIT), kernel_name="python3", coalesce_streams=True).execute()
    return notebook


def output_texts(outputs: list[Any]) -> list[str]:
    """Return outputs as text, with a fixed name for the file of a cell, which changes with each run."""
    shown = [output for output in outputs if "algotools" not in output.get("metadata", {})]  # a slow cell's progress
    texts = ["".join(output.get("text") or output["data"]["text/plain"]) for output in shown]
    return [re.sub(r"\d{5,}\.py", "cell.py", text) for text in texts]


def code_cells(notebook: Any) -> list[Any]:
    """Return the cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_cell_prints_the_stored_output(executed: Any) -> None:
    cells = code_cells(executed)[1:-1:2]
    assert [cell.source for cell in cells] == [cell.source for cell in code_cells(STORED)]
    assert [output_texts(cell.outputs) for cell in cells] == [output_texts(cell.outputs) for cell in code_cells(STORED)]


def test_no_thread_and_no_process_remains_after_any_cell(executed: Any) -> None:
    before, *after = [json.loads(text) for cell in code_cells(executed)[::2] for text in output_texts(cell.outputs)]
    assert len(after) > 10
    assert after == [before] * len(after)


def test_the_outputs_have_the_expected_content(executed: Any) -> None:
    """Check the content itself, because the stored and the new output could both be wrong."""
    html = [
        o["data"]["text/html"]
        for cell in code_cells(executed)
        for o in cell.outputs
        if "text/html" in o.get("data", {})
    ]
    tables = [text for text in html if "<th>organization</th>" in text]
    assert len(tables) == 2
    assert all(re.findall(r"<td>(\w+ \(\d\))</td>", text) == ["north (2)", "south (3)", "east (4)"] for text in tables)
    assert all("<th>count</th><th>sum</th><th>squares</th>" in text for text in tables)
    texts = "\n".join(text for cell in code_cells(executed) for text in output_texts(cell.outputs))
    assert "west (id 5): crashed: fewer than 10 rows have a value" in texts
    assert "'missing': [5]" in texts
    assert re.search(r"40 ZeroDivisionError in sloppy at cell.py, line \d\nZeroDivisionError: division by zero", texts)


def test_the_notebook_imports_only_dependencies_of_algotools() -> None:
    source = "\n".join(cell.source for cell in code_cells(STORED))
    assert set(re.findall(r"(?m)^(?:import|from) (\w+)", source)) == {"algotools", "math", "numpy", "pandas"}
