"""The catalogue of rules, and its documentation."""

from __future__ import annotations

import re

from algotools.project.check import RULES
from algotools.project.check._rules import Finding, sort_findings

from ...conftest import ROOT
from . import (
    test_declared_faults,
    test_disclosure_warnings,
    test_function_faults,
    test_pooled_faults,
    test_probing,
    test_project_faults,
)


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "check.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| `")]
    return [row for row in cells if len(row) == 4]  # another table of the page explains fields


def test_the_documentation_contains_the_catalogue() -> None:
    assert rows() == [[f"`{name}`", rule.meaning, rule.consequence, rule.way_out] for name, rule in RULES.items()]


def test_every_rule_consists_of_sentences() -> None:
    for name, rule in RULES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        texts = (rule.meaning, rule.consequence, rule.way_out)
        assert all(text.endswith(".") or ":" in text for text in texts), name
        assert "|" not in "".join(texts).replace("`| None`", "")


def test_every_rule_has_a_seeded_fault() -> None:
    seeded = {rule for _, rule, _ in test_project_faults.FAULTS.values()}
    seeded |= {rule for _, rules, _ in test_function_faults.FAULTS.values() for rule in rules}
    seeded |= {rule for _, rule in test_declared_faults.FAULTS.values()}
    seeded |= {rule for _, rule, *_ in test_pooled_faults.FAULTS.values()}
    seeded |= {rule for _, rule, _ in test_disclosure_warnings.FAULTS.values()}
    seeded |= test_probing.RULES
    assert seeded | {"never-finishes", "node-variable", "trial-arguments"} == set(
        RULES
    )  # these have tests of their own


def test_every_rule_in_the_code_is_in_the_catalogue() -> None:
    files = [file for folder in ("project/check", "declare") for file in (ROOT / "algotools" / folder).glob("*.py")]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    rules_in_code = set(
        re.findall(r'(?:(?:Finding\.of|_make_finding)\(\s*|rule=)"([a-z]+-[a-z-]+|user|declaration)"', text)
    )
    assert rules_in_code
    assert rules_in_code <= set(RULES)


def test_findings_are_sorted_without_duplicates() -> None:
    late, early = Finding.of("user", "b", 2, "why"), Finding.of("user", "b", None, "why")
    first = Finding(rule="user", file="a", line=9, reason="why", way_out="so")
    assert sort_findings([late, early, first, late]) == (first, early, late)
