"""A fresh project passes its tests, linters, type checks, `algotools check`, pre-commit hooks and pipelines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from algotools.declare.projects import read_toml

from ...conftest import POLICY
from .conftest import ARGUMENTS, PACKAGES, Make, algotools, content, tool


def test_the_projects_tests_pass_and_import_only_declared_packages(project: Path) -> None:
    completed = tool("pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert completed.returncode == 0, completed.stdout
    assert " skipped" not in completed.stdout
    tests = "".join(file.read_text(encoding="utf-8") for file in (project / "tests").rglob("*.py"))
    package = read_toml(project / "pyproject.toml")["project"]["name"].replace("-", "_")
    imported = set(re.findall(r"^(?:from|import) (\w+)", tests, re.MULTILINE))
    assert imported <= {"algotools", "numpy", "pandas", "pytest", package, *sys.stdlib_module_names}


TEST_EACH = """
import json, os, sys
import numpy, pandas, pytest
from algotools import Federation

request, codes = json.loads(sys.argv[1]), []
for text in request["texts"]:
    with open(request["file"], "w", encoding="utf-8") as file:
        file.write(text)
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        code = pytest.main(["-q", "-x", "-p", "no:cacheprovider"])
        sys.stdout.flush()
        os._exit(code)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(*codes)
