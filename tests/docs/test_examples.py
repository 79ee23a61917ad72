"""The examples of the pages: Python code parses, doctests pass, commands have the options that a page uses."""

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

from algotools.cli._app import app

from .conftest import PAGES, Block, page_name, read_blocks

WITH_EXAMPLES = [page for page in PAGES if ">>> " in page.read_text(encoding="utf-8")]
TESTED_ELSEWHERE = {"sessions.md"}
"""Pages with a test of their own."""


def blocks_in(language: str) -> list[object]:
    """Return the blocks of all pages in a language, as parameters of a test."""
    return [
        pytest.param(block, id=f"{page_name(page)}:{block.line}")
        for page in PAGES
        for block in read_blocks(page)
        if block.language == language
    ]


@pytest.mark.parametrize("block", blocks_in("python"))
def test_python_blocks_parse(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize(
    "page", [page for page in WITH_EXAMPLES if page_name(page) not in TESTED_ELSEWHERE], ids=page_name
)
def test_every_doctest_prints_the_output_on_the_page(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_registered: None
) -> None:
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("page")  # the functions of the page need a module
    monkeypatch.setitem(sys.modules, "page", module)
    text = page.read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_doctest(text, vars(module), page.stem, page_name(page), 0)
    assert examples.examples
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(examples, clear_globs=False).failed == 0


def command_lines() -> list[object]:
    """Return every line of a page that calls ``algotools``, as parameters of a test."""
    return [
        pytest.param(line.strip().removeprefix("$ "), id=f"{page_name(page)}:{line.strip()}")
        for page in PAGES
        for block in read_blocks(page)
        if block.language == "console"
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.strip().startswith("$ algotools ")
    ]


@pytest.mark.parametrize("line", command_lines())
def test_commands_have_the_options_on_the_page(line: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    _, name, *arguments = shlex.split(re.split(r" [|>] ", line)[0], comments=True)
    command = commands[name]
    if hasattr(command, "commands") and not (name == "history" and arguments[:1] not in (["show"], ["rerun"])):
        command = command.commands[arguments.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {argument.partition("=")[0] for argument in arguments if argument.startswith("--")} <= options
