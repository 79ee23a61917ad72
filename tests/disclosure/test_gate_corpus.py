"""The structural rules refuse most cheats of the corpus, and few honest runs."""

from __future__ import annotations

import pytest

from algotools.disclosure.rules import WAYS_OUT

from ..conftest import WHOLE
from .corpus import CHEATS
from .judging import run_case
from .matrix import (
    MARKERS,
    PAGE,
    PARTS,
    count_cheats,
    count_honest,
    count_rule,
    in_result,
    judge_cheats,
    judge_honest,
    list_misses,
)

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("k", "fewest"), [(3, 0.68), (5, 0.68), (10, 0.68)])
def test_most_cheats_are_refused_at_every_node(part: str, k: int, fewest: float) -> None:
    assert count_cheats(k, [part], in_result).share >= fewest


@pytest.mark.parametrize("part", PARTS)
def test_few_honest_runs_are_refused(part: str) -> None:
    assert count_honest(3, [part]).share <= 0.07
    assert count_honest(5, [part]).share <= 0.12
    assert count_honest(10, [part]).share <= 0.20


def test_a_larger_minimum_refuses_at_least_as_much() -> None:
    for judgement in [*judge_cheats(), *judge_honest()]:
        verdicts = [bool(judgement.rules[k]) for k in (3, 5, 10)]
        assert verdicts == sorted(verdicts)


def test_rows_and_texts_are_refused_without_exception() -> None:
    missed = {name for name, tables in list_misses().items() if tables}
    assert not missed & {cheat.name for cheat in CHEATS if cheat.group == "texts"}


@pytest.mark.parametrize("rule", ["rows", "length", "numbers", "text", "echo", "extreme", "label", "small", "kind"])
def test_each_rule_refuses_a_cheat(rule: str) -> None:
    assert rule in WAYS_OUT
    assert count_rule(rule, 3, "tuning")[0] > 0


@pytest.mark.parametrize(
    "name", ["frame", "values_as_keys", "means_by_group", "booleans", "describe_numbers", "cross_product_of_5"]
)
def test_the_verdict_does_not_depend_on_the_encoding(name: str) -> None:
    cheat = next(cheat for cheat in CHEATS if cheat.name == name)
    for table in cheat.tables:
        plain, rich = (run_case(cheat, table, is_rich=is_rich) for is_rich in (False, True))
        for k in (3, 5, 10):
            assert [bool(run.judge(k)) for run in plain] == [bool(run.judge(k)) for run in rich]


def test_the_page_has_the_totals() -> None:
    # Only `make test-all` judges the cheats at all nodes.
    text = PAGE.read_text(encoding="utf-8")
    assert all(marker.format("gate") in text for marker in MARKERS)
    for part in PARTS:
        assert not WHOLE or str(count_cheats(3, [part], in_result)) in text
        assert str(count_honest(3, [part])) in text
