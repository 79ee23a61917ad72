"""The commands with pooled functions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ALGORITHMS, algotools, environment
from .terminal import run_on_terminal

TOGETHER = ALGORITHMS / "together"


@pytest.fixture
def nodes(tmp_path: Path) -> tuple[str, ...]:
    """The option for a federation of three nodes with the ages 1 to 6."""
    for number, ages in enumerate(["1\n2\n3", "4", "5\n6"], start=1):
        (tmp_path / f"{number}.csv").write_text(f"age\n{ages}\n")
        (tmp_path / f"codes{number}.csv").write_text("code\n7\n")
    members = "".join(
        f"  - {{name: hospital_{n}, databases: {{default: {n}.csv, codes: codes{n}.csv}}}}\n" for n in (1, 2, 3)
    )
    (tmp_path / "federation.yaml").write_text(f"collaboration: demo\norganizations:\n{members}")
    return ("--algorithm", str(TOGETHER), "--federation", str(tmp_path / "federation.yaml"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Call ``algotools run`` with the fastest runner, unless the arguments name another one."""
    return algotools("run", "--runner", "inline", *arguments)


# `tests/federation/test_pooled.py` has other pairs.
@pytest.mark.parametrize(("runner", "contract"), [("inline", "v3"), ("process", "v4"), ("inline", "v5")])
def test_a_pooled_function_runs_as_a_master(nodes, runner, contract):
    completed = run(
        "variance", "column=age", *nodes, "--runner", runner, "--contract", contract, "--organizations", "2", "--json",
        "organizations:=[2, 3, 4]",
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    (result,) = json.loads(completed.stdout)
    assert result["result"] == pytest.approx(3.5)
    rounds = re.findall(r"organization 2, task 1: info > (round .*)", completed.stderr)
    assert rounds == ["round 1: 2 totals", "round 2: 1 total"]


def test_a_confined_pooled_function(nodes):
    completed = run(
        "variance",
        "column=age",
        *nodes,
        "--runner",
        "process",
        "--confined",
        "--organizations",
        "2",
        "organizations:=[2, 3, 4]",
    )
    assert completed.returncode == 0, completed.stderr
    assert "│ 3.5 " in completed.stdout


def test_another_interpreter(nodes):
    """`tests/peers/test_processes.py` runs functions in another interpreter on each generation."""
    completed = run(
        "master", "column_name=age", *nodes, "--runner", "process", "--python", sys.executable, "--json",
        "--organizations", "2", "organizations:=[2, 3, 4]",
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    assert [result["result"] for result in json.loads(completed.stdout)] == [{"average": 3.5}]


def test_several_tables(nodes):
    completed = run("both", "by=age", *nodes, "--json")
    assert completed.returncode == 0, completed.stderr
    assert [result["result"] for result in json.loads(completed.stdout)] == [{"rows": 6, "codes": 3}] * 3


def test_too_few_organizations_are_refused_before_a_node_runs(nodes):
    completed = run("master", "column_name=age", *nodes, "--organizations", "2,3")
    assert completed.returncode == 61
    assert "[58] the task has 2 organizations, but totals need at least 3 (minimum_organizations=3)" in completed.stderr
    assert "sent " not in completed.stderr
    completed = run("master", "column_name=age", "organizations:=[2]", *nodes, "--organizations", "2")
    assert "[58] the task has 1 organization, but totals need at least 3" in completed.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["master", "column=age"], 15, "unknown: column; missing: column_name (the function takes column_name: Column"),
        (["average_partial", "column=age"], 15, "(the function takes column_name: Column)"),
        (["master", "column_name:=3"], 15, "column_name: "),
        (["variance", "column=age", "ddof=1"], 15, "ddof: "),
        (["master", "column_name=age", "organizations:=[2, 3, 9]"], 17, "not in the collaboration: 9"),
        (["average", "column_name=age"], 13, "no method 'average'; did you mean 'master' (the function average)?"),
        (["variance", "colum=age"], 15, "missing: column (the function takes column: Column, [ddof: int], [organi"),
        (["averages", "column_name=age"], 13, "did you mean 'master' (the function average)?"),
        (["master", "column_name=aeg"], 16, "no node has a column 'aeg'"),
    ],
)
def test_a_mistake_is_reported_like_that_of_another_function(nodes, arguments, code, message):
    completed = run(*arguments, *nodes, "--organizations", "2")
    assert completed.returncode == code
    assert completed.stderr.startswith(f"error ({code}): ")
    assert message in completed.stderr
    assert "_request" not in completed.stderr


