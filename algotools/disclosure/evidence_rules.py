"""The rules for values with evidence: refuse numbers of few records, of few large records, and of nearly equal records.

They judge the reported evidence and know no other value of the result. A reply of a pooled function has several parts,
whose sets of records are compared with each other.
"""

from __future__ import annotations

import itertools
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from algotools.disclosure._case import Case, Refusal
from algotools.disclosure._texts import list_numbers_of_text
from algotools.disclosure.evidence import NumberSet, find_texts, is_numbering
from algotools.disclosure.facts import Evidence, HiddenCells, NumbersWithEvidence
from algotools.disclosure.sketch import count_records, estimate_difference
from algotools.payload import Path

FEWEST_NUMBERS = 3
"""Numbers that a result may have for every set of records."""

_ZERO = bytes(8)
"""The number 0 as a float64."""

_COUNTS = ("count", "histogram", "levels", "table")
"""The reductions whose numbers count records. Each of them has enough records, so many of them reveal no cell."""

_MANY_SETS = 100
"""Sets of records from which they are compared with numpy."""


class _Occurrence(NamedTuple):
    """The first value of a group of numbers in the judged parts."""

    case: Case
    path: Path
    number: float

    def show(self) -> str:
        return self.case.show(self.path)


EvidenceRule = Callable[[Sequence[Case]], Iterator[Refusal]]


def judge_evidence(parts: Sequence[Case]) -> list[Refusal]:
    """Return the refusals of the values with evidence; at most one for each rule.

    Args:
        parts: the judged parts of one result, with the same evidence: the result, or the contributions of a reply.
    """
    if not parts or (parts[0].evidence.is_empty and not parts[0].matches.hidden_cells):
        return []
    return [refusal for rule in EVIDENCE_RULES for refusal in itertools.islice(rule(parts), 1)]


def _find_occurrence(parts: Iterable[Case], groups: Sequence[NumbersWithEvidence]) -> _Occurrence | None:
    """Return the first number of the parts that belongs to one of the groups."""
    if not groups:
        return None
    numbers = NumberSet(group.numbers for group in groups)
    for case in parts:
        for block in case.whole.numbers:
            if (index := numbers.find_first(block.values)) is not None:
                return _Occurrence(case, block.get_path(index), float(block.values[index]))
    return None


def _judge_groups(
    parts: Sequence[Case], rule: str, groups: Sequence[NumbersWithEvidence], detail: Callable[[Evidence], str] | str
) -> Iterator[Refusal]:
    """Refuse the first number of the parts that belongs to one of the groups, all of which break a rule."""
    if occurrence := _find_occurrence(parts, groups):
        (evidence, *_) = (
            g.evidence for g in groups if NumberSet([g.numbers]).find_first([occurrence.number]) is not None
        )
        text = detail if isinstance(detail, str) else detail(evidence)
        yield occurrence.case.refuse(rule, occurrence.path, f"a number of {evidence.operation}: {text}")


def _count_records(evidence: Evidence, case: Case) -> int:
    """Return the records of a number. Those that an author states cannot be more than those that were read."""
    tables = case.matches.tables
    if evidence.is_stated and tables and all(table.records is not None for table in tables):
        return min(evidence.records, sum(table.records or 0 for table in tables))
    return evidence.records


def _check_threshold(parts: Sequence[Case]) -> Iterator[Refusal]:
    """Refuse the numbers and texts of few records. A number without records represents no person."""
    case = parts[0]
    few = [group for group in case.evidence.groups if 0 < _count_records(group.evidence, case) < case.minimum]
    limit = f"the minimum is {case.minimum}"
    yield from _judge_groups(parts, "threshold", few, lambda e: f"{_count_records(e, case)} records, {limit}")
    texts = {
        text: records
        for text, records in case.evidence.texts.items()
        if 0 < records < case.minimum and not case.vocabulary.is_literal(text)
    }
    for part in parts if texts else ():
        for path, text in find_texts(part.whole, texts):
            yield part.refuse("threshold", path, f"a text has {texts[text]} records, {limit}")


def _check_zeros(parts: Sequence[Case]) -> Iterator[Refusal]:
    """Refuse the numbers of no records if the owner does: "0 of 12 patients" is a statement about each of them."""
    case = parts[0]
    if case.policy.zeros == "allow" or not case.has_records:
        return
    groups = []
    for group in case.evidence.groups:
        if group.evidence.is_stated or group.evidence.parameters:  # a coefficient that is 0
            continue
        if not group.evidence.records:
            groups.append(group)
        elif NumberSet([group.numbers]).find_first([0.0]) is not None:
            groups.append(NumbersWithEvidence(evidence=group.evidence, numbers=_ZERO))
    yield from _judge_groups(parts, "zeros", groups, lambda e: f"0 records, or the number 0 of {e.records} records")


