"""Node variables in ``algotools check``: the values of ``federation.yaml`` are those of the trial calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from algotools.project.check import Report, check

from .conftest import add, replace

FUNCTIONS = """
from typing import Annotated
import pandas as pd
from algotools import Aggregator, NodeVariable, federated, rpc

@rpc
def count(data: pd.DataFrame, minimum: Annotated[int, NodeVariable("MINIMUM_ROWS")]) -> int:
    return 100 // minimum

@federated
def pooled_count(data: pd.DataFrame, total: Aggregator, minimum: Annotated[int, NodeVariable("MINIMUM_ROWS")]) -> float:
    return total.count(data.iloc[:, 0]) // (minimum + 1)
"""

Variables = dict[str, str]


def check_with(project: Path, variables: Variables, *, trial: bool = True) -> Report:
    """Check a project with two functions that need a variable; *variables* is organization -> text."""
    add(project / "src/average/counts.py", FUNCTIONS)
    add(project / "src/average/__init__.py", "from average import counts as counts\n")
    for name, text in variables.items():
        replace(
            project / "federation.yaml",
            f"- name: {name}\n",
            f"- name: {name}\n    algorithm_env: {{MINIMUM_ROWS: '{text}'}}\n",
        )
    return check(project, trial=trial)


def list_reasons(report: Report) -> list[tuple[str, str]]:
    return [(finding.rule, finding.reason) for finding in report.findings if finding.file == "federation.yaml"]


ORGANIZATIONS = ("north_hospital", "south_hospital", "east_registry")


def test_a_missing_and_a_malformed_variable_are_findings(project: Path) -> None:
    report = check_with(project, {"north_hospital": "SOME"})
    malformed = "the node variable MINIMUM_ROWS is malformed: expected int (MINIMUM_ROWS='SOME') at north_hospital"
    missing = "the node variable MINIMUM_ROWS (int) is not set at south_hospital, east_registry"
    assert list_reasons(report) == [
        ("node-variable", f"{method}: {problem}")
        for method in ("count", "pooled_count")
        for problem in (missing, malformed)
    ]
    assert {"count", "pooled_count"} <= {item.method for item in report.not_tried}


def test_a_trial_call_has_the_variables_of_its_organization(project: Path) -> None:
    report = check_with(project, dict.fromkeys(ORGANIZATIONS, "7"))
    assert not list_reasons(report)
    assert not {"count", "pooled_count"} & {item.method for item in report.not_tried}
    # 100 // 0 shows that the value arrives.
    assert not report.findings


def test_a_value_for_which_the_function_fails_is_found(project: Path) -> None:
    report = check_with(project, dict.fromkeys(ORGANIZATIONS, "0"))
    reasons = {item.method: item.reason for item in report.not_tried}
    failures = [finding.reason for finding in report.findings]
    assert "ZeroDivisionError" in " ".join([*failures, reasons.get("count", "")])


@pytest.mark.parametrize("trial", [False])
def test_without_trial_calls_the_file_is_not_read(project: Path, trial: bool) -> None:
    assert not list_reasons(check_with(project, {}, trial=trial))
