"""A mistake on the command line is one line with the exit code of its class, before anything starts."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import AVERAGE, algotools, default_policy

FILE = """import pandas as pd
from algotools import AlgorithmClient, Column, master, rpc


@rpc
def part(data: pd.DataFrame, column: Column) -> float:
    return float(data[column].sum())


@master(name="total")
def sum_of_all(client: AlgorithmClient, column: Column) -> float:
    return sum(client.run(part, column=column))
"""


@pytest.mark.parametrize("contract", ["v3", "v5"])
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("averag", "column_name=age"), 13, "did you mean 'master' (the function average)?"),
        (("master", "column=age"), 15, "unknown: column; missing: column_name"),
        (("master", "column_name=aeg"), 16, "no node has a column 'aeg'"),
        (("master", "column_name=age", "organizations:=[2, 9]"), 17, "not in the collaboration: 9"),
        (("average_partial", "column_name=age", "--database", "x"), 30, "no node has a database 'x'"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], code: int, message: str, contract: str) -> None:
    completed = algotools("run", *arguments, "--contract", contract, "--json", cwd=AVERAGE)
    assert completed.returncode == code, completed.stderr
    assert message in completed.stderr
    assert completed.stderr.startswith(f"error ({code}): ")
    assert completed.stderr.count("\n") == 1
    assert completed.stdout == ""


@pytest.mark.parametrize(
    ("contract", "hint"),
    [("v4", "write --database default --database b"), ("v3", "a task of v3 has only one database")],
)
@pytest.mark.parametrize("argument", [("column_name=age",), ("--grid", "column_name=age")])
def test_labels_joined_by_commas_are_explained(contract: str, hint: str, argument: tuple[str, ...]) -> None:
    command = ("run", "average_partial", *argument, "--database", "default,b", "--contract", contract)
    completed = algotools(*command, cwd=AVERAGE)
    assert completed.returncode == 30
    assert f"no node has a database 'default,b', and only v5 has groups of tables; {hint}" in completed.stderr


def test_a_raw_input_is_checked(tmp_path: Path) -> None:
    (tmp_path / "input").write_text('{"method": "masters", "kwargs": {}}')
    completed = algotools("run", "--input", str(tmp_path / "input"), cwd=AVERAGE)
    assert completed.returncode == 13
    assert "did you mean 'master'?" in completed.stderr
    assert completed.stderr.count("\n") == 1


def test_the_project_above_the_current_folder_is_found(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(AVERAGE, project)
    command = ("run", "average_partial", "column_name=age", "--organizations", "example_org2", "--json")
    with default_policy():  # without a policy, nodes have no ledger
        completed = algotools(*command, cwd=project / "src")
    (item,) = json.loads(completed.stdout)
    assert item["organization"] == {"id": 3, "name": "example_org2"}
    assert f"project: {project}" in completed.stderr
    assert (project / ".algotools").is_dir()
    assert not (project / "src" / ".algotools").exists()
    described = algotools("describe", "--no-trial", cwd=project / "tests")
    assert "average_partial" in described.stdout


@pytest.mark.parametrize("command", [("describe",), ("run", "m", "--data", "x.csv"), ("build",)])
def test_the_nearest_project_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    project = tmp_path / "work" / "project"
    shutil.copytree(AVERAGE, project)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    completed = algotools(*command, cwd=tmp_path)
    assert completed.returncode == 20
    assert f"no project is here; the nearest is {project}" in completed.stderr


def test_a_folder_without_data_names_the_nearest_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(AVERAGE, project)
    completed = algotools("run", "master", "column_name=age", cwd=tmp_path)
    assert completed.returncode == 60
    assert "(the nearest is project)" in completed.stderr


@pytest.mark.parametrize("options", [("--runner", "inline"), ("--runner", "process"), ("--confined",)])
def test_a_single_file_runs(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "alone.py").write_text(FILE)
    (tmp_path / "a.csv").write_text("age,sex\n1,f\n2,m\n3,f\n")
    data = ("--data", "a.csv", "--data", "a.csv")
    command = ("run", "total", "column=age", "--algorithm", "alone.py", *data, "--organizations", "2", "--json")
    completed = algotools(*command, *options, cwd=tmp_path)
    assert [item["result"] for item in json.loads(completed.stdout)] == [6.0], completed.stderr


def test_a_single_file_is_described_and_checked(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(FILE)
    described = json.loads(algotools("describe", "alone.py", "--json", cwd=tmp_path).stdout)
    assert [(f["method"], f.get("function")) for f in described["functions"]] == [
        ("part", None),
        ("total", "sum_of_all"),
    ]
    assert algotools("check", "alone.py", cwd=tmp_path).returncode == 0


def test_a_reason_that_runs_share_is_shown_once(tmp_path: Path) -> None:
    """Only the last node has the column. The others share one reason: one line of the log, and one of the details."""
    (tmp_path / "a.csv").write_text("years,sex\n1,f\n2,m\n3,f\n")
    (tmp_path / "b.csv").write_text("age,sex\n1,f\n2,m\n3,f\n")
    data = [part for name in ("a.csv", "a.csv", "a.csv", "b.csv") for part in ("--data", name)]
    command = ("run", "average_partial", "column_name=age", "--algorithm", str(AVERAGE), "--runner", "inline")
    completed = algotools(*command, *data, cwd=tmp_path)
    assert completed.returncode == 61
    assert completed.stderr.count("no column 'age'") <= 2  # once while the task runs, unless it is too short
    assert "organization_2 (2), organization_3 (3), organization_4 (4): [16] no column 'age'" in completed.stderr
    assert completed.stderr.count("columns of default") == 1
