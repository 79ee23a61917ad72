"""Compare the results of a function on all rows, without a group of records, and on shuffled rows.

A value that depends on few records changes only without the groups that contain them. The worker compares, because it
needs numpy; the supervisor judges the changes, see ``probe_rules``. Both list the values in the same order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from algotools.disclosure._content import Block, Content, read_content
from algotools.disclosure.evidence import EvidenceIndex, select_undeclared
from algotools.disclosure.facts import Matches, ProbedValue, ProbeFacts
from algotools.disclosure.fingerprints import make_fingerprints
from algotools.payload import Key

if TYPE_CHECKING:
    import numpy as np

ResultParts = Sequence[Content]
"""The judged parts of a result: the result, or the contributions to totals and the result of a pooled function."""

MOST_VALUES = 20_000
"""Values of a result that are compared. A larger result is refused without a run."""

TOLERANCE = 1e-9
"""Two numbers are equal if they differ by at most this share: sums depend on the order of rows by rounding."""

_FLOOR = 1e-13
"""Numbers of a result that are this much smaller than its largest number are rounding errors, as of a sum of 0."""

_FEWEST_EQUAL = 0.5
"""Two numbers change alike if their changes are equal, and not 0, without at least this share of the groups."""

_NEIGHBOURS = 8
"""Numbers with which a number is compared after sorting the changes."""

_SORTINGS = 3


def split_result(content: Content, *, is_pooled: bool) -> list[tuple[str, Content]]:
    """Return the judged parts of a result, each with the name of the total or ``result``."""
    if not is_pooled:
        return [("result", content)]
    from algotools.disclosure import replies

    try:
        return [(part.name, part.content) for part in replies.split_reply(content)]
    except ValueError:
        return [("result", content)]


def list_blocks(content: Content) -> list[Block]:
    """Return the blocks of values that are probed: numbers, booleans and texts."""
    return [*content.numbers, *content.booleans, *content.texts]


def read_parts(result: bytes, *, is_pooled: bool) -> ResultParts:
    """Return the judged parts of an encoded result."""
    return [content for _, content in split_result(read_content(result), is_pooled=is_pooled)]


def count_values(parts: ResultParts) -> int:
    """Return the number of probed values of a result."""
    return sum(len(block.values) for content in parts for block in list_blocks(content))


def has_undeclared_values(parts: ResultParts, matches: Matches) -> bool:
    """Return whether a result has values without evidence."""
    index = EvidenceIndex(matches)
    return any(list_blocks(select_undeclared(content, index)) for content in parts)


def compare_results(
    parts: ResultParts,
    without_groups: Sequence[bytes | None],
    shuffled: Sequence[bytes | None],
    *,
    is_pooled: bool,
    key: bytes = b"",
    declared: bytes = b"",
) -> ProbeFacts:
    """Return how the values of a result change.

    Args:
        parts: the parts of the result on all rows.
        without_groups: for each group of records, the encoded result without its rows; None if the run has failed.
        shuffled: the encoded results on shuffled rows. A run that has failed depends on the order of rows.
        is_pooled: whether the results are replies of a pooled function.
        key: the key of the ledger; empty at a node without a ledger.
        declared: the numbers that have evidence with known rows, as float64 in little-endian order.
    """
    import numpy as np

    table = _ValueTable(parts)
    changed_results = [table.read(data, is_pooled=is_pooled) for data in without_groups if data is not None]
    orders = [table.numbers * np.nan if data is None else table.read(data, is_pooled=is_pooled) for data in shuffled]
    facts = ProbeFacts(groups=len(without_groups), usable_groups=len(changed_results))
    if not changed_results or not len(table.numbers):
        return facts
    changes = table.compare(np.array(changed_results))
    groups = (changes != 0).sum(axis=0)
    has_order = (table.compare(np.array(orders)) != 0).any(axis=0)
    magnitudes = np.sort(np.abs(changes), axis=0)
    totals = magnitudes.sum(axis=0)
    shares = np.divide(magnitudes[-2:].sum(axis=0), totals, out=np.zeros_like(totals), where=totals > 0)
    shares[~table.is_number] = 0
    pairs = _find_pairs(changes, table)
    columns = (groups.tolist(), shares.tolist(), has_order.tolist(), pairs.tolist())
    values = tuple(ProbedValue(*row) for row in zip(*columns, strict=True))
    is_undeclared = table.is_number & ~np.isin(table.numbers, np.frombuffer(declared, "<f8"))
    fingerprints = make_fingerprints(_iterate_changes(changes, without_groups, is_undeclared), key) if key else ()
    return ProbeFacts(groups=facts.groups, usable_groups=facts.usable_groups, values=values, fingerprints=fingerprints)


def _iterate_changes(
    changes: np.ndarray[Any, Any], without_groups: Sequence[bytes | None], is_chosen: np.ndarray[Any, Any]
) -> Iterator[list[float | None]]:
    """Yield for each chosen value its change without each group; None if the run has failed."""
    for column in changes.T[is_chosen].tolist():
        usable = iter(column)
        yield [None if result is None else next(usable) for result in without_groups]


class _BlockId(NamedTuple):
    """The place of a block in a result. It does not change with the number of keys or items before the block."""

    part: int
    kind: str
    path: tuple[object, ...]
    step: object
    occurrence: int


class _ValueTable:
    """The values of a result in one array, to which the values of other results are aligned by their paths."""

    def __init__(self, parts: ResultParts) -> None:
        import numpy as np

        self._blocks = _index_blocks(parts)
        self.numbers = _join([_to_floats(block.values) for block in self._blocks.values()])
        """The values. A text is represented by a checksum, a boolean by 0 or 1."""
        kinds = [np.full(len(block.values), key.kind == "number") for key, block in self._blocks.items()]
        self.is_number = np.concatenate(kinds) if kinds else np.zeros(0, dtype=bool)
        largest = np.abs(self.numbers[self.is_number]).max() if self.is_number.any() else 0.0
        self._floor = float(min(largest, 1e300)) * _FLOOR

    def read(self, data: bytes, *, is_pooled: bool) -> np.ndarray[Any, Any]:
        """Return the values of another result at the places of this one; NaN for a missing value."""
        blocks = _index_blocks(read_parts(data, is_pooled=is_pooled))
        return _join([_align(block, blocks.get(key)) for key, block in self._blocks.items()])

    def compare(self, results: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the changes from this result to other results; 0 for equal values. A missing value changes to 0."""
        import numpy as np

        with np.errstate(over="ignore", invalid="ignore"):
            changes = self.numbers - np.nan_to_num(results)
            limits = np.maximum(
                np.maximum(np.abs(self.numbers), np.abs(np.nan_to_num(results))) * TOLERANCE, self._floor
            )
            changes[np.abs(changes) <= limits] = 0
        is_missing = np.isnan(results) & (changes == 0)
        changes[is_missing] = 1  # a 0 that is missing
        return np.asarray(changes)


