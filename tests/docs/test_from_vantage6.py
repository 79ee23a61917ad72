"""The page for those who come from v3 or v4: both sides of each step run, and give the same."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from algotools import Federation
from algotools.errors import RunsFailed

from ..conftest import algotools
from ..peers.conftest import peer_python
from ..scaffold.conftest import tool
from .conftest import DOCS, blocks, write

__all__ = ["peer_python"]  # a fixture of the peers' tests

PAGE = blocks(DOCS / "from-vantage6.md")
GENERATIONS = ("v3", "v4", "v5")
AVERAGE = {"average": 56.0}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A folder with every file of the page, and the nodes' data beside each project."""
    write(PAGE, tmp_path)
    for project in ("v3", "v4", "ours"):
        for name in ("org1.csv", "org2.csv"):
            shutil.copy(tmp_path / name, tmp_path / project / name)
    (tmp_path / "federation.yaml").write_text(FEDERATION, encoding="utf-8")
    return tmp_path


FEDERATION = """
organizations:
  - {name: first, databases: {default: org1.csv}, algorithm_env: {SITE: north}}
  - {name: second, databases: {default: org2.csv}, algorithm_env: {SITE: south}}
images: {"registry.example.org/demo/survey:1.0.0": ours}
"""


def theirs(page: Path, generation: str, python: Path) -> Federation:
    return Federation.from_file(page / "federation.yaml", algorithm=page / generation, runner="process", python=python)


@pytest.fixture(params=GENERATIONS)
def ours(request: pytest.FixtureRequest, page: Path) -> Iterator[Federation]:
    with Federation.from_file(
        page / "federation.yaml", algorithm=page / "ours", runner="process", contract=request.param
    ) as federation:
        yield federation


PARTIAL = [{"sum": 129.0, "count": 2}, {"sum": 39.0, "count": 1}]
WHERE = [{"site": "north", "organization": 2}, {"site": "south", "organization": 3}]
LINES = [4, 2]


def lines(federation: Federation) -> Any:
    """On v5 a database is a table's file, whose lines are none."""
    return federation.run("lines") if federation.contract != "v5" else LINES


def test_ours(ours: Federation) -> None:
    assert ours.run("partial", column="age") == PARTIAL
    assert ours.run("central", at=2, column="age") == ours.run("central_as_in_v4", at=2, column="age") == [AVERAGE]
    assert ours.run("where") == WHERE
    assert lines(ours) == LINES


@pytest.mark.peers
def test_v3_gives_the_same(page: Path, peer_python: Callable[[str], Path]) -> None:
    with theirs(page, "v3", peer_python("v3")) as peers:
        assert peers.contract == "v3"
        assert peers.run("partial", at=2, column="age") == PARTIAL[:1]
        assert peers.run("central", at=2, column="age") == [AVERAGE]
        assert peers.run("where", at=3) == [{"site": "south"}]
        assert peers.run("lines", at=2) == LINES[:1]
    dockerfile = page / "v3" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("('${PKG_NAME}')", "('${PKG_NAME}', use_new_client=True)"))
    with theirs(page, "v3", peer_python("v3")) as peers:
        assert peers.run("central_with_the_new_client", at=2, column="age") == [AVERAGE]
        with pytest.raises(RunsFailed):  # it is indeed another client
            peers.run("central", at=2, column="age")


@pytest.mark.peers
def test_v4_gives_the_same(page: Path, peer_python: Callable[[str], Path]) -> None:
    with theirs(page, "v4", peer_python("v4")) as peers:
        assert peers.contract == "v4"
        assert peers.run("partial", at=2, column="age") == PARTIAL[:1]
        assert peers.run("central", at=2, column="age") == [AVERAGE]
        assert peers.run("where", at=3) == WHERE[1:]
        assert peers.run("lines", at=2) == LINES[:1]


@pytest.mark.peers
@pytest.mark.parametrize("generation", ["v3", "v4"])
def test_their_tests_pass(page: Path, peer_python: Callable[[str], Path], generation: str) -> None:
    command = [peer_python(generation), "-c", "import test_survey; test_survey.test_average()"]
    ended = subprocess.run(command, cwd=page / generation, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_our_test_passes(page: Path) -> None:
    ended = tool("pytest", "-q", "-W", "error", cwd=page / "ours")
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout


def test_our_project_has_no_findings(page: Path) -> None:
    ended = algotools("check", cwd=page / "ours")
    assert ended.returncode == 0, ended.stdout


def test_the_first_step_keeps_the_body_that_v4_has(page: Path) -> None:
    def body(module: Path, function: str) -> str:
        [found] = [
            node
            for node in ast.parse(module.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name == function
        ]
        return ast.unparse(found.body).replace("info(", "log(")

    assert body(page / "ours/src/survey/__init__.py", "as_in_v4") == body(page / "v4/survey/__init__.py", "central")


@pytest.mark.parametrize("generation", ["v3", "v4"])
def test_the_researchers_calls_work_here(page: Path, generation: str) -> None:
    with Federation.from_file(page / "federation.yaml", contract=generation) as federation:
        names: dict[str, Any] = {"client": federation.client()}
        exec(compile((page / f"ask_{generation}.py").read_text(encoding="utf-8"), "page", "exec"), names)
        federation.wait(names["task"]["id"], 60)
        answers = [item["result"] for item in names["client"].result.list(task=names["task"]["id"])["data"]]
    assert answers == [AVERAGE] * (2 if generation == "v3" else 1)
