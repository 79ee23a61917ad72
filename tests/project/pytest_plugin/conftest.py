"""A real project, in which tests run pytest like the author of the project."""

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

from ...conftest import ALGORITHMS
from ...preloaded import run_pytest
from ...processes import LIMIT


@dataclass
class Session:
    """The result of a pytest session."""

    code: int
    output: str

    @property
    def counts(self) -> dict[str, int]:
        """Outcome -> the number of tests."""
        last = self.output.rstrip().rpartition("\n")[2]
        return {outcome: int(count) for count, outcome in re.findall(r"(\d+) (passed|failed|errors?|skipped)", last)}


@dataclass
class Project:
    """The folder of an algorithm, and its tests."""

    folder: Path

    def test(
        self,
        source: str,
        *options: str,
        at: str = "tests/test_it.py",
        tests: str = "",
        is_preloaded: bool = True,
    ) -> Session:
        """Run one file of tests with all strict options, from a folder outside of the project.

        The session is preloaded: pandas and pytest are imported already. Otherwise it has a new interpreter.
        """
        file = self.folder / at
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        strict_options = ["-W", "error", "--strict-config", "--strict-markers", "-p", "no:cacheprovider", "--color=no"]
        arguments = ["-q", *strict_options, *options, f"{file}{tests}"]
        if is_preloaded:
            return self.run_pytest(arguments, self.folder.parent)
        return self.run([sys.executable, "-m", "pytest", *arguments], self.folder.parent)

    def run_pytest(self, arguments: list[str], folder: Path | None = None) -> Session:
        """Run a preloaded session in a folder."""
        return _make_session(run_pytest(arguments, folder or self.folder, clean_environment(), LIMIT))

    def run(self, command: list[str], folder: Path | None = None) -> Session:
        """Run a command in a folder."""
        completed = subprocess.run(
            command,
            cwd=folder or self.folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        return _make_session(completed)


def _make_session(completed: subprocess.CompletedProcess[str]) -> Session:
    return Session(completed.returncode, completed.stdout + completed.stderr)


def clean_environment() -> Mapping[str, str]:
    """Return the environment without the variables of the pytest session that runs these tests."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_"))}
    return {**inherited, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The algorithm ``tally`` with data of two organizations."""
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
