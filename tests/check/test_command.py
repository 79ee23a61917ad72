"""``algotools check``, as a person or a script calls it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ..conftest import algotools as command_line
from .conftest import add, replace

SOURCE = "src/average/algorithm.py"


def algotools(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """On a terminal as narrow as they come."""
    return command_line(*arguments, cwd=cwd, variables={"COLUMNS": "80", **variables})


def test_a_clean_project(project: Path) -> None:
    ended = algotools("check", cwd=project)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("no findings  (2 functions and 5 files looked at)")


def test_findings_have_place_rule_reason_and_way_out(project: Path) -> None:
    add(project / "Dockerfile", "USER nobody\n")
    ended = algotools("check", str(project))
    lines = len((project / "Dockerfile").read_text().splitlines())
    assert ended.returncode == 67
    assert ended.stdout.splitlines() == [
        f"Dockerfile:{lines}  user",
        "  the image is started as nobody",
        "  → Leave it out: the base runs the algorithm's code as an unprivileged user anyway.",
        "",
        "1 finding  (2 functions and 5 files looked at)",
    ]
    assert ended.stderr == "error (67): 1 finding\n"


def test_json_is_one_object(project: Path) -> None:
    replace(project / "Dockerfile", "ARG BASE_IMAGE\n", "")
    (project / "src/average/codes.csv").write_text("code\n")
    ended = algotools("check", str(project), "--json")
    told = json.loads(ended.stdout)
    assert ended.returncode == 67
    assert told["algorithm"] == "average"
    assert [(f["rule"], f["file"]) for f in told["findings"]] == [
        ("other-base", "Dockerfile"),
        ("data-in-image", "src/average/codes.csv"),
    ]
    assert all(list(f) == ["rule", "file", "line", "reason", "way_out"] for f in told["findings"])
    assert told["findings"][1]["line"] is None


def test_json_of_a_clean_project(project: Path) -> None:
    ended = algotools("check", str(project), "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == {"algorithm": "average", "findings": []}


def test_a_folder_without_a_project_is_a_finding(tmp_path: Path) -> None:
    ended = algotools("check", "--json", cwd=tmp_path)
    assert ended.returncode == 67
    told = json.loads(ended.stdout)
    assert told["algorithm"] is None
    assert [f["rule"] for f in told["findings"]] == ["no-dockerfile", "no-pyproject"]


def test_what_names_nothing_is_no_finding() -> None:
    ended = algotools("check", "nothing_of_that_name")
    assert ended.returncode == 20
    assert ended.stdout == ""
    assert "no algorithm 'nothing_of_that_name'" in ended.stderr


def test_what_the_algorithm_prints_is_not_on_standard_output(project: Path) -> None:
    printing = (
        "\nimport os, sys\n\nprint('LOUD')\nprint('LOUD', file=sys.stderr)\nos.system('echo LOUD')\nsys.stdin.read()\n"
    )
    add(project / SOURCE, printing)
    replace(project / SOURCE, "    values = ", "    print('LOUD')\n    values = ")
    ended = algotools("check", str(project), "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["findings"] == []
    assert "LOUD" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "code", ["raise SystemExit(3)", "import os; os._exit(3)", "1 / 0", "def (", "import nothing_there"]
)
def test_no_failure_of_the_algorithm_is_a_traceback(project: Path, code: str) -> None:
    add(project / SOURCE, f"\n{code}\n")
    ended = algotools("check", cwd=project)
    assert ended.returncode == 67
    assert "Traceback" not in ended.stdout + ended.stderr


def test_what_comes_from_the_project_cannot_move_the_cursor_or_set_colours(project: Path) -> None:
    add(project / SOURCE, "\nraise ValueError('[red]\\x1b[2J[/nothing]')\n")
    add(project / "Dockerfile", "USER [bold]me\x1b[2J\n")
    ended = algotools("check", cwd=project)
    assert ended.returncode == 67
    assert "\x1b" not in ended.stdout
    assert "[red]" in ended.stdout
    assert "[/nothing]" in ended.stdout
    assert "[bold]me" in ended.stdout


def test_the_help_says_what_it_is_for() -> None:
    ended = algotools("check", "--help", COLUMNS="120")
    assert ended.returncode == 0
    assert "would fail at a node" in ended.stdout
    assert "way_out" in ended.stdout


def test_no_engine_and_no_git_are_needed(project: Path) -> None:
    ended = algotools("check", str(project), DOCKER_HOST="unix:///nowhere.sock", PATH="/nowhere")
    assert ended.returncode == 0, ended.stdout
