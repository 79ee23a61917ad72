"""``algotools run`` probes each method once after the run, and warns on standard error."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from algotools import Federation
from algotools.federation.algorithms import RunnerName

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


PRINTS = """
import time

import pandas as pd

from algotools import rpc


@rpc
def slowly(data: pd.DataFrame) -> float:
    print("counting rows")
    time.sleep(0.1)
    return float(data["age"].max()) / 3
"""


@pytest.mark.parametrize("options", [[], ["--timeout", "30"], ["--quiet"]])
def test_probing_is_shown_and_does_not_print_again(project: Path, options: list[str]) -> None:
    (project / "one.py").write_text(PRINTS, encoding="utf-8")
    arguments = ["run", "slowly", "--algorithm", "one.py", "--data", "a.csv", "--runner", "inline", *options]
    with default_policy():
        completed = algotools(*arguments, cwd=project)
    assert completed.returncode == 0, completed.stderr
    assert "warning: slowly: " in completed.stderr
    assert completed.stderr.count("counting rows") == 1
    assert completed.stderr.count("probing for values") == ("--quiet" not in options)


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_probing_has_a_time_limit(project: Path, runner: RunnerName) -> None:
    (project / "one.py").write_text(PRINTS.replace("0.1", "0.5"), encoding="utf-8")
    nodes = [str(project / "a.csv")]
    with default_policy(), Federation(nodes, algorithm=str(project / "one.py"), runner=runner) as federation:
        federation.run("slowly")
        started = time.monotonic()
        assert list(federation.probe(lambda: False, 1.5)) == []
    assert time.monotonic() - started < 6  # without a limit, 20 calls take 10 s


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
