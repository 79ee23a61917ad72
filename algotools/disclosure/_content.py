"""The content of a result: its numbers, texts, labels and lengths, in blocks, with their paths.

A *block* has the numbers or the texts of one list, dict or array. So a result of a million numbers has few blocks, and
each rule judges a block at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Union

from algotools.disclosure._texts import CONSTANTS, list_numbers_of_text, list_parts_of_text, read_number, read_numbers
from algotools.payload import Key, OutlineArray, OutlineEntries, OutlineTight, Path, name_key, read_outline

LARGEST_INTEGER = 2**53
"""Integers up to here are exact in a float. A larger integer can contain more than one number."""

Keys = Union[Sequence[Any], Any]
"""The keys of a dict, the labels of a table's rows, or the positions of a list: a sequence or an array of numpy."""


class Block(NamedTuple):
    """Values of one container: numbers or texts."""

    path: Path
    values: Any
    """A sequence, or a flat array of numpy."""
    keys: Keys | None = None
    """For a dict, the key of each value."""
    positions: Sequence[int] | None = None
    """The position of each value, if the container has other values, too."""
    is_list: bool = True
    """Whether the container is a list or an array, whose values have the same meaning."""
    step: Key | None = None
    """For a list of dicts with the same keys, the key of the values. The container is the list."""

    def find_path(self, value: object) -> Path:
        """Return the path to the first occurrence of a value."""
        return self.get_path(self.list_values().index(value))

    def list_values(self) -> Sequence[Any]:
        """Return the values as objects of Python."""
        return _to_python(self.values)

    def select(self, indexes: Sequence[int]) -> Block:
        """Return a block with some of the values."""
        values = self.values[indexes] if hasattr(self.values, "dtype") else [self.values[index] for index in indexes]
        positions = indexes if self.positions is None else [self.positions[index] for index in indexes]
        return self._replace(values=values, positions=positions)

    def get_path(self, index: int) -> Path:
        """Return the path to a value of the block."""
        position = index if self.positions is None else self.positions[index]
        if self.step is not None:
            return (*self.path, position, self.step)
        if self.keys is not None:
            return (*self.path, Key(_name(self.keys[position]), position))
        return self.path if isinstance(self.path, _ArrayPath) else (*self.path, position)


class _ArrayPath(tuple):  # type: ignore[type-arg]  # noqa: SLOT001 - a path with a mark
    """The path to a single value, or to an array of several dimensions: the position of a value is not shown."""


class Axis(NamedTuple):
    """The length of a list, a dict, or a dimension of an array."""

    path: Path
    length: int
    keys: Keys | None = None
    """For a dict, its keys. A dict with the keys of the source is not an axis."""


class Content(NamedTuple):
    """The content of one result."""

    size: int
    """Bytes of the encoding."""
    numbers: list[Block]
    """Numbers that are values. NaN and infinity are not among them."""
    texts: list[Block]
    """Texts that are values."""
    keys: list[Block]
    """Texts that are keys or labels, without those of numbers."""
    labels: list[Block]
    """Keys or labels that are numbers, also those that JSON has as texts."""
    axes: list[Axis]
    booleans: list[Block]
    bytes: list[Path]
    """Paths of binary values."""
    problem: str = ""
    """Why the encoding cannot be read, for the node's owner."""
    outline: object = None
    """The decoded result; a pooled function's reply has parts that are judged one by one."""
    hidden: Sequence[Block] = ()
    """Texts that only the encoding for a master has: categories without rows, and names of series and indexes."""

    @property
    def number_count(self) -> int:
        """How many numbers the result has as values."""
        return sum(len(block.values) for block in self.numbers)


def read_content(data: bytes) -> Content:
    """Read the content of a result, as ``encode_plain`` or ``encode_rich`` returns it. Invalid bytes are a problem."""
    reader = _Reader(len(data))
    try:
        hidden: list[object] = []
        outline = read_outline(data, hidden)
        reader.read(outline, ())
    except ValueError as error:
        return reader.content._replace(problem=str(error))
    except RecursionError:
        return reader.content._replace(problem="the result is nested too deeply")
    except Exception as error:  # an encoding that only an attack creates
        return reader.content._replace(problem=f"the encoding is invalid ({type(error).__name__})")
    labels = list(dict.fromkeys(_name(label) for label in hidden if label is not None))
    return reader.content._replace(outline=outline, hidden=(Block((), labels, labels),) if labels else ())


def read_value(outline: object) -> Content:
    """Read a part of a result, as if the part were the result.

    Raises:
        ValueError: the part has a value of an unknown type.
    """
    reader = _Reader(0)
    reader.read(outline, ())
    return reader.content