"""
"""A program that runs the tests of a project with each text of a file, and prints the exit codes. It imports once."""


def test_the_projects_tests_detect_seeded_faults(project: Path) -> None:
    algorithm = next((project / "src").glob("*/algorithm.py"))
    before = algorithm.read_text(encoding="utf-8")
    faults = {
        '"sum": aggregate.sum(values)': '"sum": aggregate.sum(values) + 1',
        '"count": aggregate.count(values)': '"count": len(data)',
        "raise NotNumeric": "pass",
        "raise NoValues": "return {}",
        '"score": aggregate.cross_product(x, y - mean)': '"score": aggregate.cross_product(x, y - mean) + 0.01',
        "weights = mean * (1 - mean)": "weights = mean",
        "raise TooFewRows(minimum=MINIMUM_ROWS)": "pass",
        "raise NotBinary": "pass",
        "raise NotIdentified": "pass",
        "raise NotConverged(rounds=max_rounds)": "return {}",
        "total.count(values)": "total.count(values.fillna(0))",
        "total.sum(values)": "total.sum(values) + 1",
        '"average": values_sum / count': '"average": values.mean()',
        "raise TooFewValues(minimum=MINIMUM_VALUES)": "pass",
    }
    seeded = {old: new for old, new in faults.items() if old in before}
    assert len(seeded) >= 4
    request = {"file": str(algorithm), "texts": [before.replace(old, new) for old, new in seeded.items()]}
    completed = tool("-c", TEST_EACH, json.dumps(request), cwd=project)
    codes = dict(zip(seeded.values(), completed.stdout.split()[-len(seeded) :], strict=True))
    assert [new for new, code in codes.items() if code != "1"] == [], completed.stdout


def test_the_master_returns_the_pooled_result(project: Path, kind: str) -> None:
    completed = algotools("run", "master", *ARGUMENTS[kind], "--json", cwd=project)
    assert completed.returncode == 0, completed.stderr
    answers = [item["result"] for item in json.loads(completed.stdout)]
    pooled = pd.concat([pd.read_csv(file) for file in sorted((project / "data").glob("*.csv"))])
    assert len(answers) == 3
    assert answers[0] == answers[1] == answers[2]
    if kind != "iterative":
        assert answers[0]["average"] == pytest.approx(pooled["age"].mean(), rel=1e-12)
    else:
        assert answers[0]["rows"] == len(pooled[["event", "age", "bmi"]].dropna())


def test_the_arguments_of_the_trial_fit_the_functions(project: Path, kind: str) -> None:
    trial = read_toml(project / "pyproject.toml")["tool"]["algotools"]["trial"]
    described = json.loads(algotools("describe", "--json", cwd=project).stdout)
    methods = {function["method"] for function in described["functions"]}
    assert trial.keys() == methods - ({"average_partial"} if kind == "pooled" else set())  # the rpc is derived
    options = [f"{name}:={json.dumps(value)}" for name, value in trial.pop("master").items()]
    completed = algotools("run", "master", *options, "--json", "--runner", "inline", cwd=project)
    assert completed.returncode == 0, completed.stderr
    program = (  # a node runs these functions only for their master
        f"import json, sys, pandas; sys.path.insert(0, 'src'); import {PACKAGES[kind]} as package\n"
        "for method, arguments in json.loads(sys.argv[1]).items():\n"
        "    getattr(package, method)(pandas.read_csv('data/org1.csv'), **arguments)"
    )
    if trial:
        completed = tool("-c", program, json.dumps(trial), cwd=project)
        assert completed.returncode == 0, completed.stderr


def test_the_project_works_at_the_strictest_nodes(project: Path, kind: str) -> None:
    completed = algotools("run", "master", *ARGUMENTS[kind], "--policy", "strict", "--runner", "inline", cwd=project)
    assert completed.returncode == 0, completed.stderr
    completed = algotools("check", cwd=project, variables={POLICY: "strict"})
    assert completed.returncode == 0, completed.stdout
    completed = tool("pytest", "-q", "-p", "no:cacheprovider", cwd=project, variables={POLICY: "strict"})
    assert completed.returncode == 0, completed.stdout


def test_each_node_has_different_data_with_the_same_columns(project: Path) -> None:
    frames = [pd.read_csv(file) for file in sorted((project / "data").glob("*.csv"))]
    assert len(frames) == 3
    assert all(list(frame) == ["age", "sex", "bmi", "smoker", "event"] for frame in frames)
    assert len({len(frame) for frame in frames}) == len({frame["age"].mean() for frame in frames}) == 3
    assert any(frame["age"].isna().any() for frame in frames)


def test_the_linter_and_the_formatter_report_nothing(project: Path) -> None:
    assert tool("ruff", "check", "--no-cache", ".", cwd=project).returncode == 0
    completed = tool("ruff", "format", "--no-cache", "--diff", ".", cwd=project)
    assert completed.returncode == 0, completed.stdout


LIST_AS_DEFAULT = '''\
"""A function with a list as the default of an argument."""

import pandas as pd
from algotools import Column, rpc


@rpc
def count_rows(data: pd.DataFrame, columns: list[Column] = []) -> int:
    """Return the number of rows."""
    return len(data[columns])
'''


def test_the_linter_accepts_a_list_as_the_default_of_an_argument(project: Path) -> None:
    package = next((project / "src").glob("*/algorithm.py")).parent
    for folder in (package, project / "tests"):
        (folder / "more.py").write_text(LIST_AS_DEFAULT, encoding="utf-8")
    completed = tool("ruff", "check", "--no-cache", ".", cwd=project)
    assert completed.returncode == 0, completed.stdout


@pytest.mark.parametrize("future", [False, True])
def test_the_linter_does_not_move_imports_of_annotations(project: Path, kind: str, future: bool) -> None:
    algorithm = next((project / "src").glob("*/algorithm.py"))
    before = algorithm.read_text(encoding="utf-8")
    if future:  # otherwise ruff would move imports that only annotations use under TYPE_CHECKING
        docstring_end = before.index('"""\n', 3) + 4
        changed = f"{before[:docstring_end]}\nfrom __future__ import annotations\n{before[docstring_end:]}"
        algorithm.write_text(changed, encoding="utf-8")
    fixed = tool("ruff", "check", "--no-cache", "--fix", "--unsafe-fixes", "--extend-select", "TC", ".", cwd=project)
    assert fixed.returncode == 0, fixed.stdout
    assert "TYPE_CHECKING" not in algorithm.read_text(encoding="utf-8")
    completed = algotools("run", "master", *ARGUMENTS[kind], "--json", "--runner", "inline", cwd=project)
    assert completed.returncode == 0, completed.stderr


TEST_WITH_VARIABLES = """\
from typing import Annotated

import pandas as pd
from algotools import NodeVariable, RunInfo, rpc
from algotools.testing import FederationFactory


@rpc
def count(data: pd.DataFrame, info: RunInfo, minimum: Annotated[int, NodeVariable("MINIMUM")] = 1) -> int:
    (info.temporary_folder / "x").write_text("1")
    return max(minimum, len(data))


def test_nodes(federation: FederationFactory) -> None:
    frame = pd.DataFrame({"age": [1, 2, 3, 4]})
    assert count(frame, info=RunInfo()) == 4
    variables = {"MINIMUM": 20, 3: {"MINIMUM": 30}}
    nodes = federation([frame, frame], algorithm=[count], runner="inline", variables=variables)
    assert nodes.run(count) == [20, 30]
"""


