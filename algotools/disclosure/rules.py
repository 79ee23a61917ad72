"""The structural rules: refuse a result because of its numbers, texts and lengths, compared with the tables.

The author of the function declares nothing. Each rule returns at most one refusal, for the first part that it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from algotools.disclosure._case import WAYS_OUT, Case, Refusal, Rule, apply
from algotools.disclosure._content import LARGEST_INTEGER, Axis, Block, Content
from algotools.disclosure._texts import count_numbers, read_number
from algotools.disclosure.evidence import NumberSet
from algotools.disclosure.evidence_rules import check_undeclared, judge_evidence
from algotools.disclosure.facts import Evidence, Known, Matches
from algotools.disclosure.policy import Policy

__all__ = [
    "FIRST_RULES", "LAST_RULES", "OF_COUNTS", "OF_REPLIES", "OF_SIZES", "OF_VALUES", "WAYS_OUT", "Case", "Refusal",
    "Rule", "apply", "judge",
]  # fmt: skip

FEWEST_NUMBERS = 3
"""Numbers that a result may have for every table."""

MOST_BOOLEANS = 10

NEARLY = 0.9
FEWEST_NEARLY = 20
"""A list is nearly as long as a table if it has at least this share of the table's records, of at least so many."""


def judge(content: Content, known_values: Known, matches: Matches, policy: Policy) -> list[Refusal]:
    """Return the reasons why a result may not leave; none if it may.

    Args:
        content: the content of the encoded result.
        known_values: the values that the researcher knows before the task.
        matches: facts about the tables and the result.
        policy: the limits of the node's owner.
    """
    case = Case.of(content, known_values, matches, policy)
    return [*apply(FIRST_RULES, case), *judge_evidence([case]), *apply(LAST_RULES, case)]


def _check_rows(case: Case) -> Iterator[Refusal]:
    """Refuse any result of a table with few records. A table without rows represents no person."""
    for table in case.matches.tables:
        if table.records is not None and 0 < table.records < case.policy.minimum_rows:
            limit = case.policy.minimum_rows
            yield case.refuse("rows", (), f"{table.label} has {table.records} records, the minimum is {limit}")


def _check_unread(case: Case) -> Iterator[Refusal]:
    """Refuse the numbers of tables whose rows are unknown."""
    if case.policy.unread == "allow":
        return
    labels = [table.label for table in case.matches.tables if table.rows is None]
    if not labels:
        return
    detail = f"the rows of {', '.join(labels)} are unknown"
    if blocks := case.content.numbers or case.content.labels or case.content.booleans:
        yield case.refuse("unread", blocks[0].path, detail)
    for block in (*case.content.texts, *case.content.keys, *case.content.hidden):
        for text in block.values:
            if count_numbers(text) and not case.has_evidence(text) and not case.vocabulary.is_literal(text):
                yield case.refuse("unread", block.find_path(text), f"{detail}, and a text has a number")


def _check_kind(case: Case) -> Iterator[Refusal]:
    """Refuse what can contain anything: binary values, integers with many digits, many booleans, unknown values."""
    content = case.whole
    if content.problem:
        yield case.refuse("kind", (), content.problem)
    for path in content.bytes:
        yield case.refuse("kind", path, "binary values may contain any data")
    for block in (*content.numbers, *content.labels):
        for number in _find_large(block.values):
            if number not in case.known_values.numbers:
                yield case.refuse("kind", block.find_path(number), "an integer is greater than 2**53")
    count = sum(len(block.values) for block in content.booleans)
    if count > MOST_BOOLEANS:
        detail = f"the result has {count} booleans, the limit is {MOST_BOOLEANS}"
        yield case.refuse("kind", content.booleans[0].path, detail)


def _find_large(values: Any) -> Iterable[int]:
    if hasattr(values, "dtype"):
        if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not len(values):
            return []
        values = [int(values.min()), int(values.max())]
    elif not isinstance(values, range) and float in set(map(type, values)):
        return [value for value in values if type(value) is int and abs(value) > LARGEST_INTEGER]
    return [value for value in (min(values), max(values)) if abs(value) > LARGEST_INTEGER] if len(values) > 0 else []


