"""Any text in a title, a description or a name appears unchanged in every file."""

from __future__ import annotations

import ast
import shutil
import tempfile
from pathlib import Path

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from algotools.declare.projects import read_toml
from algotools.project import scaffold

from .conftest import TITLES, content

line = (
    st.text(
        st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" \"\\'{}%#$`&<>:-"), min_size=1, max_size=40
    )
    .map(str.strip)
    .filter(lambda text: text.isprintable() and text)
)


@settings(max_examples=60)
@given(line, line, st.sampled_from([*TITLES]))
@example('"""', "\\", "pooled")
@example("a\\", '"', "average")
@example("{{ cookiecutter.title }}", "{% raw %} {# #}", "iterative")
@example("# 'comment': yes", "Jane 😀 Roe", "pooled")
def test_texts_appear_unchanged_in_every_file(description: str, author: str, kind: str) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        answers = {"title": "Cohort Mean", "kind": kind, "description": description, "author": author}
        created = scaffold.create_project(scaffold.collect_answers({**answers, "licence": "MIT"}), folder).folder
        project = read_toml(created / "pyproject.toml")["project"]
        assert project["description"] == description
        assert project["authors"] == [{"name": author}]
        docstring = ast.get_docstring(ast.parse((created / "src/cohort_mean/__init__.py").read_text(encoding="utf-8")))
        assert docstring is not None
        assert docstring.removesuffix(".") == description.removesuffix(".")
        assert f" {author}\n" in (created / "LICENSE").read_text(encoding="utf-8")
        readme = (created / "README.md").read_text(encoding="utf-8")
        assert f"\n{description}\n" in readme
        assert f"Copyright: {author}." in readme
        for name in content(created):
            if name.endswith((".yml", ".yaml")):
                assert yaml.safe_load((created / name).read_text(encoding="utf-8"))
            if name.endswith(".py"):
                ast.parse((created / name).read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(folder)