def test_mypy_and_pytest_accept_variables_and_run_info_in_a_test(project: Path, mypy_cache: Path) -> None:
    (project / "tests" / "test_variables.py").write_text(TEST_WITH_VARIABLES, encoding="utf-8")
    checked = tool("mypy", "--cache-dir", str(mypy_cache), cwd=project)
    assert checked.returncode == 0, checked.stdout
    tested = tool("pytest", "-q", "tests/test_variables.py", cwd=project)
    assert tested.returncode == 0, tested.stdout


def test_mypy_passes_in_strict_mode(project: Path, mypy_cache: Path) -> None:
    completed = tool("mypy", "--cache-dir", str(mypy_cache), cwd=project)
    assert completed.returncode == 0, completed.stdout
    assert read_toml(project / "pyproject.toml")["tool"]["mypy"]["strict"] is True


def test_algotools_check_has_no_findings(project: Path) -> None:
    completed = algotools("check", cwd=project)
    assert completed.returncode == 0, completed.stdout


def test_no_template_syntax_remains_in_the_files(project: Path) -> None:
    for name, data in content(project).items():
        text = data.decode("utf-8")
        assert "cookiecutter" not in text, name
        assert not re.search(r"{%|{#", text), name
        assert not re.search(r"[ \t]$", text, re.MULTILINE), name
        if name.startswith((".github", ".gitlab")):
            text = re.sub(r"\$\{\{ [a-zA-Z0-9_.|' -]+ \}\}", "", text)
        assert "{{" not in text, name
        assert "}}" not in text.replace("}}}'", ""), name
        assert text == "" or text[-2:].count("\n") == 1, name


def test_algotools_is_never_installed_from_an_index_by_name(project: Path) -> None:
    metadata = read_toml(project / "pyproject.toml")
    requirements = [*metadata["project"]["dependencies"], *metadata["build-system"]["requires"]]
    requirements += [item for group in metadata["dependency-groups"].values() for item in group]
    assert not [item for item in requirements if "algotools" in item]
    for name, data in content(project).items():
        for line in data.decode().splitlines():
            if re.search(r"pip install .*algotools", line, re.IGNORECASE):
                assert "${ALGOTOOLS:?" in line, f"{name}: {line}"


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments], cwd=folder, check=True)


def test_git_tracks_every_file_and_the_hooks_pass(project: Path, kind: str, tmp_path: Path, mypy_cache: Path) -> None:
    files = set(content(project))
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "The beginning")
    listed = subprocess.run(["git", "ls-files"], cwd=project, capture_output=True, text=True, check=True).stdout
    assert set(listed.split()) == files
    if kind != "pooled":
        return  # the hooks are equal in all kinds; other tests of this module run their commands on each kind
    path = f"{script_folder(tmp_path)}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"), "MYPY_CACHE_DIR": str(mypy_cache)}
    completed = tool("pre_commit", "run", "--all-files", "--verbose", cwd=project, variables=variables)
    assert completed.returncode == 0, completed.stdout
    assert completed.stdout.count("Passed") == 4


