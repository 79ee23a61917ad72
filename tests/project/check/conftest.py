"""A clean project from the scaffold, in which tests seed faults."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def create_project(folder: Path) -> Path:
    """Create a project with `algotools new`, in a process that has not imported a package of this name."""
    command = [sys.executable, "-c", "from algotools.cli import main; main()", "new", "Average", "--no-input"]
    command += ["--kind", "average"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "average"


@pytest.fixture(scope="session")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_project(tmp_path_factory.mktemp("created"))


@pytest.fixture
def project(created: Path, tmp_path: Path) -> Path:
    """A copy of the clean project."""
    return Path(shutil.copytree(created, tmp_path / "project"))


def replace(file: Path, old: str, new: str) -> None:
    """Replace a text in a file, which must contain it."""
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {file}"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def add(file: Path, text: str) -> None:
    """Append to a file, which is created if necessary."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(text)
