"""The plugin in pytest sessions that do and do not use it."""

from __future__ import annotations

import json
import sys
from typing import get_args

import pytest

from algotools.federation import RunnerName
from algotools.federation.contract import NAMES

from .conftest import Project

DEFAULTS = """
def test_defaults(federation):
    nodes = federation(["data/a.csv"])
    assert (nodes.runner, nodes.contract) == {expected}
    nodes = federation(["data/a.csv"], runner="inline", contract="v4")
    assert (nodes.runner, nodes.contract) == ("inline", "v4"), "the arguments of a test take precedence"
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
def test_the_command_line_sets_the_default_runner_and_contract(
    project: Project, options: list[str], expected: tuple[str, str]
) -> None:
    session = project.test(DEFAULTS.format(expected=expected), *options)
    assert session.counts == {"passed": 1}, session.output


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--federation-runner=rocket",
            "unknown runner 'rocket' (choose from inline, process, container, as-node, dask)",
        ),
        ("--federation-contract=v2", "unknown contract 'v2' (choose from v3, v4"),
    ],
)
def test_an_invalid_option_stops_the_session(project: Project, option: str, message: str) -> None:
    session = project.test("def test_nothing(): pass", option)
    assert session.code == pytest.ExitCode.USAGE_ERROR
    assert message in session.output


def test_the_help_names_all_runners_and_contracts(project: Project) -> None:
    text = " ".join(project.run([sys.executable, "-m", "pytest", "--help"]).output.split())
    text = text[text.index("--federation-runner") :]
    assert all(name in text for name in (*get_args(RunnerName), *NAMES))


def test_a_session_without_the_fixture_loads_almost_nothing(project: Project) -> None:
    source = """
import json, sys

def test_modules(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("algotools")
    print("loaded:" + json.dumps(sorted(sys.modules)))
"""
    (loaded,) = [
        json.loads(line.removeprefix("loaded:"))
        for line in project.test(source, "-s", is_preloaded=False).output.splitlines()
        if line.startswith("loaded:")
    ]
    plugin = {"algotools.testing", "algotools.project", "algotools.project.pytest_plugin"}
    assert {name for name in loaded if name.partition(".")[0] == "algotools"} == {"algotools", *plugin}
    assert not {"pandas", "numpy", "docker", "yaml", "msgspec", "wrapt", "http.server"} & set(loaded)


def test_the_plugin_can_be_disabled(project: Project) -> None:
    session = project.test("def test_it(federation): pass", "-p", "no:algotools")
    assert "fixture 'federation' not found" in session.output


def test_a_fixture_of_the_project_with_the_same_name_takes_precedence(project: Project) -> None:
    (project.folder / "tests").mkdir()
    (project.folder / "tests" / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef federation():\n    return 'of planets'\n", encoding="utf-8"
    )
    session = project.test("def test_it(federation):\n    assert federation == 'of planets'\n")
    assert session.counts == {"passed": 1}, session.output
