"""The template works without algotools, too: plain ``cookiecutter`` makes the same, and refuses the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import scaffold
from algotools.errors import ImageNotFound
from algotools.image import reference

from ..conftest import ROOT
from .conftest import TEMPLATE, content, tool
from .test_generated import git


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as git gives it: what an ignore file of the template itself, or ours, hides is not there."""
    folder = tmp_path_factory.mktemp("repository") / "algotools.git"
    shutil.copytree(TEMPLATE, folder / "template", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / ".gitignore", folder / ".gitignore")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "The template")
    return folder


def cookiecutter(repository: Path, out: Path, **answers: str) -> subprocess.CompletedProcess[str]:
    out.mkdir()
    given = [f"{name}={text}" for name, text in answers.items()]
    options = ["--directory", "template", "--no-input", "--output-dir", str(out)]
    home = {"HOME": str(out.parent / "home")}
    return tool("cookiecutter", f"file://{repository}", *options, *given, cwd=out, variables=home)


@pytest.mark.parametrize("kind", ["average", "iterative"])
def test_it_makes_the_same_files(repository: Path, tmp_path: Path, kind: str) -> None:
    answers = {"title": "Überleben", "kind": kind, "author": 'Jane "J" Roe', "registry": "localhost:5000"}
    ended = cookiecutter(repository, tmp_path / "plain", **answers)
    assert ended.returncode == 0, ended.stderr
    ours = scaffold.make(scaffold.answer({**answers, "__algotools": ""}), tmp_path)
    assert content(tmp_path / "plain" / "uberleben") == content(ours.folder)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"title": "Statistics"}, "'statistics' would shadow a module of Python's standard library"),
        ({"title": "!!!"}, "can be no package's name"),
        ({"registry": "https://example.org"}, "no https:// before it"),
        ({"image_name": "Cohort"}, "lower-case"),
        ({"author": "Jane\nRoe"}, "one line"),
        ({"description": 'it\'s """ quoted \\\n'}, "one line"),
    ],
)
def test_it_refuses_the_same_answers_and_leaves_nothing(
    repository: Path, tmp_path: Path, answers: dict[str, str], why: str
) -> None:
    ended = cookiecutter(repository, tmp_path / "plain", **answers)
    assert ended.returncode != 0
    assert why in ended.stderr + ended.stdout
    assert list((tmp_path / "plain").iterdir()) == []
    with pytest.raises(scaffold.ScaffoldError, match=re.escape(why)):
        scaffold.answer({"title": "Cohort Mean", **answers})


def test_every_question_is_explained() -> None:
    told = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    asked = [name for name in told if not name.startswith("_")]
    assert asked == [question.name for question in scaffold.questions()] == list(told["__prompts__"])


RULES = scaffold._rules()
parts = st.text(st.sampled_from("abz019._-:/AB"), max_size=12)


@given(parts, parts)
def test_its_rules_for_names_of_images_are_those_of_the_engine(registry: str, name: str) -> None:
    if not RULES.problem("registry", registry) and not RULES.problem("image_name", name):
        found = reference.parse(f"{registry}/{name}:1.0.0")
        assert (found.registry, found.repository, found.tag) == (registry, name, "1.0.0")


@given(st.from_regex(r"[a-z0-9]{1,3}([._/-]{1,2}[a-z0-9]{1,3}){0,3}", fullmatch=True))
def test_what_the_engine_takes_its_rules_take(name: str) -> None:
    try:
        reference.parse(f"registry.example.org/{name}")
    except ImageNotFound:
        assert RULES.image_problem(name)
    else:
        assert not RULES.image_problem(name)
