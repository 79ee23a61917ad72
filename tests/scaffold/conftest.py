"""Projects as `algotools new` makes them, in fresh folders outside of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ..conftest import ROOT, algotools

TITLES = {"average": "Cohort Mean", "iterative": "Event Model"}

ARGUMENTS = {"average": ["column_name=age"], "iterative": ["outcome=event", 'predictors:=["age", "bmi"]']}
"""What the master of each kind is given."""

TEMPLATE = ROOT / "template"


def tool(*command: str, cwd: Path, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a module of this environment (pytest, ruff, mypy) as the project's author does."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=100,
        env={**os.environ, "NO_COLOR": "1", **(variables or {})},
    )


def content(folder: Path) -> dict[str, bytes]:
    """Path -> bytes of every file, the caches of tools left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"} & set(path.parts)
    }


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a project by the command, and gives its folder."""

    def make(title: str, *options: str) -> Path:
        ended = algotools("new", title, "--no-input", *options, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        return tmp_path / ended.stdout.partition(":")[0]

    return make


@pytest.fixture(params=TITLES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(make: Make, kind: str) -> Path:
    """A fresh project of each kind."""
    return make(TITLES[kind], "--kind", kind)