def list_numbers(content: Content) -> set[float]:
    """Return the numbers of a result, which may be cells: its values, its labels, and the numbers in its texts."""
    numbers: set[float] = set()
    for block in (*content.numbers, *content.labels):
        numbers.update(block.list_values())
    for block in (*content.texts, *content.keys, *content.hidden):
        for text in set(block.values):
            numbers.update(list_numbers_of_text(text))
    return {float(number) for number in numbers if abs(number) <= LARGEST_INTEGER or not isinstance(number, int)}


def list_texts(content: Content) -> set[str]:
    """Return the texts of a result, and their parts, which may be cells."""
    texts: set[str] = set()
    for block in (*content.texts, *content.keys, *content.hidden):
        for text in set(block.values):
            texts.update(list_parts_of_text(text))
    for block in content.labels:
        texts.update(_name(label) for label in _to_python(block.values))
    return texts


def _to_python(values: Any) -> Sequence[Any]:
    return values.tolist() if hasattr(values, "tolist") else values  # type: ignore[no-any-return]


def _name(key: Any) -> str:
    return name_key(key.item() if hasattr(key, "item") else key)


class _Reader:
    """Walk an outline and collect its content."""

    def __init__(self, size: int) -> None:
        self.content = Content(size, [], [], [], [], [], [], [])
        self._labels: list[object] = []
        """The labels that were read last: all columns of a table share those of its rows."""

    def read(self, value: Any, path: Path) -> None:
        """Read a value of the outline."""
        kind = type(value)
        if kind is dict:
            self._read_entries(list(value), list(value.values()), path)
        elif kind is list:
            self._read_list(value, path)
        elif kind is OutlineEntries:
            self._read_entries(value.keys, value.values, path)
        elif kind is OutlineArray:
            self._read_array(value, path)
        elif kind is OutlineTight:
            self._read_tight(value, path)
        else:
            self._read_values([value], _ArrayPath(path), None, is_list=False)

    def _read_list(self, values: list[Any], path: Path) -> None:
        if (array := _stack(values)) is not None:
            self._read_array(array, path)
            return
        self._add_axis(path, len(values))
        if set(map(type, values)) == {dict}:
            (keys, *other_keys) = set(map(tuple, values))
            if not other_keys and keys != TIGHT_KEYS:
                self._read_records(values, path)
                return
        self._read_values(values, path, None)

    def _read_records(self, records: list[dict[Any, Any]], path: Path) -> None:
        """Read a list of dicts with the same keys, as the columns of a table."""
        keys = list(records[0])
        self._read_labels(keys, path)
        self._add_axis(path, len(keys), keys)
        for position, column in enumerate(zip(*map(dict.values, records), strict=True)):
            self._read_values(column, path, None, step=Key(_name(keys[position]), position))

    def _read_array(self, array: OutlineArray, path: Path) -> None:
        for length in itertools.takewhile(bool, array.shape):
            self._add_axis(path, length)
        self._read_values(array.values, _ArrayPath(path) if len(array.shape) > 1 else path, None)

    def _read_entries(self, keys: Keys, values: Any, path: Path) -> None:
        if type(keys) is list and len(keys) == len(TIGHT_KEYS) and tuple(keys) == TIGHT_KEYS:
            index, columns, data, *names = values
            if all(isinstance(part, list) for part in values):
                self._read_tight(
                    OutlineTight(_split(index), _split(columns), _split(data), [*names[0], *names[1]]), path
                )
                return
        if not any(keys is labels for labels in self._labels[-1:]):
            self._labels = [keys]
            self._read_labels(keys, path)
        self._add_axis(path, len(keys), keys)
        self._read_values(values, path, keys)

    def _read_tight(self, table: OutlineTight, path: Path) -> None:
        for level in (*table.rows, *table.columns, [name for name in table.names if name is not None]):
            self._read_labels(level, path)
        for levels in (table.rows, table.columns):
            self._add_axis(path, len(levels[0]) if levels else 0, levels[0] if levels else None)
        for column in table.data:
            self._read_values(column, path, None)

    def _add_axis(self, path: Path, length: int, keys: Keys | None = None) -> None:
        if length:
            self.content.axes.append(Axis(path, length, keys))

    def _read_labels(self, labels: Keys, path: Path) -> None:
        """Read keys: numbers, texts, and texts of numbers."""
        if isinstance(labels, range) or hasattr(labels, "dtype"):
            self.content.labels.append(Block(path, labels, labels))
            return
        numbers = _read_all_numbers(labels)
        if numbers is not None:
            if not math.isfinite(sum(numbers)):
                numbers = list(filter(math.isfinite, numbers))
            if numbers:
                self.content.labels.append(Block(path, numbers, numbers))
            return
        texts, positions = [], []
        for position, label in enumerate(labels):
            text = label if type(label) is str else _name(label)
            if text.lower() in CONSTANTS:
                continue
            if (number := read_number(text)) is None:
                texts.append(text)
                positions.append(position)
            else:
                self.content.labels.append(Block(path, [number], labels, [position]))
        if texts:
            self.content.keys.append(Block(path, texts, labels, positions))

    def _read_values(
        self, values: Any, path: Path, keys: Any, *, is_list: bool | None = None, step: Key | None = None
    ) -> None:
        """Read the values of a container. *keys* are those of a dict, and *step* that of the records in a list."""
        block = Block(path, values, keys, None, keys is None if is_list is None else is_list, step)
        if hasattr(values, "dtype"):
            self._add_numpy(block)
            return
        kinds = set(map(type, values))
        if kinds <= {int, float}:
            self._add_numbers(block)
            return
        if kinds == {str}:
            self.content.texts.append(block)
            return
        by_kind: dict[str, list[int]] = {}
        for position, value in enumerate(values):
            by_kind.setdefault(_KINDS.get(type(value), "other"), []).append(position)
        for kind, positions in by_kind.items():
            part = block._replace(values=[values[position] for position in positions], positions=positions)
            if kind == "number":
                self._add_numbers(part)
            elif kind == "text":
                self.content.texts.append(part)
            elif kind == "boolean":
                self.content.booleans.append(part)
            elif kind == "bytes":
                self.content.bytes.extend(map(part.get_path, range(len(positions))))
            elif kind == "other":
                for index, value in enumerate(part.values):
                    if type(value) not in _CONTAINERS:
                        raise ValueError("a value of the encoding has an unknown type")
                    self.read(value, part.get_path(index))

    def _add_numbers(self, block: Block) -> None:
        total = sum(block.values)
        if isinstance(total, float) and not math.isfinite(total):
            block = block.select([index for index, value in enumerate(block.values) if math.isfinite(value)])
        if len(block.values) > 0:
            self.content.numbers.append(block)

    def _add_numpy(self, block: Block) -> None:
        if block.values.dtype.kind == "b":
            self.content.booleans.append(block)
            return
        if block.values.dtype.kind == "f":
            import numpy as np

            finite = np.isfinite(block.values)
            if not finite.all():
                block = block.select(np.flatnonzero(finite).tolist())
        self.content.numbers.append(block)


