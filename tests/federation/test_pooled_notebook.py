"""Pooled functions of a notebook, in a real kernel."""

from __future__ import annotations

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from ..processes import LIMIT

CELLS = [
    "import pandas as pd\nfrom algotools import Aggregator, Column, Federation, Pooled, federated",
    (
        "@federated\n"
        "def shares(data: pd.DataFrame, total: Aggregator, column: Column) -> dict[str, float]:\n"
        "    n = total.count(data[column])\n"
        "    return {level: float(total.add(lambda: int((data[column] == level).sum())) / n)\n"
        "            for level in total.levels(data[column])}"
    ),
    (
        "frames = [pd.DataFrame({'sex': list(text)}) for text in ('ffffmmm', 'mmmfff', 'ffffmmmmmmm')]\n"
        "table = pd.concat(frames)\n"
        "print(shares(table, Pooled(), column='sex'))"
    ),
    "with Federation(frames, runner='inline') as federation:\n    print(federation.run(shares, column='sex')[0])",
    (
        "with Federation(frames, runner='process', contract='v5') as federation:\n"
        "    print(federation.run('shares', column='sex')[0])"
    ),
    # A cell that runs again replaces its function.
    (
        "@federated(name='central')\n"
        "def shares(data: pd.DataFrame, total: Aggregator, column: Column) -> float:\n"
        "    return total.count(data[column]) * 2.0"
    ),
    "with Federation(frames, runner='process') as federation:\n    print(federation.run('central', column='sex')[0])",
    "print(Federation.prove(shares, table, column='sex'))",
]


def test_pooled_functions_of_a_notebook() -> None:
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=int(LIMIT), kernel_name="python3", coalesce_streams=True).execute()
    assert nbformat.validate(notebook) is None
    outputs = [
        "".join(output["text"] for output in cell.outputs if output.get("name") == "stdout") for cell in notebook.cells
    ]
    shares = "{'f': 0.4583333333333333, 'm': 0.5416666666666666}\n"
    assert outputs == ["", "", shares, shares, shares, "", "48.0\n", "48.0\n"]
