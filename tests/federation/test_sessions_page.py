"""The examples of the page ``docs/sessions.md`` give the output that the page shows."""

from __future__ import annotations

import doctest
import sys
import types

from ..conftest import ROOT


def test_every_example_gives_the_output_of_the_page(tmp_path, monkeypatch, nothing_registered):
    monkeypatch.chdir(tmp_path)
    page = types.ModuleType("page")  # the functions of the page must belong to a module
    monkeypatch.setitem(sys.modules, "page", page)
    text = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_doctest(text, vars(page), "sessions", "docs/sessions.md", 0)
    runner = doctest.DocTestRunner()

    assert len(examples.examples) > 20
    assert runner.run(examples, clear_globs=False).failed == 0
