"""The values of a result that leave a node: their paths, kinds and evidence, and no value.

The check of a project shows them for a trial call, and an image has them as a label.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Union

import msgspec

from algotools.disclosure._content import Block, Content
from algotools.disclosure._ledger_record import list_parts, read_numbers
from algotools.disclosure.evidence import is_numbering
from algotools.disclosure.facts import Matches
from algotools.disclosure.gate import RunFacts
from algotools.payload import Path, show_path

KNOWN = "known"
"""The evidence of a text in the algorithm's source, in an argument, or of a column's name: it is public."""

_KINDS = {
    "table": "count",
    "histogram": "count",
    "cross_product": "cross product",
    "moments": "moment",
    "by_group": "group value",
    "declare": "declared number",
    "suppress": "declared number",
    "derive": "derived number",
}
"""Reduction -> the kind of its numbers. For the other reductions, the kind is the name."""

_Place = tuple[str, str, Union[str, None]]


class LeavingValues(msgspec.Struct, frozen=True, kw_only=True):
    """Values of a result with the same path, kind and evidence."""

    path: str
    """The path, from ``result`` or a total such as ``the sum in line 12``. ``[*]`` represents all positions of a list,
    and all keys that could be values of the data."""
    kind: str
    """A reduction, such as ``count`` or ``sum``; without evidence ``number``, ``text``, ``key``, ``boolean`` or
    ``binary value``."""
    evidence: Union[str, None] = None
    """The reduction, as the author calls it: ``aggregate.sum``; ``known`` for a public text; None without evidence."""
    count: int = 1
    """How many values there are."""


def list_leaving_values(facts: RunFacts) -> tuple[LeavingValues, ...]:
    """Return the values of a judged result, in the order of their types. A pooled function has a part per total."""
    matches = facts.matches or Matches()
    operations: dict[float, str] = {}
    for item in matches.evidence:
        operations.update(dict.fromkeys(read_numbers(item), item.evidence.operation))
    counts: dict[_Place, int] = {}
    for root, content, known_texts in list_parts(facts):
        reader = _PlaceReader(root, operations, matches, known_texts)
        for kind_of_value, count in reader.list_places(content):
            counts[kind_of_value] = counts.get(kind_of_value, 0) + count
    return tuple(
        LeavingValues(path=path, kind=kind, evidence=evidence, count=count)
        for (path, kind, evidence), count in counts.items()
    )


class _PlaceReader(NamedTuple):
    """Finds the paths, kinds and evidence of values."""

    root: str
    operations: Mapping[float, str]
    """Number with evidence -> the reduction."""
    matches: Matches
    known_texts: Collection[str]

    def list_places(self, content: Content) -> Iterator[tuple[_Place, int]]:
        """Yield paths, kinds and evidence with the number of values; a path can occur several times."""
        for block in content.numbers:
            values = block.list_values()
            for path, value in zip(self._show_paths(block, len(values)), values, strict=True):
                operation = self.operations.get(value)
                yield (path, _name_kind(operation) if operation else "number", operation), 1
        for block in content.texts:
            for path, text in zip(self._show_paths(block, len(block.values)), block.values, strict=True):
                yield (path, "text", self._find_evidence(text)), 1
        for block in (*content.keys, *content.hidden):
            for text in block.values:
                if text not in self.known_texts:
                    yield (f"{self._show(block.path)}[*]", "key", self._find_evidence(text)), 1
        for block in content.labels:
            if not is_numbering(block.values):
                evidence = {self.operations.get(float(value)) for value in block.values}
                operation = evidence.pop() if len(evidence) == 1 else None
                yield (f"{self._show(block.path)}[*]", "key", operation), len(block.values)
        for block in content.booleans:
            for path in self._show_paths(block, len(block.values)):
                yield (path, "boolean", None), 1
        for bytes_path in content.bytes:
            yield (self._show(bytes_path), "binary value", None), 1

    def _find_evidence(self, text: str) -> str | None:
        if text in self.matches.texts_with_evidence:
            return "aggregate.levels"
        return KNOWN if text in self.known_texts else None

    def _show_paths(self, block: Block, count: int) -> Iterator[str]:
        """Yield the path of each value of a block. In a list or an array, all values have one path."""
        is_uniform = block.keys is None and count > 0
        first = self._show(block.get_path(0)) if is_uniform else ""
        for index in range(count):
            yield first if is_uniform else self._show(block.get_path(index))

    def _show(self, path: Path) -> str:
        """Return a path without positions and without keys that could be values."""
        steps = []
        for step in path:
            is_known = not isinstance(step, int) and isinstance(step.key, str) and step.key in self.known_texts
            steps.append(show_path((step,), self.known_texts, root="") if is_known else "[*]")
        return f"{self.root}{''.join(steps)}"


def _name_kind(operation: str) -> str:
    name = operation.rpartition(".")[2]
    return _KINDS.get(name, name)
