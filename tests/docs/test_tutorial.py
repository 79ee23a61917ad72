"""The tutorial: its commands run in a fresh folder and print the output on the page."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from ..conftest import algotools, environment
from ..image.conftest import Registry
from ..preloaded import run_pytest
from ..processes import LIMIT
from ..project.scaffold.test_generated import script_folder
from .conftest import DOCS, Block, read_blocks, write_files

PAGE = read_blocks(DOCS / "tutorial.md")
ADDRESS = "localhost:5001"
"""The address of the registry on the page."""

SKIPPED = ("python3 -m venv", ". venv/bin", "python -m pip install", "docker run", "docker rm")
"""Commands that set up the environment and the registry, which the tests provide."""

MEASURES = [(r"\b\d+(\.\d+)? [MG]B\b", "1 MB"), (r"\b\d+\.\d+ ?s\b", "1 s"), (r"sha256:[0-9a-f]+", "sha256:1")]
"""Patterns of output that changes with each run -> replacement."""


def split_page(page: list[Block]) -> tuple[list[Block], list[Block]]:
    """Return the blocks that need no container engine, and the others."""
    first = next(number for number, block in enumerate(page) if "$ algotools build" in block.text)
    return page[:first], page[first:]


WITHOUT_ENGINE, WITH_ENGINE = split_page(PAGE)


class Shell:
    """Runs the commands of a page, and compares their output with the page."""

    def __init__(self, folder: Path, registry: str = ADDRESS) -> None:
        self.folder = folder
        self._registry = registry
        self._path = f"{script_folder(folder)}{os.pathsep}{os.environ['PATH']}"

    def run_page(self, page: list[Block]) -> int:
        """Write the files and run the commands of a page, and return the number of commands."""
        count = 0
        for block in page:
            write_files([block], self.folder)
            if block.language == "console":
                for command, expected in split_commands(block.text):
                    count += self._run(command, expected)
        return count

    def _run(self, command: str, expected: str) -> bool:
        """Run a command in the current folder; return False if the command is skipped."""
        if command.startswith(SKIPPED):
            return False
        if command.startswith("cd "):
            self.folder /= command.removeprefix("cd ")
            return True
        process = self._start(command.replace(ADDRESS, self._registry))
        printed = [process.stdout, f"{process.stdout}\n{process.stderr}"]
        assert any(matches(expected, text.replace(self._registry, ADDRESS)) for text in printed), (
            f"{command}\non the page:\n{expected}\nprinted:\n{printed[1]}"
        )
        return True

    def _start(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the package or pytest without a shell; run another command in a shell."""
        words = shlex.split(command)
        if words[0] == "algotools":
            return algotools(*words[1:], cwd=self.folder)
        if words[0] == "pytest":
            return run_pytest(words[1:], self.folder, environment(), LIMIT)
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=environment({"PATH": self._path}),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )


def split_commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a block with the output below the command."""
    number = 0
    lines: list[tuple[int, str]] = []
    for line in text.splitlines():
        number += line.startswith("$ ")
        lines.append((number, line))
    for _, group in groupby(lines, key=lambda numbered: numbered[0]):
        command, *output = [line for _, line in group]
        yield command.removeprefix("$ "), "\n".join(output)


def matches(expected: str, printed: str) -> bool:
    """Return whether the printed text equals the text on the page, where ``…`` matches any text."""
    for pattern, fixed in MEASURES:
        expected, printed = re.sub(pattern, fixed, expected), re.sub(pattern, fixed, printed)
    tidy = ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (expected, printed)]
    return re.fullmatch(".*".join(map(re.escape, tidy[0].split("…"))), tidy[1], re.DOTALL) is not None


def test_matches_ignores_sizes_and_times_only() -> None:
    assert matches("a: 467 MB  2.0 s\n…\nlast", "a: 1.2 GB  11.25 s\n1\n2\nlast\n")
    assert not matches("a: 467 MB", "b: 467 MB")
    assert not matches("{…}", "{1} and more")


def test_from_nothing_to_a_tested_project(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert shell.run_page(WITHOUT_ENGINE) == 13
    assert shell.folder == tmp_path / "cohort-mean"


@pytest.mark.docker
def test_from_the_project_to_a_pushed_image_and_the_researchers_call(
    tmp_path: Path, engine: docker.DockerClient, base_image: str, registry: Registry
) -> None:
    shell = Shell(tmp_path, registry.address)
    files = [block for block in WITHOUT_ENGINE if block.title or "algotools new" in block.text]
    try:
        shell.run_page(files)
        assert shell.run_page(WITH_ENGINE) == 4
    finally:
        for image in engine.images.list(f"{registry.address}/cohort-mean"):
            for name in {*image.tags, *image.attrs["RepoDigests"]}:
                with contextlib.suppress(ImageNotFound):
                    engine.images.remove(name, force=True)
