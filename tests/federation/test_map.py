"""Many tasks of one method: one table, failures in their cells, and continued after an interruption."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from algotools import AlgorithmClient, Federation, UserError, master, rpc
from algotools.errors import ArgumentsError, FederationError, RunsIncomplete
from algotools.federation import Grid
from algotools.federation._mapping import MOST_AT_ONCE
from algotools.federation.history import TaskHistory

from ..processes import LIMIT

NODES = {"north": pd.DataFrame({"x": range(10)}), "south": pd.DataFrame({"x": range(20)})}


class Unlucky(UserError):
    text = "three brings bad luck"


@rpc(name="grid_scale")
def scale(data: pd.DataFrame, factor: int, limit: int = 20) -> dict[str, float]:
    if factor == 3 and len(data) < limit:
        raise Unlucky
    return {"sum": float(data["x"].sum() * factor)}


@master(name="grid_total")
def total(client: AlgorithmClient, factor: int) -> dict[str, float]:
    return {"total": sum(part["sum"] for part in client.run(scale, factor=factor))}


@master(name="grid_share")
def share(client: AlgorithmClient, factor: int) -> float:
    return factor / 2


FUNCTIONS = [scale, total, share]


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALGOTOOLS_HISTORY", "on")


def factors(*values: int) -> list[dict[str, object]]:
    return [{"factor": value} for value in values]


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_a_master_has_one_row_for_each_task_and_a_failure_is_in_its_row(contract: str) -> None:
    with Federation(NODES, algorithm=FUNCTIONS, contract=contract) as federation:
        grid = federation.map(total, factors(1, 3, 2))
    assert isinstance(grid, Grid)
    assert grid.results == [{"total": 235.0}, None, {"total": 470.0}]
    assert list(grid.errors) == [1]
    first, failed, last = grid.to_rows()
    assert first == {"factor": 1, "total": 235.0, "error": None}
    assert failed["total"] is None
    assert "three brings bad luck" in failed["error"]
    assert last == {"factor": 2, "total": 470.0, "error": None}
    assert list(grid.to_frame().columns) == ["factor", "total", "error"]


def test_an_rpc_has_a_row_for_each_organization_and_keeps_the_results_of_the_others() -> None:
    with Federation(NODES, algorithm=FUNCTIONS) as federation:
        grid = federation.map("grid_scale", factors(2, 3))
        assert grid.results == [[{"sum": 90.0}, {"sum": 380.0}], None]
        assert grid.to_rows() == [
            {"factor": 2, "organization": "north", "sum": 90.0, "error": None},
            {"factor": 2, "organization": "south", "sum": 380.0, "error": None},
            {"factor": 3, "organization": "north", "sum": None, "error": "[41] three brings bad luck"},
            {"factor": 3, "organization": "south", "sum": 570.0, "error": None},
        ]
        assert federation.map(scale, factors(2), at="south").to_rows() == [
            {"factor": 2, "organization": "south", "sum": 380.0}
        ]


@master(name="grid_some")
def total_of_some(client: AlgorithmClient, factor: int) -> dict[str, float]:
    return {"total": sum(part["sum"] for part in client.run(scale, factor=factor, quorum=1, wait_for_all=True))}


def test_an_incomplete_result_names_the_missing_nodes_or_is_an_error() -> None:
    with Federation(NODES, algorithm=[*FUNCTIONS, total_of_some]) as federation:
        with pytest.warns(RunsIncomplete):
            grid = federation.map(total_of_some, factors(2, 3))
        assert grid.to_rows() == [
            {"factor": 2, "total": 470.0, "missing": None},
            {"factor": 3, "total": 570.0, "missing": "north"},
        ]
        strict = federation.map(total_of_some, factors(2, 3), require_all=True)
        assert strict.results == [{"total": 470.0}, None]
        assert strict.to_rows()[1]["error"].startswith("[69] incomplete: 1 of 2 organizations; north failed")


@rpc(name="grid_names")
def return_names(data: pd.DataFrame, organization: str, error: float, missing: str = "x") -> dict[str, object]:
    return {"organization": organization, "error": error, "result.error": missing, "n": 1}


def test_arguments_and_results_with_the_names_of_other_columns_are_not_lost() -> None:
    with Federation(NODES, algorithm=[return_names]) as federation:
        [row] = federation.map(return_names, [{"organization": "mine", "error": 0.5}], at="south").to_rows()
    assert row == {
        "argument.organization": "mine",
        "argument.error": 0.5,
        "organization": "south",
        "result.organization": "mine",
        "result.error": 0.5,
        "result.error_2": "x",
        "n": 1,
    }


def test_arguments_that_no_node_accepts_fail_alone_unless_all_do() -> None:
    with Federation(NODES, algorithm=FUNCTIONS) as federation:
        grid = federation.map(total, [{"factor": 1}, {"factor": "one"}])
        assert grid.results == [{"total": 235.0}, None]
        assert grid.to_rows()[1]["error"].startswith("[15] factor: expected int")
        with pytest.raises(ArgumentsError, match="factor: expected int"):
            federation.map(total, [{"factor": "one"}, {"factor": "two"}])
        mistyped = federation.map(total, [{"factr": 1}, {"factor": 1}])
        assert mistyped.results == [None, {"total": 235.0}]
        assert isinstance(mistyped.errors[0], ArgumentsError)
        assert "unknown: factr" in mistyped.to_rows()[0]["error"]
        assert len([task for task in federation.tasks() if task.parent_id is None]) == 2


def test_other_results_have_one_column_and_names_do_not_collide() -> None:
    @master
    def repeat(client: AlgorithmClient, factor: int) -> dict[str, int]:
        return {"factor": factor, "twice": 2 * factor}

    with Federation(NODES, algorithm=[*FUNCTIONS, repeat]) as federation:
        assert federation.map(share, factors(1, 2)).to_rows() == [
            {"factor": 1, "result": 0.5},
            {"factor": 2, "result": 1.0},
        ]
        assert federation.map(repeat, factors(4)).to_rows() == [{"factor": 4, "result.factor": 4, "twice": 8}]
        assert federation.map(share, []) == []
        assert "<td>0.5</td>" in federation.map(share, factors(1))._repr_html_()
        with pytest.raises(FederationError, match="not in the collaboration: 9"):
            federation.map(share, factors(1), at=[9])


@rpc(name="grid_table")
def tabulate(data: pd.DataFrame, factor: int) -> pd.DataFrame:
    return pd.DataFrame({"sum": [factor, 2], "factor": [0.5, 1.5]}, index=["f", "m"])


@rpc(name="grid_nested")
def nest(data: pd.DataFrame, factor: int) -> dict[str, object] | None:
    return {"n": len(data), "weights": {"age": factor / 2}} if len(data) == 10 else None


def test_tables_and_nested_keys_are_rows_and_columns() -> None:
    with Federation(NODES, algorithm=[*FUNCTIONS, tabulate, nest]) as federation:
        tables = federation.map(tabulate, factors(4, 5))
        nested = federation.map(nest, factors(4))
    assert len(tables.to_rows()) == 2 * 2 * 2
    assert tables.to_rows()[4:6] == [
        {"factor": 5, "organization": "north", "row": "f", "sum": 5, "result.factor": 0.5},
        {"factor": 5, "organization": "north", "row": "m", "sum": 2, "result.factor": 1.5},
    ]
    assert tables.to_frame()["sum"].tolist() == [4, 2, 4, 2, 5, 2, 5, 2]
    assert nested.to_rows() == [
        {"factor": 4, "organization": "north", "n": 10, "weights.age": 2.0},
        {"factor": 4, "organization": "south", "n": None, "weights.age": None},
    ]
    assert "{" not in tables._repr_html_() + nested._repr_html_()


def test_a_printed_grid_is_its_table() -> None:
    with Federation(NODES, algorithm=FUNCTIONS) as federation:
        grid = federation.map(scale, factors(2, 3))
        assert repr(federation.map(scale, [])) == "<grid of 0 tasks>"
    head, table = str(grid).split("\n", 1)
    assert head == "<grid of 2 tasks, 1 failed>"
    assert table == str(grid.to_frame())


def test_only_tasks_with_other_data_or_code_run_again(tmp_path: Path, capfd) -> None:
    history = tmp_path / "history.sqlite3"

    def count_reused(nodes=NODES, algorithm=FUNCTIONS, fresh=False, **options) -> int:
        with Federation(nodes, algorithm=algorithm, history=history, **options) as federation:
            grid = federation.map(total, factors(1, 2), fresh=fresh)
        assert [cell.is_reused for cell in grid] == [grid[0].is_reused] * 2
        return sum(cell.is_reused for cell in grid)

    assert count_reused() == 0
    assert capfd.readouterr().err == ""
    assert count_reused() == 2
    assert capfd.readouterr().err == (
        "note: 2 of 2 tasks are in the history with the same data and versions, and are not run again\n"
    )
    assert count_reused(progress=False) == 2
    assert capfd.readouterr().err == ""
    assert count_reused(fresh=True) == 0
    assert count_reused(nodes={**NODES, "south": pd.DataFrame({"x": range(21)})}) == 0
    assert count_reused(policy={"minimum_cell": 5}) == 0
    assert count_reused(variables={"A": "1"}) == 0

    @rpc(name="grid_scale")
    def scale(data: pd.DataFrame, factor: int) -> dict[str, float]:
        return {"sum": float(data["x"].sum() * factor * 1)}

    assert count_reused(algorithm=[scale, total, share]) == 0
    assert count_reused() == 2
    assert len(TaskHistory(history).list_entries()) == 2 * 6


def test_data_of_a_server_are_never_taken_for_unchanged(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n2\n3\n4\n")
    nodes = {"north": str(tmp_path / "a.csv"), "south": "postgresql://db.example.org/register"}
    for _ in range(2):
        with Federation(nodes, algorithm=FUNCTIONS, history=tmp_path / "history.sqlite3") as federation:
            assert not federation.map(scale, factors(1), at="north")[0].is_reused


SCRIPT = """
import sys, time
from pathlib import Path
import pandas as pd
from algotools import AlgorithmClient, Federation, master, rpc

