"""Faults in pooled functions, and in the arguments of trial calls."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from algotools.project.check import RULES, Finding, Report, check
from algotools.project.check._project import ProjectFiles, check_metadata

from .conftest import add, create_project, replace

HEAD = "import numpy as np\nimport pandas as pd; from concurrent.futures import ThreadPoolExecutor\n"
HEAD += "from algotools import Aggregator, Column, RunInfo, federated, rpc\n"


def pooled(body: str, *, parameters: str = "column: Column", decorator: str = "@federated", name: str = "more") -> str:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    return f"\n\n{decorator}\ndef {name}(data: pd.DataFrame, total: Aggregator, {parameters}) -> object:\n{lines}"


FAULTS: dict[str, tuple[str, str, int, str]] = {
    # In the declaration.
    "secure sums": (pooled("return total.sum(data[column])", decorator="@federated(secure=True)"),
                    "declaration", 7, "secure=True is not available in this version"),
    "an argument of the derived master": (pooled("return total.sum(data.age)", parameters="organizations: list[int]"),
                                          "declaration", 7, "the derived master has an argument `organizations`"),
    "two decorators": (pooled("return total.sum(data[column])", decorator="@rpc\n@federated"),
                       "not-plain", 8, "more is already a pooled function"),
    # In the source.
    "no totals": (pooled("return {'n': len(data)}"), "no-totals", 7, "more: it does not use total"),
    "the number of rows": (pooled("rows = data.dropna()\nreturn {'n': len(rows), 's': total.sum(rows[column])}"),
                           "local-result", 9, "more: it returns len(rows)"),
    "a name for the number of rows": (
        pooled("n = len(data.loc[data[column] > 0])\nreturn n, total.sum(data[column])"), "local-result", 8,
        "more: it returns len(data.loc[data[column] > 0])"),
    "a set": (pooled("return {total.sum(data[column])}"), "result-not-serializable", 8, "more: it returns a set"),
    "a total that does not exist": (
        pooled("return total.median(data[column])"), "function-fails", 8, "more: total has no method 'median'"),
    # In a call.
    "a total that does not exist, in a helper": (
        pooled("return compute(total, data[column])") + "\n\ndef compute(t, v):\n    return t.summ(v)\n",
        "function-fails", 12, "more: in a trial call on north_hospital's data, total has no method 'summ'"),
    "a column that no argument names": (
        pooled("return total.sum(data[column][data['sex'] == 'f'])"), "function-fails", 8,
        "more: it uses the column 'sex', which no argument names, so it is not read"),
    "such columns after the first total": (
        pooled("n = float(total.count(data[column]))\nreturn float(total.count(data[['sex', 'bmi']]).sum()) / n"),
        "function-fails", 9, "it uses the columns 'sex', 'bmi', which no argument names, so they are not read"),
    "such a column as an attribute": (
        pooled("return total.sum(data[column][data.sex == 'f'])"), "function-fails", 8,
        "it uses the column 'sex', which no argument names, so it is not read (AttributeError)"),
    "such a column of Polars": (
        pooled("return total.count(data['sex']) + total.sum(data[column])").replace("pd.DataFrame", "pl.DataFrame"),
        "function-fails", 8, "it uses the column 'sex', which no argument names, so it is not read"),
    "an object": (pooled("total.sum(data[column])\nreturn type('Thing', (), {})()"), "result-not-serializable", 7,
                  "more: in a trial call on north_hospital's data, "),
    "an undefined name after the last total": (
        pooled("s = float(total.sum(data[column]))\nreturn s / nothing"), "function-fails", 9,
        "more: in a trial call on north_hospital's data, it uses 'nothing', which does not exist (NameError)"),
    "an exit after the last total": (
        pooled("s = float(total.sum(data[column]))\nraise SystemExit(s)"), "ends-process", 7,
        "more: in a trial call on north_hospital's data, it ends the process (SystemExit)"),
    # In the split test.
    "the mean of one node": (
        pooled("v = data[column].dropna()\nreturn {'ss': total.sum((v - v.mean()) ** 2)}"), "depends-on-split", 7,
        "more: result.ss differs from that of one table with "),
    "the first value": (pooled("total.count(data)\nreturn data[column].max()"), "depends-on-split", 7, "more: "),
    "the levels of one node": (
        pooled("return {str(l): total.add((data.sex == l).sum()) for l in data.sex.unique()}", parameters="n: int = 1"),
        "depends-on-split", 8, "more: "),
    "one value for each row": (
        pooled("return total.add(data[column].to_numpy()).sum()"), "depends-on-split", 8, "more: "),
    "rows of one node that are missing at another": (
        pooled("n = total.count(data[column])\nv = data[column].iloc[0]\nreturn float(total.sum(data[column]) / n)"),
        "depends-on-split", 9, "more: it raises IndexError in line 9"),
    "the sum of a number": (
        pooled("return total.sum(float(data[column].sum()))"), "depends-on-split", 8,
        "more: the value of total.sum in line 8 is a float, not rows (called with column='"),
    "a total in another thread": (
        pooled("with ThreadPoolExecutor(1) as pool:\n    return pool.submit(lambda: total.sum(data[column])).result()"),
        "depends-on-split", 9, "more: the total in line 9 is requested in another thread"),
    "unseeded random numbers": (
        pooled("s = float(total.add(np.random.default_rng().normal()))\nreturn s + float(total.sum(data[column]) * s)"),
        "depends-on-split", 8, "more: "),
}  # fmt: skip
"""Name of the fault -> the code, and the rule, line and reason of its finding."""

FAULTLESS = {
    "a local value that totals hide": pooled("rows = data.dropna()\nn = total.add(len(rows))\nreturn float(n)"),
    "the number of columns": pooled("return {'n': len(data.columns), 's': total.sum(data[column])}"),
    "a default": pooled(
        "return total.sum(data.age.fillna(value)) * power", parameters="value: int = 0, power: float = 1.0"
    ),
    "two methods": pooled("return total.mean(data[column])", decorator="@federated(name='central')"),
    "a table of Polars": pooled("return total.mean(data[column])").replace("pd.DataFrame", "pl.DataFrame"),
    "a lazy table": pooled("return total.mean(data.select(column).collect()[column])").replace("pd.Data", "pl.Lazy"),
    "a relation of DuckDB": pooled("return total.mean(data.project(column).df()[column])").replace(
        "pd.DataFrame", "duckdb.DuckDBPyRelation"
    ),
    "information about the run": pooled(
        "return total.count(data.age) + 0 * len(str(info.task_id))", parameters="info: RunInfo"
    ),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a project with one module for each function."""
    project = create_project(tmp_path_factory.mktemp("pooled"))
    replace(project / "pyproject.toml", '["pandas>=2.3"]', '["pandas>=2.3", "duckdb", "polars", "pyarrow"]')
    codes = [code for code, *_ in FAULTS.values()] + list(FAULTLESS.values())
    for number, code in enumerate(codes):
        text = code.replace("more", f"more_{number}").replace("'central'", f"'central_{number}'")
        head = HEAD.replace("import numpy as np", "import duckdb, numpy as np, polars as pl")
        add(project / f"src/average/fault_{number}.py", head + text)
        add(project / "src/average/__init__.py", f"from average import fault_{number}\n")
    return check(project)


