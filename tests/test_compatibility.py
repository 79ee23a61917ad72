"""``docs/compatibility.md`` names existing tests, and lists all intended differences."""

from __future__ import annotations

import ast
import re

import pytest

from .conftest import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
NAMED_TESTS = sorted(set(re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED_TESTS, ids=lambda part: part.rpartition("/")[2])
def test_each_test_named_on_the_page_exists(file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert not test or test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_short_test_name_belongs_to_the_preceding_file() -> None:
    for row in PAGE.splitlines():
        for file, test in re.findall(r"(tests/[\w/]+\.py)[^|`]*`[^|`]*`::(\w+)`", row):
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")


def test_the_page_lists_each_difference_from_the_official_wrappers() -> None:
    from .peers.test_wrappers import DIFFERENCES

    section = re.search(r"<!-- differences.*?-->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert section
    rows = [line for line in section[1].splitlines() if line.startswith("| v")]
    assert rows == [
        f"| {name.partition(': ')[0]} | {name.partition(': ')[2]} | {d.reason} |" for name, d in DIFFERENCES.items()
    ]
