"""The catalogue, and its documentation."""

from __future__ import annotations

import re

from algotools.check import RULES
from algotools.check.finding import Finding, found, in_order

from ..conftest import ROOT
from . import test_declared_faults, test_function_faults, test_project_faults


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "check.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| `")]


def test_the_documentation_has_the_catalogue() -> None:
    assert rows() == [[f"`{name}`", rule.meaning, rule.consequence, rule.way_out] for name, rule in RULES.items()]


def test_every_rule_is_said_in_sentences() -> None:
    for name, rule in RULES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert all(text.endswith(".") or ":" in text for text in rule), name
        assert "|" not in "".join(rule).replace("`| None`", "")


def test_every_rule_finds_a_seeded_fault() -> None:
    seeded = {rule for _, rule, _ in test_project_faults.FAULTS.values()}
    seeded |= {rule for _, rules, _ in test_function_faults.FAULTS.values() for rule in rules}
    seeded |= {rule for _, rule in test_declared_faults.FAULTS.values()}
    assert seeded == set(RULES)


def test_every_rule_that_the_code_names_is_in_the_catalogue() -> None:
    package = ROOT / "algotools" / "check"
    text = "".join(file.read_text(encoding="utf-8") for file in package.glob("*.py"))
    named = set(re.findall(r'(?:found|Problem|Trouble|_found)\(\s*"([a-z]+-[a-z-]+|user|declaration)"', text))
    assert named
    assert named <= set(RULES)


def test_findings_are_in_order_and_each_is_there_once() -> None:
    late, early = found("user", "b", 2, "why"), found("user", "b", None, "why")
    first = Finding(rule="user", file="a", line=9, reason="why", way_out="so")
    assert in_order([late, early, first, late]) == (first, early, late)