def _check_bytes(case: Case) -> Iterator[Refusal]:
    if case.policy.bytes is not None and case.whole.size > case.policy.bytes:
        yield case.refuse("bytes", (), f"the result has {case.whole.size} bytes, the limit is {case.policy.bytes}")


def _check_text(case: Case) -> Iterator[Refusal]:
    """Refuse texts that the researcher does not know."""
    if case.policy.texts == "any":
        return
    for kind, blocks in (("key", [*case.content.keys, *case.content.hidden]), ("text", case.content.texts)):
        for block in blocks:
            siblings = len(block.values)
            for text in dict.fromkeys(block.values):
                if not case.vocabulary.is_known(text, siblings):
                    detail = f"a {kind} of {len(text)} characters is not known; {siblings} of the kind are in one part"
                    yield case.refuse("text", block.find_path(text), detail)


def _check_label(case: Case) -> Iterator[Refusal]:
    """Refuse numeric keys that are cells of few records."""
    vocabulary, cells = case.vocabulary, case.matches.numbers
    if not cells and not case.matches.levels:
        return
    for block in case.content.labels:
        if _is_numbering(block.values, cells):
            continue
        for number in block.values:
            if str(number) in vocabulary.texts:
                continue
            if vocabulary.is_rare_number(number) or vocabulary.is_rare_label(number):
                detail = f"a numeric key is the value of fewer than {case.minimum} records"
                yield case.refuse("label", block.find_path(number), detail)


def _is_numbering(values: Any, cells: dict[float, int]) -> bool:
    """Whether labels are positions 0, 1, 2… of rows or bins. They are not if each is a value of the table: 0 and 1."""
    is_consecutive = isinstance(values, range) or all(value == i for i, value in enumerate(values))
    return is_consecutive and not (len(values) <= len(cells) and all(number in cells for number in values))


def _check_length(case: Case) -> Iterator[Refusal]:
    """Refuse an axis that is as long as a table, because it may have one entry per record."""
    lengths = case.record_counts
    if not lengths:
        return
    for axis in case.content.axes:
        if any(_is_as_long(axis.length, length) for length in lengths) and not _is_explained(axis, case):
            detail = f"a list, dict or dimension has {axis.length} entries, and a table has {max(lengths)} records"
            yield case.refuse("length", axis.path, detail)
    for block in case.content.texts:
        for text in block.values:
            count = count_numbers(text) if len(text) > min(lengths) else 0
            if count > 1 and count in lengths and not case.vocabulary.is_literal(text):
                detail = f"a text has {count} numbers, as many as a table has records"
                yield case.refuse("length", block.find_path(text), detail)


def _is_as_long(length: int, records: int) -> bool:
    """Whether a list may have an entry per record, also without the few records that miss a value."""
    return length == records or (records >= FEWEST_NEARLY and records * NEARLY <= length <= records + 1)


def _is_explained(axis: Axis, case: Case) -> bool:
    """Whether the length of an axis is known without the data: that of an argument, or of keys of the source."""
    if axis.length in case.known_values.lengths and axis.length <= case.policy.levels:
        return True
    if axis.length not in case.record_counts:  # nearly as long as a table, which also happens by chance
        columns = {len(table.columns) for table in case.matches.tables}
        numbers = {*case.known_values.numbers, *case.known_values.lengths, *columns}
        if not numbers.isdisjoint(range(axis.length - 1, axis.length + 2)):
            return True
    if axis.keys is None:
        columns_of_tables = {name for table in case.matches.tables for name in table.columns}
        texts = next((block.values for block in case.content.texts if block.path == axis.path), ())
        return len(set(texts)) == axis.length and columns_of_tables.issuperset(texts)  # a list of columns
    if isinstance(axis.keys, range) or hasattr(axis.keys, "dtype"):
        return False
    return all(_is_known_key(key, case) for key in axis.keys)


