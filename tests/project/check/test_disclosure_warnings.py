"""Warnings about data of single records in results and messages: the faults, and what careful authors write instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from algotools.project.check import Finding, Report, check

from ...conftest import ALGORITHMS, AVERAGE, algotools
from .conftest import add, create_project, replace

HEAD = '''\
"""Functions of a test."""

import dataclasses
import json

import algotools
import duckdb
import numpy as np
import pandas as pd
import polars as pl
from algotools import Aggregator, Column, UserError, federated, log, master, progress, rpc


class TooLarge(UserError):
    text = "{value} is too large"
    value: float


@dataclasses.dataclass
class Summary:
    n: int
    largest: float


'''
LINE = len(HEAD.splitlines()) + 3
"""The first line of a function's body."""

ROWS, RECORDS, EXTREMES, MESSAGE = "returns-rows", "returns-records", "returns-extremes", "data-in-message"

FAULTS: dict[str, tuple[str, str, str]] = {
    # Rows.
    "the table": ("return data", ROWS, "it returns rows of the table: data"),
    "records": ('return data.to_dict("records")', ROWS, "data.to_dict('records')"),
    "a text of JSON": ('return {"table": data[[column]].to_json()}', ROWS, "data[[column]].to_json()"),
    "a list of values": ("return data.values.tolist()", ROWS, "data.values.tolist()"),
    "a column as a list": ("return list(data[column])", ROWS, "data[column]"),
    "a sorted column": ("values = data[column].dropna()\nreturn sorted(values)", ROWS, "data[column].dropna()"),
    "selected rows": ("return data.loc[data[column] > 3, column].to_numpy()", ROWS, ".to_numpy()"),
    "rows after a branch": (
        "values = data[column]\nif len(values) < 3:\n    values = values.dropna()\nreturn values", ROWS,
        "values.dropna()"),
    "rows in a part of a dict": ('out = {"n": len(data)}\nout["v"] = data[column]\nreturn out', ROWS, "data[column]"),
    "an indicator of each row": ("return [int(v > 3) for v in data[column]]", ROWS, "for v in data[column]"),
    "a list that a loop fills": (
        "out = []\nfor v in data[column]:\n    out.append(v)\nreturn out", RECORDS, "data[column]"),
    "a joined text": ('return ", ".join(str(v) for v in data[column])', ROWS, "str(v)"),
    "a formatted text": ('return f"values: {list(data[column])}"', ROWS, "data[column]"),
    "residuals": (
        "x = np.column_stack([np.ones(len(data)), data[column]])\nbeta = np.zeros(2)\nreturn data[column] - x @ beta",
        ROWS, "data[column]"),
    "distinct values": ("return data[column].unique().tolist()", ROWS, "unique"),
    "a running sum": ("return data[column].cumsum().tolist()", ROWS, "cumsum"),
    "sums of each row": ("return data.sum(axis=1).tolist()", ROWS, "data.sum(axis=1)"),
    "rows in JSON of the standard library": ("return json.dumps(data[column].tolist())", ROWS, "json.dumps"),
    # Few records.
    "the first rows": ("return data.head(5).to_dict()", RECORDS, "it returns values of few records: data.head(5)"),
    "the last rows": ("return data.tail()[column].tolist()", RECORDS, "data.tail()"),
    "a sample": ("rows = data.sample(3)\nreturn rows.mean().to_dict()", RECORDS, "data.sample(3)"),
    "the first row": ("return data.iloc[0].to_dict()", RECORDS, "data.iloc[0]"),
    "one value": ("return float(data[column].iloc[-1])", RECORDS, "data[column].iloc[-1]"),
    "the first item": ("values = data[column].to_numpy()\nreturn values[0]", RECORDS, "values[0]"),
    "the largest values": ("return data[column].nlargest(3).tolist()", RECORDS, "nlargest"),
    "the row of the maximum": ("return data.loc[data[column].idxmax(), column]", RECORDS, "idxmax"),
    "a hand-made maximum": (
        "best = 0\nfor v in data[column]:\n    if v > best:\n        best = v\nreturn best", RECORDS, "data[column]"),
    # Extremes.
    "a minimum": ('return {"minimum": data[column].min()}', EXTREMES, "it returns the value of one record: data[col"),
    "a maximum in a calculation": ("return 3 * data[column].max() + 1", EXTREMES, "data[column].max()"),
    "a maximum of numpy": ("return float(np.max(data[column]))", EXTREMES, "np.max(data[column])"),
    "a maximum of Python": ("return max(data[column])", EXTREMES, "max(data[column])"),
    "the position of a minimum": ("return int(data[column].argmin())", EXTREMES, "argmin"),
    "a maximum in an object": ("return Summary(len(data), data[column].max())", EXTREMES, "data[column].max()"),
    "maxima of groups": ('return data.groupby("sex")[column].max().tolist()', EXTREMES, ".max()"),
    "maxima among aggregates": ('return data.groupby("sex").agg({column: ["size", "max"]})', EXTREMES, "agg"),
    "a median": ("low = data[column].median()\nreturn low", EXTREMES, "median"),
    "two quantiles": ("low, high = data[column].quantile([0.25, 0.75])\nreturn high - low", EXTREMES, "quantile"),
    "a summary": ("return data[column].describe().to_dict()", EXTREMES, "describe"),
    "ranges of columns": ("return {c: data[c].max() for c in data.columns}", EXTREMES, "data[c].max()"),
    # Messages.
    "a value in a line": ('log(f"largest: {data[column].max()}")\nreturn len(data)', MESSAGE, "data[column].max()"),
    "a value with %": ('log("first: %s" % data[column].iloc[0])\nreturn len(data)', MESSAGE, "data[column].iloc[0]"),
    "a value with format": ('log("{}".format(data[column].iloc[0]))\nreturn len(data)', MESSAGE, "iloc[0]"),
    "a sum of texts": ('log("a: " + str(data[column][0]))\nreturn len(data)', MESSAGE, "data[column][0]"),
    "a value of each row": (
        'for v in data[column]:\n    algotools.log(f"read {v}")\nreturn 1', MESSAGE, "data[column]"),
    "a value in a text of progress": ('progress(0.5, f"at {data[column].min()}")\nreturn 1', MESSAGE, ".min()"),
    "a value as the progress": ("progress(data[column].max() / 100)\nreturn 1", MESSAGE, "data[column].max()"),
    "a value in an error": ("raise TooLarge(value=data[column].max())", MESSAGE, "data[column].max()"),
}  # fmt: skip
"""Name -> the body of an rpc, the rule of its only warning, and a part of the reason."""

