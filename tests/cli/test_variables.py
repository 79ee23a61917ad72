"""``--variable NAME[@ORG]=VALUE``, and the node variables that ``describe`` shows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ALGORITHMS, algotools

GUARDED = ALGORITHMS / "guarded"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A federation whose first organization has a variable."""
    (tmp_path / "a.csv").write_text("age\n1\n2\n", encoding="utf-8")
    file = tmp_path / "federation.yaml"
    file.write_text(
        "organizations:\n"
        "- {name: north, databases: {default: a.csv}, algorithm_env: {MINIMUM_ROWS: 4}}\n"
        "- {name: south, databases: {default: a.csv}}\n",
        encoding="utf-8",
    )
    return file


def run(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = ["--algorithm", str(GUARDED), "--federation", str(file), "--runner", "inline", "--policy", "off"]
    return algotools("run", *options, *arguments)


def get_results(completed: subprocess.CompletedProcess[str]) -> list[Any]:
    assert completed.returncode == 0, completed.stderr
    return [item["result"] for item in json.loads(completed.stdout)]


def test_a_variable_is_of_all_nodes_or_of_one_organization(file: Path) -> None:
    assert get_results(run(file, "show", "--json")) == [[4, "4"], [10, None]]
    variables = ("--variable", "MINIMUM_ROWS=6", "--variable", "MINIMUM_ROWS@south= 7")
    assert get_results(run(file, "show", "--json", *variables)) == [[6, "6"], [7, " 7"]]
    assert get_results(run(file, "show", "--json", "--variable", "MINIMUM_ROWS@2=5")) == [[5, "5"], [10, None]]


def test_a_missing_variable_is_an_error_of_the_run(file: Path) -> None:
    completed = run(file, "sum_and_count", "column=age")
    assert completed.returncode == 61
    assert "(33)" in completed.stderr or "33" in completed.stderr
    assert "the node variable MINIMUM_ROWS (int) is not set" in completed.stdout + completed.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("MINIMUM_ROWS", "is not NAME=VALUE or NAME@ORGANIZATION=VALUE"),
        ("MINIMUM_ROWS@=3", "is not NAME=VALUE"),
        ("=3", "the name of a variable"),
        ("MINIMUM-ROWS=3", "the name of a variable"),
        ("INPUT_FILE=3", "belongs to the platform"),
    ],
)
def test_a_malformed_text_is_a_usage_error(file: Path, text: str, reason: str) -> None:
    completed = run(file, "show", "--variable", text)
    assert completed.returncode == 2
    assert reason in " ".join(completed.stderr.replace("│", " ").split())
    assert "organizations" not in completed.stdout


@pytest.mark.parametrize("organization", ["east", "9"])
def test_an_unknown_organization_has_the_exit_code_of_the_option_organizations(file: Path, organization: str) -> None:
    completed = run(file, "show", "--variable", f"MINIMUM_ROWS@{organization}=3")
    other = run(file, "show", "--organizations", organization)
    assert completed.returncode == other.returncode == 60
    assert f"--variable MINIMUM_ROWS@{organization}: not in the collaboration: {organization}" in completed.stderr
    assert "organizations" not in completed.stdout


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_variable_that_no_node_has_right_is_refused_before_the_start(file: Path, runner: str) -> None:
    options = ("sum_and_count", "column=age", "--runner", runner)
    completed = run(file, *options, "--variable", "MINIMUM_ROWS=ten")
    assert completed.returncode == 33
    assert completed.stdout == ""
    assert "would fail at every node: the node variable MINIMUM_ROWS is malformed" in completed.stderr
    assert "--variable NAME=VALUE sets a variable" in completed.stderr
    assert len(completed.stderr.splitlines()) == 1


def test_a_variable_that_is_set_twice_is_a_usage_error(file: Path) -> None:
    completed = run(file, "show", "--variable", "MINIMUM_ROWS=3", "--variable", "MINIMUM_ROWS=4")
    assert completed.returncode == 2
    assert "set twice" in completed.stderr
    by_id_and_name = ("--variable", "MINIMUM_ROWS@2=3", "--variable", "MINIMUM_ROWS@north=4")
    assert "set twice" in run(file, "show", *by_id_and_name).stderr


def test_a_misspelt_variable_gets_a_hint_and_any_other_variable_none(file: Path) -> None:
    completed = run(file, "show", "--json", "--variable", "MINIMUM_ROW=6", "--variable", "SITE=x")
    assert get_results(completed) == [[4, "4"], [10, None]]
    assert "no function declares the variable MINIMUM_ROW; did you mean 'MINIMUM_ROWS'?" in completed.stderr
    assert "SITE" not in completed.stderr


def test_a_data_file_is_a_node_with_variables(file: Path) -> None:
    completed = algotools(
        "run", "show", "--algorithm", str(GUARDED), "--data", str(file.parent / "a.csv"), "--runner", "inline",
        "--policy", "off", "--json", "--variable", "MINIMUM_ROWS@organization_2=8",
    )  # fmt: skip
    assert get_results(completed) == [[8, "8"]]


def test_describe_names_the_order_of_unlabelled_tables(tmp_path: Path) -> None:
    (tmp_path / "several.py").write_text(
        "import pandas as pd\nfrom algotools import rpc\n\n\n"
        "@rpc\ndef two(first: pd.DataFrame, second: pd.DataFrame) -> int:\n    return 1\n\n\n"
        "@rpc\ndef more(first: pd.DataFrame, rest: dict[str, pd.DataFrame]) -> int:\n    return 1\n\n\n"
        "@rpc\ndef one(data: pd.DataFrame) -> int:\n    return 1\n",
        encoding="utf-8",
    )
    lines = algotools("describe", str(tmp_path / "several.py")).stdout.splitlines()
    assert [line.strip() for line in lines if "reads" in line] == [
        "reads the task's first database as pandas.DataFrame",
        "reads the task's second database as pandas.DataFrame",
        "reads the task's first database as pandas.DataFrame",
        "reads all other databases of the task as dict[str, pandas.DataFrame]",
        "reads the task's database as pandas.DataFrame",
    ]


def test_describe_shows_the_variables_of_the_nodes_owner() -> None:
    completed = algotools("describe", str(GUARDED))
    text = " ".join(completed.stdout.split())
    assert "node variable MINIMUM_ROWS (int, required) The fewest rows." in text
    assert "node variable ALLOWED_COLUMNS (list[str] | None, default: None) The columns that" in text
    described = json.loads(algotools("describe", str(GUARDED), "--json").stdout)
    functions = {function["method"]: function for function in described["functions"]}
    assert [item["name"] for item in functions["sum_and_count"]["variables"]] == ["MINIMUM_ROWS", "ALLOWED_COLUMNS"]
    assert list(functions["sum_and_count"]["arguments"]["properties"]) == ["column"]
