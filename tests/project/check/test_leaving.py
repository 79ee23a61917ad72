"""The values that leave a node in a trial call: their paths, kinds and evidence, in check, describe and a label."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from algotools.federation.policy import load_policy
from algotools.project.check import Report, check_policy, describe_leaving, summarize_verdict

from ...conftest import algotools, default_policy

MODULE = """
import pandas as pd

from algotools import Aggregator, Column, aggregate, federated, rpc


@rpc
def summary(data: pd.DataFrame, column: Column, group: Column) -> dict[str, object]:
    values = data[column]
    return {
        "column": column,
        "n": aggregate.count(values),
        "total": aggregate.sum(values),
        "means": {ward: aggregate.mean(rows) for ward, rows in values.groupby(data[group])},
        "spread": float(values.std()),
    }


@rpc
def counts(data: pd.DataFrame) -> object:
    return aggregate.count(data["ward"], by=data["ward"])


@rpc
def rows(data: pd.DataFrame) -> list[int]:
    return data["age"].tolist()


@rpc(standalone=False)
def part(data: pd.DataFrame) -> int:
    return aggregate.count(data["age"])


@federated
def average(data: pd.DataFrame, total: Aggregator, column: Column) -> float:
    count, values = total.count(data[column]), total.sum(data[column])
    return values / count
"""

TRIAL = """[tool.algotools.trial]
summary = { column = "age", group = "ward" }
average = { column = "age" }
"""

WARDS = ("cardiology", "oncology")
ROWS = "".join(f"{41 + number},{WARDS[number % 2]}\n" for number in range(40))


@pytest.fixture
def judged(project: Path) -> Path:
    """A project with functions that leave values with and without evidence."""
    (project / "src/average/__init__.py").write_text(MODULE, encoding="utf-8")
    (project / "src/average/algorithm.py").unlink()
    file = project / "pyproject.toml"
    start = file.read_text(encoding="utf-8").partition("[tool.algotools.trial]")[0]
    file.write_text(
        start + TRIAL,
        encoding="utf-8",
    )
    (project / "a.csv").write_text(f"age,ward\n{ROWS}", encoding="utf-8")
    (project / "federation.yaml").write_text("organizations: [{name: a, databases: {default: a.csv}}]\n", "utf-8")
    return project


def find(report: Report, method: str) -> list[tuple[str, str, object]]:
    return [(part["path"], part["kind"], part["evidence"]) for part in describe_leaving(report)[method]["values"]]


def test_each_value_has_its_path_kind_and_evidence(judged: Path) -> None:
    report = check_policy(judged, policy=load_policy("standard"))
    assert find(report, "summary") == [
        ("result['n']", "count", "aggregate.count"),
        ("result['total']", "sum", "aggregate.sum"),
        ("result['spread']", "number", None),
        ("result['means'][*]", "mean", "aggregate.mean"),
        ("result['column']", "text", "known"),
        ("result['means'][*]", "key", None),
    ]
    sentences = {verdict.method: summarize_verdict(verdict) for verdict in report.verdicts}
    assert sentences["summary"] == (
        "7 values leave the node: 1 count, 1 sum, 1 number without evidence, 2 means, 2 keys without evidence"
    )
    assert sentences["part"] == "1 value leaves the node: 1 count"
    assert sentences["rows"] == ("40 values would leave the node: 40 numbers without evidence; withheld (rule length)")
    calls = describe_leaving(report)
    assert (calls["rows"]["withheld"], calls["summary"]["withheld"]) == ("length", "")
    assert not any(ward in json.dumps(calls) for ward in WARDS)


def test_the_totals_of_a_pooled_function_are_named_by_their_lines(judged: Path) -> None:
    report = check_policy(judged, policy=load_policy("standard"))
    line = MODULE.splitlines().index("    count, values = total.count(data[column]), total.sum(data[column])") + 1
    assert find(report, "average_partial") == [
        (f"the count in line {line}", "count", "total.count"),
        (f"the sum in line {line}", "sum", "total.sum"),
    ]


def test_groups_have_one_entry(judged: Path) -> None:
    report = check_policy(judged, policy=load_policy("standard"))
    assert all("[*]" in path or path == "result" for path, _, _ in find(report, "counts"))
    assert {evidence for _, kind, evidence in find(report, "counts") if kind == "count"} == {"aggregate.count"}


def test_nothing_is_known_about_a_node_without_a_policy(judged: Path) -> None:
    report = check_policy(judged, policy=load_policy("off"))
    assert describe_leaving(report) == {}
    assert {summarize_verdict(verdict) for verdict in report.verdicts} == {""}


def test_check_and_describe_show_the_values(judged: Path) -> None:
    with default_policy():
        check = algotools("check", str(judged))
        report = json.loads(algotools("check", str(judged), "--json").stdout)
        described = json.loads(algotools("describe", str(judged), "--json").stdout)
        text = algotools("describe", str(judged)).stdout
    assert "left: part: 1 value leaves the node: 1 count" in check.stdout.splitlines()
    functions = {function["method"]: function for function in described["functions"]}
    left = {method: function["left_in_trial"] for method, function in functions.items() if method != "average"}
    assert left == report["left_in_trial"]
    internal = {method for method, function in functions.items() if not function["standalone"]}
    assert internal == {"part", "average_partial"}
    assert "  left in the trial:\n     result['n']" in text
    assert "withheld in the trial (rule length)" in text
    assert "part (rpc, only for its master)" in text


def test_describe_can_leave_the_calls_out(judged: Path) -> None:
    with default_policy():
        process = algotools("describe", str(judged), "--json", "--no-trial")
    assert "calls" not in process.stderr
    assert not any("left_in_trial" in function for function in json.loads(process.stdout)["functions"])
