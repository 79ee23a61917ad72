"""What the pages show: Python that parses, examples that give what stands below them, commands that exist."""

from __future__ import annotations

import ast
import doctest
import re
import shlex
import sys
import types
from pathlib import Path

import pytest
import typer

from algotools.cli import app

from .conftest import PAGES, Block, blocks, name_of

WITH_EXAMPLES = [page for page in PAGES if ">>> " in page.read_text(encoding="utf-8")]
ELSEWHERE = {"sessions.md"}
"""Run by a test of their own."""


def every(language: str) -> list[object]:
    return [
        pytest.param(block, id=f"{name_of(page)}:{block.line}")
        for page in PAGES
        for block in blocks(page)
        if block.language == language
    ]


@pytest.mark.parametrize("block", every("python"))
def test_python_is_python(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("page", [page for page in WITH_EXAMPLES if name_of(page) not in ELSEWHERE], ids=name_of)
def test_every_example_gives_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_registered: None
) -> None:
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("page")  # functions of the page need a module to be found in
    monkeypatch.setitem(sys.modules, "page", module)
    text = page.read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_doctest(text, vars(module), page.stem, name_of(page), 0)
    assert examples.examples
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(examples, clear_globs=False).failed == 0


def commands() -> list[object]:
    """Every line of a page that calls the command line."""
    return [
        pytest.param(line.strip().removeprefix("$ "), id=f"{name_of(page)}:{line.strip()}")
        for page in PAGES
        for block in blocks(page)
        if block.language == "console"
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.strip().startswith("$ algotools ")
    ]


@pytest.mark.parametrize("line", commands())
def test_commands_have_the_options_that_are_shown(line: str) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    _, name, *words = shlex.split(re.split(r" [|>] ", line)[0], comments=True)
    options = {option for parameter in known[name].params for option in parameter.opts} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options
