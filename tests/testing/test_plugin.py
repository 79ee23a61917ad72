"""The plugin as a part of every session of pytest, wanted or not."""

from __future__ import annotations

import json
import sys
from typing import get_args

import pytest

from algotools.contract import NAMES
from algotools.federation import RunnerName

from .conftest import Project

HOW = """
def test_how(federation):
    nodes = federation(["data/a.csv"])
    assert (nodes.runner, nodes.contract) == {expected}
    nodes = federation(["data/a.csv"], runner="inline", contract="v4")
    assert (nodes.runner, nodes.contract) == ("inline", "v4"), "what a test says wins"
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ("inline", "v4")),
        (["--federation-runner", "process"], ("process", "v4")),
        (["--federation-contract=v3"], ("inline", "v3")),
        (["--federation-runner=process", "--federation-contract=v3"], ("process", "v3")),
    ],
)
def test_the_command_line_says_how_federations_run(
    project: Project, options: list[str], expected: tuple[str, str]
) -> None:
    session = project.test(HOW.format(expected=expected), *options)
    assert session.counts == {"passed": 1}, session.output


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--federation-runner=rocket", "no runner 'rocket'; there are inline, process, container, as-node"),
        ("--federation-contract=v2", "no contract 'v2'; there are v3, v4"),
    ],
)
def test_an_option_that_cannot_be_right_ends_the_session(project: Project, option: str, says: str) -> None:
    session = project.test("def test_nothing(): pass", option)
    assert session.code == pytest.ExitCode.USAGE_ERROR
    assert says in session.output


def test_the_help_names_all_that_there_is(project: Project) -> None:
    told = " ".join(project.run([sys.executable, "-m", "pytest", "--help"]).output.split())
    told = told[told.index("--federation-runner") :]
    assert all(name in told for name in (*get_args(RunnerName), *NAMES))


def test_it_costs_a_session_next_to_nothing(project: Project) -> None:
    source = """
import json, sys

def test_modules(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("algotools")
    print("loaded:" + json.dumps(sorted(sys.modules)))
"""
    (loaded,) = [
        json.loads(line.removeprefix("loaded:"))
        for line in project.test(source, "-s").output.splitlines()
        if line.startswith("loaded:")
    ]
    assert {name for name in loaded if name.partition(".")[0] == "algotools"} == {"algotools", "algotools.testing"}
    assert not {"pandas", "numpy", "docker", "yaml", "msgspec", "wrapt", "http.server"} & set(loaded)


def test_one_can_do_without(project: Project) -> None:
    session = project.test("def test_it(federation): pass", "-p", "no:algotools")
    assert "fixture 'federation' not found" in session.output


def test_a_projects_own_fixture_of_that_name_wins(project: Project) -> None:
    (project.folder / "tests").mkdir()
    (project.folder / "tests" / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef federation():\n    return 'of planets'\n", encoding="utf-8"
    )
    session = project.test("def test_it(federation):\n    assert federation == 'of planets'\n")
    assert session.counts == {"passed": 1}, session.output
