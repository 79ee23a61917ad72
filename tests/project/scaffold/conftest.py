"""Projects that `algotools new` creates, in fresh folders outside of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from ...conftest import POLICY, ROOT, algotools, default_policy
from ...preloaded import run_pytest
from ...processes import LIMIT

TITLES = {"pooled": "Cohort Mean", "average": "Cohort Mean", "iterative": "Event Model"}

PACKAGES = {kind: title.lower().replace(" ", "_") for kind, title in TITLES.items()}

ARGUMENTS = {
    "pooled": ["column_name=age"],
    "average": ["column_name=age"],
    "iterative": ["outcome=event", 'predictors:=["age", "bmi"]'],
}
"""Kind -> the arguments of its master."""

TEMPLATE = ROOT / "template"

IGNORED = {".algotools", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


@pytest.fixture(scope="module", autouse=True)
def policy_of_an_author() -> Iterator[None]:
    """Run the projects as an author does, who has not set a policy."""
    with default_policy():
        yield


def tool(*command: str, cwd: Path, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment (pytest, ruff, mypy) like the author of the project, who has not set a policy.

    After ``-c`` the command is a program of Python and its arguments.
    """
    inherited = {name: value for name, value in os.environ.items() if name != POLICY}
    environment = {**inherited, "NO_COLOR": "1", **(variables or {})}
    if command[0] == "pytest":
        return run_pytest(command[1:], cwd, environment, LIMIT)
    return subprocess.run(
        [sys.executable, *(() if command[0] == "-c" else ("-m",)), *command],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=LIMIT,
        env=environment,
    )


def content(folder: Path) -> dict[str, bytes]:
    """Return path -> bytes of every file, except the caches of tools and the ledger of local runs."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not IGNORED & set(path.parts)
    }


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that creates a project with the command and returns its folder."""

    def make(title: str, *options: str) -> Path:
        completed = algotools("new", title, "--no-input", *options, cwd=tmp_path)
        assert completed.returncode == 0, completed.stderr
        return tmp_path / completed.stdout.partition(":")[0]

    return make


@pytest.fixture(params=TITLES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project of each kind."""
    folder = tmp_path_factory.mktemp("created")
    for kind, title in TITLES.items():
        completed = algotools("new", title, "--no-input", "--kind", kind, cwd=folder)
        assert completed.returncode == 0, completed.stderr
        (folder / completed.stdout.partition(":")[0]).rename(folder / kind)
    return folder


@pytest.fixture
def project(created: Path, kind: str, tmp_path: Path) -> Path:
    """A fresh project of each kind."""
    return Path(shutil.copytree(created / kind, tmp_path / TITLES[kind].lower().replace(" ", "-")))