def _is_known_key(key: Any, case: Case) -> bool:
    number = read_number(key) if isinstance(key, str) else key if isinstance(key, (int, float)) else None
    if number is not None and number in case.known_values.numbers:
        return True
    return isinstance(key, str) and case.vocabulary.is_literal(key)


def _check_small(case: Case) -> Iterator[Refusal]:
    """Refuse counts of few records: the integers from 1 to the minimum, and such numbers in lists of whole numbers."""
    numbers = {n for n in range(1, case.minimum) if n not in case.known_values.numbers}
    if not numbers or not case.has_records:
        return
    for block, number in _find_counts(case, numbers):
        detail = f"a whole number from 1 to {case.minimum - 1} may be a number of records"
        yield case.refuse("small", block.find_path(number), detail)


def _check_zeros(case: Case) -> Iterator[Refusal]:
    if case.policy.zeros == "allow" or not case.has_records or 0 in case.known_values.numbers:
        return
    for block, number in _find_counts(case, {0}):
        yield case.refuse("zeros", block.find_path(number), "a whole number is 0, which may be a number of records")


def _find_counts(case: Case, numbers: set[int]) -> Iterator[tuple[Block, object]]:
    """Yield the blocks in which one of the numbers may be a count, and the number."""
    for block in case.content.numbers:
        for number in _list_counts(block, numbers, is_list=block.is_list or _has_labels(block, case)):
            yield block, number
    for block in case.content.texts:
        for text in set(block.values) & {str(number) for number in numbers}:
            yield block, text


def _has_labels(block: Block, case: Case) -> bool:
    """Whether the keys are labels of the data, such as levels: then all values have the same meaning, as in a list."""
    return block.keys is not None and len(block.keys) > 1 and not any(_is_known_key(key, case) for key in block.keys)


def _list_counts(block: Block, numbers: set[int], *, is_list: bool) -> Iterable[object]:
    """Return the numbers that a block contains as integers, or in a list of whole numbers."""
    values = block.values
    if hasattr(values, "dtype"):
        chosen: set[Any] = {number for number in numbers if (values == number).any()}
        if values.dtype.kind != "f" or not chosen:
            return chosen
        return chosen if _is_list_of_counts(values) and (values % 1 == 0).all() else ()
    chosen = numbers.intersection(values)
    if not chosen:
        return ()
    if is_list and _is_list_of_counts(values) and all(type(v) is int or v.is_integer() for v in values):
        return chosen
    return chosen & {value for value in values if type(value) is int}


def _is_list_of_counts(values: Any) -> bool:
    """Whether whole floats can be counts: several numbers, which are not all at most 1, as shares are."""
    return len(values) > 1 and max(values) > 1


def _check_echo(case: Case) -> Iterator[Refusal]:
    """Refuse numbers with decimals that are cells of few records, and lists of such integers."""
    rare = {n for n in case.matches.numbers if case.vocabulary.is_rare_number(n)}
    decimals = {sign * number for number in rare if not float(number).is_integer() for sign in (1, -1)}
    integers = {number for number in rare - decimals if abs(number) > case.row_count}
    if not rare:
        return
    for block in case.content.numbers:
        values = set(block.list_values())
        if echoes := values & decimals:
            detail = f"{len(echoes)} numbers are cells of fewer than {case.minimum} records"
            yield case.refuse("echo", block.find_path(next(iter(echoes))), detail)
        elif len(values) >= FEWEST_INTEGERS and values <= integers:
            detail = f"{len(values)} integers are cells of fewer than {case.minimum} records"
            yield case.refuse("echo", block.path, detail)


FEWEST_INTEGERS = 3
"""Different integers of a list or dict that are all rare cells, and so equal cells not by chance."""


def _check_extreme(case: Case) -> Iterator[Refusal]:
    """Refuse the minimum and maximum of a column. Integers up to the number of rows may equal them by chance."""
    rare = {
        number
        for number, records in case.matches.extremes.items()
        if records < case.minimum
        and abs(number) > case.row_count
        and number not in case.known_values.numbers
        and float(number).is_integer()
    }
    for block in case.content.numbers if rare else ():
        for number in rare.intersection(block.list_values()):
            detail = f"an integer is the least or greatest value of a column, of fewer than {case.minimum} records"
            yield case.refuse("extreme", block.find_path(number), detail)


