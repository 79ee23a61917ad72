"""The register of a run: the evidence of each number and text that a reduction has returned, by value.

A result has plain numbers, so their evidence is found by their values: also in a dict, an array, JSON, or as the
quotient of a sum and a count. A number that is equal to several registered numbers has the evidence of each of them,
and the gate uses the weakest.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from algotools.disclosure.facts import Evidence, HiddenCells, Matches, NumbersWithEvidence, Permission, is_valid


class RecordSet(Protocol):
    """A set of records of a table."""

    def make_sketch(self, key: bytes) -> bytes:
        """Return the sketch of the set."""


class TablesOfRun(Protocol):
    """The tables that a function reads; see ``tables.ReadTables``."""

    def list_cells(self) -> Sequence[Any]:
        """Return the cells of each table."""

    def match_numbers(self, numbers: Collection[float]) -> Matches:
        """Return the numbers that are cells."""


class Reduced(NamedTuple):
    """Numbers that a reduction has returned, with their evidence: of all numbers together, or of each number."""

    operation: str
    numbers: Any
    """An array. The number at position i has the i-th evidence, and further numbers begin with the first again."""
    records: Any
    """Number of records: one for all numbers, or an array."""
    parameters: int = 0
    largest_share: Any = None
    two_largest_share: Any = None
    columns: Sequence[tuple[str, ...]] = ((),)
    """The columns that are reduced: one entry for all numbers, or an entry for each number."""
    find_record_set: Callable[[int], RecordSet | None] | None = None
    """Returns the records behind the number at a position."""
    find_summands: Callable[[int], RecordSet | None] | None = None
    """Returns the summands of the number at a position; None if it is no sum of values, or they are unknown."""
    is_stated: bool = False


class Origin(NamedTuple):
    """The evidence of one number; see ``Evidence``."""

    records: int
    parameters: int
    largest_share: float | None
    two_largest_share: float | None
    columns: tuple[str, ...]
    record_set: RecordSet | None
    summands: RecordSet | None = None


class HiddenPart(NamedTuple):
    """A row, a column or the whole of a table with hidden cells."""

    record_set: RecordSet
    cells: int
    records: int
    operation: str
    columns: tuple[str, ...]
    visible_cells: Reduced | None
    """The visible cells of the table; None if they are unknown. A table that is not returned reveals nothing."""


class Register:
    """The evidence of one run.

    Args:
        permission: the limits of the node's owner. If a result is not judged, nothing is collected or hidden.
        tables: the tables that the function reads; by default, each value that is reduced is a record.
        collects: whether evidence is collected, if the result is judged.
    """

    def __init__(self, permission: Permission, tables: TablesOfRun | None = None, *, collects: bool = True) -> None:
        self.collects = permission.is_judged and collects
        self.minimum = permission.minimum_records if permission.is_judged else 1
        """The fewest records of a number."""
        self.small_cells = permission.small_cells
        self.round_base = permission.round_base
        self.tables = tables
        self.table_records: Sequence[Any] | None = None
        """The records of the tables, which ``reductions.records`` makes for the first reduction."""
        self._key = permission.sketch_key or os.urandom(32)
        self._lock = threading.Lock()
        self._reduced: list[Reduced] = []
        self._texts: dict[str, int] = {}
        self._hidden: list[HiddenPart] = []
        self._withheld = 0

    @property
    def hides_cells(self) -> bool:
        """Whether a table leaves out the cells of few records, or rounds them."""
        return self.minimum > 1 and self.small_cells != "refuse"

    def add(self, reduced: Reduced) -> None:
        """Add numbers that a reduction returns."""
        if self.collects:
            with self._lock:
                self._reduced.append(reduced)

    def add_text(self, text: str, records: int) -> None:
        """Add a text that a reduction returns as a level or as a label."""
        if self.collects and is_valid(text):
            with self._lock:
                self._texts[text] = min(records, self._texts.get(text, records))

    def add_hidden(self, part: HiddenPart) -> None:
        """Add the hidden cells of a part of a table, which the total of that part would reveal."""
        if self.collects:
            with self._lock:
                self._hidden.append(part)

    def count_withheld(self, cells: int) -> None:
        """Count cells that a reduction has hidden or rounded."""
        if self.collects:
            with self._lock:
                self._withheld += cells

    def find_origins(self, numbers: Collection[float]) -> list[Origin]:
        """Return the evidence of each of the numbers, the weakest of each; none if a number has no evidence."""
        origins: dict[float, Origin] = {}
        with self._lock:
            reduced = list(self._reduced)
        for part in reduced if numbers else ():
            for position, matches in _find_positions(part, _make_targets(numbers)).items():
                origin = _make_origin(part, position)
                for number in matches:
                    if number not in origins or origin.records < origins[number].records:
                        origins[number] = origin
        return list(origins.values()) if set(numbers) <= origins.keys() else []

    def collect(self, numbers: Collection[float], texts: Collection[str] = ()) -> Matches:
        """Return the evidence of the numbers and texts of a result, as a part of its ``Matches``."""
        with self._lock:
            reduced, hidden, withheld = list(self._reduced), list(self._hidden), self._withheld
            records = {text: self._texts[text] for text in self._texts.keys() & set(texts)}
        if not reduced and not hidden:
            return Matches(texts_with_evidence=records, withheld=withheld)
        sketches, summands = _Sketches(self._key), _Sketches(self._key)
        hidden = _select_returned(hidden, numbers)
        return Matches(
            evidence=_match_numbers(numbers, reduced, sketches, summands) if numbers else (),
            hidden_cells=tuple(
                HiddenCells(
                    row_set=sketches.find(part.record_set),
                    cells=part.cells,
                    records=part.records,
                    operation=part.operation,
                    columns=tuple(filter(is_valid, part.columns)),
                )
                for part in hidden
            ),
            row_sets=tuple(sketches.list()),
            summand_sets=tuple(summands.list()),
            texts_with_evidence=records,
            withheld=withheld,
        )


class _Sketches:
    """The sketches of a result's sets of records, each once."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._positions: dict[bytes, int] = {}
        self._by_set: dict[int, tuple[RecordSet, int]] = {}
        """Identity of a set -> the set, so that no other has its identity, and the position of its sketch."""

    def find(self, record_set: RecordSet) -> int:
        """Return the position of the sketch of a set."""
        if id(record_set) not in self._by_set:
            sketch = record_set.make_sketch(self._key)
            position = self._positions.setdefault(sketch, len(self._positions))
            self._by_set[id(record_set)] = (record_set, position)
        return self._by_set[id(record_set)][1]

    def list(self) -> Iterator[bytes]:
        """Return the sketches in the order of their positions."""
        return iter(self._positions)


