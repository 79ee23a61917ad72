"""``algotools policy check``: which results of an algorithm a policy would withhold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ..conftest import ALGORITHMS, AVERAGE, POLICY, algotools, default_policy

ROWS = "age\n71\n58\n77\n47\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The algorithm ``discloses`` with the data of one organization."""
    folder = Path(shutil.copytree(ALGORITHMS / "discloses", tmp_path / "discloses"))
    (folder / "a.csv").write_text(ROWS, encoding="utf-8")
    (folder / "federation.yaml").write_text("organizations: [{name: a, databases: {default: a.csv}}]\n", "utf-8")
    return folder


OTHERS = {"missing_mean": ("passes", ""), "visible_settings": ("passes", ""), "missing_above": ("not tried", "")}
"""Method -> verdict and rule, of the functions that no policy of these tests refuses."""


def list_verdicts(folder: Path, *options: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the exit code, and method -> verdict and rule."""
    completed = algotools("policy", "check", *options, "--json", cwd=folder)
    functions = json.loads(completed.stdout)["functions"]
    assert all(
        list(function) == ["method", "verdict", "rule", "path", "reason", "way_out"] for function in functions
    ), completed.stderr
    return completed.returncode, {f["method"]: (f["verdict"], f["rule"]) for f in functions}


def test_each_function_passes_or_is_refused_with_its_rule(project: Path) -> None:
    with default_policy():
        assert list_verdicts(project) == (
            54,
            {"total": ("passes", ""), "values": ("refused", "length"), **OTHERS},
        )


def test_a_refusal_has_the_way_out(project: Path) -> None:
    with default_policy():
        completed = algotools("policy", "check", cwd=project, variables={"COLUMNS": "80"})
        [values] = [
            function
            for function in json.loads(algotools("policy", "check", "--json", cwd=project).stdout)["functions"]
            if function["method"] == "values"
        ]
    assert completed.returncode == 54
    assert completed.stdout.splitlines() == [
        "total             passes",
        "values            refused  rule length",
        f"  {values['reason']}",
        f"  → {values['way_out']}",
        "missing_mean      passes",
        "visible_settings  passes",
        "missing_above     not tried",
        "  it has required arguments; add them to [tool.algotools.trial]",
    ]
    assert "(rule length)" in values["reason"]
    assert values["path"]
    assert values["way_out"]
    assert completed.stderr.endswith("error (54): 1 of 5 functions would be withheld\n")
    assert not any(age in completed.stdout + completed.stderr for age in ("71", "58", "77", "47"))


def test_the_policy_is_that_of_the_option_or_the_federation_file(project: Path) -> None:
    (project / "strict.toml").write_text("[functions.total]\nminimum_rows = 5\n", encoding="utf-8")
    with default_policy():
        assert list_verdicts(project, "--policy", "off") == (
            0,
            {"total": ("passes", ""), "values": ("passes", ""), **OTHERS},
        )
        code, verdicts = list_verdicts(project, "--policy", "strict.toml")
        assert (code, verdicts["total"]) == (54, ("refused", "rows"))
        with (project / "federation.yaml").open("a", encoding="utf-8") as file:
            file.write("policy: {functions: [values]}\n")
        code, verdicts = list_verdicts(project)
        assert (code, verdicts["total"]) == (54, ("refused", "functions"))
        assert list_verdicts(project, "--policy", "off")[0] == 0


def test_the_preset_of_the_callers_variable_holds_otherwise(project: Path) -> None:
    code, verdicts = list_verdicts(project)  # the tests set it to off
    assert (code, verdicts["values"]) == (0, ("passes", ""))


def test_the_option_data_names_another_table(project: Path, tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("age\n1\n2\n", encoding="utf-8")
    with default_policy():
        code, verdicts = list_verdicts(project, "--data", str(tmp_path / "two.csv"))
    assert (code, verdicts["total"]) == (54, ("refused", "rows"))
    completed = algotools("policy", "check", "--data", "missing.csv", cwd=project)
    assert completed.returncode == 2
    assert "--data" in completed.stderr


def test_the_example_passes_the_default_policy() -> None:
    with default_policy():
        assert list_verdicts(AVERAGE) == (0, {"average_partial": ("passes", "")})


def test_a_function_that_cannot_be_called_is_not_tried(project: Path) -> None:
    source = project / "src/discloses/__init__.py"
    text = "\n\n@rpc\ndef scaled(data: pd.DataFrame, factor: float) -> float:\n    return factor * len(data)\n"
    source.write_text(source.read_text(encoding="utf-8") + text, encoding="utf-8")
    code, verdicts = list_verdicts(project)
    assert (code, verdicts["scaled"]) == (0, ("not tried", ""))


def test_an_algorithm_that_cannot_be_imported_is_reported(project: Path) -> None:
    (project / "src/discloses/__init__.py").write_text("raise RuntimeError('no')\n", encoding="utf-8")
    completed = algotools("policy", "check", cwd=project)
    assert completed.returncode == 67
    assert "the import raises RuntimeError: no (import-fails)" in completed.stderr


@pytest.mark.parametrize("options", [["--policy", "strickt"], ["--policy", "missing.toml"]])
def test_a_malformed_policy_is_reported_before_anything_runs(project: Path, options: list[str]) -> None:
    completed = algotools("policy", "check", *options, cwd=project)
    assert completed.returncode == 55
    assert completed.stderr.startswith("error (55): ")
    completed = algotools("policy", "check", cwd=project, variables={POLICY: "strickt"})
    assert completed.stderr.startswith("error (55): ALGOTOOLS_POLICY must be")