@rpc
def count(data: pd.DataFrame, seed: int, folder: str) -> int:
    time.sleep(0.1)
    with (Path(folder) / "calls").open("a") as calls:
        calls.write(f"{seed}\\n")
    return len(data) + seed

@master
def total(client: AlgorithmClient, seed: int, folder: str) -> int:
    return sum(client.run(count, seed=seed, folder=folder))

def run(folder, runner, **options):
    nodes = [pd.DataFrame({"x": range(5)})] * 2
    history = Path(folder) / "history.sqlite3"
    with Federation(nodes, algorithm=[count, total], runner=runner, history=history, **options) as federation:
        print("started", flush=True)
        grid = federation.map(total, [{"seed": seed, "folder": folder} for seed in range(30)])
        print(grid.results)

if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize(("number", "runner"), [(signal.SIGKILL, "process"), (signal.SIGINT, "inline")])
def test_an_interrupted_map_continues(tmp_path: Path, number: signal.Signals, runner: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path), runner]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    calls = tmp_path / "calls"
    while not calls.exists() or len(calls.read_text().splitlines()) < 30:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, messages = process.communicate(timeout=LIMIT)
    assert process.returncode != 0
    if number == signal.SIGINT:
        assert messages.rstrip().endswith("KeyboardInterrupt")
    entries = TaskHistory(tmp_path / "history.sqlite3").list_entries()
    completed = [entry.arguments["seed"] for entry in entries if entry.status == "completed"]
    # 30 calls are half of all. Only the few tasks that ran at the same time may have calls without being complete.
    slots = 4 + 2 * (os.cpu_count() or 1)  # of runner inline, which has the most
    assert 15 - min(MOST_AT_ONCE, slots // 2 + 2) <= len(completed) <= 22
    assert {entry.status for entry in entries} <= {"completed", "interrupted", "killed by user"}
    calls.unlink()
    again = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT)
    assert again.stdout.splitlines()[1] == str([10 + 2 * seed for seed in range(30)])
    assert again.stderr.startswith(f"note: {len(completed)} of 30 tasks are in the history with the same data")
    repeated = {int(line) for line in calls.read_text().splitlines()}
    assert repeated == set(range(30)) - set(completed)


def test_the_progress_is_plain_lines_without_a_terminal(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setattr("algotools.federation.progress.status_line.PLAIN_INTERVAL", 0.5)

    @rpc
    def wait(data: pd.DataFrame, factor: int) -> int:
        time.sleep(1.2)
        if factor == 3:
            raise Unlucky
        return factor

    def read_lines(progress: bool | None) -> list[str]:
        with Federation(NODES, algorithm=[wait], progress=progress) as federation:
            federation.map(wait, factors(1, 3))
        return capfd.readouterr().err.splitlines()

    first, *_, last = read_lines(True)
    assert first.startswith("0 of 2 tasks completed; ")
    assert last.startswith("1 of 2 tasks completed, 1 failed; ")
    assert read_lines(None) == read_lines(False) == []


def test_an_interruption_without_a_history_counts_the_tasks(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("history = Path(folder)", "history = None and Path(folder)"))
    command = [sys.executable, str(script), str(tmp_path), "inline"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "calls").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=LIMIT)
    assert re.search(r"^note: \d+ of 30 tasks completed; without a history, ", messages, re.MULTILINE)
