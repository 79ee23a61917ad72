"""Functions of a script run on an engine, with the results and messages of runner process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cloudpickle")

SCRIPT = """
from __future__ import annotations
import dataclasses, re, sys
from concurrent.futures import ProcessPoolExecutor
import pandas as pd
from algotools import Aggregator, AlgorithmClient, Column, Federation, RunsFailed, federated, master, rpc

OFFSET = 100

@dataclasses.dataclass
class Range:
    low: Bound
    high: Bound

@dataclasses.dataclass
class Bound:
    value: float

def shift(value):
    return value + OFFSET

@rpc
def count(data: pd.DataFrame, column: Column, within: Range) -> int:
    return shift(int(data[column].between(within.low.value, within.high.value).sum()))

@rpc
def fail(data: pd.DataFrame) -> float:
    return 1 / (len(data) - len(data))

@master
def total(client: AlgorithmClient, column: str) -> int:
    return sum(client.run(count, column=column, within={"low": {"value": 0}, "high": {"value": 3}}))

@federated(minimum_organizations=2)
def mean(data: pd.DataFrame, total: Aggregator, column: Column) -> float:
    return total.sum(data[column]) / total.count(data[column])

def describe(runner):
    nodes = [pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": [3.0, 4.0]})]
    with Federation(nodes, algorithm=[count, fail, total, mean], runner=runner) as federation:
        outcome = [federation.ask(total, column="a"), federation.ask(mean, column="a")]
        try:
            federation.run(fail)
        except RunsFailed as error:
            outcome.append(error.message)
        return outcome + [[run.log for run in federation.tasks()[-1].runs]]

def main():
    with ProcessPoolExecutor(2) as pool:
        engine = describe(pool)
    process = describe("process")
    assert engine[:2] == [203, 2.5], engine
    assert engine == process, (engine, process)
    assert "ZeroDivisionError in fail at script.py, line" in engine[2], engine[2]

main()
"""


def test_functions_of_a_script_have_the_outcome_of_runner_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    completed = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert not completed.returncode, completed.stderr