def test_the_derived_rpc_shows_its_contributions_and_names_the_master(nodes):
    completed = run("average_partial", "column_name=age", *nodes, "--json")
    assert completed.returncode == 0, completed.stderr
    results = [result["result"] for result in json.loads(completed.stdout)]
    assert [result["contributions"] for result in results] == [[6.0, 3], [4.0, 1], [11.0, 2]]
    assert all(not result["is_finished"] for result in results)
    hint = "the result is what this node contributes to the first totals; call master for the result"
    assert completed.stderr.count(hint) == 3


def test_the_live_table_shows_the_round_of_the_master(nodes, tmp_path):
    gate = tmp_path / "gate"
    command = ("run", "gated", f"gate={gate}", *nodes, "--organizations", "2", "--contract", "v5")
    with run_on_terminal(*command, columns=120, rows=30) as process:
        process.wait_until(
            lambda screen: re.search(
                r"^gated +hospital_1 \(2\) +active +\d+ s  round 1: 1 total *$", screen.text, re.MULTILINE
            )
        )
        gate.touch()
        code, _, _ = process.wait()
    assert code == 0


def test_describe():
    completed = algotools("describe", str(TOGETHER))
    assert completed.returncode == 0, completed.stderr
    text = " ".join(completed.stdout.split())
    assert "master (master) Return the average of a column over all nodes. needs at least 3 organizations" in text
    assert (
        "average_partial (rpc, derived from master, only for its master) The part of master that runs at each node."
        in text
    )
    assert "example algotools ask master column_name=age" in text
    assert "no example: add arguments to [tool.algotools.trial]" in text  # variance
    assert "_request" not in text
    functions = {f["method"]: f for f in json.loads(algotools("describe", str(TOGETHER), "--json").stdout)["functions"]}
    assert functions["master"]["trial"] == functions["average_partial"]["trial"] == {"column_name": "age"}
    assert functions["variance"]["trial"] is None
    assert functions["average_partial"]["derived_from"] == "master"
    assert functions["gated"]["minimum_organizations"] == 1


SCRIPT = '''
import sys

import pandas as pd

from algotools import Aggregator, Column, Federation, Pooled, federated


@federated
def spread(data: pd.DataFrame, total: Aggregator, column: Column) -> float:
    """Return the variance of a column."""
    values = data[column]
    n = total.count(values)
    mean = float(total.sum(values) / n)
    return float(total.sum((values - mean) ** 2) / (n - 1))


if __name__ == "__main__":
    frames = [pd.DataFrame({"age": ages}) for ages in ([1.0, 2.0, 3.0], [4.0], [5.0, 6.0])]
    print(spread(pd.concat(frames), Pooled(), column="age"))
    for source in (None, spread, [spread]):
        with Federation(frames, algorithm=source, runner=sys.argv[1], contract=sys.argv[2]) as federation:
            print(federation.run(spread, column="age", organizations=[2, 3, 4])[0])
            print(federation.run("spread", column="age")[0])
    print(Federation.prove(spread, pd.concat(frames), column="age"))
'''


@pytest.mark.parametrize(("runner", "contract"), [("inline", "v5"), ("process", "v4")])
def test_a_script_without_a_project(tmp_path, runner, contract):
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    command = [sys.executable, str(file), runner, contract]
    completed = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.split() == ["3.5"] * 8


def test_a_breakpoint_on_one_table_stops_once(tmp_path):
    file = tmp_path / "script.py"
    file.write_text(
        "import pandas as pd\n"
        "from algotools import Aggregator, Pooled, federated\n\n\n"
        "@federated\n"
        "def mean(data: pd.DataFrame, total: Aggregator) -> float:\n"
        "    n = total.count(data.age)\n"
        "    breakpoint()\n"
        "    return total.sum(data.age) / n\n\n\n"
        "print('mean', mean(pd.DataFrame({'age': [1.0, 2.0]}), Pooled()))\n"
    )
    completed = subprocess.run(
        [sys.executable, str(file)],
        input="p n + 40\nc\n",
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.count("(Pdb)") == 2
    assert "42" in completed.stdout
    assert "mean 1.5" in completed.stdout
