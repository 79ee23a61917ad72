"""The check runs functions again on parts of the rows, and warns of values that depend on few records."""

from __future__ import annotations

from pathlib import Path

import pytest

from algotools.project.check import Report, check, check_policy

from ...conftest import algotools, default_policy
from .conftest import add

SOURCE = "src/average/algorithm.py"
RPC = "\n\n@rpc\ndef more(data: pd.DataFrame{}) -> dict[str, float]:\n    {}\n"


def add_rpc(project: Path, body: str, parameters: str = "") -> None:
    add(project / SOURCE, RPC.format(f", {parameters}" if parameters else "", body))


def check_with_gate(project: Path, **options: bool) -> Report:
    with default_policy():
        return check(project, **options)  # type: ignore[arg-type]


PROBED, GUESSED = "depends-on-few-records", "withheld-with-chosen-arguments"
RULES = {PROBED, GUESSED}
"""The rules for which this module seeds faults."""

BEST = "return {'rows': len(data), 'best': float(data['age'].max()) / 3 + 100}"


def test_a_value_of_few_records_is_a_warning(project: Path) -> None:
    add_rpc(project, BEST)
    report = check_with_gate(project)
    assert report.findings == ()
    (finding,) = [finding for finding in report.warnings if finding.rule == PROBED]
    assert (finding.file, finding.is_warning) == (SOURCE, True)
    assert finding.reason.startswith("more: in runs on a part of north_hospital's rows, result['best'] changes only")
    assert "(rule few)" in finding.reason
    assert "probing.md#few" in finding.way_out


def test_without_trial_nothing_is_probed_and_the_output_says_so(project: Path) -> None:
    add_rpc(project, BEST)
    rules = {finding.rule for finding in check_with_gate(project, trial=False).warnings}
    assert PROBED not in rules
    completed = algotools("check", "--no-trial", cwd=project)
    assert "results were not probed" in completed.stderr


def test_without_a_gate_nothing_is_probed(project: Path) -> None:
    add_rpc(project, BEST)
    assert {finding.rule for finding in check(project).warnings} == {"returns-extremes"}


def test_a_node_that_probes_withholds_the_result(project: Path) -> None:
    add_rpc(project, BEST)
    add(project / "federation.yaml", "policy:\n  undeclared: probe\n")
    (finding,) = check_with_gate(project).findings
    assert finding.rule == "withheld"
    assert "(rule few)" in finding.reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "import os\n    if len(data) < 60: os._exit(3)\n    return {'n': len(data)}",
            "ended the process (exit code 3)",
        ),
        (
            "import time\n    if len(data) < 60: time.sleep(99)\n    return {'n': len(data)}",
            "did not finish within 5 s",
        ),
    ],
)
def test_a_fault_in_further_runs_is_not_a_finding(project: Path, body: str, reason: str) -> None:
    file = project / "data" / "org1.csv"
    head, *rows = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([head, *(rows * 60)[:60]]), encoding="utf-8")
    add_rpc(project, body)
    with default_policy():
        report = check(project, limit=5)
    assert report.findings == ()
    assert [entry.method for entry in report.not_tried] == ["more"]
    assert reason in report.not_tried[0].reason


def test_a_refusal_with_chosen_arguments_is_a_warning_that_names_them(project: Path) -> None:
    add_rpc(project, "return data[column].tolist()[:]", "column: Column")
    report = check_with_gate(project)
    assert report.findings == ()
    (finding,) = [finding for finding in report.warnings if finding.rule == GUESSED]
    assert "(rule length), with the chosen arguments column='age'" in finding.reason
    with default_policy():
        assert [verdict.rule for verdict in check_policy(project).verdicts if verdict.method == "more"] == ["length"]


def test_a_refusal_with_the_authors_arguments_is_a_finding(project: Path) -> None:
    add_rpc(project, "return data[column].tolist()[:]", "column: Column")
    add(project / "pyproject.toml", "\n[tool.algotools.trial.more]\ncolumn = 'age'\n")
    assert [finding.rule for finding in check_with_gate(project).findings] == ["withheld"]
