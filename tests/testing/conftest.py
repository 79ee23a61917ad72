"""A real project, on which pytest is run as its author does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..conftest import ALGORITHMS


@dataclass
class Session:
    """How a session of pytest ended."""

    code: int
    output: str

    @property
    def counts(self) -> dict[str, int]:
        """Outcome -> tests."""
        last = self.output.rstrip().rpartition("\n")[2]
        return {outcome: int(count) for count, outcome in re.findall(r"(\d+) (passed|failed|errors?|skipped)", last)}


@dataclass
class Project:
    """The folder of an algorithm, and its tests."""

    folder: Path

    def test(self, source: str, *options: str, at: str = "tests/test_it.py", tests: str = "") -> Session:
        """Run one file of tests, as strictly as can be, from a folder that is not the project's."""
        file = self.folder / at
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        strictly = ["-W", "error", "--strict-config", "--strict-markers", "-p", "no:cacheprovider", "--color=no"]
        return self.run(
            [sys.executable, "-m", "pytest", "-q", *strictly, *options, f"{file}{tests}"], self.folder.parent
        )

    def run(self, command: list[str], folder: Path | None = None, timeout: float = 110) -> Session:
        """Run a command in a folder."""
        ended = subprocess.run(
            command,
            cwd=folder or self.folder,
            env=surroundings(),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        return Session(ended.returncode, ended.stdout + ended.stderr)


def surroundings() -> Mapping[str, str]:
    """The environment without what belongs to the session that runs these tests."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_"))}
    return {**inherited, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The algorithm ``tally`` with data of two organizations, and a place for tests."""
    folder = tmp_path / "tally"
    shutil.copytree(ALGORITHMS / "tally", folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write('\n[tool.pytest.ini_options]\npythonpath = ["src"]\n')
    (folder / "data").mkdir()
    for name, values in (("a", [1, 2]), ("b", [6])):
        (folder / "data" / f"{name}.csv").write_text("\n".join(["x", *map(str, values)]) + "\n", encoding="utf-8")
    (folder / "federation.yaml").write_text(
        "organizations:\n  - {name: a, databases: {default: data/a.csv}}\n"
        "  - {name: b, databases: {default: data/b.csv}}\n",
        encoding="utf-8",
    )
    return Project(folder)
