"""Evidence stops the cheats that structure cannot find, and refuses no honest run of many records."""

from __future__ import annotations

import dataclasses
import json

import pytest

from algotools.disclosure.policy import Policy

from .cases import Cheat, load
from .chain import find_claims, has_leak, run_task
from .corpus import CHEATS, HONEST, port
from .matrix import (
    DESIGNS,
    EVIDENCE,
    MARKERS,
    MINIMA,
    PAGE,
    PROBING,
    REFUSE,
    SAMPLED,
    count_honest,
    count_rows,
    is_large,
    judge_case,
    judge_honest,
    make_policy,
)

pytestmark = pytest.mark.filterwarnings("ignore")

PORTED = [ported for case in CHEATS if isinstance(ported := port(case), Cheat)]
NEEDS_ZEROS = "class_disclosure"
"""Cheat that returns "0 of 25": the owner refuses it with ``zeros="refuse"``."""

REVEALS_HIDDEN_CELLS = {"margins", "row_percentages", "totals_and_rest"}
"""Ported cheats that leak only if a reduction hides cells: a total reveals the hidden cells."""

IN_RESULT = [cheat for cheat in CHEATS if cheat.leak == "result" and port(cheat) and cheat.name != NEEDS_ZEROS]
PROBED = [
    "indices_of_old", "mean_of_two", "share_of_two", "weighted_mean", "quantile_at_the_end", "bitmask", "outer_norm",
    "log_rank_terms", "hidden_expression", "digits_of_a_sum", "with_and_without_level", "forged_beta",
]  # fmt: skip
"""Some of the cheats of the tuning part that structure does not find, and probing does."""


def find_leak(cheat: Cheat) -> str:
    """Return the largest node of at most 1,000 rows at which the cheat leaks, or otherwise a larger node."""
    tables = sorted(cheat.tables, key=lambda table: (count_rows(table) > SAMPLED, -count_rows(table)))
    return next(filter(cheat.leaks_on, tables))


def test_all_honest_functions_are_ported_and_many_cheats() -> None:
    assert all(port(honest) for honest in HONEST)
    assert sum(cheat.leak == "result" for cheat in PORTED) >= 40
    for cases, algorithm in ((CHEATS, "cheats"), (HONEST, "honest")):
        names = {case.method or case.name for case in cases}
        assert load(f"{algorithm}_with_evidence").functions.keys() <= names


@pytest.mark.parametrize("cheat", PORTED, ids=[cheat.name for cheat in PORTED])
def test_the_result_of_a_ported_cheat_leaks_before_it_is_judged(cheat: Cheat) -> None:
    policy = Policy() if cheat.name in REVEALS_HIDDEN_CELLS else Policy(preset="off")
    for table in cheat.tables:
        tasks = cheat.list_tasks(table)
        runs = [run_task(cheat, table, arguments, {0: policy}) for arguments in tasks]
        assert not any(run.failure for run in runs)
        if has_leak(find_claims(cheat, [json.loads(run.result) for run in runs], tasks), table):
            return
    pytest.fail("the ported function leaks at no node")


@pytest.mark.parametrize("cheat", IN_RESULT, ids=[cheat.name for cheat in IN_RESULT])
def test_evidence_stops_a_cheat_in_a_result(cheat: Cheat) -> None:
    table = find_leak(cheat)
    for design in (EVIDENCE, REFUSE):
        judgement = judge_case(cheat, table, DESIGNS[design], (3,))
        assert not judgement.failures
        assert judgement.is_stopped(3)


def test_a_count_of_nobody_needs_the_setting_zeros() -> None:
    (cheat,) = [ported for ported in PORTED if ported.name == NEEDS_ZEROS]
    policy = make_policy(3, "structure", "patients_70")
    policies = {zeros: dataclasses.replace(policy, zeros=zeros) for zeros in ("allow", "refuse")}
    rules = run_task(cheat, "patients_70", cheat.list_tasks("patients_70")[0], policies).rules
    assert rules == {"allow": frozenset(), "refuse": frozenset({"zeros"})}


@pytest.mark.parametrize("name", PROBED)
def test_probing_stops_cheats_without_evidence(name: str) -> None:
    (cheat,) = [cheat for cheat in CHEATS if cheat.name == name]
    assert judge_case(cheat, find_leak(cheat), DESIGNS[PROBING], (3,)).is_stopped(3)


@pytest.mark.parametrize("design", [EVIDENCE, REFUSE])
@pytest.mark.parametrize("k", MINIMA)
def test_no_honest_run_of_many_records_is_refused(design: str, k: int) -> None:
    assert count_honest(k, choose=is_large, design=design).count == 0


def test_no_honest_function_with_reductions_fails() -> None:
    assert not {failure for judgement in judge_honest(EVIDENCE) for failure in judgement.failures}


def test_the_page_has_the_designs() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(marker.format("designs") in text for marker in MARKERS)
    for k in MINIMA:
        assert str(count_honest(k, ["tuning"], is_large, REFUSE)) in text
