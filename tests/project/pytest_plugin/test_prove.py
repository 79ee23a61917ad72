"""``federation.prove`` in the tests of a project."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ...conftest import ALGORITHMS
from .conftest import Project

TEST = """
import pandas as pd
import pytest

from algotools.errors import ArgumentsError
from together import average, variance

FRAME = pd.DataFrame({{"age": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}})


def test_it(federation):
    {statement}
"""


@pytest.fixture
def together(tmp_path: Path) -> Project:
    folder = tmp_path / "together"
    shutil.copytree(ALGORITHMS / "together", folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write('\n[tool.pytest.ini_options]\npythonpath = ["src"]\n')
    return Project(folder)


@pytest.mark.parametrize(
    "statement",
    [
        "assert federation.prove(average, FRAME) == {'average': 3.5}  # the arguments of the trial",
        "assert federation.prove(variance, FRAME, column='age') == pytest.approx(3.5)",
        "with pytest.raises(ArgumentsError, match='missing: column'): federation.prove(variance, FRAME)",
    ],
)
def test_the_arguments_of_the_trial_are_the_default(together: Project, statement: str) -> None:
    session = together.test(TEST.format(statement=statement))
    assert session.counts == {"passed": 1}, session.output
