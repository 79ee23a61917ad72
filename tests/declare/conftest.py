"""Each test starts with an empty registry."""

from pathlib import Path

import pytest

from algotools.declare.projects import GROUP

from ..conftest import ALGORITHMS


@pytest.fixture(autouse=True)
def clean(nothing_registered: None) -> None:
    """Restore the registry, the imported modules and ``sys.path`` after each test."""


@pytest.fixture
def algorithms() -> Path:
    return ALGORITHMS


@pytest.fixture
def does_not_parse(tmp_path: Path) -> Path:
    """An algorithm with a syntax error in line 3. It is written here, because tools must be able to parse all files."""
    package = tmp_path / "src" / "does_not_parse"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Not valid Python."""\n\ndef unfinished(\n')
    (tmp_path / "pyproject.toml").write_text(f'[project.entry-points."{GROUP}"]\nx = "does_not_parse"\n')
    return tmp_path
