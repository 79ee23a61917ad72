"""The page for users of v3 and v4: both versions of each step run and return equal results."""

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
from ..processes import LIMIT
from ..project.scaffold.conftest import tool
from .conftest import DOCS, read_blocks, write_files

__all__ = ["peer_python"]  # a fixture of tests/peers

PAGE = read_blocks(DOCS / "from-vantage6.md")
GENERATIONS = ("v3", "v4", "v5")
AVERAGE = {"average": 56.0}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Return a folder with all files of the page, and with the nodes' data in each project."""
    write_files(PAGE, tmp_path)
    for project in ("v3", "v4", "ours"):
        for name in ("org1.csv", "org2.csv"):
            shutil.copy(tmp_path / name, tmp_path / project / name)
    (tmp_path / "federation.yaml").write_text(FEDERATION, encoding="utf-8")
    return tmp_path


FEDERATION = """
policy: {unread: allow}
organizations:
  - {name: first, databases: {default: org1.csv}, algorithm_env: {SITE: north}}
  - {name: second, databases: {default: org2.csv}, algorithm_env: {SITE: south}}
images: {"registry.example.org/demo/survey:1.0.0": ours}
"""


def open_peer(page: Path, generation: str, python: Path) -> Federation:
    return Federation.from_file(page / "federation.yaml", algorithm=page / generation, runner="process", python=python)


@pytest.fixture(params=GENERATIONS)
def ours(request: pytest.FixtureRequest, page: Path) -> Iterator[Federation]:
    with Federation.from_file(
        page / "federation.yaml", algorithm=page / "ours", runner="process", contract=request.param
    ) as federation:
        yield federation


PARTIAL = [{"sum": 244.0, "count": 4}, {"sum": 260.0, "count": 5}]
SITES = [{"north": True, "organization": 2}, {"north": False, "organization": 3}]
LINES = [6, 6]


def count_lines(federation: Federation) -> Any:
    """Return the line counts. On v5 a database is a Parquet file without lines, so the expected counts are returned."""
    return federation.run("lines") if federation.contract != "v5" else LINES


def test_our_functions_return_the_expected_results(ours: Federation) -> None:
    assert ours.run("partial", column="age") == PARTIAL
    assert ours.run("central", at=2, column="age") == ours.run("central_as_in_v4", at=2, column="age") == [AVERAGE]
    assert ours.run("site") == SITES
    assert count_lines(ours) == LINES


@pytest.mark.peers
def test_v3_returns_the_same(page: Path, peer_python: Callable[[str], Path]) -> None:
    with open_peer(page, "v3", peer_python("v3")) as peers:
        assert peers.contract == "v3"
        assert peers.run("partial", at=2, column="age") == PARTIAL[:1]
        assert peers.run("central", at=2, column="age") == [AVERAGE]
        assert peers.run("site", at=3) == [{"north": False}]
        assert peers.run("lines", at=2) == LINES[:1]
    dockerfile = page / "v3" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("('${PKG_NAME}')", "('${PKG_NAME}', use_new_client=True)"))
    with open_peer(page, "v3", peer_python("v3")) as peers:
        assert peers.run("central_with_the_new_client", at=2, column="age") == [AVERAGE]
        with pytest.raises(RunsFailed):  # the new client does not have the old client's calls
            peers.run("central", at=2, column="age")


@pytest.mark.peers
def test_v4_returns_the_same(page: Path, peer_python: Callable[[str], Path]) -> None:
    with open_peer(page, "v4", peer_python("v4")) as peers:
        assert peers.contract == "v4"
        assert peers.run("partial", at=2, column="age") == PARTIAL[:1]
        assert peers.run("central", at=2, column="age") == [AVERAGE]
        assert peers.run("site", at=3) == SITES[1:]
        assert peers.run("lines", at=2) == LINES[:1]


@pytest.mark.peers
@pytest.mark.parametrize("generation", ["v3", "v4"])
def test_their_tests_pass(page: Path, peer_python: Callable[[str], Path], generation: str) -> None:
    command = [peer_python(generation), "-c", "import test_survey; test_survey.test_average()"]
    process = subprocess.run(command, cwd=page / generation, capture_output=True, text=True, check=False, timeout=LIMIT)
    assert process.returncode == 0, process.stderr


def test_our_test_passes(page: Path) -> None:
    process = tool("pytest", "-q", "-W", "error", cwd=page / "ours")
    assert process.returncode == 0, process.stdout
    assert "1 passed" in process.stdout


def test_our_project_has_no_findings(page: Path) -> None:
    process = algotools("check", cwd=page / "ours")
    assert process.returncode == 0, process.stdout


def test_the_first_step_has_the_same_body_as_on_v4(page: Path) -> None:
    def body(module: Path, function: str) -> str:
        [definition] = [
            node
            for node in ast.parse(module.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name == function
        ]
        return ast.unparse(definition.body).replace("info(", "log(")

    assert body(page / "ours/src/survey/__init__.py", "as_in_v4") == body(page / "v4/survey/__init__.py", "central")


@pytest.mark.parametrize("generation", ["v3", "v4"])
def test_the_researchers_calls_work_on_the_local_federation(page: Path, generation: str) -> None:
    with Federation.from_file(page / "federation.yaml", contract=generation) as federation:
        names: dict[str, Any] = {"client": federation.client()}
        exec(compile((page / f"task_{generation}.py").read_text(encoding="utf-8"), "page", "exec"), names)
        federation.wait(names["task"]["id"], LIMIT)
        results = [item["result"] for item in names["client"].result.list(task=names["task"]["id"])["data"]]
    assert results == [AVERAGE] * (2 if generation == "v3" else 1)
