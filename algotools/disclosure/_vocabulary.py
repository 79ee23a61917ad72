"""Whether a text consists of texts that the researcher knows: of the source, arguments, columns and frequent levels.

A text is known if it is a chain of *pieces*: known texts, levels that enough records have, numbers that are not cells
of few records, and punctuation. So the text of an f-string such as ``f"{column}_mean"`` is known. Two rules prevent
that short pieces spell any text:

* Numbers, dates and values of the table that few records have are *atoms*: no piece begins or ends inside of an atom.
* A piece with fewer than three letters may not touch another letter: "a" and "n" do not spell "Anna".

The search is a scan from left to right over the ends of chains. At each end it compares the few known texts that begin
with the next two characters, so its time is proportional to the length of the text.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from algotools.disclosure._texts import ATOM, CONSTANTS, iterate_parts, list_number_texts, read_atom
from algotools.disclosure.facts import Known, Matches
from algotools.disclosure.policy import Policy

_MIDNIGHT = re.compile(r"[T ]00:00(?::00(?:\.0+)?)?(?:Z|\+00:?00)?$")
_QUARTER = re.compile(r"q[1-4](?!\w)")
LIBRARY_LABELS = frozenset({
    # pandas' describe, aggregations, margins and names of levels
    "count", "mean", "std", "min", "max", "sum", "median", "var", "sem", "prod", "size", "nunique", "unique", "top",
    "freq", "proportion", "first", "last", "all", "index", "level_0", "level_1",
    # the intercept of statsmodels
    "const", "intercept",
})  # fmt: skip
"""Labels that libraries write, in lower case. They are the same for every table, so they disclose nothing."""


FEWEST_LETTERS = 3
"""A piece with fewer letters and digits may not touch another letter."""


class Atom(NamedTuple):
    """A number, a date or a rare value in a text."""

    start: int
    end: int
    is_public: bool


class _Piece(NamedTuple):
    """A known text in lower case, of which other texts may consist."""

    text: str
    is_short: bool


class Vocabulary:
    """The known texts of one result or one message.

    Args:
        known_values: the values that the researcher knows before the task.
        matches: facts about the tables, the numbers and the parts of texts.
        policy: the limits of the node's owner.
    """

    def __init__(self, known_values: Known, matches: Matches, policy: Policy) -> None:
        self._exact = known_values.texts.union(matches.texts) if matches.texts else known_values.texts
        self._numbers = known_values.numbers
        self._matches = matches
        self._minimum = policy.minimum_cell
        self._levels: set[str] = set()
        self._rare: set[str] = set()
        for facts in matches.levels:
            is_category = facts.level_count <= min(policy.levels, policy.levels_density * facts.row_count)
            for text, records in facts.records.items():
                (self._levels if is_category and records >= self._minimum else self._rare).add(text)
        self._levels.update(text for text, records in matches.texts_with_evidence.items() if records >= self._minimum)
        self._rare -= self._levels

    @property
    def texts(self) -> Collection[str]:
        """The texts of the source, the arguments and the columns, which a path may show."""
        return self._exact

    def is_literal(self, text: str) -> bool:
        """Whether the text is known without the data, unchanged or as a chain of known texts and punctuation."""
        return text in self._exact or text.lower() in LIBRARY_LABELS or self._is_chain(text, is_literal=True)

    def is_level(self, text: str) -> bool:
        """Whether the text is a level of enough records."""
        return text in self._levels

    def is_known(self, text: str, siblings: int = 0) -> bool:
        """Whether the text consists of known texts.

        Args:
            text: a value or a key of a result.
            siblings: number of texts in the same container; whole numbers up to it count the container's items.
        """
        if text in self._exact or text in self._levels:
            return True
        lower = text.lower()
        if text in self._rare:
            return False
        if lower in LIBRARY_LABELS or lower in CONSTANTS or not text.strip():
            return True
        return self._is_chain(text, siblings=siblings)

    def is_rare_number(self, number: float) -> bool:
        """Whether a number is a cell of few records, and not an argument."""
        if number in self._numbers or -number in self._numbers:
            return False
        return any(0 < self._matches.numbers.get(value, 0) < self._minimum for value in (number, -number))

    def is_rare_label(self, number: float) -> bool:
        """Whether a number is the text of a value of few records, and not an argument."""
        if not self._rare or number in self._numbers:
            return False
        return bool(list_number_texts(number) & self._rare - self._exact)

    def _is_chain(self, text: str, *, siblings: int = 0, is_literal: bool = False) -> bool:
        atoms = list(self._find_atoms(text, siblings, is_literal=is_literal))
        closed = bytearray(len(text) + 1)  # positions at which no piece begins or ends
        ends: dict[int, int] = {}
        for atom in atoms:
            closed[atom.start + 1 : atom.end] = b"\1" * max(atom.end - atom.start - 1, 0)
            if atom.is_public:
                ends[atom.start] = atom.end
            elif ends.get(atom.start) == atom.end:  # a number that is also a text of few records
                del ends[atom.start]
        folded = text.lower()
        if len(folded) != len(text):
            folded = text
        indexes = [_index_pieces(self._exact)]
        if self._levels and not is_literal:
            indexes.append(_index_pieces(frozenset(self._levels)))
        reached = bytearray(len(text) + 1)
        reached[0] = 1
        farthest = 0
        for start in range(len(text)):
            if start > farthest:
                return False
            if not reached[start]:
                continue
            for end in _iterate_ends(folded, start, ends, indexes):
                if not closed[end]:
                    reached[end] = 1
                    farthest = max(farthest, end)
        return bool(reached[len(text)])

    def _find_atoms(self, text: str, siblings: int, *, is_literal: bool) -> Iterator[Atom]:
        for match in ATOM.finditer(text):
            is_public = False if is_literal else self._is_public_atom(match, siblings)
            yield Atom(match.start(), match.end(), is_public)
        for start, end in iterate_parts(text) if self._rare else ():
            part = text[start:end]
            if part not in self._rare or part in self._exact or part.lower() in LIBRARY_LABELS:
                continue
            if not (part.isdecimal() and (int(part) <= siblings or int(part) in self._numbers)):
                yield Atom(start, end, is_public=False)

    def _is_public_atom(self, match: re.Match[str], siblings: int) -> bool:
        text = match[0]
        if match.lastgroup == "date":
            day = _MIDNIGHT.sub("", text)
            return any(part in self._exact or part in self._levels for part in (text, day))
        numbers = read_atom(match)
        if not numbers:
            return False
        following = match.string[match.end() : match.end() + 1]
        (number, *_) = numbers
        if number.is_integer() and (number <= siblings or (following == "%" and number <= 100)):
            return True
        return not any(map(self.is_rare_number, numbers))


def _touches_letters(text: str, start: int, end: int) -> bool:
    """Whether a letter of a piece touches a letter outside of the piece."""
    before = start > 0 and text[start - 1].isalpha() and text[start].isalpha()
    return before or (end < len(text) and text[end].isalpha() and text[end - 1].isalpha())


@functools.lru_cache(maxsize=8)
def _index_pieces(texts: frozenset[str]) -> dict[str, list[_Piece]]:
    """Return texts in lower case by their first two characters, or by the only one. Lines of a log share the index."""
    pieces: dict[str, list[_Piece]] = {}
    for text in {*map(str.lower, texts), *LIBRARY_LABELS, *CONSTANTS}:
        if count := sum(map(str.isalnum, text)):
            pieces.setdefault(text[:2], []).append(_Piece(text, count < FEWEST_LETTERS))
    return pieces


def _iterate_ends(
    text: str, start: int, atoms: dict[int, int], indexes: list[dict[str, list[_Piece]]]
) -> Iterator[int]:
    """Yield the ends of the pieces that begin at a position."""
    if not text[start].isalnum():
        yield start + 1
    if start in atoms:
        yield atoms[start]
    if _QUARTER.match(text, start) and text[start - 4 : start].isdecimal():
        yield start + 2
    for pieces, prefix in itertools.product(indexes, {text[start : start + 2], text[start]}):
        for piece in pieces.get(prefix, ()):
            if text.startswith(piece.text, start):
                end = start + len(piece.text)
                if not piece.is_short or not _touches_letters(text, start, end):
                    yield end