HARMLESS: dict[str, str] = {
    "a sum and a count": 'values = data[column].dropna()\nreturn {"sum": values.sum(), "count": values.size}',
    "a count of selected rows": "return len(data.head(5)) + len(data[data[column] > 3])",
    "names and types of columns": "return {c: str(t) for c, t in data.dtypes.items()} | {'all': list(data.columns)}",
    "names of columns": "return list(data)",
    "a minimum of arguments": "return min(limit, 10) + max([limit, 3])",
    "a minimum of counts": 'return int(data.groupby("sex").size().min())',
    "a minimum of group counts": 'counts = [len(part) for _, part in data.groupby("sex")]\nreturn min(counts)',
    "a limit by rows": "return min(len(data), limit)",
    "sums of groups": 'return {str(k): part[column].sum() for k, part in data.groupby("sex") if len(part) > 9}',
    "sums of columns": "return {c: data[c].sum() for c in data.columns}",
    "a cross product": "x = data[[column]].to_numpy(float)\nreturn x.T @ x",
    "a score": "x = data[[column]].to_numpy(float)\ny = data[column] > 3\nreturn x.T @ (y - np.exp(-x @ [1]))",
    "a sum of a loop": "s = 0\nfor v in data[column]:\n    s += v\nreturn s",
    "a sum of a generator": "return sum(1 for v in data[column] if v > limit)",
    "counts by hand": (
        "counts = {}\nfor v in data[column]:\n    counts[v] = counts.get(v, 0) + 1\n"
        "return [n for n in counts.values() if n > 9]"
    ),
    "a histogram": "return np.histogram(data[column], [0, limit, 100])[0].tolist()",
    "a name that is used again": "values = data[column]\nvalues = values.sum()\nreturn values",
    "a decision": "return bool(data[column].max() > limit)",
    "a scaled sum": "values = data[column] - data[column].min()\nreturn values.sum()",
    "a count and an argument in a line": 'log(f"{len(data)} rows, {column} above {limit}")\nreturn len(data)',
    "progress of steps": 'for i in range(limit):\n    progress(i / limit, f"step {i}")\nreturn len(data)',
    "an unknown function": "return fit(data)",
    "the first total": 'return data.groupby("sex")[column].sum().iloc[0]',
    "a very long sum": f"return {' + '.join(['len(data)'] * 600)}",
    "numbers of the arguments": "edges = np.array([1, 2])\nreturn {'first': edges[0], 'last': edges.max()}",
}
"""Name -> the body of an rpc without a warning."""


