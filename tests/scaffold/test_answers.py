"""Whatever a title, a description or a name holds arrives in every file as it was given."""

from __future__ import annotations

import ast
import shutil
import tempfile
from pathlib import Path

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from algotools import scaffold
from algotools.locate import read_toml

from .conftest import content

line = (
    st.text(
        st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" \"\\'{}%#$`&<>:-"), min_size=1, max_size=40
    )
    .map(str.strip)
    .filter(lambda text: text.isprintable() and text)
)


@settings(max_examples=60)
@given(line, line, st.sampled_from(["average", "iterative"]))
@example('"""', "\\", "average")
@example("a\\", '"', "average")
@example("{{ cookiecutter.title }}", "{% raw %} {# #}", "iterative")
@example("# 'comment': yes", "Jane 😀 Roe", "average")
def test_texts_arrive_in_every_file_as_they_were_given(description: str, author: str, kind: str) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        given_ = {"title": "Cohort Mean", "kind": kind, "description": description, "author": author}
        made = scaffold.make(scaffold.answer({**given_, "licence": "MIT"}), folder).folder
        project = read_toml(made / "pyproject.toml")["project"]
        assert project["description"] == description
        assert project["authors"] == [{"name": author}]
        docstring = ast.get_docstring(ast.parse((made / "src/cohort_mean/__init__.py").read_text(encoding="utf-8")))
        assert docstring is not None
        assert docstring.removesuffix(".") == description.removesuffix(".")
        assert f" {author}\n" in (made / "LICENSE").read_text(encoding="utf-8")
        readme = (made / "README.md").read_text(encoding="utf-8")
        assert f"\n{description}\n" in readme
        assert f"Copyright: {author}." in readme
        for name in content(made):
            if name.endswith((".yml", ".yaml")):
                assert yaml.safe_load((made / name).read_text(encoding="utf-8"))
            if name.endswith(".py"):
                ast.parse((made / name).read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(folder)
