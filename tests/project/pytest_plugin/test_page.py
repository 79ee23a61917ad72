"""The page for authors, ``docs/testing.md``: every code block of the page is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...conftest import ROOT, default_policy
from .conftest import Project

BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
TESTS = "\n".join(text for kind, text in BLOCKS if kind == "python" and text.startswith("# tests/"))
COMMANDS = [line.removeprefix("$ ") for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]

IN_CONTAINERS = ["test_the_federated_result_equals_the_pooled_result", "test_a_node_with_too_few_values_fails"]
"""The tests of the page that run in containers, which take seconds for each test. All tests run in processes."""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Project]:
    """The project of a reader who has not set a policy: each block is written to the file in its first line."""
    for kind, text in BLOCKS:
        if kind != "console":
            name, _, content = text.partition("\n")
            file = tmp_path / "project" / name.removeprefix("# ")
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as opened:
                opened.write(content)
    dockerfile = ROOT / "tests" / "algorithms" / "tally" / "Dockerfile"
    (tmp_path / "project" / "Dockerfile").write_bytes(dockerfile.read_bytes())
    with default_policy():
        yield Project(tmp_path / "project")


def test_every_block_has_a_kind_that_is_run() -> None:
    assert {kind for kind, _ in BLOCKS} == {"toml", "python", "console"}
    assert all(text.startswith("# ") for kind, text in BLOCKS if kind != "console")
    assert all(command.startswith("pytest") for command in COMMANDS)


def _make_param(command: str) -> object:
    docker = command.partition("#")[0].rstrip().endswith(("container", "as-node"))
    return pytest.param(command, marks=[pytest.mark.docker] if docker else [])


@pytest.mark.parametrize("command", [_make_param(command) for command in COMMANDS])
def test_the_commands_of_the_page_pass_in_its_project(
    request: pytest.FixtureRequest, page: Project, command: str
) -> None:
    names, selection = re.findall(r"^def (test_\w+)", TESTS, re.MULTILINE), list[str]()
    if request.node.get_closest_marker("docker"):
        request.getfixturevalue("engine")
        names, selection = IN_CONTAINERS, ["-k", " or ".join(IN_CONTAINERS)]
    arguments = [*shlex.split(command, comments=True)[1:], "-W", "error", "--color=no", "-q", *selection]
    session = page.run_pytest(arguments)
    assert session.counts.get("passed") == len(names), session.output
    assert session.code == 0
