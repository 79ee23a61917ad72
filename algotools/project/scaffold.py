"""Create a new project from the cookiecutter template, completely or not at all.

The template has the questions (``cookiecutter.json``), the rules for the answers (``hooks/pre_gen_project.py``) and the
files. Plain ``cookiecutter`` creates the same project. This module downloads nothing, and ignores the settings and
caches of cookiecutter in the home folder.
"""

from __future__ import annotations

import contextlib
import enum
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from algotools.errors import PACKAGE, ScaffoldError
from algotools.runtime.packaging import DISTRIBUTION


class ProjectKind(str, enum.Enum):
    """The template's choices for ``kind``."""

    POOLED = "pooled"
    AVERAGE = "average"
    ITERATIVE = "iterative"


class Licence(str, enum.Enum):
    """The template's choices for ``licence``."""

    APACHE = "Apache-2.0"
    MIT = "MIT"
    BSD = "BSD-3-Clause"
    GPL = "GPL-3.0-or-later"
    NONE = "none"


class Question(NamedTuple):
    """One question of the template."""

    name: str
    prompt: str
    default: str
    choices: Mapping[str, str]
    """Valid answer -> its meaning; empty if the answer is free text."""


AskQuestion = Callable[[Question, Callable[[str], str]], str]
"""Ask the author a question. The second argument returns the fault of an answer; empty for a valid answer."""


class Project(NamedTuple):
    """A project that was created, or that a dry run would create."""

    folder: Path
    files: tuple[str, ...]
    """Paths relative to the folder, sorted."""


def locate_template() -> Path:
    """Return the folder of the template: in the checkout, or in the installed package.

    Raises:
        ScaffoldError: the installation is incomplete.
    """
    for folder in (PACKAGE.parent / "template", PACKAGE / "template"):
        if (folder / "cookiecutter.json").is_file():
            return folder
    raise ScaffoldError("this installation of algotools has no template; reinstall algotools")


def read_questions() -> list[Question]:
    """Return all questions in order. Defaults that depend on other answers are still Jinja expressions."""
    content = _read_content()
    prompts = content["__prompts__"]
    return [_make_question(name, raw, prompts) for name, raw in content.items() if not name.startswith("_")]


def read_installation_source() -> str:
    """Return the requirement that pip installed algotools from; empty if only this machine can install it."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        record = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return ""
    url, revision = str(record.get("url", "")), record.get("vcs_info")
    if revision:
        return f"{DISTRIBUTION} @ {revision['vcs']}+{url}@{revision['commit_id']}"
    return f"{DISTRIBUTION} @ {url}" if url.startswith("https://") else ""


def collect_answers(options: Mapping[str, str], ask: AskQuestion | None = None) -> dict[str, str]:
    """Return the answers to all questions, and the values that are derived from them.

    Args:
        options: question or derived value -> its value. Answers are checked; derived values are used unchecked.
        ask: called for each question without an option; without *ask*, the default is the answer.

    Raises:
        ScaffoldError: an option is unknown or invalid; the message names all faults.
    """
    from cookiecutter.prompt import render_variable
    from cookiecutter.utils import create_env_with_context

    content, rules = _read_content(), _load_rules()
    if unknown := options.keys() - content.keys():
        raise ScaffoldError(f"the template has no question {', '.join(sorted(unknown))}")
    environment = create_env_with_context({"cookiecutter": content})
    answers: dict[str, str] = {}
    faults = []
    # A default or a derived value is rendered from the answers to the previous questions, in the template's order.
    for name, raw in content.items():
        if name.startswith("__") and isinstance(raw, str):  # derived from other answers
            answers[name] = options.get(name) or render_variable(environment, raw, answers)
        elif not name.startswith("_"):
            default = render_variable(environment, raw[0] if isinstance(raw, list) else raw, answers)
            question = _make_question(name, raw, content["__prompts__"])._replace(default=default)

            def find_fault(text: str, question: Question = question) -> str:
                package = render_variable(environment, content["__package"], {"title": text})
                return _find_fault(rules, question, text, package)

            if name in options:
                answers[name] = options[name]
            else:
                answers[name] = ask(question, find_fault) if ask else default
            if fault := find_fault(answers[name]):
                faults.append(f"{name} {answers[name]!r}: {fault}")
    if faults:
        raise ScaffoldError("; ".join(faults))
    return answers


def create_project(answers: Mapping[str, str], parent: Path) -> Project:
    """Write a project into a new folder below *parent*.

    Raises:
        ScaffoldError: the new folder exists already, or cannot be written. No partial project remains.
    """
    folder = parent / answers["__project"]
    if not parent.is_dir():
        raise ScaffoldError(f"the folder {parent} does not exist; create it, or name another folder with --in")
    if folder.exists() or folder.is_symlink():
        raise ScaffoldError(f"{folder} already exists; choose another title, or remove {folder}")
    try:
        with _render_project(answers, parent) as rendered:
            files = _list_files(rendered)
            os.rename(rendered, folder)  # both folders are on the same file system, so this is atomic
    except OSError as error:
        raise ScaffoldError(f"cannot write {folder} ({error.strerror or error})") from None
    return Project(folder, files)


def preview_project(answers: Mapping[str, str], parent: Path) -> Project:
    """Return the project that ``create_project`` would write, without writing to *parent*."""
    with _render_project(answers, None) as rendered:
        return Project(parent / answers["__project"], _list_files(rendered))


@contextlib.contextmanager
def _render_project(answers: Mapping[str, str], parent: Path | None) -> Iterator[Path]:
    """Yield the complete project in a temporary folder below *parent*, and remove the temporary folder afterwards.

    cookiecutter writes one file after the other. A full disk or Ctrl-C would leave half a project, so the files go to a
    hidden folder first. It is below *parent*, not in /tmp, so that a rename can move the finished project into place.
    """
    from cookiecutter.generate import generate_files

    temporary = Path(tempfile.mkdtemp(prefix=".algotools-new-", dir=parent))
    try:
        context = {"cookiecutter": {**_read_content(), **answers}}
        # The hook is not run: it would start a Python process and print its own messages. `collect_answers` has already
        # applied the hook's rules.
        yield Path(generate_files(locate_template(), context, output_dir=temporary, accept_hooks=False))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _list_files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


def _read_content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((locate_template() / "cookiecutter.json").read_text(encoding="utf-8"))
    return content


def _make_question(name: str, raw: str | list[str], prompts: Mapping[str, Any]) -> Question:
    prompt = prompts[name]
    if isinstance(raw, str):
        return Question(name, prompt, raw, {})
    meanings = prompt if isinstance(prompt, dict) else {"__prompt__": prompt}
    return Question(name, meanings["__prompt__"], raw[0], {choice: meanings.get(choice, choice) for choice in raw})


def _find_fault(rules: ModuleType, question: Question, text: str, package: str) -> str:
    if question.choices:
        return "" if text in question.choices else f"not a valid choice (choose from {', '.join(question.choices)})"
    return str(rules.find_answer_fault(question.name, text, package))


def _load_rules() -> ModuleType:
    """Load the template's hook as a module; its functions are the rules for the answers."""
    specification = importlib.util.spec_from_file_location("_rules", locate_template() / "hooks" / "pre_gen_project.py")
    if specification is None or specification.loader is None:
        raise ScaffoldError("this installation of algotools has no rules for the template; reinstall algotools")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
