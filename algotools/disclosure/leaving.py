"""The values of a result that leave a node: their paths, kinds and evidence, and no value.

The check of a project shows them for a trial call, and an image has them as a label.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Union

import msgspec

from algotools.disclosure._content import Block
from algotools.disclosure._ledger_record import read_numbers
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
    """The path; ``[*]`` stands for all positions of a list, and for all keys that could be values of the data."""
    kind: str
    """A reduction, such as ``count`` or ``sum``; without evidence ``number``, ``text``, ``key``, ``boolean`` or
    ``binary value``."""
    evidence: Union[str, None] = None
    """The reduction, as the author calls it: ``aggregate.sum``; ``known`` for a public text; None without evidence."""
    count: int = 1
    """How many values there are."""


def list_leaving_values(facts: RunFacts) -> tuple[LeavingValues, ...]:
    """Return the values of a judged result, in the order of their types."""
    counts: dict[_Place, int] = {}
    for place, count in _list_places(facts, facts.matches or Matches()):
        counts[place] = counts.get(place, 0) + count
    return tuple(
        LeavingValues(path=path, kind=kind, evidence=evidence, count=count)
        for (path, kind, evidence), count in counts.items()
    )


def _list_places(facts: RunFacts, matches: Matches) -> Iterator[tuple[_Place, int]]:
    """Yield paths, kinds and evidence with the number of values, in which a path can occur several times."""
    content, known_texts = facts.content, facts.known_texts
    if content is None:
        return
    operations: dict[float, str] = {}
    for item in matches.evidence:
        operations.update(dict.fromkeys(read_numbers(item), item.evidence.operation))
    for block in content.numbers:
        values = block.values.tolist() if hasattr(block.values, "tolist") else block.values
        paths = _show_paths(block, len(values), known_texts)
        for path, value in zip(paths, values, strict=True):
            operation = operations.get(value)
            yield (path, _name_kind(operation) if operation else "number", operation), 1
    for block in content.texts:
        for path, text in zip(_show_paths(block, len(block.values), known_texts), block.values, strict=True):
            yield (path, "text", _find_evidence(text, matches, known_texts)), 1
    for block in (*content.keys, *content.hidden):
        path = f"{_show(block.path, known_texts)}[*]"
        for text in block.values:
            if text not in known_texts:
                yield (path, "key", _find_evidence(text, matches, known_texts)), 1
    for block in content.labels:
        if not is_numbering(block.values):
            path = f"{_show(block.path, known_texts)}[*]"
            evidence = {operations.get(float(value)) for value in block.values}
            yield (path, "key", evidence.pop() if len(evidence) == 1 else None), len(block.values)
    for block in content.booleans:
        for path in _show_paths(block, len(block.values), known_texts):
            yield (path, "boolean", None), 1
    for place in content.bytes:
        yield (_show(place, known_texts), "binary value", None), 1


def _name_kind(operation: str) -> str:
    name = operation.rpartition(".")[2]
    return _KINDS.get(name, name)


def _find_evidence(text: str, matches: Matches, known_texts: Collection[str]) -> str | None:
    if text in matches.texts_with_evidence:
        return "aggregate.levels"
    return KNOWN if text in known_texts else None


def _show_paths(block: Block, count: int, known_texts: Collection[str]) -> Iterator[str]:
    """Yield the path of each value of a block. In a list or an array, all values have one path."""
    is_uniform = block.keys is None and count > 0
    first = _show(block.get_path(0), known_texts) if is_uniform else ""
    for index in range(count):
        yield first if is_uniform else _show(block.get_path(index), known_texts)


def _show(path: Path, known_texts: Collection[str]) -> str:
    """Return a path without positions and without keys that could be values."""
    steps = []
    for step in path:
        is_known = not isinstance(step, int) and isinstance(step.key, str) and step.key in known_texts
        steps.append(show_path((step,), known_texts, root="") if is_known else "[*]")
    return f"result{''.join(steps)}"
