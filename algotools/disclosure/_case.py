"""What a rule of the gate compares, and the refusal that it returns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from algotools.disclosure._content import Content
from algotools.disclosure._texts import list_numbers_of_text
from algotools.disclosure._vocabulary import Vocabulary
from algotools.disclosure.evidence import EvidenceIndex, select_undeclared
from algotools.disclosure.facts import Known, Matches
from algotools.disclosure.policy import Policy
from algotools.payload import Path, show_path

WAYS_OUT = {
    "rows": "use a node or a query with more records",
    "unread": "request the data as a table, or ask the node's owner for UNREAD=allow",
    "kind": "return counts, sums or other numbers, see docs/concepts/gate.md#kind",
    "bytes": "return fewer or rounder numbers",
    "threshold": "merge small groups, or leave them out",
    "dominance": "reduce more records, or leave the largest out, see docs/concepts/gate.md#dominance",
    "parameters": "fit fewer parameters, or use more records, see docs/concepts/gate.md#parameters",
    "difference": "return only one of them",
    "margin": "leave the total out, or merge the small groups, see docs/concepts/gate.md#margin",
    "text": "return texts of the source, arguments, columns or frequent levels, see docs/concepts/gate.md#text",
    "label": "use keys that are arguments, or merge rare groups",
    "undeclared": "use algotools.aggregate, or aggregate.derive for computed numbers, "
    "see docs/concepts/gate.md#undeclared",
    "length": "return sums, see docs/concepts/gate.md#length",
    "numbers": "return fewer numbers, see docs/concepts/gate.md#numbers",
    "echo": "return a sum or a mean over more records, see docs/concepts/gate.md#echo",
    "extreme": "return a count below a limit that is an argument, see docs/concepts/gate.md#extreme",
    "small": "merge small groups, or leave them out",
    "zeros": "leave empty groups out",
    "few": "reduce more records, or use algotools.aggregate, see docs/concepts/probing.md#few",
    "order": "make the result independent of the order of rows, see docs/concepts/probing.md#order",
    "pair": "return only one of the numbers, see docs/concepts/probing.md#pair",
    "large": "return fewer numbers, or reduce the records with algotools.aggregate",
    "unprobed": "reduce the records with algotools.aggregate, see docs/concepts/probing.md#unprobed",
}
"""Rule -> what the author can do, in one line."""


class Refusal(NamedTuple):
    """The reason why a result may not leave."""

    rule: str
    path: str
    """The path to the part of the result. It shows no key that could be a value."""
    way_out: str
    detail: str
    """The limit and the measured numbers, for the node's owner."""


class Case(NamedTuple):
    """What a rule compares."""

    content: Content
    """The values without evidence, and their lengths."""
    whole: Content
    """All values."""
    known_values: Known
    matches: Matches
    policy: Policy
    vocabulary: Vocabulary
    evidence: EvidenceIndex
    root: str = "result"
    """The name of the judged value in messages."""

    @property
    def minimum(self) -> int:
        """The fewest records of a number."""
        return self.policy.minimum_cell

    @property
    def row_count(self) -> int:
        """The most rows of a table."""
        return max((table.rows or 0 for table in self.matches.tables), default=0)

    @property
    def record_counts(self) -> set[int]:
        """The numbers of rows and persons of the tables, without 0."""
        return {count for table in self.matches.tables for count in (table.rows, table.persons) if count}

    @property
    def has_records(self) -> bool:
        """Whether a table has rows, or may have rows. The result of an empty table concerns no person."""
        return any(table.rows != 0 for table in self.matches.tables)

    @classmethod
    def of(cls, content: Content, known_values: Known, matches: Matches, policy: Policy) -> Case:
        """Return the case of a whole result."""
        vocabulary = Vocabulary(known_values, matches, policy)
        return cls(content, content, known_values, matches, policy, vocabulary, EvidenceIndex(matches)).select(content)

    def select(self, content: Content, root: str = "result") -> Case:
        """Return the case of a part of the result."""
        undeclared_part = select_undeclared(content, self.evidence, self.known_values.numbers)
        return self._replace(content=undeclared_part, whole=content, root=root)

    def has_evidence(self, text: str) -> bool:
        """Whether all numbers in a text have evidence."""
        return all(self.evidence.numbers.find_mask(sorted(set(map(abs, list_numbers_of_text(text))))))

    def refuse(self, rule: str, path: Path, detail: str) -> Refusal:
        """Return the refusal of a part."""
        return Refusal(rule, self.show(path), WAYS_OUT[rule], detail)

    def show(self, path: Path) -> str:
        """Return the path to a part as text, without keys that could be values."""
        text = show_path(path, self.vocabulary.texts, self.root)
        if path and " " in self.root:  # "['f'] of the count in line 11", not "the count in line 11['f']"
            return f"{text.removeprefix(self.root)} of {self.root}"
        return text


Rule = Callable[[Case], Iterator[Refusal]]


def apply(rules: Iterable[Rule], case: Case) -> Iterator[Refusal]:
    """Yield the first refusal of each rule."""
    for rule in rules:
        yield from itertools.islice(rule(case), 1)
