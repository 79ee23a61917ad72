"""The rules that compare a run with earlier entries of the ledger: differencing over tasks, and repetitions."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from algotools.disclosure._ledger_entry import LedgerEntry, decode_entry
from algotools.disclosure._ledger_file import LockedLedger
from algotools.disclosure.fingerprints import count_different_groups, list_marks
from algotools.disclosure.sketch import SKETCH_BYTES, estimate_difference

MOST_ENTRIES = 1_000
"""Earlier entries of the same databases with which a run is compared."""

MOST_RESENDS = 2
"""Times that a master sends a request again, see ``client._runs``."""

MOST_BYTES = 16_000_000
"""Bytes at the end of a ledger in which earlier entries are searched: about 15,000 entries."""

_SUMS = SKETCH_BYTES // 3
"""Position of the sums of hashes in a sketch, after the counts."""

_CELLS = 64


class Conflict(NamedTuple):
    """An earlier entry because of which a result may not leave."""

    rule: str
    number: int
    """Number of the earlier entry."""
    detail: str
    """For the node's owner."""


class RowSet(NamedTuple):
    """The rows behind numbers of a result. Only row sets of the same columns are compared."""

    columns: tuple[str, ...]
    sketch: bytes


def collect_row_sets(entry: LedgerEntry) -> set[RowSet]:
    """Return the row sets of an entry, each once."""
    return {
        RowSet(numbers.columns, entry.row_sets[numbers.row_set])
        for numbers in entry.numbers
        if numbers.row_set is not None and numbers.row_set < len(entry.row_sets)
    }


def select_earlier(ledger: LockedLedger, entry: LedgerEntry) -> Iterator[LedgerEntry]:
    """Yield the earlier entries whose results left, of the databases of an entry, from the last to the first."""
    mark = f'"scope":"{entry.scope}"'.encode()
    matches = (
        earlier
        for earlier in _decode_lines(ledger.find_lines(mark, MOST_BYTES))
        if earlier.scope == entry.scope and earlier.verdict == "left"
    )
    return itertools.islice(matches, MOST_ENTRIES)


def _decode_lines(lines: Iterable[bytes]) -> Iterator[LedgerEntry]:
    """Yield the entries of lines; ``ledger verify`` reports lines that are not entries."""
    for line in lines:
        with contextlib.suppress(ValueError):
            yield decode_entry(line)


def find_close_rows(entry: LedgerEntry, earlier_entries: Iterable[LedgerEntry], minimum: int) -> Conflict | None:
    """Return the conflict with the last earlier entry that has nearly the same rows; None if there is none.

    Two sums of nearly the same rows differ by the values of the few rows that only one of them has.
    """
    search = _Search(collect_row_sets(entry), minimum)
    if search.is_empty:
        return None
    for earlier in earlier_entries:
        for row_set in collect_row_sets(earlier):
            if difference := search.find_difference(row_set):
                columns = ", ".join(row_set.columns) or "all columns"
                detail = f"a row set of {columns} differs from that of entry {earlier.number} in {difference} records"
                return Conflict("ledger", earlier.number, f"{detail} (task {earlier.task}, {earlier.method})")
    return None


def find_similar_change(entry: LedgerEntry, earlier_entries: Iterable[LedgerEntry], minimum: int) -> Conflict | None:
    """Return the conflict with the last earlier entry that has a number which changes alike; None if there is none.

    The two numbers have no evidence. They change alike if a group of records is left out, except without a few groups.
    Only results of the same columns are compared: one missing value in another column would look like a difference.
    """
    index: dict[tuple[int, bytes], set[bytes]] = {}
    for fingerprint in entry.fingerprints:
        for mark in list_marks(fingerprint):
            index.setdefault(mark, set()).add(fingerprint)
    columns = [database.columns for database in entry.databases]
    for earlier in earlier_entries:
        if [database.columns for database in earlier.databases] != columns:
            continue
        for earlier_fingerprint in earlier.fingerprints:
            candidates = set().union(*(index.get(mark, ()) for mark in list_marks(earlier_fingerprint)))
            for fingerprint in candidates - {earlier_fingerprint}:
                different = count_different_groups(fingerprint, earlier_fingerprint)
                if different is not None and 0 < different < minimum:
                    detail = f"a number changes as one of entry {earlier.number}, except without {different} groups"
                    return Conflict("earlier", earlier.number, f"{detail} (task {earlier.task}, {earlier.method})")
    return None


class _Search:
    """Finds row sets that differ by few records, without comparing each pair.

    Two sketches that differ in fewer than k cells have a part in common if all cells are divided into k parts. So a
    part of a sketch is the key of an index.
    """

    def __init__(self, row_sets: Iterable[RowSet], minimum: int) -> None:
        self._minimum = minimum
        bounds = [_SUMS + 8 * (_CELLS * i // minimum) for i in range(minimum + 1)]
        self._parts = [slice(*pair) for pair in itertools.pairwise(bounds)] if 1 <= minimum <= _CELLS else []
        self._index: dict[tuple[tuple[str, ...], int, bytes], list[bytes]] = {}
        for row_set in row_sets:
            for key in self._make_keys(row_set):
                self._index.setdefault(key, []).append(row_set.sketch)

    @property
    def is_empty(self) -> bool:
        """Whether no earlier row set can be close."""
        return not self._index or self._minimum < 2

    def find_difference(self, earlier: RowSet) -> int:
        """Return the number of records between an earlier row set and a close one of the run; 0 if none is close."""
        compared = {earlier.sketch}
        for key in self._make_keys(earlier):
            for sketch in self._index.get(key, ()):
                if sketch not in compared:
                    compared.add(sketch)
                    if (difference := estimate_difference(sketch, earlier.sketch)) < self._minimum:
                        return difference
        return 0

    def _make_keys(self, row_set: RowSet) -> Iterator[tuple[tuple[str, ...], int, bytes]]:
        if not self._parts:  # a minimum that is larger than the number of cells: compare all pairs
            yield row_set.columns, 0, b""
        for number, part in enumerate(self._parts):
            yield row_set.columns, number, row_set.sketch[part]


def count_repetitions(ledger: LockedLedger, entry: LedgerEntry) -> tuple[int, int]:
    """Return how many earlier tasks with the same call returned a result, and the number of the last entry of them.

    A node that starts a run of the same task again does not repeat the task. Neither does a request that a master has
    sent again, up to ``MOST_RESENDS`` times for a task: a researcher can write the same mark into a request.
    """
    mark = f'"arguments":"{entry.arguments}"'.encode()
    earlier_entries = [
        earlier
        for earlier in _decode_lines(ledger.find_lines(mark))
        if (earlier.scope, earlier.arguments, earlier.verdict) == (entry.scope, entry.arguments, "left")
    ]
    last = 0
    tasks: set[tuple[str, int, int]] = set()
    resends: dict[tuple[str, int], int] = {}
    for run in (*reversed(earlier_entries), entry):
        origin = (run.federation, run.resend_of or 0)
        if run.resend_of and (*origin, 0) in tasks and resends.get(origin, 0) < MOST_RESENDS:
            resends[origin] = resends.get(origin, 0) + 1
            if run is entry:
                return 0, last
            continue
        identity = (run.federation, run.task or 0, 0 if run.task is not None else run.number)
        if run is entry:
            tasks -= {identity} if entry.task is not None else set()
        else:
            last = run.number
            tasks.add(identity)
    return len(tasks), last