def get_findings(report: Report, number: int) -> list[Finding]:
    return [finding for finding in report.findings if finding.file == f"src/average/fault_{number}.py"]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_one_finding_with_its_line(name: str, report: Report) -> None:
    number = list(FAULTS).index(name)
    _, rule, line, reason = FAULTS[name]
    (finding,) = get_findings(report, number)
    assert (finding.rule, finding.line) == (rule, line)
    assert finding.reason.replace(f"more_{number}", "more").startswith(reason) or reason in finding.reason


def test_a_faultless_function_has_no_finding(report: Report) -> None:
    assert [get_findings(report, len(FAULTS) + number) for number in range(len(FAULTLESS))] == [[]] * len(FAULTLESS)
    assert report.not_tried == ()


def test_a_finding_of_the_split_test_names_the_split_and_the_chosen_arguments(report: Report) -> None:
    (finding,) = get_findings(report, list(FAULTS).index("the mean of one node"))
    assert "rows)" in finding.reason
    assert "(called with column='" in finding.reason
    assert finding.way_out == RULES["depends-on-split"].way_out


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("the first value", "Return only values that are computed from totals."),
        ("the levels of one node", "Loop over total.levels(...), or compute all groups at once with by=."),
        ("one value for each row", "Use total.sum, which adds up rows."),
        ("the sum of a number", "total.add adds up values that are already reduced."),
        ("a total in another thread", "Request totals in the function's own thread."),
        ("a total that does not exist", "Did you mean total.quantile(values, 0.5)?"),
        ("a total that does not exist, in a helper", "Did you mean total.sum?"),
        ("a column that no argument names", 'Request it: data: Annotated[pd.DataFrame, Columns.of("sex")].'),
        (
            "such columns after the first total",
            'Request them: data: Annotated[pd.DataFrame, Columns.of("sex", "bmi")].',
        ),
    ],
)
def test_the_advice_belongs_to_the_reason(name: str, advice: str, report: Report) -> None:
    (finding,) = get_findings(report, list(FAULTS).index(name))
    assert finding.way_out == advice