def _check_dominance(parts: Sequence[Case]) -> Iterator[Refusal]:
    """Refuse sums that consist of one or two records nearly: the n-k rule and the p-ratio rule of ACRO."""
    policy = parts[0].policy

    def dominates(evidence: Evidence) -> bool:
        largest, two_largest = evidence.largest_share, evidence.two_largest_share
        if largest is None or two_largest is None:
            return False
        return two_largest > policy.dominance or 1 - two_largest < policy.p_ratio * largest

    groups = [group for group in parts[0].evidence.groups if dominates(group.evidence)]
    yield from _judge_groups(
        parts,
        "dominance",
        groups,
        lambda e: f"two records have {e.two_largest_share or 0:.2f} of the sum, the limit is {policy.dominance}",
    )


def _check_parameters(parts: Sequence[Case]) -> Iterator[Refusal]:
    """Refuse models with nearly as many parameters as records."""
    case, share = parts[0], parts[0].policy.parameters
    groups = [
        group
        for group in case.evidence.groups
        if group.evidence.parameters > share * _count_records(group.evidence, case) > 0
    ]
    limit = f"the limit is {share} for each record"
    yield from _judge_groups(
        parts, "parameters", groups, lambda e: f"{e.parameters} parameters of {e.records} records, {limit}"
    )


def _check_difference(parts: Sequence[Case]) -> Iterator[Refusal]:
    """Refuse two numbers whose sets of records differ by few records: the difference of the numbers is theirs."""
    case = parts[0]
    groups_of_set: dict[tuple[str, ...], dict[int, list[NumbersWithEvidence]]] = defaultdict(dict)
    groups_of_summands: dict[tuple[str, ...], dict[int, list[NumbersWithEvidence]]] = defaultdict(dict)
    for group in case.evidence.groups:
        evidence = group.evidence
        if evidence.row_set is not None and evidence.records:
            groups_of_set[evidence.columns].setdefault(evidence.row_set, []).append(group)
        if evidence.summand_set is not None and evidence.records:
            groups_of_summands[evidence.columns].setdefault(evidence.summand_set, []).append(group)
    for groups in groups_of_set.values():
        yield from _compare(parts, groups, _find_close(sorted(groups), case.matches.row_sets, case.minimum))
    # A column that the author has computed may have no name.
    unnamed = groups_of_summands.pop((), {})
    for groups in [{**unnamed, **named} for named in groups_of_summands.values()] or [unnamed]:
        yield from _compare(
            parts, groups, _find_close_summands(sorted(groups), case.matches.summand_sets, case.minimum)
        )


def _compare(
    parts: Sequence[Case], groups: Mapping[int, Sequence[NumbersWithEvidence]], close: Iterable[tuple[int, int, int]]
) -> Iterator[Refusal]:
    """Refuse the numbers of sets that are close."""
    for first, second, difference in close:
        occurrences = [_find_occurrence(parts, groups[row_set]) for row_set in (first, second)]
        if occurrences[0] and occurrences[1]:
            detail = f"two sets of records differ by {difference} records, the minimum is {parts[0].minimum}"
            names = [occurrence.show() for occurrence in occurrences if occurrence]
            refusal = occurrences[0].case.refuse("difference", occurrences[0].path, detail)
            yield refusal._replace(path=" and ".join(dict.fromkeys(names)))


