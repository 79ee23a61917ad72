"""The command ``algotools check``, for people and for scripts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ...conftest import algotools as command_line
from .conftest import add, replace

SOURCE = "src/average/algorithm.py"
RUNS = [
    "imports average in a sandbox",
    "calls 1 function on north_hospital's data: average_partial; --no-trial leaves the calls out",
]
"""The lines that a check writes to standard error before the author's code runs."""


def algotools(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a narrow terminal."""
    return command_line(*arguments, cwd=cwd, variables={"COLUMNS": "80", **variables})


def list_notes(completed: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of standard error; on a busy machine, the check also reports that it waits."""
    return [line for line in completed.stderr.splitlines() if not line.startswith("waiting for ")]


def test_a_clean_project_has_no_findings(project: Path) -> None:
    completed = algotools("check", cwd=project)
    assert completed.returncode == 0
    assert list_notes(completed) == RUNS
    assert completed.stdout.startswith("no findings  (2 functions and 5 files checked)")


def test_a_finding_shows_file_line_rule_reason_and_advice(project: Path) -> None:
    add(project / "Dockerfile", "USER nobody\n")
    completed = algotools("check", str(project))
    lines = len((project / "Dockerfile").read_text().splitlines())
    assert completed.returncode == 67
    assert completed.stdout.splitlines() == [
        f"Dockerfile:{lines}  user",
        "  the image starts as the user nobody",
        "  → Remove the line: the base image always runs the algorithm's code as an unprivileged user.",
        "",
        "1 finding  (2 functions and 5 files checked)",
    ]
    assert list_notes(completed) == [*RUNS, "error (67): 1 finding"]


def test_the_json_output_is_one_object(project: Path) -> None:
    replace(project / "Dockerfile", "ARG BASE_IMAGE\n", "")
    (project / "src/average/codes.csv").write_text("code\n")
    completed = algotools("check", str(project), "--json")
    report = json.loads(completed.stdout)
    assert completed.returncode == 67
    assert report["algorithm"] == "average"
    assert [(f["rule"], f["file"]) for f in report["findings"]] == [
        ("other-base", "Dockerfile"),
        ("data-in-image", "src/average/codes.csv"),
    ]
    assert all(list(f) == ["rule", "file", "line", "reason", "way_out"] for f in report["findings"])
    assert report["findings"][1]["line"] is None


def test_the_json_output_of_a_clean_project(project: Path) -> None:
    completed = algotools("check", str(project), "--json")
    assert completed.returncode == 0
    assert json.loads(completed.stdout) == {
        "algorithm": "average",
        "findings": [],
        "warnings": [],
        "not_tried": [],
        "chosen_arguments": [],
        "left_in_trial": {},
    }


def test_a_folder_without_a_project_is_a_finding(tmp_path: Path) -> None:
    completed = algotools("check", "--json", cwd=tmp_path)
    assert completed.returncode == 67
    report = json.loads(completed.stdout)
    assert report["algorithm"] is None
    assert [f["rule"] for f in report["findings"]] == ["no-dockerfile", "no-pyproject"]
    assert report["findings"][1]["reason"] == "this is not the folder of a project: it has no pyproject.toml"
    assert report["findings"][1]["way_out"].startswith("Change to the folder of a project")


def test_a_folder_above_a_project_names_the_project(project: Path) -> None:
    report = json.loads(algotools("check", "--json", cwd=project.parent).stdout)
    [finding] = [f for f in report["findings"] if f["rule"] == "no-pyproject"]
    assert f"(the nearest is {project.resolve()})" in finding["way_out"]


SINGLE = """import pandas as pd
from algotools import Column, rpc


@rpc
def total(data: pd.DataFrame, column: Column) -> float:
    return float(data[column].sum())


@rpc
def power(data: pd.DataFrame, exponent: int) -> float:
    return float((data["age"] ** exponent).sum())


@rpc
def joined(data: pd.DataFrame, other: pd.DataFrame) -> int:
    return len(data) + len(other)
"""


def test_a_single_file_is_tried_on_the_data_of_the_federation_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(SINGLE)
    (tmp_path / "a.csv").write_text("age\n" + "50\n60\n70\n" * 5)
    federation = tmp_path / "federation.yaml"
    federation.write_text("organizations:\n- {name: north, databases: {default: a.csv}}\n")
    report = json.loads(algotools("check", str(tmp_path / "one.py"), "--json").stdout)
    assert report["chosen_arguments"] == [{"method": "total", "arguments": {"column": "age"}}]
    assert {item["method"]: item["reason"] for item in report["not_tried"]} == {
        "joined": "the function takes 2 databases; the databases of north in federation.yaml: default",
        "power": "it has required arguments; add them to [tool.algotools.trial]",
    }
    (tmp_path / "pyproject.toml").write_text("[tool.algotools.trial.power]\nexponent = 2\n")
    federation.write_text("organizations:\n- {name: north, databases: {default: a.csv, other: absent.csv}}\n")
    report = json.loads(algotools("check", str(tmp_path / "one.py"), "--json").stdout)
    assert [item["method"] for item in report["not_tried"]] == ["joined"]
    assert report["not_tried"][0]["reason"].startswith("the database 'other' of north has a file that does not exist")
    assert [item["method"] for item in report["chosen_arguments"]] == ["total"]  # power has those of the table
    federation.write_text("organisations: []\n")
    report = json.loads(algotools("check", str(tmp_path / "one.py"), "--json").stdout)
    assert {item["method"] for item in report["not_tried"]} == {"joined", "power", "total"}
    assert all("organisations" in item["reason"] for item in report["not_tried"])


def test_an_unknown_name_is_an_error_and_not_a_finding() -> None:
    completed = algotools("check", "nothing_of_that_name")
    assert completed.returncode == 20
    assert completed.stdout == ""
    assert "no algorithm 'nothing_of_that_name'" in completed.stderr


def test_prints_of_the_algorithm_are_discarded(project: Path) -> None:
    printing = (
        "\nimport os, sys\n\nprint('LOUD')\nprint('LOUD', file=sys.stderr)\nos.system('echo LOUD')\nsys.stdin.read()\n"
    )
    add(project / SOURCE, printing)
    replace(project / SOURCE, "    values = ", "    print('LOUD')\n    values = ")
    completed = algotools("check", str(project), "--json")
    assert completed.returncode == 0
    assert json.loads(completed.stdout)["findings"] == []
    assert "LOUD" not in completed.stdout + completed.stderr


@pytest.mark.parametrize("code", ["import os; os._exit(3)", "1 / 0", "def ("])
def test_a_failure_of_the_algorithm_never_shows_a_traceback(project: Path, code: str) -> None:
    add(project / SOURCE, f"\n{code}\n")
    completed = algotools("check", cwd=project)
    assert completed.returncode == 67
    assert "Traceback" not in completed.stdout + completed.stderr


def test_texts_of_the_project_cannot_contain_terminal_commands(project: Path) -> None:
    add(project / SOURCE, "\nraise ValueError('[red]\\x1b[2J[/nothing]')\n")
    add(project / "Dockerfile", "USER [bold]me\x1b[2J\n")
    completed = algotools("check", cwd=project)
    assert completed.returncode == 67
    assert "\x1b" not in completed.stdout
    assert "[red]" in completed.stdout
    assert "[/nothing]" in completed.stdout
    assert "[bold]me" in completed.stdout


def test_the_help_names_the_purpose_and_the_json_keys() -> None:
    completed = algotools("check", "--help", COLUMNS="120")
    assert completed.returncode == 0
    assert "would occur at a node" in completed.stdout
    assert "way_out" in completed.stdout


def test_neither_an_engine_nor_git_is_required(project: Path) -> None:
    completed = algotools("check", str(project), DOCKER_HOST="unix:///nowhere.sock", PATH="/nowhere")
    assert completed.returncode == 0, completed.stdout