def test_a_master_that_calls_a_derived_rpc(created: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(created, tmp_path / "project"))
    text = (
        "from algotools import AlgorithmClient, master\n"
        f"{pooled('return total.sum(data[column])')}\n\n"
        "@master\ndef central(client: AlgorithmClient) -> object:\n"
        "    client.run('summary', column='age')\n"
        "    return list(client.run(more.partial, columns='age'))\n"
    )
    add(project / "src/average/fault.py", HEAD + text)
    add(project / "src/average/__init__.py", "from average import fault\n")
    unknown, arguments = check(project, trial=False).findings
    assert (unknown.rule, arguments.rule) == ("unknown-function", "wrong-arguments")
    assert arguments.reason == "more_partial has no argument columns and requires column"
    assert arguments.way_out == "The arguments of more_partial: column: Column."
    assert unknown.way_out == "The rpcs of this algorithm: average_partial."


# --- The arguments of trial calls. ---

REGRESSION = HEAD + pooled(
    "rows = data[[outcome, *predictors]].dropna()\n"
    "x = np.column_stack([np.ones_like(rows[outcome]), rows[predictors]])\n"
    "return dict(zip(['intercept', *predictors],\n"
    "                np.linalg.solve(total.cross_product(x) + penalty, total.cross_product(x, rows[outcome]))))",
    parameters="outcome: Column, predictors: list[Column], penalty: float",
    decorator="@federated(name='fit')",
    name="regression",
)


def remove_trial_table(project: Path) -> None:
    file = project / "pyproject.toml"
    text = re.sub(r"^\[tool\.algotools\.trial\]\n(\w.*\n)*", "", file.read_text(), flags=re.MULTILINE)
    assert "algotools.trial" not in text
    file.write_text(text)


@pytest.fixture(scope="session")
def created_regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = create_project(tmp_path_factory.mktemp("regression"))
    remove_trial_table(project)
    (project / "src/average/algorithm.py").write_text(REGRESSION)
    (project / "src/average/__init__.py").write_text("from average.algorithm import regression\n")
    return project


@pytest.fixture
def regression(created_regression: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(created_regression, tmp_path / "project"))


def declare(project: Path, text: str) -> int:
    """Add a table to ``pyproject.toml``, and return the number of its last line."""
    add(project / "pyproject.toml", f"\n[tool.algotools.trial]\n{text}\n")
    return len((project / "pyproject.toml").read_text().splitlines())


