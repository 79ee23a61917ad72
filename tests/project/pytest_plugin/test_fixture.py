"""The fixture ``federation``, used in tests of a real project."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ...conftest import default_policy
from .conftest import Project

BEGIN = """
import pandas as pd
import pytest
from tally import fails, mean, tally

from algotools import RunsFailed, RunsIncomplete
from algotools.testing import FederationFactory

FRAMES = [pd.DataFrame({"x": [1, 2]}), pd.DataFrame({"x": [6]}), pd.DataFrame({"x": [3]})]
"""


def test_nodes_are_frames_files_labels_or_a_federation_file(project: Project) -> None:
    session = project.test(
        BEGIN
        + """
@pytest.mark.parametrize(
    "nodes_argument",
    [
        FRAMES[:2],
        (FRAMES[0], "data/b.csv"),
        ["data/a.csv", "data/b.csv"],
        {"a": "data/a.csv", "b": FRAMES[1]},
        [{"default": "data/a.csv"}, {"default": FRAMES[1], "more": "data/a.csv"}],
        "federation.yaml",
    ],
)
def test_nodes(federation: FederationFactory, nodes_argument):
    nodes = federation(nodes_argument)
    assert [result["sum"] for result in nodes.run(tally, column="x")] == [3, 6]
    assert nodes.ask(mean, column="x") == {"mean": 3.0, "failures": {}}

def test_absolute(federation, request):
    file = request.path.parents[1] / "data" / "a.csv"
    assert federation([file]).run("tally", column="x")[0]["count"] == 2
"""
    )
    assert session.counts == {"passed": 7}, session.output


FAULTS = """
def test_slow(federation, time=__import__("time")):
    began = time.monotonic()
    assert federation(FRAMES, slow={3: 0.2}).run(tally, at=3, column="x")[0]["sum"] == 6
    assert time.monotonic() - began >= 0.2

def test_slow_and_dead(federation):
    nodes = federation(FRAMES, slow={"organization_3": 3600}, dead=4)
    with pytest.warns(RunsIncomplete, match="1 of 3"):
        result = nodes.ask(mean, column="x", arguments={"timeout": 3, "quorum": 1})
    assert result["mean"] == 1.5
    assert sorted(result["failures"]) == ["3", "4"]

def test_dead(federation):
    with pytest.raises(RunsFailed, match="organization_4 .*dead") as raised:
        federation(FRAMES, dead=["organization_4"]).run(tally, column="x")
    assert list(raised.value.failures) == [4]

def test_wrong(federation):
    nodes = federation(FRAMES, wrong={2: {"sum": "x"}, 3: lambda result: {**result, "count": -1}, 4: ValueError})
    assert nodes.run(tally, at=[2, 3], column="x") == [{"sum": "x"}, {"sum": 6, "count": -1, "squares": [36]}]
    with pytest.raises(RunsFailed, match="organization_4 .*ValueError"):
        nodes.run(tally, column="x")
"""


@pytest.mark.parametrize(("runner", "contract"), [("inline", "v3"), ("process", "v5")])
def test_nodes_can_be_slow_dead_or_wrong(project: Project, runner: str, contract: str) -> None:
    options = ["--federation-runner", runner, "--federation-contract", contract]
    session = project.test(BEGIN + FAULTS, *options)
    assert session.counts == {"passed": 4}, session.output


@pytest.mark.docker
def test_the_same_tests_run_in_containers(engine, project: Project) -> None:
    source = """
def test_all(federation):
    nodes = federation(FRAMES, dead=4, wrong={3: lambda result: {**result, "sum": 9}})
    assert nodes.ask(mean, at=[2, 3], column="x")["mean"] == 4
"""
    session = project.test(BEGIN + source, "--federation-runner", "container", "--federation-contract", "v3")
    assert session.counts == {"passed": 1}, session.output


def test_federations_are_closed_at_the_end_of_the_test(project: Project) -> None:
    session = project.test(
        BEGIN
        + """
import threading
federations = []

def test_that_fails(federation):
    before.update(threading.enumerate())
    federations.extend([federation(FRAMES, slow={3: 3600}), federation("federation.yaml", runner="process")])
    federations[0].client().task.create(1, [3], input={"method": "tally", "kwargs": {"column": "x"}, "master": False})
    assert len(federations[1].run(tally, column="x")) == 3

