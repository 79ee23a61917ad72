"""The page on sessions, ``docs/sessions.md``: what its examples show is what they do."""

from __future__ import annotations

import doctest
import sys
import types

from ..conftest import ROOT


def test_every_example_gives_what_the_page_shows(tmp_path, monkeypatch, nothing_registered):
    monkeypatch.chdir(tmp_path)
    page = types.ModuleType("page")  # functions of the page need a module to be found in
    monkeypatch.setitem(sys.modules, "page", page)
    text = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_doctest(text, vars(page), "sessions", "docs/sessions.md", 0)
    runner = doctest.DocTestRunner()

    assert len(examples.examples) > 20
    assert runner.run(examples, clear_globs=False).failed == 0
