"""Every kind of installation contains the complete template, which works there without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ...conftest import ROOT
from .conftest import TEMPLATE, algotools, content


def files(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if not name.endswith(".pyc")}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, source_distribution: Path, hatchling: Callable[..., Path]) -> Path:
    """A wheel that is built from the source distribution, not from the checkout."""
    folder = tmp_path_factory.mktemp("sources")
    with tarfile.open(source_distribution) as tar:
        tar.extractall(folder, filter="data")
    [unpacked] = folder.iterdir()
    assert files(unpacked / "template") == files(TEMPLATE)
    return hatchling(unpacked, "wheel", tmp_path_factory.mktemp("wheel"))


def test_git_tracks_every_file_of_the_template() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "template"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    tracked = {name.removeprefix("template/") for name in listed.split("\0") if name}
    assert tracked == set(files(TEMPLATE))


def test_the_wheel_contains_the_complete_template(wheel: Path, hatchling: Callable[..., Path], tmp_path: Path) -> None:
    for file in (wheel, hatchling(ROOT, "wheel", tmp_path / "of the checkout")):
        with zipfile.ZipFile(file) as archive:
            archive.extractall(tmp_path / file.parent.name)
        assert files(tmp_path / file.parent.name / "algotools" / "template") == files(TEMPLATE)


@pytest.mark.parametrize("installation", ["wheel", "editable"])
def test_every_kind_of_installation_finds_the_template(
    installation: str, wheel: Path, tmp_path: Path, hatchling_tools: Path
) -> None:
    site, out = tmp_path / "site", tmp_path / "out"
    out.mkdir()
    source = tmp_path / "source"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    if installation == "wheel":
        target = [str(wheel)]
    else:
        # Other parts of the tests write to some of these folders meanwhile.
        left_out = (".git", ".ci", ".venv*", ".peers", ".hypothesis", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*left_out))
        target = ["--no-build-isolation", "--editable", str(source)]
    environment = {**os.environ, "PYTHONPATH": str(hatchling_tools)}
    subprocess.run([*pip, "--target", str(site), *target], check=True, env=environment, capture_output=True)
    # Order of the search path: the standard library, this installation, then its dependencies.
    code = (
        f"import site; site.addsitedir({str(site)!r}); import sys; sys.path.insert(0, sys.path.pop());"
        "from algotools.project import scaffold; print(scaffold.locate_template());"
        "from algotools.cli import main; sys.argv[1:] = ['new', 'Cohort Mean', '--no-input', '--algotools', '']; main()"
    )
    completed = subprocess.run([sys.executable, "-c", code], cwd=out, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    expected = site / "algotools" / "template" if installation == "wheel" else source / "template"
    assert completed.stdout.splitlines()[0] == str(expected)
    assert algotools("new", "Cohort Mean", "--no-input", "--algotools", "", cwd=tmp_path).returncode == 0
    assert content(out / "cohort-mean") == content(tmp_path / "cohort-mean")