before = set()

def test_afterwards():
    assert len(federations) == 2
    for nodes in federations:
        with pytest.raises(ValueError, match="closed"):
            nodes.run(tally, column="x")
        assert not nodes._platform.folders.base.exists()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert set(threading.enumerate()) <= before
"""
    )
    assert session.counts == {"passed": 1, "failed": 1}, session.output


def test_a_failure_shows_organization_reason_and_line(project: Project) -> None:
    session = project.test(
        BEGIN
        + """
def test_it(federation):
    federation(FRAMES).run(fails, column="x", arguments={"at": 3})
"""
    )
    assert session.counts == {"failed": 1}
    assert 'federation(FRAMES).run(fails, column="x", arguments={"at": 3})' in session.output
    assert "organization_3 (id 3): ValueError in fails at __init__.py, line" in session.output
    assert "ValueError: cannot bear 6" in session.output
    assert "def answers(" not in session.output, "frames of algotools must be hidden"


INVALID_CALLS = """
@pytest.mark.parametrize(
    ("nodes", "options", "message"),
    [
        (FRAMES, {"slow": {9: 1}}, "not in the collaboration: 9; it has 2 (organization_2), 3"),
        (FRAMES, {"dead": "nobody"}, "not in the collaboration: nobody"),
        (FRAMES, {"slow": {2: 0}}, "positive number of seconds"),
        (FRAMES, {"dead": [2, "organization_2"]}, "either by its id or by its name"),
        (FRAMES, {"runner": "rocket"}, "unknown runner 'rocket'"),
        (FRAMES, {"algorithm": "nowhere"}, "no algorithm 'nowhere'"),
        (FRAMES[0], {}, "nodes must be a list"),
        ("data/a.csv", {}, "pass databases as a list: federation(['data/a.csv'])"),
        ("nowhere.yaml", {}, "nowhere.yaml does not exist"),
        ([], {}, "needs at least one node"),
        ([3], {}, "a path or a Database, not a int"),
    ],
)
def test_invalid_call(federation, nodes, options, message):
    with pytest.raises((ValueError, LookupError)) as raised:
        federation(nodes, **options)
    assert message in str(raised.value)
"""


def test_an_invalid_call_is_refused_with_a_reason(project: Project) -> None:
    session = project.test(BEGIN + INVALID_CALLS)
    assert session.counts == {"passed": 11}, session.output


def test_the_algorithm_is_the_nearest_project_that_names_one(project: Project) -> None:
    inner = project.folder / "tests" / "inner"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text('[project]\nname = "no-algorithm"\n', encoding="utf-8")
    source = "def test_it(federation):\n    assert federation(['data/a.csv']).run('tally', column='x')[0]['sum'] == 3\n"
    session = project.test(source, at="tests/inner/test_it.py")
    assert session.counts == {"passed": 1}, session.output


def test_another_algorithm_can_be_passed(project: Project) -> None:
    source = """
from algotools import rpc

@rpc
def width(data: pd.DataFrame) -> int:
    return data.shape[1]

def test_functions(federation):
    assert federation(FRAMES, algorithm=[width]).run(width) == [1, 1, 1]
    assert federation(FRAMES, algorithm=width).ask(width, at=2) == 1

def test_folder(federation, tmp_path):
    assert federation(FRAMES, algorithm=".").run(tally, at=3, column="x")[0]["sum"] == 6

def test_module(federation):
    assert federation(FRAMES, algorithm="tally").run(tally, at=3, column="x")[0]["sum"] == 6
"""
    session = project.test(BEGIN + source)
    assert session.counts == {"passed": 3}, session.output


def test_a_test_outside_of_a_project_must_pass_an_algorithm(project: Project) -> None:
    (project.folder / "pyproject.toml").unlink()
    source = """
import pytest
from algotools import Database, rpc
from algotools.errors import AlgorithmNotFound

@rpc
def uri_of(data: Database) -> str:
    return data.uri

def test_none(federation):
    with pytest.raises(AlgorithmNotFound, match="no pyproject.toml above .* names an algorithm .* algorithm="):
        federation(["a.csv"])

def test_passed(federation, pytestconfig):
    assert federation(["a.csv"], algorithm=uri_of).run(uri_of) == [str(pytestconfig.rootpath / "a.csv")]