_STATED_CELL = {"echo": 6, "extreme": 3}
"""Rule -> the significant digits from which a number with stated evidence is a cell, and not a rounded number that
equals one by chance. A column has two extremes and many other cells."""


def _check_stated_cells(case: Case) -> Iterator[Refusal]:
    """Refuse numbers with decimals for which the author has stated evidence, but which are cells of few records.

    The thresholds of a tree may be cells. They are declared with the parameters of the tree.
    """
    groups = case.evidence.groups
    stated = NumberSet(group.numbers for group in groups if _is_stated_without_model(group.evidence))
    counted = NumberSet(group.numbers for group in groups if not group.evidence.is_stated)
    rare = [n for n in case.matches.numbers if len(stated) and n % 1 and case.vocabulary.is_rare_number(n)]
    for block in case.whole.numbers if rare else ():
        for number in {sign * n for n in rare for sign in (1, -1)}.intersection(block.list_values()):
            if stated.find_first([number]) is None or counted.find_first([number]) is not None:
                continue
            is_extreme = any(0 < case.matches.extremes.get(n, 0) < case.minimum for n in (number, -number))
            rule = "extreme" if is_extreme else "echo"
            if _count_digits(number) >= _STATED_CELL[rule]:
                detail = f"a number with stated evidence is a cell of fewer than {case.minimum} records"
                yield case.refuse(rule, block.find_path(number), detail)


def _is_stated_without_model(evidence: Evidence) -> bool:
    return evidence.operation == "aggregate.derive" or (
        evidence.operation == "aggregate.declare" and not evidence.parameters
    )


def _count_digits(number: float) -> int:
    """Return the significant digits of a number."""
    return len(repr(abs(float(number))).partition("e")[0].replace(".", "").strip("0"))


def _check_numbers(case: Case) -> Iterator[Refusal]:
    """Refuse a result with many numbers for the cells of the tables."""
    tables = case.matches.tables
    if not tables or not case.has_records or any(table.rows is None for table in tables):
        return
    cells = sum((table.rows or 0) * max(len(table.columns), 1) for table in tables)
    limit = max(FEWEST_NUMBERS, case.policy.numbers * cells)
    texts = [text for block in case.content.texts for text in block.values if text not in case.vocabulary.texts]
    count = case.content.number_count + sum(map(count_numbers, texts))
    if count <= limit:
        return
    # An empty group adds zeros to a result, but no information about a record.
    count -= sum(map(_count_zeros, case.content.numbers))
    if count > limit:
        detail = f"the result has {count} numbers other than 0, of {cells} cells; the limit is {limit:.0f}"
        yield case.refuse("numbers", (), detail)


def _count_zeros(block: Block) -> int:
    values: Any = block.values
    return int((values == 0).sum()) if hasattr(values, "dtype") else list(values).count(0)


FIRST_RULES: tuple[Rule, ...] = (_check_rows, _check_unread, _check_kind, _check_bytes)
LAST_RULES: tuple[Rule, ...] = (
    _check_text, _check_label, check_undeclared, _check_length, _check_small, _check_zeros, _check_echo,
    _check_extreme, _check_stated_cells, _check_numbers,
)  # fmt: skip
"""The rules before and after those of evidence, in the order in which a message names them."""

OF_VALUES: tuple[Rule, ...] = (
    _check_kind,
    _check_text,
    _check_label,
    _check_length,
    _check_echo,
    _check_extreme,
    _check_stated_cells,
)
OF_COUNTS: tuple[Rule, ...] = (_check_small, _check_zeros)
OF_REPLIES: tuple[Rule, ...] = (_check_rows, _check_unread, _check_bytes)
OF_SIZES: tuple[Rule, ...] = (_check_numbers,)
"""The rules for a pooled function's reply: for each part, for each contribution, and for all parts together."""
