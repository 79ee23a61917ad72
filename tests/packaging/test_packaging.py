"""What a project depends on, and what pip makes of it: real pip, in an environment that is thrown away."""

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
from algotools.packaging import OURS, dependencies, register

from ..conftest import ROOT


def project(folder: Path, text: str) -> Path:
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
    assert dependencies(project(tmp_path, text)) == expected


@pytest.mark.parametrize("text", ["'scipy'", "{scipy = '1'}", "[3]", "[['scipy']]", "true"])
def test_dependencies_of_another_shape_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PackagingError, match="must be a list of texts"):
        dependencies(project(tmp_path, f"[project]\ndependencies = {text}"))


def test_dynamic_dependencies_are_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match=r"RUN pip install \."):
        dependencies(project(tmp_path, "[project]\ndynamic = ['version', 'dependencies']"))


@pytest.mark.parametrize(("text", "why"), [(None, "cannot be read"), ("[project", "is not valid TOML")])
def test_a_project_without_metadata(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        project(tmp_path, text)
    with pytest.raises(AlgorithmNotFound, match=why):
        dependencies(tmp_path)


requirement = st.from_regex(r"[a-z]{1,8}((>=|==)[0-9]{1,2}(\.[0-9]{1,2})?)?", fullmatch=True)


@given(st.lists(requirement))
def test_what_is_listed_comes_back_in_order(tmp_path_factory: pytest.TempPathFactory, listed: list[str]) -> None:
    folder = project(tmp_path_factory.mktemp("project"), f"[project]\ndependencies = {listed!r}")
    assert dependencies(folder) == listed


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
def test_a_requirement_of_ours_is_known_however_it_is_written(text: str, ours: bool) -> None:
    assert bool(OURS.match(text)) is ours


def packaging(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command, with a pip that reaches no index and installs nowhere."""
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


def test_what_is_there_already_is_not_installed_again_and_without_dependencies_pip_is_not_asked(tmp_path: Path) -> None:
    ended = packaging("install", cwd=project(tmp_path, "[project]\ndependencies = ['pandas>=2', 'numpy']"))
    assert ended.returncode == 0, ended.stderr
    assert "Requirement already satisfied: pandas>=2" in ended.stdout
    ended = packaging("install", str(project(tmp_path, "[project]\nname = 'a'")))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("item", ["no-such-package-4711", "--dry-run", "-r requirements.txt", "pandas >= ?"])
def test_what_pip_cannot_install_ends_with_our_code_after_its_own_words(tmp_path: Path, item: str) -> None:
    ended = packaging("install", cwd=project(tmp_path, f"[project]\ndependencies = [{item!r}]"))
    assert ended.returncode == PackagingError.exit_code
    assert "ERROR: " in ended.stderr
    assert ended.stderr.splitlines()[-1] == f"error (23): pip could not install what pyproject.toml depends on: {item}"


def test_a_project_that_asks_for_another_version_of_ours_is_told_which_one_is_here(tmp_path: Path) -> None:
    ended = packaging("install", cwd=project(tmp_path, "[project]\ndependencies = ['federated-algotools>=99']"))
    assert ended.returncode == PackagingError.exit_code
    assert f"has federated-algotools {__version__}, and federated-algotools>=99 must allow for it" in ended.stderr


def test_a_project_that_asks_for_this_version_gets_it(tmp_path: Path) -> None:
    text = f"[project]\ndependencies = ['federated_algotools=={__version__}']"
    assert packaging("install", cwd=project(tmp_path, text)).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("instal",), ("--help",)])
def test_another_command_is_told_what_there_is(arguments: tuple[str, ...]) -> None:
    ended = packaging(*arguments)
    assert ended.returncode == PackagingError.exit_code
    assert ended.stderr == (
        "error (23): python -m algotools.packaging takes `install [PROJECT]` or `register FOLDER`\n"
    )


def test_what_is_registered_is_known_by_name_version_and_needs(tmp_path: Path) -> None:
    register(tmp_path)
    [found] = importlib.metadata.distributions(path=[str(tmp_path)])
    assert (found.metadata["Name"], found.version) == ("federated-algotools", __version__)
    listed = (ROOT / "algotools" / "requirements.txt").read_text().splitlines()
    assert found.requires == [line for line in listed if not line.startswith("#")]
