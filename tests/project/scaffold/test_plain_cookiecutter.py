"""The template without algotools: plain ``cookiecutter`` creates the same files and refuses the same answers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.errors import ImageNotFound
from algotools.image.names import parse_reference
from algotools.project import scaffold

from ...conftest import ROOT
from .conftest import TEMPLATE, TITLES, content, tool
from .test_generated import git


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template in a git repository, without files that an ignore file of the template or of algotools excludes."""
    folder = tmp_path_factory.mktemp("repository") / "algotools.git"
    shutil.copytree(TEMPLATE, folder / "template", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / ".gitignore", folder / ".gitignore")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "The template")
    return folder


def cookiecutter(repository: Path, out: Path, **answers: str) -> subprocess.CompletedProcess[str]:
    out.mkdir()
    arguments = [f"{name}={text}" for name, text in answers.items()]
    options = ["--directory", "template", "--no-input", "--output-dir", str(out)]
    home = {"HOME": str(out.parent / "home")}
    return tool("cookiecutter", f"file://{repository}", *options, *arguments, cwd=out, variables=home)


@pytest.mark.parametrize("kind", TITLES)
def test_plain_cookiecutter_creates_the_same_files(repository: Path, tmp_path: Path, kind: str) -> None:
    answers = {"title": "Überleben", "kind": kind, "author": 'Jane "J" Roe', "registry": "localhost:5000"}
    completed = cookiecutter(repository, tmp_path / "plain", **answers)
    assert completed.returncode == 0, completed.stderr
    ours = scaffold.create_project(scaffold.collect_answers({**answers, "__algotools": ""}), tmp_path)
    assert content(tmp_path / "plain" / "uberleben") == content(ours.folder)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"title": "Statistics"}, "'statistics' would shadow a module of the standard library"),
        ({"title": "!!!"}, "is not a valid package name"),
        ({"registry": "https://example.org"}, "without https://"),
        ({"image_name": "Cohort"}, "lower-case"),
        ({"author": "Jane\nRoe"}, "one line"),
        ({"description": 'it\'s """ quoted \\\n'}, "one line"),
    ],
)
def test_plain_cookiecutter_refuses_the_same_answers_and_leaves_no_files(
    repository: Path, tmp_path: Path, answers: dict[str, str], reason: str
) -> None:
    completed = cookiecutter(repository, tmp_path / "plain", **answers)
    assert completed.returncode != 0
    assert reason in completed.stderr + completed.stdout
    assert list((tmp_path / "plain").iterdir()) == []
    with pytest.raises(scaffold.ScaffoldError, match=re.escape(reason)):
        scaffold.collect_answers({"title": "Cohort Mean", **answers})


def test_every_question_is_explained() -> None:
    template_settings = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    questions = [name for name in template_settings if not name.startswith("_")]
    assert (
        questions == [question.name for question in scaffold.read_questions()] == list(template_settings["__prompts__"])
    )


RULES = scaffold._load_rules()
parts = st.text(st.sampled_from("abz019._-:/AB"), max_size=12)


@given(parts, parts)
def test_an_accepted_registry_and_image_name_are_a_valid_reference(registry: str, name: str) -> None:
    if not RULES.find_answer_fault("registry", registry) and not RULES.find_answer_fault("image_name", name):
        reference = parse_reference(f"{registry}/{name}:1.0.0")
        assert (reference.registry, reference.repository, reference.tag) == (registry, name, "1.0.0")


@given(st.from_regex(r"[a-z0-9]{1,3}([._/-]{1,2}[a-z0-9]{1,3}){0,3}", fullmatch=True))
def test_the_rules_accept_exactly_the_image_names_that_the_engine_accepts(name: str) -> None:
    try:
        parse_reference(f"registry.example.org/{name}")
    except ImageNotFound:
        assert RULES.find_image_fault(name)
    else:
        assert not RULES.find_image_fault(name)
