"""The values that left a node in a trial call, in a sentence and as JSON-compatible data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from algotools.disclosure.leaving import KNOWN, LeavingValues
from algotools.project.check._rules import Report, Verdict
from algotools.runtime.logs import format_count

_LARGEST = 30
"""Entries of a function in a description. The labels of an image must stay small."""


def describe_leaving(report: Report) -> dict[str, dict[str, Any]]:
    """Return what left in the trial calls, by method, of the functions that were called and judged.

    Numbers of values are left out, because they depend on the data: how many groups a table has is a value, too.
    """
    return {
        verdict.called or verdict.method: _describe_call(verdict)
        for verdict in report.verdicts
        if verdict.leaving is not None
    }


def _describe_call(verdict: Verdict) -> dict[str, Any]:
    values = verdict.leaving or ()
    return {
        "values": [{"path": part.path, "kind": part.kind, "evidence": part.evidence} for part in values[:_LARGEST]],
        "omitted": max(0, len(values) - _LARGEST),
        "withheld": verdict.rule,
    }


def summarize(values: Iterable[LeavingValues], *, rule: str = "") -> str:
    """Return a sentence: ``14 values leave the node: 2 counts, 12 sums``.

    Args:
        values: the values of a result. Public texts are not counted.
        rule: the rule that withholds the result; empty if it leaves.
    """
    kinds: dict[str, int] = {}
    for part in values:
        if part.evidence != KNOWN:
            kind = part.kind if part.evidence is not None else f"{part.kind} without evidence"
            kinds[kind] = kinds.get(kind, 0) + part.count
    total = sum(kinds.values())
    verb = "would leave" if rule else "leaves" if total == 1 else "leave"
    text = f"{format_count(total, 'value')} {verb} the node" if total else "no value of the data leaves the node"
    if parts := ", ".join(map(_format_kind, kinds, kinds.values())):
        text += f": {parts}"
    return f"{text}; withheld (rule {rule})" if rule else text


def summarize_verdict(verdict: Verdict) -> str:
    """Return the sentence about the result of a trial call; empty if the result was not judged."""
    return "" if verdict.leaving is None else summarize(verdict.leaving, rule=verdict.rule)


def _format_kind(kind: str, count: int) -> str:
    noun, separator, missing_fact = kind.partition(" without")
    return f"{format_count(count, noun)}{separator}{missing_fact}"
