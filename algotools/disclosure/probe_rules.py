"""The rules of probing: refuse values that depend on few records, or on the order of rows.

The facts are those of ``probes.compare_results``. A value with evidence is not judged by these rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from algotools.disclosure._case import Case, Refusal
from algotools.disclosure._content import Block, Content
from algotools.disclosure.facts import Known, Matches, ProbedValue
from algotools.disclosure.policy import Policy
from algotools.disclosure.probes import MOST_VALUES, list_blocks, split_result


class _Value(NamedTuple):
    """A value without evidence, and its changes."""

    case: Case
    block: Block
    position: int
    changes: ProbedValue


def judge_probes(
    content: Content, known_values: Known, matches: Matches, policy: Policy, *, is_pooled: bool
) -> list[Refusal]:
    """Return the reasons why the values of a result may not leave; at most one for each rule.

    Args:
        content: the content of the encoded result.
        known_values: the values that the researcher knows before the task.
        matches: facts about the tables and the result, with the changes of its values.
        policy: the limits of the node's owner.
        is_pooled: whether the result is the reply of a pooled function.
    """
    case = Case.of(content, known_values, matches, policy)
    are_unread = bool(matches.tables) and all(table.rows is None for table in matches.tables)
    if are_unread or not case.has_records:  # the rule `unread` judges the numbers of paths
        return []
    parts = [case.select(part, name) for name, part in split_result(content, is_pooled=is_pooled)]
    if not any(map(_has_undeclared, parts)):
        return []
    if (refusal := _check_runs(case)) is not None:
        return [refusal]
    values = list(_iterate_values(parts, matches.probes.values if matches.probes is not None else ()))
    refusals = []
    for rule, find_reason in _RULES.items():
        details = ((value, find_reason(value.changes, policy)) for value in values)
        if (first := next(((value, detail) for value, detail in details if detail), None)) is not None:
            value, detail = first
            refusals.append(value.case.refuse(rule, value.block.get_path(value.position), detail))
    return refusals


def _has_undeclared(case: Case) -> bool:
    """Whether a part has a value that has no evidence and that the researcher does not know."""
    known_values: frozenset[object] = frozenset({*case.known_values.numbers, *case.record_counts})
    if any(block.values for block in case.content.booleans):
        return True
    if any(value not in known_values for block in case.content.numbers for value in block.values):
        return True
    return any(not case.vocabulary.is_literal(text) for block in case.content.texts for text in block.values)


def _check_runs(case: Case) -> Refusal | None:
    """Refuse values without evidence if the function could not be run again."""
    facts, policy = case.matches.probes, case.policy
    if facts is None:
        return case.refuse("unprobed", (), "the worker has not run the function again")
    if facts.obstacle == "values":
        return case.refuse("large", (), f"the result has {facts.size} values, the limit is {MOST_VALUES}")
    if facts.obstacle == "cells":
        return case.refuse("unprobed", (), f"the tables have {facts.size} cells, the limit is {policy.probe_cells}")
    if facts.obstacle == "client":
        return case.refuse("unprobed", (), "a function with a client would create its tasks again")
    if facts.usable_groups < policy.minimum_cell:
        detail = f"{facts.usable_groups} of {facts.groups} groups of records could be left out"
        return case.refuse("unprobed", (), detail)
    return None


def _iterate_values(parts: Sequence[Case], changes: Sequence[ProbedValue]) -> Iterator[_Value]:
    """Yield the values without evidence, with their changes."""
    start = 0
    for case in parts:
        for number, block in enumerate(list_blocks(case.whole)):
            if number < len(case.whole.numbers):
                mask = case.evidence.numbers.find_mask(block.values)
            else:  # a boolean has no evidence
                mask = [isinstance(value, str) and value in case.evidence.texts for value in block.values]
            for position, has_evidence in enumerate(mask):
                if not has_evidence and start + position < len(changes):
                    yield _Value(case, block, position, changes[start + position])
            start += len(block.values)


def _check_few(changes: ProbedValue, policy: Policy) -> str:
    if 0 < changes.groups < policy.minimum_cell:
        return f"it changes only without {changes.groups} of the groups, the minimum is {policy.minimum_cell}"
    return ""


def _check_dominance(changes: ProbedValue, policy: Policy) -> str:
    if changes.groups and changes.share >= policy.dominance:
        return f"two groups of records cause {changes.share:.0%} of its changes, the limit is {policy.dominance:.0%}"
    return ""


def _check_order(changes: ProbedValue, _policy: Policy) -> str:
    return "it is different on shuffled rows" if changes.changes_with_order else ""


def _check_pair(changes: ProbedValue, policy: Policy) -> str:
    if 0 < changes.pair < policy.minimum_cell:
        return f"it changes like another number except for {changes.pair} groups, the minimum is {policy.minimum_cell}"
    return ""


_RULES: dict[str, Callable[[ProbedValue, Policy], str]] = {
    "few": _check_few,
    "dominance": _check_dominance,
    "order": _check_order,
    "pair": _check_pair,
}
"""Rule -> the test of a value's changes; it returns the limit and the measured numbers, or an empty text."""
