"""Judge the reply of a pooled function: each contribution to a total by itself, and the result.

All contributions of a round are in one list, which the author has not written: three of them are not a list of counts.
The other parts of a reply are the protocol of algotools. It has the operation and the line of each total, so a refusal
names them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from algotools.disclosure._case import Case, Refusal, apply
from algotools.disclosure._content import Content, list_numbers, list_texts, read_content, read_value
from algotools.disclosure._vocabulary import Vocabulary
from algotools.disclosure.evidence_rules import check_undeclared, judge_evidence
from algotools.disclosure.facts import Known, Matches
from algotools.disclosure.policy import Policy
from algotools.disclosure.rules import OF_COUNTS, OF_REPLIES, OF_SIZES, OF_VALUES
from algotools.disclosure.source_lines import describe_place

EXTREMES = frozenset({"minimum", "maximum"})
"""Ways of combining contributions that are the value of one record."""

LEVELS = "union"
"""The way of combining levels. The aggregator lists only levels with the owner's minimum of records."""

_RANGE = "pass the range as an argument, or request total.quantile with edges="
_WAYS_OUT = {
    "histogram": "use wider bins, of many records at every node",
    "levels": "merge rare levels, or pass the levels as an argument",
    "maximum": _RANGE,
    "minimum": _RANGE,
    "quantile": "pass edges= to total.quantile, with wider bins of many records at every node",
}
"""Operation -> what the author can do, for the rules that depend on the operation."""

KEYS = frozenset({"count", "powers", "sum"})
"""The keys that the aggregator writes into contributions to a mean, a variance and moments."""

_BY_LABEL = frozenset({"count", "mean", "sum", "table", "variance"})


class ReplyPart(NamedTuple):
    """A contribution to a total, or the result."""

    name: str
    """The operation and the line, for a message: ``the quantile in line 12``."""
    operation: str
    """The aggregator's method; empty for the result."""
    way: str
    """How the contributions of the nodes are combined."""
    content: Content

    @property
    def is_result(self) -> bool:
        """Whether the part is the function's result, which is computed from totals."""
        return not self.operation

    def explain(self, refusal: Refusal) -> Refusal:
        """Return a refusal with the way out of the operation."""
        if refusal.rule in {"text", "label"} and self.operation in _BY_LABEL:
            return refusal._replace(way_out="merge rare groups, or name the groups with levels=")
        if refusal.rule == "undeclared":
            way_out = "compute the result from totals only" if self.is_result else "state records= in total.add"
            return refusal._replace(way_out=f"{way_out}, see docs/concepts/gate.md#undeclared")
        if refusal.rule in {"extreme", "echo", "small", "numbers", "text", "label", "threshold"}:
            return refusal._replace(way_out=_WAYS_OUT.get(self.operation, refusal.way_out))
        return refusal


def judge_reply(
    content: Content, known_values: Known, matches: Matches, policy: Policy, request: str = ""
) -> list[Refusal]:
    """Return the reasons why a reply may not leave; at most one for each rule.

    Args:
        content: the content of the encoded reply.
        known_values: the values that the researcher knows before the task.
        matches: facts about the tables and the reply.
        policy: the limits of the node's owner.
        request: the text with the totals of earlier rounds, which the researcher knows, too.
    """
    known_values = msgspec.structs.replace(known_values, texts=known_values.texts | KEYS)
    case = Case.of(content, known_values, matches, policy)
    try:
        parts = split_reply(content)
    except ValueError as error:
        return [case.refuse("kind", (), content.problem or str(error))]
    largest = max(parts, key=lambda part: part.content.number_count, default=ReplyPart("result", "", "", content))
    everything = case.select(_merge(content.size, parts), largest.name)
    refusals = list(apply(OF_REPLIES, everything))
    refusals += apply(OF_VALUES, case.select(_merge(content.size, [])._replace(hidden=content.hidden)))
    cases = [case.select(part.content, part.name) for part in parts]
    judged_cases = [
        _drop_totals(part_case, request) if part.is_result else part_case
        for part_case, part in zip(cases, parts, strict=True)
    ]
    for refusal in judge_evidence(judged_cases):
        owner = next((part for part in parts if refusal.path.endswith(part.name)), largest)
        refusals.append(owner.explain(refusal))
    for part, part_case in zip(parts, cases, strict=True):
        judge = _judge_result if part.is_result else _judge_contribution
        refusals += [part.explain(refusal) for refusal in judge(part_case, part.way, request)]
    refusals += [largest.explain(refusal) for refusal in apply(OF_SIZES, everything)]
    first = {refusal.rule: refusal for refusal in reversed(refusals)}
    return [refusal for refusal in refusals if first[refusal.rule] is refusal]


