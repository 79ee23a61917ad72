"""``docs/compatibility.md``: every statement names the test behind it, and every meant difference is listed."""

from __future__ import annotations

import ast
import re

import pytest

from .conftest import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda part: part.rpartition("/")[2])
def test_the_tests_that_the_page_names_exist(file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert not test or test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_short_names_are_of_the_file_before_them() -> None:
    for row in PAGE.splitlines():
        for file, test in re.findall(r"(tests/[\w/]+\.py)[^|`]*`[^|`]*`::(\w+)`", row):
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")


def test_the_page_lists_every_difference_from_the_official_wrappers() -> None:
    from .peers.test_wrappers import DIFFERENCES

    listed = re.search(r"<!-- differences.*?-->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert listed
    rows = [line for line in listed[1].splitlines() if line.startswith("| v")]
    assert rows == [
        f"| {name.partition(': ')[0]} | {name.partition(': ')[2]} | {d.why} |" for name, d in DIFFERENCES.items()
    ]
