"""The evidence of a result by value, and the part of the result that has no evidence.

A reduction returns plain numbers and texts. The worker reports the evidence of those that the result contains, and this
module finds them again. A number that equals several reduced numbers by chance has the evidence of all of them, so the
weakest decides.

The numbers of a large result are compared with numpy, which its image has. A small result does not import numpy.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from algotools.disclosure._content import Axis, Block, Content
from algotools.disclosure._texts import list_number_texts
from algotools.disclosure.facts import Matches, NumbersWithEvidence
from algotools.payload import Path

_FEW = 10_000
"""Numbers up to which they are compared without numpy."""

_BYTES = 8
"""Bytes of a float64."""


class NumberSet:
    """A set of reduced numbers.

    Args:
        parts: the numbers as float64 in little-endian order.
    """

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._data = b"".join(parts)

    def __len__(self) -> int:
        return len(self._data) // _BYTES

    @functools.cached_property
    def _numbers(self) -> frozenset[float]:
        return frozenset(struct.unpack(f"<{len(self)}d", self._data))

    def find_mask(self, values: Any) -> Sequence[bool] | Any:
        """Return for each of the values whether it is in the set: a list, or an array of numpy."""
        if not len(self):
            return [False] * len(values)
        if not hasattr(values, "dtype") and len(values) + len(self) <= _FEW:
            return [value in self._numbers for value in values]
        import numpy as np

        try:
            array = np.asarray(values, dtype=np.float64)
        except OverflowError:  # an integer that no float contains, which no reduction has returned
            return [value in self._numbers for value in values]
        if np.array_equal(array, np.frombuffer(self._data, dtype="<f8")):  # the reduced array itself
            return np.ones(len(array), dtype=bool)
        positions = np.searchsorted(self._sorted, array)
        positions[positions == len(self._sorted)] = 0
        return self._sorted[positions] == array

    @functools.cached_property
    def _sorted(self) -> Any:
        import numpy as np

        return np.unique(np.frombuffer(self._data, dtype="<f8"))

    def find_first(self, values: Any) -> int | None:
        """Return the position of the first value that is in the set; None if there is none."""
        mask: Any = self.find_mask(values)
        if hasattr(mask, "dtype"):
            return int(mask.argmax()) if mask.any() else None
        return mask.index(True) if True in mask else None


class EvidenceIndex:
    """The numbers and texts of one result that have evidence."""

    def __init__(self, matches: Matches) -> None:
        self.groups: tuple[NumbersWithEvidence, ...] = matches.evidence
        self.texts = matches.texts_with_evidence
        """Text -> number of its records."""
        self.numbers = NumberSet(group.numbers for group in matches.evidence)
        """All numbers with evidence."""

    @property
    def is_empty(self) -> bool:
        """Whether no value has evidence."""
        return not self.groups and not self.texts

    def covers_labels(self, block: Block) -> bool:
        """Whether all numeric labels of a block have evidence, as numbers or as texts."""
        mask = self.numbers.find_mask(block.values)
        if hasattr(mask, "all"):
            return bool(mask.all())
        return all(
            is_covered or not self.texts.keys().isdisjoint(list_number_texts(value))
            for value, is_covered in zip(block.values, mask, strict=True)
        )


def select_undeclared(content: Content, index: EvidenceIndex, known_numbers: Collection[float] = ()) -> Content:
    """Return the part of a content that has no evidence. The structural rules judge this part only.

    The length of a list, dict or dimension belongs to the part if one of its values has no evidence.

    Args:
        content: the content of a result.
        index: the evidence of the result.
        known_numbers: numbers that the researcher knows; they explain numeric keys.
    """
    if index.is_empty:
        return content
    paths = _Paths()
    numbers = [
        remainder
        for block in content.numbers
        if (remainder := paths.split(block, index.numbers.find_mask(block.values))) is not None
    ]
    texts = [
        remainder for block in content.texts if (remainder := paths.split(block, _mask_texts(block, index))) is not None
    ]
    labels = []
    for block in content.labels:
        if not index.covers_labels(block):
            labels.append(block)
            if not is_numbering(block.values) and any(value not in known_numbers for value in block.values):
                paths.add_undeclared(block.path)
    keys = [
        remainder
        for block in content.keys
        if (remainder := _Paths().split(block, _mask_texts(block, index))) is not None
    ]
    for path in (*(block.path for block in content.booleans), *content.bytes):
        paths.add_undeclared(path)
    return content._replace(
        numbers=numbers,
        texts=texts,
        keys=keys,
        labels=labels,
        axes=[axis for axis in content.axes if not paths.covers(axis)],
        hidden=[
            remainder
            for block in content.hidden
            if (remainder := _Paths().split(block, _mask_texts(block, index))) is not None
        ],
    )


def find_texts(content: Content, texts: Collection[str]) -> Iterator[tuple[Path, str]]:
    """Yield the values, keys and labels of a content that are in *texts*, with their paths."""
    for block in (*content.texts, *content.keys, *content.hidden):
        for text in block.values:
            if text in texts:
                yield block.find_path(text), text
    for block in content.labels:
        for value in block.values:
            for text in list_number_texts(value):
                if text in texts:
                    yield block.find_path(value), text


def is_numbering(values: Any) -> bool:
    """Whether labels are consecutive positions of rows, bins or orders, from 0 or from 1."""
    if isinstance(values, range):
        return values.step == 1 and values.start in (0, 1)
    start = values[0] if len(values) else 0
    return start in (0, 1) and all(value == i for i, value in enumerate(values, start=int(start)))


def _mask_texts(block: Block, index: EvidenceIndex) -> Sequence[bool]:
    return [text in index.texts for text in block.values]


class _Paths:
    """The paths of a result below which values have evidence, and those below which values have none."""

    def __init__(self) -> None:
        self._declared: set[Path] = set()
        self._undeclared: set[Path] = set()

    def add_undeclared(self, path: Path) -> None:
        """Remember a value without evidence."""
        self._undeclared.update(_list_prefixes(path))

    def split(self, block: Block, mask: Any) -> Block | None:
        """Return the values of a block that have no evidence; None if all have evidence."""
        count = int(mask.sum()) if hasattr(mask, "sum") else sum(mask)
        if count:
            self._declared.update(_list_prefixes(block.path))
        if count == len(block.values):
            return None
        self.add_undeclared(block.path)
        if not count:
            return block
        if hasattr(mask, "dtype"):
            return block.select((~mask).nonzero()[0].tolist())
        return block.select([index for index, has_evidence in enumerate(mask) if not has_evidence])

    def covers(self, axis: Axis) -> bool:
        """Whether all values along an axis have evidence."""
        return axis.path in self._declared and axis.path not in self._undeclared


def _list_prefixes(path: Path) -> Iterator[Path]:
    for length in range(len(path) + 1):
        yield tuple(path[:length])