def make_function(decorator: str, parameters: str, body: str) -> str:
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{decorator}\ndef more({parameters}):\n{indented}"


def make_rpc(body: str) -> str:
    return make_function("@rpc", "data: pd.DataFrame, column: Column, limit: int = 3", body)


POLARS, DUCKDB = "data: pl.DataFrame, column: Column", "data: duckdb.DuckDBPyRelation"
POOLED = "data: pd.DataFrame, total: Aggregator, column: Column"

OTHERS: dict[str, tuple[tuple[str, str, str], str | None, str]] = {
    "polars": (("@rpc", POLARS, "return data.select(pl.col(column).max())"), EXTREMES, "pl.col(column).max()"),
    "sums of polars": (("@rpc", POLARS, "return data.select(n=pl.len(), s=pl.col(column).sum())"), None, ""),
    "selected columns of polars": (("@rpc", POLARS, "return data.select(column)"), ROWS, "data.select(column)"),
    "groups of polars": (
        ("@rpc", POLARS, "s = pl.col(column)\nreturn data.group_by('sex').agg(pl.len(), s.sum())"), None, ""),
    "extremes of groups of polars": (
        ("@rpc", POLARS, "s = pl.col(column)\nreturn data.group_by('sex').agg(pl.len(), s.max())"), EXTREMES,
        "s.max()"),
    "SQL": (("@rpc", DUCKDB, "return data.aggregate('max(age), count(*)').fetchall()"), EXTREMES, "data.aggregate"),
    "sums of SQL": (("@rpc", DUCKDB, "return data.aggregate('sum(age), count(*)').fetchall()"), None, ""),
    "an extreme in a total": (
        ("@federated", POOLED, "return total.add(data[column].max()) / total.count(data[column])"), EXTREMES,
        "it adds to a total the value of one record: data[column].max()"),
    "rows in a total": (
        ("@federated", POOLED, "return total.add(lambda: data[column].to_numpy()).sum()"), ROWS,
        "it adds to a total rows of the table"),
    "totals of rows": (
        ("@federated", POOLED, "low = total.minimum(data[column])\nv = data[column] - low\nreturn total.sum(v)"), None,
        ""),
    "a sum in a total": (("@federated", POOLED, "return total.add(len(data)) + total.add(data.age.sum())"), None, ""),
    "a table of a session": (
        ("@rpc(step='preprocessing')", "data: pd.DataFrame", "return data.head(10)"), None, ""),
    "a master of results": (
        ("@master", "values: list[float]", "return {'largest': max(values), 'values': sorted(values)}"), None, ""),
    "a master that reads a table": (
        ("@master", "data: pd.DataFrame", "return data.head(3).to_dict()"), RECORDS, "data.head(3)"),
}  # fmt: skip
"""Name -> a function, the rule of its only warning (None: no warning), and a part of the reason."""

