"""``algotools policy show``: where the policy comes from, and the settings that it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from algotools.disclosure.policy import DEFAULTS, SETTINGS

from ..conftest import algotools, default_policy

POLICY_FILE = """\
minimum_cell = 5
forbidden_columns = ["name", "[bold]x", "a_very_long_column_name_of_the_registry"]

[functions."fit_*"]
minimum_rows = 10

[databases.registry]
persons = "patient_id"

[columns.diagnosis]
levels = true
"""


@pytest.fixture(autouse=True)
def _no_policy_of_the_caller() -> Iterator[None]:
    with default_policy():
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY_FILE, encoding="utf-8")
    return path


def show(folder: Path, *arguments: str, variables: dict[str, str] | None = None) -> dict:
    process = algotools("policy", "show", "--json", *arguments, cwd=folder, variables=variables)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def get_changes(shown: dict) -> dict:
    return {item["name"]: item["value"] for item in shown["settings"] if item["value"] != item["default"]}


def test_without_a_policy_the_defaults_are_shown(tmp_path):
    shown = show(tmp_path)
    assert (shown["origin"], shown["preset"], get_changes(shown)) == ("defaults", "standard", {})
    assert [item["name"] for item in shown["settings"]] == list(SETTINGS)
    defaults = {item["name"]: item["default"] for item in shown["settings"]}
    assert defaults["minimum_cell"] == DEFAULTS["minimum_cell"] == 3
    assert defaults["key"] is None


def test_a_file_is_shown_with_its_sections(tmp_path, file):
    shown = show(tmp_path, "--policy", file.name)
    assert shown["origin"] == "--policy policy.toml"
    assert get_changes(shown) == {
        "minimum_cell": 5,
        "forbidden_columns": ["name", "[bold]x", "a_very_long_column_name_of_the_registry"],
        "persons": [["registry", "patient_id"]],
    }
    assert shown["public_levels"] == ["diagnosis"]
    assert shown["sections"] == [{"kind": "functions", "pattern": "fit_*", "settings": {"minimum_rows": 10}}]


def test_the_option_precedes_the_federation_file_which_precedes_the_variables(tmp_path, file):
    variables = {"ALGOTOOLS_POLICY_MINIMUM_CELL": "10", "ALGOTOOLS_POLICY_ZEROS": "refuse"}
    shown = show(tmp_path, variables=variables)
    assert shown["origin"] == "ALGOTOOLS_POLICY_MINIMUM_CELL, ALGOTOOLS_POLICY_ZEROS"
    assert get_changes(shown) == {"minimum_cell": 10, "zeros": "refuse"}

    organizations = "organizations: [{name: a, databases: {default: a.csv}}]\n"
    federation = tmp_path / "federation.yaml"
    federation.write_text(organizations, encoding="utf-8")
    assert get_changes(show(tmp_path, variables=variables))["minimum_cell"] == 10
    federation.write_text(f"{organizations}policy: {{minimum_cell: 7}}\n", encoding="utf-8")
    assert get_changes(show(tmp_path, variables=variables)) == {"minimum_cell": 7}
    assert show(tmp_path)["origin"] == "federation.yaml"

    assert get_changes(show(tmp_path, "--policy", "standard", variables=variables)) == {}


def test_the_tables_fit_into_80_columns(tmp_path, file):
    process = algotools("policy", "show", "--policy", file.name, cwd=tmp_path, variables={"COLUMNS": "80"})
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "policy: standard (--policy policy.toml)"
    assert any(line.startswith("*minimum_cell      5              3          fewest records") for line in lines)
    assert any(line.startswith(" minimum_rows      3              3          fewest rows") for line in lines)
    assert "[bold]x" in process.stdout
    assert '[functions."fit_*"]\nminimum_rows = 10\n' in process.stdout
    assert "[columns.diagnosis]\nlevels = true\n" in process.stdout
    for name in SETTINGS:
        assert any(line[1:].startswith(f"{name} ") for line in lines)
    later = next(number for number, line in enumerate(lines) if line.startswith("Settings of later versions"))
    names = {line[1:].split()[0] for line in lines[later:] if line[1:2].isalpha()}
    assert {setting.name for setting in SETTINGS.values() if not setting.is_available} <= names


def test_off_is_shown_clearly(tmp_path):
    process = algotools("policy", "show", "--policy", "off", cwd=tmp_path)
    assert process.stdout.startswith(
        "policy: off (--policy off)\noff: every result leaves the node; no setting has an effect\n"
    )


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (["--policy", "strickt"], {}, "unknown policy 'strickt' (did you mean strict?)"),
        ([], {"ALGOTOOLS_POLICY_SECURE": "require"}, "only the default (allow) is available in this version"),
        (["--policy", "missing.toml"], {}, "the policy file cannot be read (FileNotFoundError)"),
        ([], {"ALGOTOOLS_POLICY_MINIMUM_CEL": "5"}, "(did you mean ALGOTOOLS_POLICY_MINIMUM_CELL?)"),
    ],
)
def test_a_policy_that_no_node_would_accept_is_refused(tmp_path, arguments, variables, message):
    process = algotools("policy", "show", *arguments, cwd=tmp_path, variables=variables)
    assert process.returncode == 55
    assert process.stdout == ""
    assert "error (55): " in process.stderr
    assert message in process.stderr
