"""A clean project to seed faults into, fresh from the scaffold."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def fresh(folder: Path) -> Path:
    """A project as `algotools new` makes it; in a process that has no such package yet."""
    command = [sys.executable, "-c", "from algotools.cli import main; main()", "new", "Average", "--no-input"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "average"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh(tmp_path_factory.mktemp("made"))


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A fresh project, in a folder of its own."""
    return Path(shutil.copytree(made, tmp_path / "project"))


def replace(file: Path, old: str, new: str) -> None:
    """Change a text that must be in a file."""
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {file}"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def add(file: Path, text: str) -> None:
    """Write behind the end of a file, which may be new."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(text)
