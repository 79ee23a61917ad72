"""The tutorial: what it says is typed in a fresh folder, and prints what it shows."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from ..conftest import environment
from ..image.conftest import Registry, registry
from ..scaffold.test_generated import script_folder
from .conftest import DOCS, Block, blocks, write

__all__ = ["registry"]  # a fixture of the images' tests

PAGE = blocks(DOCS / "tutorial.md")
ADDRESS = "localhost:5000"
"""The registry of the page."""

DONE_ALREADY = ("python3 -m venv", ". venv/bin", "python -m pip install", "docker run")
"""The environment is there, and so is a registry."""

MEASURES = [(r"\b\d+(\.\d+)? [MG]B\b", "1 MB"), (r"\b\d+\.\d+ ?s\b", "1 s"), (r"sha256:[0-9a-f]+", "sha256:1")]
"""What is another each time."""


def split(page: list[Block]) -> tuple[list[Block], list[Block]]:
    """What can be typed without an engine, and what cannot."""
    first = next(number for number, block in enumerate(page) if "$ algotools build" in block.text)
    return page[:first], page[first:]


WITHOUT_ENGINE, WITH_ENGINE = split(PAGE)


class Reader:
    """Types what a page says into a shell, one command after the other."""

    def __init__(self, folder: Path, registry: str = ADDRESS) -> None:
        self.folder = folder
        self._registry = registry
        self._path = f"{script_folder(folder)}{os.pathsep}{os.environ['PATH']}"

    def follow(self, page: list[Block]) -> int:
        """Do all that a page says; gives how many commands were typed."""
        typed = 0
        for block in page:
            write([block], self.folder)
            if block.language == "console":
                for command, shown in commands(block.text):
                    typed += self._type(command, shown)
        return typed

    def _type(self, command: str, shown: str) -> bool:
        if command.startswith(DONE_ALREADY):
            return False
        if command.startswith("cd "):
            self.folder /= command.removeprefix("cd ")
            return True
        ended = subprocess.run(
            ["bash", "-c", command.replace(ADDRESS, self._registry)],
            cwd=self.folder,
            env=environment({"PATH": self._path}),
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        printed = [ended.stdout, f"{ended.stdout}\n{ended.stderr}"]
        assert any(matches(shown, text.replace(self._registry, ADDRESS)) for text in printed), (
            f"{command}\nshown:\n{shown}\nprinted:\n{printed[1]}"
        )
        return True


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a block, and what is shown below it."""
    number = 0
    lines: list[tuple[int, str]] = []
    for line in text.splitlines():
        number += line.startswith("$ ")
        lines.append((number, line))
    for _, found in groupby(lines, key=lambda numbered: numbered[0]):
        command, *shown = [line for _, line in found]
        yield command.removeprefix("$ "), "\n".join(shown)


def matches(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed; ``…`` stands for anything."""
    for pattern, one in MEASURES:
        shown, printed = re.sub(pattern, one, shown), re.sub(pattern, one, printed)
    tidy = ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (shown, printed)]
    return re.fullmatch(".*".join(map(re.escape, tidy[0].split("…"))), tidy[1], re.DOTALL) is not None


def test_what_is_shown_and_what_is_printed_are_compared_but_for_measures() -> None:
    assert matches("a: 467 MB  2.0 s\n…\nlast", "a: 1.2 GB  11.25 s\n1\n2\nlast\n")
    assert not matches("a: 467 MB", "b: 467 MB")
    assert not matches("{…}", "{1} and more")


def test_from_nothing_to_a_tested_project(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert reader.follow(WITHOUT_ENGINE) == 10
    assert reader.folder == tmp_path / "cohort-mean"


@pytest.mark.docker
@pytest.mark.timeout(400)
def test_from_the_project_to_a_pushed_image_and_the_researchers_call(
    tmp_path: Path, engine: docker.DockerClient, base_image: str, registry: Registry
) -> None:
    reader = Reader(tmp_path, registry.address)
    files = [block for block in WITHOUT_ENGINE if block.title or "algotools new" in block.text]
    try:
        reader.follow(files)
        assert reader.follow(WITH_ENGINE) == 4
    finally:
        for image in engine.images.list(f"{registry.address}/cohort-mean"):
            for name in {*image.tags, *image.attrs["RepoDigests"]}:
                with contextlib.suppress(ImageNotFound):
                    engine.images.remove(name, force=True)
