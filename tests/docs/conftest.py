"""The pages of ``docs/`` and their fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from ..conftest import ROOT, default_policy

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.fixture(scope="module", autouse=True)
def policy_of_a_reader() -> Iterator[None]:
    """Run the examples as a reader does, who has not set a policy."""
    with default_policy():
        yield


def page_name(page: Path) -> str:
    """Return a page's path within ``docs/``."""
    return page.relative_to(DOCS).as_posix()


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    title: str
    """The file that the block is the content of; empty if the page names no file."""
    text: str
    line: int


_FENCED = re.compile(
    r"""^(?P<indent>[ ]*)```[ ]?(?P<language>\w+)(?:[ ]title="(?P<title>[^"]*)")?[ ]*\n
    (?P<text>.*?)^(?P=indent)```[ ]*$""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


def read_blocks(page: Path) -> list[Block]:
    """Return all fenced blocks in order, without the indentation of a tab."""
    text = page.read_text(encoding="utf-8")
    blocks = [
        Block(match["language"], match["title"] or "", dedent(match["text"]), text.count("\n", 0, match.start()) + 1)
        for match in _FENCED.finditer(text)
    ]
    assert len(blocks) * 2 == len(re.findall(r"(?m)^ *```", text)), f"{page}: a block was not recognized"
    return blocks


def write_files(blocks: Iterable[Block], folder: Path) -> None:
    """Write each block with a title into the file of that name. Blocks with the same title make one file, in order."""
    files: dict[str, list[str]] = {}
    for block in blocks:
        if block.title:
            files.setdefault(block.title, []).append(block.text)
    for title, texts in files.items():
        file = folder / title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n\n".join(texts), encoding="utf-8")
