"""The pages of ``docs/``, and what they show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from ..conftest import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    title: str
    """The file that it is, where the page says so."""
    text: str
    line: int


_FENCED = re.compile(
    r"""^(?P<indent>[ ]*)```[ ]?(?P<language>\w+)(?:[ ]title="(?P<title>[^"]*)")?[ ]*\n
    (?P<text>.*?)^(?P=indent)```[ ]*$""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, in order; those within a tab without its indentation."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(match["language"], match["title"] or "", dedent(match["text"]), text.count("\n", 0, match.start()) + 1)
        for match in _FENCED.finditer(text)
    ]
    assert len(found) * 2 == len(re.findall(r"(?m)^ *```", text)), f"{page}: a block that this does not read"
    return found


def write(found: Iterable[Block], folder: Path) -> None:
    """Each block into the file that its title names, in place of what is there; those of one title after each other."""
    files: dict[str, list[str]] = {}
    for block in found:
        if block.title:
            files.setdefault(block.title, []).append(block.text)
    for title, texts in files.items():
        file = folder / title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n\n".join(texts), encoding="utf-8")
