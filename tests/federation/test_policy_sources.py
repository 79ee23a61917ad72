"""The policy of a local federation: where it comes from, and how a malformed one is refused before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import Federation
from algotools.errors import FederationError, PolicyError
from algotools.federation.policy import NodePolicy, load_policy
from algotools.federation.yaml_file import read_file

from ..conftest import ALGORITHMS, AVERAGE, POLICY, algotools

FRAMES = [pd.DataFrame({"age": [71, 58, 77, 47]})] * 2
DISCLOSES = ALGORITHMS / "discloses"
NESTED: Mapping[str, object] = {"functions": {"total": {"minimum_rows": 10}}}


def write(folder: Path, policy: str, name: str = "federation.yaml") -> Path:
    """Write a federation of one organization with a policy."""
    (folder / "a.csv").write_text("age\n71\n58\n77\n47\n", encoding="utf-8")
    file = folder / name
    file.write_text(f"organizations:\n- {{name: a, databases: {{default: a.csv}}}}\n{policy}", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("strickt", "unknown policy 'strickt' (did you mean strict?)"),
        ("", "unknown policy ''"),
        ("missing.toml", "the policy file cannot be read"),
        (Path("missing"), "the policy file cannot be read"),
        ({"minimum_cel": 5}, "unknown key minimum_cel (did you mean minimum_cell?)"),
        ({"minimum_cell": 0}, "minimum_cell must be an integer of at least 1"),
        ({"functions": {"total": {"minimum_row": 5}}}, "unknown key minimum_row (did you mean minimum_rows?)"),
    ],
)
def test_a_malformed_policy_is_refused_before_the_algorithm_is_loaded(policy: Any, message: str) -> None:
    with pytest.raises(PolicyError) as raised:
        Federation(FRAMES, algorithm="an algorithm that does not exist", policy=policy)
    assert message in raised.value.message
    assert raised.value.exit_code == 55


def test_the_callers_variable_must_be_a_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POLICY, "strickt")
    with pytest.raises(PolicyError, match="ALGOTOOLS_POLICY must be one of off, standard, strict"):
        Federation(FRAMES, algorithm="an algorithm that does not exist")
    Federation(FRAMES, algorithm=DISCLOSES, policy="standard").close()


def test_v5_refuses_settings_that_need_a_file() -> None:
    with pytest.raises(PolicyError, match=r"v5 cannot express settings for single functions.* pass variables and no"):
        Federation(FRAMES, algorithm=DISCLOSES, contract="v5", policy=NESTED)
    Federation(FRAMES, algorithm=DISCLOSES, contract="v5", policy={"minimum_cell": 5}).close()


@pytest.mark.parametrize("text", ["policy: off", "policy: 'off'", "policy: {preset: off}", "policy: off.toml"])
def test_a_federation_file_can_switch_the_gate_off(tmp_path: Path, text: str) -> None:
    (tmp_path / "off.toml").write_text('preset = "off"\n', encoding="utf-8")
    assert read_file(write(tmp_path, text)).policy == NodePolicy({POLICY: "off"})


def test_a_federation_file_has_settings_or_names_a_policy_file_beside_it(tmp_path: Path) -> None:
    settings = "minimum_cell: 10\n  forbidden_columns: [name, 'e,mail']\n  functions: {total: {minimum_rows: 20}}\n"
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "policy.toml").write_text(
        'minimum_cell = 10\nforbidden_columns = ["name", "e,mail"]\n[functions.total]\nminimum_rows = 20\n',
        encoding="utf-8",
    )
    written = read_file(write(tmp_path, f"policy:\n  {settings}")).policy
    named = read_file(write(tmp_path, "policy: rules/policy.toml\n")).policy
    assert written is not None
    assert written == named == load_policy("rules/policy.toml", tmp_path)
    policy = written.parse()
    assert (policy.minimum_cell, policy.forbidden_columns) == (10, ("name", "e,mail"))
    assert policy.select("total", ["default"]).minimum_rows == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policy: strickt\n", "line 3: policy: unknown policy 'strickt' (did you mean strict?)"),
        ("policy: {minimum_cel: 5}\n", "line 3: policy: unknown key minimum_cel (did you mean"),
        ("policy:\n  minimum_cell: '5'\n", "line 3: policy: minimum_cell must be an integer"),
        ("policy: missing.toml\n", "line 3: policy: the policy file cannot be read"),
    ],
)
def test_a_malformed_policy_in_a_file_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PolicyError) as raised:
        Federation.from_file(write(tmp_path, text), algorithm=DISCLOSES)
    assert message in raised.value.message


@pytest.mark.parametrize("text", ["policy:\n", "policy: [strict]\n", "policy: {digits: [[1]]}\n", "policy: 3\n"])
def test_a_policy_of_another_structure_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises((FederationError, PolicyError), match="line 3: policy: "):
        Federation.from_file(write(tmp_path, text), algorithm=DISCLOSES)


def test_a_list_is_refused_with_the_forms_of_a_policy(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match=r"the path of a file or a mapping .*, not a list"):
        Federation.from_file(write(tmp_path, "policy: [strict]\n"), algorithm=DISCLOSES)


def test_a_member_with_a_malformed_policy_of_its_own_is_named(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(
        "organizations:\n- {name: north}\n- {name: south, algorithm_env: {ALGOTOOLS_POLICY_MINIMUM_CEL: 5}}\n",
        encoding="utf-8",
    )
    with pytest.raises(PolicyError, match=r"south: unknown setting ALGOTOOLS_POLICY_MINIMUM_CEL \(did you mean"):
        Federation.from_file(file, algorithm=DISCLOSES)
    (tmp_path / "rules.toml").write_text("[functions.total]\nminimum_row = 3\n", encoding="utf-8")
    file.write_text("organizations:\n- {name: west, databases: {algotools_rules: rules.toml}}\n", encoding="utf-8")
    with pytest.raises(PolicyError, match=r"west: the policy file: .*unknown key minimum_row"):
        Federation.from_file(file, algorithm=DISCLOSES)
    (tmp_path / "rules.toml").write_text("[functions.total]\nminimum_rows = 3\n", encoding="utf-8")
    Federation.from_file(file, algorithm=DISCLOSES, contract="v3").close()
    with pytest.raises(PolicyError, match="v5 cannot express"):
        Federation.from_file(file, algorithm=DISCLOSES, contract="v5")


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (["--policy", "strickt"], {}),
        (["--policy", "missing.toml"], {}),
        (["--contract", "v5", "--policy", "nested.toml"], {}),
        ([], {POLICY: "strickt"}),
    ],
)
def test_a_command_reports_a_malformed_policy_once(
    tmp_path: Path, options: list[str], variables: Mapping[str, str]
) -> None:
    (tmp_path / "nested.toml").write_text("[functions.total]\nminimum_rows = 3\n", encoding="utf-8")
    write(tmp_path, "")
    command = ("run", "average_partial", "column_name=age", "--algorithm", str(AVERAGE))
    completed = algotools(
        *command, "--federation", "federation.yaml", "--json", *options, cwd=tmp_path, variables=variables
    )
    assert completed.returncode == 55
    assert completed.stdout == ""
    assert completed.stderr.startswith("error (55): ")
    assert completed.stderr.count("error") == 1