def _select_returned(hidden: Sequence[HiddenPart], numbers: Collection[float]) -> list[HiddenPart]:
    """Return the parts of those tables of which a result has a visible cell."""
    if not hidden or not numbers:
        return []
    targets = _make_targets(numbers)
    tables = {id(part.visible_cells): part.visible_cells for part in hidden}
    returned = {key for key, cells in tables.items() if cells is None or _find_positions(cells, targets)}
    return [part for part in hidden if id(part.visible_cells) in returned]


def _match_numbers(
    numbers: Collection[float], reduced: Sequence[Reduced], sketches: _Sketches, summands: _Sketches
) -> tuple[NumbersWithEvidence, ...]:
    """Return the evidence of numbers; -0.5 has the evidence of 0.5, as in the negative of a log likelihood."""
    import numpy as np  # here, because numpy takes long to import

    targets, result_numbers = _make_targets(numbers), set(numbers)
    matches: dict[Evidence, set[float]] = {}
    for part in reduced:
        for position, values in _find_positions(part, targets).items():
            matches.setdefault(_make_evidence(part, position, sketches, summands), set()).update(
                values & result_numbers
            )
    return tuple(
        NumbersWithEvidence(evidence=evidence, numbers=np.array(sorted(values), dtype="<f8").tobytes())
        for evidence, values in matches.items()
    )


def _make_targets(numbers: Collection[float]) -> Any:
    """Return the numbers of a result, sorted, and the opposites of those that are not whole."""
    import numpy as np

    targets: Any = np.fromiter(numbers, dtype=np.float64, count=len(numbers))
    return np.unique(np.concatenate([targets, -targets[targets % 1 != 0]]) + 0.0)


def _find_positions(part: Reduced, targets: Any) -> dict[int, set[float]]:
    """Return the numbers of a reduction that are targets, by the position of their evidence."""
    import numpy as np

    registered = np.ravel(np.asarray(part.numbers, dtype=np.float64)) + 0.0
    indexes = np.minimum(np.searchsorted(targets, registered), len(targets) - 1)
    positions = np.flatnonzero(targets[indexes] == registered)
    has_one_evidence = np.ndim(part.records) == 0
    count = 1 if has_one_evidence else max(np.size(part.records), len(part.columns))
    matches: dict[int, set[float]] = {}
    for position, number in zip(positions.tolist(), registered[positions].tolist(), strict=True):
        matches.setdefault(position % count, set()).update([number] if number % 1 == 0 else [number, -number])
    return matches


def _make_origin(part: Reduced, position: int) -> Origin:
    largest, two_largest = _select(part.largest_share, position), _select(part.two_largest_share, position)
    return Origin(
        records=int(_select(part.records, position)),
        parameters=part.parameters,
        largest_share=None if largest is None or math.isnan(largest) else float(largest),
        two_largest_share=None if two_largest is None or math.isnan(two_largest) else float(two_largest),
        columns=part.columns[min(position, len(part.columns) - 1)],
        record_set=None if part.find_record_set is None else part.find_record_set(position),
        summands=None if part.find_summands is None else part.find_summands(position),
    )


def _make_evidence(part: Reduced, position: int, sketches: _Sketches, summands: _Sketches) -> Evidence:
    origin = _make_origin(part, position)
    return Evidence(
        operation=part.operation,
        records=origin.records,
        parameters=origin.parameters,
        largest_share=origin.largest_share,
        two_largest_share=origin.two_largest_share,
        columns=tuple(filter(is_valid, origin.columns)),
        row_set=None if origin.record_set is None else sketches.find(origin.record_set),
        summand_set=None if origin.summands is None else summands.find(origin.summands),
        is_stated=part.is_stated,
    )


def _select(values: Any, position: int) -> Any:
    return values[position] if getattr(values, "ndim", 0) else values


_DEFAULT = Register(Permission(is_judged=True), collects=False)
"""Outside of a run, as in a unit test, reductions hide the cells that a node hides by default."""

_current: contextvars.ContextVar[Register | None] = contextvars.ContextVar("register", default=None)
_active: list[Register] = []


@contextlib.contextmanager
def use_register(register: Register) -> Iterator[Register]:
    """Use a register for the reductions that this thread calls."""
    token = _current.set(register)
    _active.append(register)
    try:
        yield register
    finally:
        _active.remove(register)
        _current.reset(token)


def get_register() -> Register:
    """Return the register of the run, also in a thread that the author's code has started.

    A process with several runs cannot know which of them started a thread. The main thread is no such thread: without
    a run of its own, it calls a reduction directly, as a unit test does.
    """
    register = _current.get()
    if register is None and len(_active) == 1 and threading.current_thread() is not threading.main_thread():
        return _active[0]
    return register or _DEFAULT
