"""Dependencies of a project, and their installation with a real pip that installs nothing."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import __version__
from algotools.errors import AlgorithmNotFound, PackagingError
from algotools.runtime.packaging import OURS, dependencies, register

from ...conftest import ROOT


def write_project(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("[project]\nname = 'a'", []),
        ("[project]\ndependencies = []", []),
        ("[project]\ndependencies = ['pandas>=2', 'scipy']", ["pandas>=2", "scipy"]),
        ("[project]\ndynamic = ['version']\ndependencies = ['scipy']", ["scipy"]),
        ("[project]\ndynamic = 3", []),
        ("project = 3", []),
        ("[tool.poetry.dependencies]\nscipy = '1'", []),
    ],
)
def test_dependencies(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert dependencies(write_project(tmp_path, text)) == expected


@pytest.mark.parametrize("text", ["'scipy'", "{scipy = '1'}", "[3]", "[['scipy']]", "true"])
def test_dependencies_that_are_not_a_list_of_texts_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PackagingError, match="must be a list of texts"):
        dependencies(write_project(tmp_path, f"[project]\ndependencies = {text}"))


def test_dynamic_dependencies_are_refused_with_a_solution(tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match=r"RUN pip install \."):
        dependencies(write_project(tmp_path, "[project]\ndynamic = ['version', 'dependencies']"))


@pytest.mark.parametrize(("text", "reason"), [(None, "has no pyproject.toml"), ("[project", "is not valid TOML")])
def test_a_project_without_metadata_is_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        write_project(tmp_path, text)
    with pytest.raises(AlgorithmNotFound, match=reason):
        dependencies(tmp_path)


requirement = st.from_regex(r"[a-z]{1,8}((>=|==)[0-9]{1,2}(\.[0-9]{1,2})?)?", fullmatch=True)


@given(st.lists(requirement))
def test_dependencies_keep_their_order(tmp_path_factory: pytest.TempPathFactory, requirements: list[str]) -> None:
    folder = write_project(tmp_path_factory.mktemp("project"), f"[project]\ndependencies = {requirements!r}")
    assert dependencies(folder) == requirements


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("federated-algotools", True),
        ("federated_algotools>=0.1", True),
        ("Federated.Algotools [x] ; python_version > '3'", True),
        ("federated-algotools-extra", False),
        ("federated-algotools2", False),
        ("pandas", False),
    ],
)
def test_a_requirement_of_algotools_is_recognized(text: str, ours: bool) -> None:
    assert bool(OURS.match(text)) is ours


def run_packaging(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command with a pip that reaches no index and installs nothing."""
    return subprocess.run(
        [sys.executable, "-m", "algotools.packaging", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
            "PIP_NO_INDEX": "1",
            "PIP_DRY_RUN": "1",
        },
    )


def test_installed_dependencies_are_kept_and_without_dependencies_pip_is_not_run(tmp_path: Path) -> None:
    outcome = run_packaging("install", cwd=write_project(tmp_path, "[project]\ndependencies = ['pandas>=2', 'numpy']"))
    assert outcome.returncode == 0, outcome.stderr
    assert "Requirement already satisfied: pandas>=2" in outcome.stdout
    outcome = run_packaging("install", str(write_project(tmp_path, "[project]\nname = 'a'")))
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")


@pytest.mark.parametrize("item", ["no-such-package-4711", "--dry-run", "-r requirements.txt", "pandas >= ?"])
def test_a_failure_of_pip_follows_its_messages_and_has_an_exit_code(tmp_path: Path, item: str) -> None:
    outcome = run_packaging("install", cwd=write_project(tmp_path, f"[project]\ndependencies = [{item!r}]"))
    assert outcome.returncode == PackagingError.exit_code
    assert "ERROR: " in outcome.stderr
    assert (
        outcome.stderr.splitlines()[-1]
        == f"error (23): pip could not install the dependencies in pyproject.toml: {item}"
    )


def test_a_project_that_requires_another_version_of_algotools_is_refused(tmp_path: Path) -> None:
    outcome = run_packaging(
        "install", cwd=write_project(tmp_path, "[project]\ndependencies = ['federated-algotools>=99']")
    )
    assert outcome.returncode == PackagingError.exit_code
    assert (
        f"has federated-algotools {__version__}, and federated-algotools>=99 must allow this version" in outcome.stderr
    )


def test_a_project_that_requires_this_version_is_installed(tmp_path: Path) -> None:
    text = f"[project]\ndependencies = ['federated_algotools=={__version__}']"
    assert run_packaging("install", cwd=write_project(tmp_path, text)).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("instal",), ("--help",)])
def test_an_unknown_command_is_refused_with_the_commands(arguments: tuple[str, ...]) -> None:
    outcome = run_packaging(*arguments)
    assert outcome.returncode == PackagingError.exit_code
    assert outcome.stderr == (
        "error (23): python -m algotools.packaging takes `install [PROJECT]` or `register FOLDER`\n"
    )


def test_pip_recognizes_the_registered_distribution(tmp_path: Path) -> None:
    register(tmp_path)
    [distribution] = importlib.metadata.distributions(path=[str(tmp_path)])
    assert (distribution.metadata["Name"], distribution.version) == ("federated-algotools", __version__)
    requirements = (ROOT / "algotools" / "requirements.txt").read_text().splitlines()
    assert distribution.requires == [line for line in requirements if not line.startswith("#")]
