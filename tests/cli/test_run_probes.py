"""``algotools run`` probes each method once after the run, and warns on standard error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..conftest import AVERAGE, algotools, default_policy

SOURCE = """
import pandas as pd

from algotools import AlgorithmClient, master, rpc


@rpc
def best(data: pd.DataFrame, path: str) -> dict[str, float]:
    with open(path, "a", encoding="utf-8") as file:
        file.write("x")
    return {"rows": len(data), "best": float(data["age"].max()) / 3 + 100}


@master
def collect(client: AlgorithmClient, path: str) -> list[object]:
    return [list(client.run(best, path=path)) for _ in range(3)]
"""
WARNING = "warning: best: result['best'] changes only without fewer than 3 groups of records (rule few)"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    package = tmp_path / "project" / "src" / "oldest"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(SOURCE, encoding="utf-8")
    (package.parents[1] / "pyproject.toml").write_text(
        '[project]\nname = "oldest"\nversion = "1"\n\n'
        '[project.entry-points."algotools.algorithms"]\noldest = "oldest"\n',
        encoding="utf-8",
    )
    rows = "\n".join(str(30 + (7 * i) % 41) for i in range(59))
    for name in ("a.csv", "b.csv"):
        (package.parents[1] / name).write_text(f"age\n97\n{rows}\n", encoding="utf-8")
    return package.parents[1]


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_a_method_is_probed_once(project: Path, tmp_path: Path, contract: str) -> None:
    arguments = ["run", "collect", f"path={tmp_path / 'calls'}", "--data", "a.csv", "--data", "b.csv", "--json"]
    with default_policy():
        completed = algotools(*arguments, "--contract", contract, cwd=project)
    assert completed.returncode == 0, completed.stderr
    assert len(json.loads(completed.stdout)) == 2
    assert completed.stderr.count("warning: ") == completed.stderr.count(WARNING) == 1
    assert (tmp_path / "calls").read_text() == "x" * (2 * 2 * 3 + 1 + 16 + 3)


def test_the_option_no_probe(project: Path, tmp_path: Path) -> None:
    with default_policy():
        completed = algotools("run", "best", f"path={tmp_path / 'calls'}", "--data", "a.csv", "--no-probe", cwd=project)
    assert completed.returncode == 0
    assert "warning" not in completed.stderr
    assert (tmp_path / "calls").read_text() == "x"


def test_the_example_of_the_manual_has_no_warning() -> None:
    with default_policy():
        completed = algotools("run", "average_partial", "column_name=age", cwd=AVERAGE)
    assert completed.returncode == 0
    assert "warning" not in completed.stderr