TIGHT_KEYS = ("index", "columns", "data", "index_names", "column_names")
"""The keys of a table with several levels of labels in JSON, as ``payload`` writes it."""

_KINDS = {int: "number", float: "number", str: "text", bool: "boolean", bytes: "bytes", type(None): "missing"}
_CONTAINERS = (dict, list, OutlineEntries, OutlineArray, OutlineTight)


def _stack(values: list[Any]) -> OutlineArray | None:
    """Return a list as an array, also nested lists and small arrays of equal lengths, such as a matrix.

    Both encodings have the same content therefore. None if the list has other containers.
    """
    kinds = set(map(type, values))
    if kinds.isdisjoint(_CONTAINERS):
        return OutlineArray((len(values),), values)
    if kinds == {list}:
        lengths = set(map(len, values))
        inner = _stack(list(itertools.chain.from_iterable(values))) if len(lengths) == 1 else None
        return None if inner is None else OutlineArray((len(values), *lengths, *inner.shape[1:]), inner.values)
    if not kinds <= {list, OutlineArray}:
        return None
    parts: list[OutlineArray] = []
    for value in values:
        part = _stack(value) if type(value) is list else value
        if part is None or hasattr(part.values, "dtype") or part.shape != (parts or [part])[0].shape:
            return None
        parts.append(part)
    return OutlineArray((len(values), *parts[0].shape), list(itertools.chain.from_iterable(p.values for p in parts)))


def _split(rows: list[Any]) -> list[Any]:
    """Return the columns of a list of rows. A list of other values is one column."""
    if rows and all(isinstance(row, list) for row in rows):
        return [list(column) for column in zip(*rows, strict=True)]
    return [rows] if rows else []


def _read_all_numbers(labels: Sequence[Any]) -> list[float] | None:
    """Return labels as numbers; None if one of them is not a number."""
    kinds = set(map(type, labels))
    if kinds <= {int, float}:
        return list(labels)
    if kinds != {str}:
        return None
    return read_numbers(labels)