def _find_close_summands(
    sets: Sequence[int], sketches: Sequence[bytes], minimum: int
) -> Iterator[tuple[int, int, int]]:
    """Yield pairs of sets of summands that differ for few records; another value of a record is another summand."""
    for first, second, difference in _find_close(sets, sketches, 2 * minimum - 1):
        sizes = [count_records(sketches[position]) for position in (first, second)]
        if (records := (difference + abs(sizes[0] - sizes[1])) // 2) < minimum:
            yield first, second, records


def _find_close(row_sets: Sequence[int], sketches: Sequence[bytes], minimum: int) -> Iterator[tuple[int, int, int]]:
    """Yield pairs of sets that differ by at least one and fewer than the minimum of records, and their difference."""
    if len(row_sets) > _MANY_SETS:
        yield from _find_close_of_many(row_sets, sketches, minimum)
        return
    by_size = sorted((count_records(sketches[row_set]), row_set) for row_set in row_sets)
    for position, (size, first) in enumerate(by_size):
        for other_size, second in by_size[position + 1 :]:
            if other_size - size >= minimum:
                break
            if 0 < (difference := estimate_difference(sketches[first], sketches[second])) < minimum:
                yield min(first, second), max(first, second), difference


def _find_close_of_many(
    row_sets: Sequence[int], sketches: Sequence[bytes], minimum: int
) -> Iterator[tuple[int, int, int]]:
    """Compare each set with all others at once. Sketches that are close differ in few bytes of their counts."""
    import numpy as np

    counts = np.array([np.frombuffer(sketches[row_set], dtype="<u4")[:64] for row_set in row_sets], dtype=np.int64)
    for position, first in enumerate(row_sets):
        distances = np.abs(counts[position + 1 :] - counts[position]).sum(axis=1)
        for offset in np.flatnonzero(distances < minimum).tolist():
            second = row_sets[position + 1 + offset]
            if 0 < (difference := estimate_difference(sketches[first], sketches[second])) < minimum:
                yield first, second, difference


def _check_margin(parts: Sequence[Case]) -> Iterator[Refusal]:
    """Refuse totals over the records of a table with hidden cells, if they reveal the hidden cells.

    Another count reveals a hidden count, and another sum or mean of the same columns a hidden sum or mean.
    """
    case, sketches = parts[0], parts[0].matches.row_sets
    revealing = [cells for cells in case.matches.hidden_cells if cells.cells == 1 or cells.records < case.minimum]
    for hidden in revealing:
        groups = [
            group
            for group in case.evidence.groups
            if _is_similar(group.evidence, hidden) and _has_records_of(group.evidence, hidden, sketches)
        ]
        cells = f"{hidden.cells} hidden {'cell' if hidden.cells == 1 else 'cells'}"
        detail = f"it is over the records of {cells} with {hidden.records} records"
        yield from _judge_groups(parts, "margin", groups, detail)
        # The number of rows is known without evidence. It is the total of a table of all rows.
        total = count_records(sketches[hidden.row_set]) if _is_count(hidden) else None
        for part in parts:
            for block in part.content.numbers if total else ():
                if (index := NumberSet([struct.pack("<d", total)]).find_first(block.values)) is not None:
                    yield part.refuse("margin", block.get_path(index), f"it is the number of all records; {detail}")


def _has_records_of(evidence: Evidence, hidden: HiddenCells, sketches: Sequence[bytes]) -> bool:
    """Whether a number has the records of a table; of an array without an index, only their number is known."""
    if evidence.row_set is None:
        return evidence.records == count_records(sketches[hidden.row_set])
    return sketches[evidence.row_set] == sketches[hidden.row_set]


def _is_count(facts: Evidence | HiddenCells) -> bool:
    return facts.operation.endswith(_COUNTS)


def _is_similar(evidence: Evidence, hidden: HiddenCells) -> bool:
    if _is_count(hidden) or _is_count(evidence):
        return _is_count(hidden) and _is_count(evidence)
    return evidence.columns == hidden.columns


def _check_numbers(parts: Sequence[Case]) -> Iterator[Refusal]:
    """Refuse many numbers of the same records: from as many numbers as cells, the cells can be computed."""
    case = parts[0]
    cells_of_tables = sum((table.rows or 0) * max(len(table.columns), 1) for table in case.matches.tables)
    by_cells: dict[tuple[int | None, tuple[str, ...], int], list[NumbersWithEvidence]] = defaultdict(list)
    for group in case.evidence.groups:
        evidence = group.evidence
        if not _is_count(evidence) and not evidence.parameters and not evidence.is_stated:  # see the rule `parameters`
            # A quantile is the mean of the nearest records, and reveals one number of the whole column.
            is_known = evidence.row_set is not None and evidence.columns
            records = count_records(case.matches.row_sets[evidence.row_set or 0]) if is_known else evidence.records
            by_cells[evidence.row_set, evidence.columns, records].append(group)
    for (row_set, columns, records), groups in by_cells.items():
        numbers = NumberSet(group.numbers for group in groups)
        cells = records * len(columns) if row_set is not None and columns else cells_of_tables
        limit = max(FEWEST_NUMBERS, case.policy.numbers * cells)
        if len(numbers) > limit and records and cells and (occurrence := _find_occurrence(parts, groups)):
            detail = f"{len(numbers)} numbers of {cells} cells, the limit is {limit:.0f}"
            yield occurrence.case.refuse("numbers", (), detail)


def check_undeclared(case: Case) -> Iterator[Refusal]:
    """Refuse numbers without evidence if the owner does. Numbers that are known need none.

    The case has the values without evidence. A text may contain numbers, too: those of the source, of arguments and of
    columns are known, and a level that enough records have is a text.
    """
    if case.policy.undeclared != "refuse" or not case.has_records:
        return
    known_numbers = case.known_values.numbers | case.known_values.source_numbers | case.record_counts
    detail = "a number has no evidence"
    for block in case.content.numbers:
        for index, value in enumerate(block.values):
            if value not in known_numbers:
                yield case.refuse("undeclared", block.get_path(index), detail)
    for block in case.content.labels:
        if not is_numbering(block.values) and not known_numbers.issuperset(block.values):
            yield case.refuse("undeclared", block.path, "a numeric key has no evidence")
    for block in (*case.content.texts, *case.content.keys, *case.content.hidden):
        for text in dict.fromkeys(block.values):
            numbers = set(map(abs, list_numbers_of_text(text)))
            if numbers <= known_numbers or case.vocabulary.is_level(text) or case.vocabulary.is_literal(text):
                continue
            if not case.has_evidence(text):
                yield case.refuse("undeclared", block.find_path(text), "a text has a number without evidence")


EVIDENCE_RULES: tuple[EvidenceRule, ...] = (
    _check_threshold,
    _check_dominance,
    _check_parameters,
    _check_difference,
    _check_margin,
    _check_numbers,
    _check_zeros,
)
"""The rules, in the order in which a message names them."""