def _judge_contribution(case: Case, way: str, _: str) -> Iterator[Refusal]:
    if way in EXTREMES and case.has_records:  # also an integer that may equal a count
        yield case.refuse("extreme", (), "the least or the greatest value is that of one record")
    yield from apply(OF_VALUES, case)
    if way in EXTREMES:
        return
    # A contribution can equal an argument by chance, and event times are 1, 2, 3: they explain no number.
    case = case._replace(known_values=msgspec.structs.replace(case.known_values, numbers=frozenset()))
    yield from apply((check_undeclared,), case)
    if way != LEVELS:
        yield from apply(OF_COUNTS, case._replace(content=_read_single_count(case.content)))


def _read_single_count(content: Content) -> Content:
    """Return a single whole number as an integer: the aggregator adds up integers, such as events, as floats."""
    if content.number_count != 1:
        return content
    [block] = [block for block in content.numbers if len(block.values) > 0]
    number = float(block.values[0])
    return content._replace(numbers=[block._replace(values=[int(number)])]) if number.is_integer() else content


def _judge_result(case: Case, _: str, request: str) -> Iterator[Refusal]:
    """Judge a result, which is computed from totals: small numbers, such as a number of iterations, are not counts."""
    known_values = read_totals(request, case.known_values)
    vocabulary = Vocabulary(known_values, case.matches, case.policy)
    case = case._replace(known_values=known_values, vocabulary=vocabulary)
    yield from apply((*OF_VALUES, check_undeclared), case.select(case.whole))


def _drop_totals(case: Case, request: str) -> Case:
    """Return the case without the numbers that are totals. Evidence of this node equals them only by chance."""
    if case.evidence.is_empty:
        return case
    totals = read_totals(request, Known()).numbers
    blocks = [
        block.select(indexes)
        for block in case.whole.numbers
        if (indexes := [index for index, value in enumerate(block.values) if value not in totals])
    ]
    return case._replace(whole=case.whole._replace(numbers=blocks))


def select_parts(content: Content) -> Content:
    """Return the judged parts of a reply as one content, without the keys of the aggregator."""
    try:
        parts = split_reply(content)
    except ValueError:
        return content
    merged = _merge(content.size, parts)
    keys = [block for block in merged.keys if not KEYS.issuperset(block.values)]
    return merged._replace(keys=keys, problem=content.problem, hidden=content.hidden)


def split_reply(content: Content) -> list[ReplyPart]:
    """Return the judged parts of a reply.

    Raises:
        ValueError: the content is not the reply of a pooled function.
    """
    reply: Any = content.outline
    try:
        sites, ways, contributions = reply["sites"], reply["ways"], reply["contributions"]
        parts = [
            ReplyPart(_name(site), site["operation"], way, read_value(contribution))
            for site, way, contribution in zip(sites, ways, _list(contributions), strict=True)
        ]
        return parts if reply["result"] is None else [*parts, ReplyPart("result", "", "", read_value(reply["result"]))]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError("the result is not the reply of a pooled function") from None


def _name(site: Any) -> str:
    return f"the {site['operation'].replace('_', ' ')} in {describe_place(site['line'], site['module'])}"


def _list(contributions: Any) -> Sequence[Any]:
    """Return the contributions; numbers can be in one array."""
    return contributions if isinstance(contributions, list) else contributions.values


def _merge(size: int, parts: Sequence[ReplyPart]) -> Content:
    contents: list[Any] = [part.content for part in parts]
    lists: list[Any] = [[block for content in contents for block in content[i]] for i in range(1, 8)]
    return Content(size, *lists)


def has_totals(request: str) -> bool:
    """Return whether a request has totals of earlier rounds, or cannot be read."""
    try:
        outline: Any = read_content(base64.b64decode(request, validate=True)).outline if request else {"sites": ()}
        return bool(len(outline["sites"]))
    except (ValueError, KeyError, TypeError):
        return True


def read_totals(request: str, known_values: Known) -> Known:
    """Return known values with the totals in a request."""
    try:
        outline: Any = read_content(base64.b64decode(request, validate=True)).outline
        totals = read_value(outline["values"])
    except (ValueError, KeyError, TypeError):
        return known_values
    return msgspec.structs.replace(
        known_values,
        texts=known_values.texts | list_texts(totals),
        numbers=known_values.numbers | list_numbers(totals),
        lengths=known_values.lengths | {axis.length for axis in totals.axes},
    )
