"""A new project, from the cookiecutter template: complete, or not at all.

The template has the questions (``cookiecutter.json``), the rules for their answers (``hooks/pre_gen_project.py``) and
the files. Plain ``cookiecutter`` makes the same of it; here nothing is downloaded or kept in the home folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import algotools
from algotools.errors import ScaffoldError
from algotools.packaging import DISTRIBUTION


class Question(NamedTuple):
    """What the template wants to know."""

    name: str
    prompt: str
    default: str
    choices: Mapping[str, str]
    """Answer -> what it means; empty where any text is an answer."""


Ask = Callable[[Question, Callable[[str], str]], str]
"""Asks a person; the second argument tells why an answer cannot be taken, or gives an empty text."""


class Project(NamedTuple):
    """What has been made, or would be."""

    folder: Path
    files: tuple[str, ...]
    """Paths relative to the folder, sorted."""


def template() -> Path:
    """The template's folder: that of the checkout, or the one in the installed package.

    Raises:
        ScaffoldError: the installation is not complete.
    """
    package = Path(algotools.__file__).parent
    for folder in (package.parent / "template", package / "template"):
        if (folder / "cookiecutter.json").is_file():
            return folder
    raise ScaffoldError("this installation of algotools has no template; install it anew")


def questions() -> list[Question]:
    """All questions, in order; a default that depends on other answers is not rendered yet."""
    content = _content()
    return [_question(name, raw, content["__prompts__"]) for name, raw in content.items() if not name.startswith("_")]


def origin() -> str:
    """What pip installed algotools from, if others can install it from there as well; else an empty text."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        told = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return ""
    url, revision = str(told.get("url", "")), told.get("vcs_info")
    if revision:
        return f"{DISTRIBUTION} @ {revision['vcs']}+{url}@{revision['commit_id']}"
    return f"{DISTRIBUTION} @ {url}" if url.startswith("https://") else ""


def answer(given: Mapping[str, str], ask: Ask | None = None) -> dict[str, str]:
    """Every answer, those that follow from others included.

    Args:
        given: question -> answer, taken as it stands.
        ask: asks for each answer that is not given; without it, defaults are taken.

    Raises:
        ScaffoldError: names everything that is wrong with what is given.
    """
    from cookiecutter.prompt import render_variable
    from cookiecutter.utils import create_env_with_context

    content, rules = _content(), _rules()
    if unknown := given.keys() - content.keys():
        raise ScaffoldError(f"the template does not ask for {', '.join(sorted(unknown))}")
    environment = create_env_with_context({"cookiecutter": content})
    answers: dict[str, str] = {}
    problems = []
    for name, raw in content.items():
        if name.startswith("__") and isinstance(raw, str):  # it follows from the others
            answers[name] = given.get(name) or render_variable(environment, raw, answers)
        elif not name.startswith("_"):
            default = render_variable(environment, raw[0] if isinstance(raw, list) else raw, answers)
            question = _question(name, raw, content["__prompts__"])._replace(default=default)

            def problem(text: str, question: Question = question) -> str:
                package = render_variable(environment, content["__package"], {"title": text})
                return _problem(rules, question, text, package)

            if name in given:
                answers[name] = given[name]
            else:
                answers[name] = ask(question, problem) if ask else default
            if why := problem(answers[name]):
                problems.append(f"{name} {answers[name]!r}: {why}")
    if problems:
        raise ScaffoldError("; ".join(problems))
    return answers


def make(answers: Mapping[str, str], where: Path) -> Project:
    """Write a project into a new folder below ``where``.

    Raises:
        ScaffoldError: the folder exists, or cannot be written; then nothing is left of it.
    """
    folder = where / answers["__project"]
    if not where.is_dir():
        raise ScaffoldError(f"there is no folder {where} to make the project in")
    if folder.exists() or folder.is_symlink():
        raise ScaffoldError(f"{folder} exists already; give the algorithm another title, or remove that folder")
    try:
        with _rendered(answers, where) as made:
            files = _files(made)
            os.rename(made, folder)  # all at once, on the same file system
    except OSError as error:
        raise ScaffoldError(f"{folder} cannot be written ({error.strerror or error})") from None
    return Project(folder, files)


def preview(answers: Mapping[str, str], where: Path) -> Project:
    """What ``make`` would write, without writing it there."""
    with _rendered(answers, None) as made:
        return Project(where / answers["__project"], _files(made))


@contextlib.contextmanager
def _rendered(answers: Mapping[str, str], where: Path | None) -> Iterator[Path]:
    """The finished project in a temporary folder below ``where``, which goes away in the end."""
    from cookiecutter.generate import generate_files

    temporary = Path(tempfile.mkdtemp(prefix=".algotools-new-", dir=where))
    try:
        context = {"cookiecutter": {**_content(), **answers}}
        made = generate_files(template(), context, output_dir=temporary, accept_hooks=False)  # their rules are kept
        yield Path(made)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((template() / "cookiecutter.json").read_text(encoding="utf-8"))
    return content


def _question(name: str, raw: str | list[str], prompts: Mapping[str, Any]) -> Question:
    told = prompts[name]
    if isinstance(raw, str):
        return Question(name, told, raw, {})
    meanings = told if isinstance(told, dict) else {"__prompt__": told}
    return Question(name, meanings["__prompt__"], raw[0], {choice: meanings.get(choice, choice) for choice in raw})


def _problem(rules: ModuleType, question: Question, text: str, package: str) -> str:
    if question.choices:
        return "" if text in question.choices else f"it must be one of {', '.join(question.choices)}"
    return str(rules.problem(question.name, text, package))


def _rules() -> ModuleType:
    """The template's own rules, as a module."""
    specification = importlib.util.spec_from_file_location("_rules", template() / "hooks" / "pre_gen_project.py")
    if specification is None or specification.loader is None:
        raise ScaffoldError("this installation of algotools has no rules for the template; install it anew")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