def script_folder(folder: Path) -> Path:
    """Return a folder with scripts that run the tools of this environment, ahead of other tools with the same names."""
    scripts = folder / "bin"
    scripts.mkdir(exist_ok=True)
    modules = {"ruff": "-m ruff", "mypy": "-m mypy", "pytest": "-m pytest", "python": ""}
    modules["algotools"] = '-c "from algotools.cli import main; main()"'
    for name, arguments in modules.items():
        (scripts / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        (scripts / name).chmod(0o755)
    return scripts


def steps(project: Path, file: str, job: str) -> list[str]:
    """Return the shell commands of a job in a pipeline."""
    pipeline = yaml.safe_load((project / file).read_text(encoding="utf-8"))
    if file == ".gitlab-ci.yml":
        return list(pipeline[job]["script"])
    return [step["run"] for step in pipeline["jobs"][job]["steps"] if "run" in step]


@pytest.mark.parametrize("file", [".github/workflows/ci.yml", ".gitlab-ci.yml"])
def test_the_pipelines_run_the_commands_that_these_tests_run(make: Make, file: str) -> None:
    commands = steps(make("Cohort Mean"), file, "test")
    installing = [line for command in commands for line in command.splitlines() if "pip install" in line]
    assert installing[1:] == [
        next(line for line in installing if "${ALGOTOOLS:?" in line),
        "python -m pip install --editable . --group test --group lint",
    ]
    # Each of these commands has a test above.
    assert commands[-5:] == ["ruff check .", "ruff format --check .", "mypy", "algotools check", "pytest"]


@pytest.mark.parametrize("file", [".github/workflows/ci.yml", ".gitlab-ci.yml"])
def test_a_pipeline_without_the_variable_reports_it_as_missing(make: Make, file: str) -> None:
    folder = make("Cohort Mean", "--algotools", "")
    command = next(line for step in steps(folder, file, "image") for line in step.splitlines() if "ALGOTOOLS" in line)
    completed = subprocess.run(
        ["bash", "-ec", command], cwd=folder, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if name != "ALGOTOOLS"},
    )  # fmt: skip
    assert completed.returncode != 0
    assert "set the variable ALGOTOOLS" in completed.stderr


@pytest.mark.parametrize(
    ("file", "variable"), [(".github/workflows/ci.yml", "GITHUB_REF_NAME"), (".gitlab-ci.yml", "CI_COMMIT_TAG")]
)
def test_a_tag_that_is_not_the_version_stops_the_image_job(make: Make, file: str, variable: str) -> None:
    folder = make("Cohort Mean")
    command = next(step for step in steps(folder, file, "image") if "grep" in step)
    for tag, expected in (("v1.0.0", 0), ("v1.0.1", 1)):
        completed = subprocess.run(["bash", "-ec", command], cwd=folder, env={**os.environ, variable: tag}, check=False)
        assert completed.returncode == expected


def test_the_pipelines_are_valid_for_github_and_gitlab(make: Make) -> None:
    folder = make("Cohort Mean", "--algotools", "federated-algotools @ git+https://code.example.com/algotools@1234")
    github = yaml.safe_load((folder / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert github["env"]["ALGOTOOLS"] == (
        "${{ vars.ALGOTOOLS || 'federated-algotools @ git+https://code.example.com/algotools@1234' }}"
    )
    assert github[True] == {"push": {"branches": ["main"], "tags": ["v*"]}, "pull_request": None}  # YAML 1.1: `on`
    assert github["jobs"]["test"]["steps"][1]["with"]["python-version"] == "${{ matrix.python-version }}"
    assert github["jobs"]["image"]["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert github["jobs"]["image"]["env"]["REGISTRY_USER"] == "${{ secrets.REGISTRY_USER }}"
    gitlab = yaml.safe_load((folder / ".gitlab-ci.yml").read_text(encoding="utf-8"))
    assert gitlab["variables"]["ALGOTOOLS"] == "federated-algotools @ git+https://code.example.com/algotools@1234"
    assert gitlab["image"]["rules"] == [{"if": "$CI_COMMIT_TAG =~ /^v/"}]
    assert all(isinstance(line, str) for job in ("test", "image") for line in gitlab[job]["script"])


@pytest.mark.parametrize("licence", ["Apache-2.0", "none"])
def test_the_wheel_contains_the_licence_but_no_data(
    make: Make, hatchling: Callable[..., Path], tmp_path: Path, licence: str
) -> None:
    folder = make("Cohort Mean", "--licence", licence, "--author", "Jane Roe")
    with zipfile.ZipFile(hatchling(folder, "wheel", tmp_path / "wheel")) as wheel:
        packed = {name.partition(".dist-info/")[2] or name: wheel.read(name).decode() for name in wheel.namelist()}
    metadata = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert set(packed) == {f"cohort_mean/{name}" for name in ("__init__.py", "algorithm.py", "py.typed")} | metadata
    assert "[algotools.algorithms]\ncohort-mean = cohort_mean" in packed["entry_points.txt"]
    assert "\nAuthor: Jane Roe\n" in packed["METADATA"]
    expected = "LicenseRef-Proprietary" if licence == "none" else licence
    assert f"\nLicense-Expression: {expected}\n" in packed["METADATA"]
