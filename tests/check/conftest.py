"""A clean project to seed faults into, and what the rules say of it afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ..conftest import AVERAGE

NEEDLESS = shutil.ignore_patterns("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", "*.egg-info", ".venv*")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the example's project."""
    return Path(shutil.copytree(AVERAGE, tmp_path / "project", ignore=NEEDLESS))


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
