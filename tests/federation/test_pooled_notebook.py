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


def execute(cells: list[str]) -> list[str]:
    """Execute cells, and return the standard output of each."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=int(LIMIT), kernel_name="python3", coalesce_streams=True).execute()
    assert nbformat.validate(notebook) is None
    return [
        "".join(output["text"] for output in cell.outputs if output.get("name") == "stdout") for cell in notebook.cells
    ]


def test_pooled_functions_of_a_notebook() -> None:
    outputs = execute(CELLS)
    shares = "{'f': 0.4583333333333333, 'm': 0.5416666666666666}\n"
    assert outputs == ["", "", shares, shares, shares, "", "48.0\n", "48.0\n"]


FUNCTIONS = """
@federated
def score(data: pd.DataFrame, total: Aggregator, column: Column) -> float:
    return float(total.sum(data[column])) * FACTOR

@rpc
def part(data: pd.DataFrame, column: Column) -> float:
    return float(data[column].sum()) * FACTOR

@master
def central(client: AlgorithmClient, column: str) -> float:
    return float(sum(client.run(part, column=column)))
"""

PART = FUNCTIONS.split("\n\n")[1]

CALL = """
def show(*calls):
    for call in calls:
        is_part = "part" in (call, getattr(call, "method", ""))
        try:
            print((federation.run if is_part else federation.ask)(call, column="age"))
        except FederationError as error:
            print(error)
"""

REDEFINED = [
    "import pandas as pd\nfrom algotools import *\nfrom algotools.errors import FederationError",
    FUNCTIONS.replace("FACTOR", "1"),
    "frames = [pd.DataFrame({'age': ages}) for ages in ([1.0, 2.0], [3.0], [4.0])]\nfederation = Federation(frames)",
    CALL,
    "show(score, 'score', part, 'part', central, 'central')",
    # The cell of the rpc runs again: the master of the federation would call the old rpc.
    f"old = part\n{PART.replace('FACTOR', '10')}",
    "show(score, part, 'part', old, central, 'central')",
    FUNCTIONS.replace("FACTOR", "10"),
    "show(score, 'score', score.partial, central)",
    "@federated\ndef late(data: pd.DataFrame, total: Aggregator, column: Column) -> float:\n    return 1.0",
    "show(late, 'late')",
    "federation = Federation(frames)\nshow(score, 'score', part, 'part', central, 'central')",
    "federation = Federation(frames, algorithm=[score, part])\nold = score",
    FUNCTIONS.replace("FACTOR", "100"),
    "show(score, 'score', part, old)",
]


def test_a_redefined_function_of_a_notebook_is_refused() -> None:
    def refuse(name: str) -> str:
        return f"{name} was defined again after this federation was made; make the Federation again\n"

    part, score, partial = refuse("part"), refuse("score"), refuse("score_partial")
    central = partial.replace("score_partial was", "central, part, score_partial were")
    late = "this federation does not have the function late; if the function was defined after the federation was "
    late += "made, make the Federation again\n"
    outputs = execute(REDEFINED)
    assert outputs[4] == "10.0\n10.0\n[3.0, 3.0, 4.0]\n[3.0, 3.0, 4.0]\n10.0\n10.0\n"
    assert outputs[6] == f"10.0\n{part}{part}[3.0, 3.0, 4.0]\n{part}{part}"
    assert outputs[8] == f"{score}{score}{partial}{central}"
    assert outputs[10] == late * 2
    assert outputs[11] == "100.0\n100.0\n[30.0, 30.0, 40.0]\n[30.0, 30.0, 40.0]\n100.0\n100.0\n"
    assert outputs[14] == f"{score}{score}{part}100.0\n"
