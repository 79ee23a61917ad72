"""The page for authors, ``docs/testing.md``: every block of it is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ..conftest import ROOT
from .conftest import Project

BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
TESTS = "\n".join(text for kind, text in BLOCKS if kind == "python" and text.startswith("# tests/"))
COMMANDS = [line.removeprefix("$ ") for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]


@pytest.fixture
def page(tmp_path: Path) -> Project:
    """The project that the page describes: each block goes to the file that its first line names."""
    for kind, text in BLOCKS:
        if kind != "console":
            name, _, content = text.partition("\n")
            file = tmp_path / "project" / name.removeprefix("# ")
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as opened:
                opened.write(content)
    dockerfile = ROOT / "tests" / "algorithms" / "tally" / "Dockerfile"
    (tmp_path / "project" / "Dockerfile").write_bytes(dockerfile.read_bytes())
    return Project(tmp_path / "project")


def test_every_block_is_one_that_is_run() -> None:
    assert {kind for kind, _ in BLOCKS} == {"toml", "python", "console"}
    assert all(text.startswith("# ") for kind, text in BLOCKS if kind != "console")
    assert all(command.startswith("pytest") for command in COMMANDS)


def _param(command: str) -> object:
    docker = command.partition("#")[0].rstrip().endswith(("container", "as-node"))
    return pytest.param(command, marks=[pytest.mark.docker, pytest.mark.timeout(400)] if docker else [])


@pytest.mark.parametrize("command", [_param(command) for command in COMMANDS])
def test_the_pages_commands_pass_on_the_pages_project(
    request: pytest.FixtureRequest, page: Project, command: str
) -> None:
    tests = re.findall(r"^def (test_\w+)(.*?)(?=^\S)", f"{TESTS}\n\nend", re.MULTILINE | re.DOTALL)
    limits: list[str] = []
    if request.node.get_closest_marker("docker"):
        request.getfixturevalue("engine")
        # On a busy machine a container may need more than the seconds that a page's reader wants to see.
        limits = [name for name, body in tests if "patience=" in body]
    chosen = ["-k", f"not ({' or '.join(limits)})"] if limits else []
    session = page.run([*shlex.split(command, comments=True), "-W", "error", "--color=no", "-q", *chosen], timeout=380)
    assert session.counts.get("passed") == len(tests) - len(limits), session.output
    assert session.code == 0