"""
    session = project.test(source)
    assert session.counts == {"passed": 2}, session.output


def test_the_types_of_the_fixture_are_public(project: Project, mypy_cache: Path) -> None:
    file = project.folder / "typed.py"
    file.write_text(
        """
import pandas as pd
from algotools import RunsFailed
from algotools.testing import FederationFactory

def test_it(federation: FederationFactory, frame: pd.DataFrame) -> None:
    nodes = federation([frame, "a.csv"], slow={3: 2.0}, dead=[4, "b"], wrong={2: ValueError}, runner="process")
    nodes = federation({"a": frame, "b": {"default": "b.csv"}}, dead=2, contract="v3")
    results: list[object] = nodes.run("tally", at=[2, "b"], column="x")
    try:
        nodes.ask(len, column="x", timeout=None)
    except RunsFailed as error:
        code: int = error.failures[2].exit_code

def test_invalid(federation: FederationFactory, frame: pd.DataFrame) -> None:
    federation([frame], slow=3)
    federation([frame], runner="rocket")
""",
        encoding="utf-8",
    )
    session = project.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(mypy_cache), str(file)])
    errors = [line for line in session.output.splitlines() if ": error:" in line]
    assert len(errors) == 2, session.output
    assert 'Argument "slow"' in errors[0]
    assert 'Argument "runner"' in errors[1]


POLICY = """
FOUR = [pd.DataFrame({"x": [1, 2, 3, 4]})] * 2

def test_default(federation):
    nodes = federation(FOUR)
    with pytest.raises(RunsFailed, match="rule length"):
        nodes.run(tally, column="x")

@pytest.mark.parametrize("policy", ["off", {"preset": "off"}, "rules/off.toml"])
def test_off(federation, policy):
    nodes = federation(FOUR, policy=policy)
    assert [result["count"] for result in nodes.run(tally, column="x")] == [4, 4]

def test_malformed(federation):
    with pytest.raises(PolicyError, match="did you mean minimum_cell"):
        federation(FOUR, policy={"minimum_cel": 5})
    with pytest.raises(PolicyError, match="unknown policy 'strickt'"):
        federation(FOUR, policy="strickt")
"""


def test_a_policy_decides_which_results_leave_a_node(project: Project) -> None:
    (project.folder / "rules").mkdir()
    (project.folder / "rules" / "off.toml").write_text('preset = "off"\n', encoding="utf-8")
    with default_policy():
        session = project.test(
            BEGIN.replace("RunsIncomplete", "RunsIncomplete\nfrom algotools.errors import PolicyError") + POLICY
        )
    assert session.counts == {"passed": 5}, session.output


VARIABLES = """
from typing import Annotated

from algotools import NodeVariable, rpc

@rpc
def show(minimum: Annotated[int, NodeVariable("MINIMUM_ROWS")] = 10) -> int:
    return minimum

def test_alone():
    assert show() == 10
    assert show(minimum=3) == 3

def test_at_all_nodes_and_at_one(federation):
    nodes = federation(FRAMES, algorithm=[show], policy="off", variables={"MINIMUM_ROWS": 5, 3: {"MINIMUM_ROWS": 7}})
    assert nodes.run(show) == [5, 7, 5]
"""


def test_a_test_sets_node_variables(project: Project) -> None:
    session = project.test(BEGIN + VARIABLES)
    assert session.counts == {"passed": 2}, session.output


INTERNAL = """
from algotools import AlgorithmClient, master, rpc

@rpc(standalone=False)
def count_partial(data: pd.DataFrame) -> int:
    return len(data)

@master
def count(client: AlgorithmClient) -> int:
    return sum(client.run(count_partial))

def test_direct_call(federation):
    nodes = federation([pd.DataFrame({"x": range(12)})] * 3, algorithm=[count_partial, count])
    assert nodes.ask(count) == 36
    with pytest.raises(RunsFailed, match="it runs only for its master, .*; call the master 'count'"):
        nodes.run(count_partial)
"""


def test_a_direct_call_of_an_internal_function_is_refused(project: Project) -> None:
    with default_policy():
        session = project.test(BEGIN + INTERNAL)
    assert session.counts == {"passed": 1}, session.output