FUNCTIONS = {
    **{name: make_rpc(body) for name, (body, *_) in FAULTS.items()},
    **{name: make_rpc(body) for name, body in HARMLESS.items()},
    **{name: make_function(*parts) for name, (parts, *_) in OTHERS.items()},
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a project with one module for each function."""
    project = create_project(tmp_path_factory.mktemp("disclosing"))
    replace(project / "pyproject.toml", '["pandas>=2.3"]', '["pandas>=2.3", "duckdb", "polars"]')
    for number, code in enumerate(FUNCTIONS.values()):
        add(project / f"src/average/part_{number}.py", HEAD + code.replace("def more", f"def more_{number}") + "\n")
        add(project / "src/average/__init__.py", f"from average import part_{number}\n")
    return check(project, trial=False)


def list_warnings(report: Report, name: str) -> list[Finding]:
    number = list(FUNCTIONS).index(name)
    return [warning for warning in report.warnings if warning.file == f"src/average/part_{number}.py"]


@pytest.mark.parametrize("name", FAULTS)
def test_data_of_single_records_have_a_warning_with_their_line(name: str, report: Report) -> None:
    body, rule, reason = FAULTS[name]
    warnings = list_warnings(report, name)
    assert {warning.rule for warning in warnings} == {rule}
    assert reason in warnings[0].reason
    assert LINE <= (warnings[0].line or 0) < LINE + len(body.splitlines())


@pytest.mark.parametrize("name", HARMLESS)
def test_sums_and_counts_have_no_warning(name: str, report: Report) -> None:
    assert list_warnings(report, name) == []


@pytest.mark.parametrize("name", OTHERS)
def test_other_functions(name: str, report: Report) -> None:
    _, rule, reason = OTHERS[name]
    warnings = list_warnings(report, name)
    assert [warning.rule for warning in warnings] == ([] if rule is None else [rule])
    assert all(reason in warning.reason for warning in warnings)


def test_a_warning_is_not_a_finding(report: Report) -> None:
    assert {warning.rule for warning in report.warnings} == {ROWS, RECORDS, EXTREMES, MESSAGE}
    assert report.findings == ()


@pytest.mark.parametrize("project", [ALGORITHMS / "honest", ALGORITHMS / "statistics", AVERAGE], ids=lambda p: p.name)
def test_careful_authors_get_no_warning(project: Path) -> None:
    report = check(project, trial=False)
    assert report.functions >= 2
    assert report.warnings == ()


def test_half_of_the_cheats_have_a_warning() -> None:
    report = check(ALGORITHMS / "cheats", trial=False)
    methods = {warning.reason.partition(":")[0] for warning in report.warnings}
    assert len(methods) >= report.functions / 2


@pytest.mark.parametrize("kind", ["pooled", "average", "iterative"])
def test_a_new_project_has_no_warning(kind: str, tmp_path: Path) -> None:
    assert algotools("new", "Cohort", "--kind", kind, "--no-input", cwd=tmp_path).returncode == 0
    report = check(tmp_path / "cohort", trial=False)
    assert (report.findings, report.warnings) == ((), ())


def test_the_command_shows_warnings_and_succeeds(project: Path) -> None:
    body = "return {'n': len(data), 'oldest': data[column].max()}"
    add(project / "src/average/algorithm.py", f"\n\n{make_rpc(body)}\n")
    completed = algotools("check", str(project), "--no-trial", variables={"COLUMNS": "80"})
    assert completed.returncode == 0, completed.stderr
    first, reason, advice, *_, last = completed.stdout.splitlines()
    assert first.startswith("src/average/algorithm.py:")
    assert first.endswith("  warning: returns-extremes")
    assert reason == "  more: it returns the value of one record: data[column].max()"
    assert advice.startswith("  → Count the rows in bins that are arguments")
    assert last == "no findings, 1 warning  (3 functions and 5 files checked)"
    completed = algotools("check", str(project), "--no-trial", "--json")
    assert completed.returncode == 0
    output = json.loads(completed.stdout)
    assert output["findings"] == []
    assert [(warning["rule"], warning["reason"]) for warning in output["warnings"]] == [(EXTREMES, reason.strip())]


def test_a_function_with_a_warning_is_called(project: Path) -> None:
    add(project / "src/average/algorithm.py", f"\n\n{make_rpc('return data[column].max() / nothing')}\n")
    report = check(project)
    assert [warning.rule for warning in report.warnings] == [EXTREMES]
    assert [finding.rule for finding in report.findings] == ["function-fails"]