def _join(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.concatenate(arrays) if arrays else np.zeros(0)


def _index_blocks(parts: ResultParts) -> dict[_BlockId, Block]:
    blocks: dict[_BlockId, Block] = {}
    for part, content in enumerate(parts):
        kinds = (("number", content.numbers), ("boolean", content.booleans), ("text", content.texts))
        for kind, own_blocks in kinds:
            for block in own_blocks:
                path = tuple(step.key if isinstance(step, Key) else step for step in block.path)
                key = _BlockId(part, kind, path, block.step.key if isinstance(block.step, Key) else block.step, 0)
                while key in blocks:
                    key = key._replace(occurrence=key.occurrence + 1)
                blocks[key] = block
    return blocks


def _align(block: Block, counterpart: Block | None) -> np.ndarray[Any, Any]:
    """Return the values of another block at the places of a block; NaN for a missing value."""
    import numpy as np

    aligned = np.full(len(block.values), np.nan)
    if counterpart is None:
        return aligned
    labels, other_labels = _list_labels(block), _list_labels(counterpart)
    values = _to_floats(counterpart.values)
    if labels is None or other_labels is None:
        count = min(len(aligned), len(values))
        aligned[:count] = values[:count]
        return aligned
    by_label = dict(zip(other_labels, values, strict=True))
    return np.array([by_label.get(label, np.nan) for label in labels], dtype=np.float64)


def _list_labels(block: Block) -> list[object] | None:
    """Return the key or the position of each value; None if the values are all items of a list."""
    if block.keys is None:
        return None if block.positions is None else list(block.positions)
    keys = block.keys.tolist() if hasattr(block.keys, "tolist") else list(block.keys)
    labels = keys if block.positions is None else [keys[position] for position in block.positions]
    return labels if len(set(map(str, labels))) == len(labels) else None


def _to_floats(values: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    if hasattr(values, "dtype"):
        return np.asarray(values, dtype=np.float64)
    return np.array([_to_float(value) for value in values], dtype=np.float64)


def _to_float(value: object) -> float:
    if isinstance(value, str):
        return float(zlib.crc32(value.encode(errors="surrogatepass")))
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:  # an integer, which the rule `kind` refuses
        return 1e300


def _find_pairs(changes: np.ndarray[Any, Any], table: _ValueTable) -> np.ndarray[Any, Any]:
    """Return for each number the fewest groups by which its changes differ from those of a number that changes alike.

    Sorting by the changes without some groups makes numbers neighbours that change alike without these groups.
    """
    import numpy as np

    pairs = np.zeros(len(table.numbers), dtype=np.int64)
    chosen = np.flatnonzero(table.is_number & ((changes != 0).mean(axis=0) >= _FEWEST_EQUAL))
    vectors = changes[:, chosen]
    group_count = len(vectors)
    if len(chosen) < 2:
        return pairs
    with np.errstate(divide="ignore"):
        digits = np.where(vectors == 0, 0, 8 - np.floor(np.log10(np.abs(np.where(vectors == 0, 1, vectors)))))
    rounded = np.round(vectors * 10.0 ** np.clip(digits, -300, 300))
    starts = {group_count * i // _SORTINGS for i in range(_SORTINGS)}
    for start in starts:
        order = np.lexsort(np.roll(rounded, -start, axis=0)[::-1])
        for distance in range(1, min(_NEIGHBOURS, len(chosen) - 1) + 1):
            first, second = order[:-distance], order[distance:]
            a, b = vectors[:, first], vectors[:, second]
            is_equal = np.abs(a - b) <= np.maximum(np.abs(a), np.abs(b)) * TOLERANCE * 10
            different = group_count - is_equal.sum(axis=0)
            alike = (is_equal & (a != 0)).sum(axis=0) >= group_count * _FEWEST_EQUAL
            numbers = table.numbers[chosen]
            is_pair = alike & (different > 0) & (numbers[first] != numbers[second])
            for side in (first, second):
                for position, count in zip(chosen[side[is_pair]], different[is_pair], strict=True):
                    pairs[position] = min(pairs[position] or count, count)
    return pairs