def run_check(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from algotools.cli import main; main()", "check", str(project), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_function_without_usable_arguments_is_not_tried(regression: Path) -> None:
    completed = run_check(regression)
    assert completed.returncode == 0, completed.stdout
    reason = "it has required arguments; add them to [tool.algotools.trial]"
    assert f"not tried: fit ({reason})" in completed.stdout.splitlines()
    report = json.loads(run_check(regression, "--json").stdout)
    entry = {"method": "fit", "reason": reason}
    assert report == {
        "algorithm": "average",
        "findings": [],
        "warnings": [],
        "not_tried": [entry],
        "chosen_arguments": [],
        "left_in_trial": {},
    }


def test_the_declared_arguments_are_used(regression: Path) -> None:
    declare(regression, 'fit = { outcome = "age", predictors = ["bmi"], penalty = 0.5 }')
    completed = run_check(regression)
    assert completed.stdout == "no findings  (2 functions and 5 files checked)\n"
    assert completed.stderr.splitlines()[-2:] == [
        "calls 1 function on north_hospital's data: fit; --no-trial leaves the calls out",
        "splits the rows of 3 organizations in many ways, and compares the results of fit",
    ]


WRONG = {
    "the name of the function": (
        "regression = { penalty = 1.0 }",
        "has arguments for 'regression', which is not a method; did you mean 'fit' (the function regression)?"),
    "a misspelt argument": (
        'fit = { outcom = "age", predictors = ["bmi"], penalty = 1.0 }',
        "has an argument 'outcom', which fit does not have (did you mean 'outcome'?)"),
    "another name for the only missing argument": (
        'fit = { y = "age", predictors = ["bmi"], penalty = 1.0 }',
        "has an argument 'y', which fit does not have (did you mean 'outcome'?)"),
    "an unknown method": (
        "fitt = { penalty = 1.0 }",
        "has arguments for 'fitt', which is not a method; did you mean 'fit'?"),
    "the derived rpc": (
        "regression_partial = { penalty = 1.0 }",
        "has arguments for regression_partial, which is derived from fit"),
    "an unknown argument": (
        'fit = { outcome = "age", predictors = ["bmi"], penalty = 1.0, outcom = "age" }',
        "has an argument 'outcom', which fit does not have (did you mean 'outcome'?)",
    ),
    "a wrong type": (
        'fit = { outcome = "age", predictors = ["bmi"], penalty = "much" }', "has wrong arguments for fit: penalty"),
    "a missing argument": (
        'fit = { outcome = "age", penalty = 1.0 }',
        "has wrong arguments for fit: missing: predictors"),
    "an unknown column": (
        'fit = { outcome = "aeg", predictors = ["bmi"], penalty = 1.0 }', "has wrong arguments for fit: "),
    "no table": ("fit = 3", "has a value for fit that is not a table of arguments"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_entry_is_a_finding_with_its_line(text: str, reason: str, regression: Path) -> None:
    line = declare(regression, text)
    (finding,) = check(regression).findings
    assert (finding.rule, finding.file, finding.line) == ("trial-arguments", "pyproject.toml", line)
    assert finding.reason.startswith(f"[tool.algotools.trial] {reason}")


@pytest.mark.parametrize(
    ("table", "hint"),
    [
        ("tool.algotools.trail", " (did you mean trial?)"),
        ("tool.algotools.store", " (tables: trial)"),
        ("tool.algotool", " (did you mean algotools?)"),
        ("tool.AlgoTools", " (did you mean algotools?)"),
        ("tool.federated-algotools", " (did you mean algotools?)"),
    ],
)
@pytest.mark.parametrize("method", ["", ".trial", ".fit"])
def test_an_unknown_table_is_a_finding_with_its_line(table: str, hint: str, method: str, regression: Path) -> None:
    file = regression / "pyproject.toml"
    line = len(file.read_text().splitlines()) + 2
    add(file, f"\n[{table}{method}]\npenalty = 1.0\n")
    (finding,) = check_metadata(ProjectFiles(regression))
    assert (finding.rule, finding.file, finding.line) == ("trial-arguments", "pyproject.toml", line)
    assert finding.reason == f"unknown table [{table}]{hint}"


def test_an_inline_table_with_an_unknown_name_is_a_finding(regression: Path) -> None:
    replace(regression / "pyproject.toml", "[tool.algotools]\n", "[tool.algotools]\ntrail = { fit = {} }\n")
    (finding,) = check(regression, trial=False).findings
    assert finding.reason == "unknown table [tool.algotools.trail] (did you mean trial?)"
    assert finding.line == (regression / "pyproject.toml").read_text().splitlines().index("trail = { fit = {} }") + 1


def test_tables_of_other_tools_have_no_finding(regression: Path) -> None:
    add(regression / "pyproject.toml", "\n[tool.alembic]\nx = 1\n[tool.autoflake]\nx = 1\n[tool.tools]\nx = 1\n")
    assert list(check_metadata(ProjectFiles(regression))) == []


def test_a_wrong_entry_is_a_finding_without_trial_calls(regression: Path) -> None:
    declare(regression, "fitt = {}")
    (finding,) = check(regression, trial=False).findings
    assert finding.rule == "trial-arguments"


def test_arguments_in_a_table_of_their_own(regression: Path) -> None:
    add(
        regression / "pyproject.toml",
        '\n[tool.algotools.trial.fit]\noutcome = "age"\npredictors = ["bmi"]\npenalty = true\n',
    )
    (finding,) = check(regression).findings
    assert finding.line == len((regression / "pyproject.toml").read_text().splitlines())


def test_a_value_that_is_not_a_table(regression: Path) -> None:
    replace(regression / "pyproject.toml", "[tool.algotools]\n", "[tool.algotools]\ntrial = 3\n")
    (finding,) = check(regression).findings
    assert (finding.rule, finding.reason) == ("trial-arguments", "[tool.algotools.trial] is not a table")
    assert finding.line is not None


def test_an_exception_with_the_declared_arguments_is_a_finding(regression: Path) -> None:
    replace(regression / "src/average/algorithm.py", "    x = np", "    x = 1 / (len(predictors) - 1)\n    x = np")
    declare(regression, 'fit = { outcome = "age", predictors = ["bmi"], penalty = 0.5 }')
    (finding,) = check(regression).findings
    assert (finding.rule, finding.file, finding.line) == ("function-fails", "src/average/algorithm.py", 9)
    assert "it raises ZeroDivisionError with the arguments in [tool.algotools.trial]" in finding.reason


def test_an_exception_with_chosen_arguments_is_not_a_finding(created: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(created, tmp_path / "project"))
    remove_trial_table(project)
    code = pooled("if column != 'sex':\n    raise ValueError(column)\nreturn total.count(data[column])")
    (project / "src/average/algorithm.py").write_text(HEAD + code)
    (project / "src/average/__init__.py").write_text("from average.algorithm import more\n")
    report = check(project)
    assert report.findings == ()
    (entry,) = report.not_tried
    assert entry.method == "more"
    assert entry.reason.startswith("it raises ValueError with the chosen arguments column='")
    assert entry.reason.endswith("; add its arguments to [tool.algotools.trial]")


CHOSEN = [
    ("column: Column", {"column": "age"}),
    ("column: Column, by: Column", {"column": "age", "by": "sex"}),
    ("group: Column, column: Column", {"group": "sex", "column": "age"}),
    ("first: Column, second: Column", {"first": "age", "second": "sex"}),
    ("x: Column, y: Column", {"x": "age", "y": "bmi"}),
    ("outcome: Column, predictors: list[Column]", {"outcome": "age", "predictors": ["bmi"]}),
]


def test_the_chosen_arguments_are_reported(created: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(created, tmp_path / "project"))
    remove_trial_table(project)
    codes = [
        pooled("return int(total.count(data).sum())", parameters=parameters, name=f"count_{number}")
        for number, (parameters, _) in enumerate(CHOSEN)
    ]
    codes.append(pooled("return int(total.count(data).sum())", parameters="n: int = 1", name="defaults"))
    (project / "src/average/algorithm.py").write_text(HEAD + "".join(codes))
    (project / "src/average/__init__.py").write_text("from average import algorithm\n")
    completed = run_check(project)
    assert completed.returncode == 0, completed.stdout
    assert completed.stdout.splitlines()[1] == "called: count_1 with column='age', by='sex'"
    assert completed.stdout.count("called: ") == len(CHOSEN)
    assert json.loads(run_check(project, "--json").stdout)["chosen_arguments"] == [
        {"method": f"count_{number}", "arguments": arguments} for number, (_, arguments) in enumerate(CHOSEN)
    ]


def test_a_function_that_never_finishes_after_the_last_total(regression: Path) -> None:
    replace(
        regression / "src/average/algorithm.py",
        "    return dict",
        "    import time\n    time.sleep(10**6 * total.count(rows[outcome]))\n    return dict",
    )
    declare(regression, 'fit = { outcome = "age", predictors = ["bmi"], penalty = 0.5 }')
    (finding,) = check(regression, limit=20).findings
    assert finding.rule == "never-finishes"
    assert finding.reason == "fit: in a trial call on north_hospital's data, it did not finish within 20 s"


def test_a_slow_split_test_is_not_a_finding(regression: Path) -> None:
    # The rows of the first organization are at most half of all rows, so only the split test sleeps.
    replace(
        regression / "src/average/algorithm.py",
        "    return dict",
        "    import time\n    time.sleep(10**6 * (total.count(rows[outcome]) > 100))\n    return dict",
    )
    declare(regression, 'fit = { outcome = "age", predictors = ["bmi"], penalty = 0.5 }')
    report = check(regression, limit=20)
    assert report.findings == ()
    (entry,) = report.not_tried
    assert entry.reason == "the split test did not finish within 20 s; raise the limit with --timeout"


def test_without_data_nothing_is_tried(regression: Path) -> None:
    (regression / "federation.yaml").unlink()
    report = check(regression)
    assert report.findings == ()
    assert [(entry.method, entry.reason) for entry in report.not_tried] == [("fit", "no federation.yaml names data")]
    assert check(regression, trial=False).not_tried == ()
