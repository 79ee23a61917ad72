"""Probing: run the author's function again without groups of records and on shuffled rows, and compare the results.

The runs are in the same process, with the same confinement. They write no log and no output, and their temporary folder
is a scratch folder. Errors of the function in these runs are not errors of the run.
"""

from __future__ import annotations

import contextlib
import copy
import io
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from algotools.disclosure import probes
from algotools.disclosure.facts import Matches, ProbeFacts
from algotools.runtime import logs
from algotools.runtime.client import AlgorithmClient
from algotools.task import RunInfo

if TYPE_CHECKING:
    from algotools.disclosure.row_samples import RowSamples
    from algotools.disclosure.tables import ReadTables

SHUFFLES = 3

Call = Callable[[Mapping[str, object], "ReadTables"], bytes]


class Prober:
    """Runs a function again after its run. Create it before the run, because the function can change its values.

    Args:
        call: calls the function with arguments and data, and with the tables; returns the encoded result.
        values: the arguments and the data of the run.
        samples: the tables.
        most_groups: the most groups of records, each of which is left out once.
        is_pooled: whether the function is the rpc of a pooled function.
        key: the key of the ledger; empty at a node without a ledger.
    """

    def __init__(
        self,
        call: Call,
        values: Mapping[str, object],
        samples: RowSamples[ReadTables],
        most_groups: int,
        *,
        is_pooled: bool,
        key: bytes = b"",
    ) -> None:
        self._call = call
        self._has_client = any(isinstance(value, AlgorithmClient) for value in values.values())
        self._values = {
            name: value if isinstance(value, (AlgorithmClient, RunInfo)) else _try_copy(value)
            for name, value in values.items()
            if name not in samples.names
        }
        self._samples = samples
        self._most_groups = most_groups
        self._is_pooled = is_pooled
        self._key = key

    def add_changes(self, matches: Matches, result: bytes) -> Matches:
        """Run the function again, and return the facts about its encoded result with the changes of the result."""
        parts = probes.read_parts(result, is_pooled=self._is_pooled)
        if not probes.has_undeclared_values(parts, matches):
            return matches
        declared = b"".join(item.numbers for item in matches.evidence if item.evidence.row_set is not None)
        return msgspec.structs.replace(matches, probes=self._probe(parts, declared))

    def _probe(self, parts: probes.ResultParts, declared: bytes) -> ProbeFacts | None:
        """Return the changes of a result; None if no table has rows that could be left out.

        Args:
            parts: the parts of the result.
            declared: the numbers that have evidence with known rows, as float64 in little-endian order.
        """
        if self._has_client:
            return ProbeFacts(obstacle="client")
        value_count = probes.count_values(parts)
        if value_count > probes.MOST_VALUES:
            return ProbeFacts(obstacle="values", size=value_count)
        if (cells := self._samples.load()) is not None:
            return ProbeFacts(obstacle="cells", size=cells)
        if not self._samples.has_rows:
            return None
        with tempfile.TemporaryDirectory(prefix="algotools-", ignore_cleanup_errors=True) as folder, mute():
            without_groups = [self._run(*run, folder) for run in self._samples.select_groups(self._most_groups)]
            shuffled = [self._run(*self._samples.shuffle(seed), folder) for seed in range(SHUFFLES)]
        return probes.compare_results(
            parts, without_groups, shuffled, is_pooled=self._is_pooled, key=self._key, declared=declared
        )

    def _run(self, data: Mapping[str, object], tables: ReadTables, folder: str) -> bytes | None:
        """Call the function; return None if it fails, for instance because a group is empty without some rows."""
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as own_folder:
            values = {name: self._renew(value, own_folder) for name, value in self._values.items()}
            try:
                return self._call({**values, **data}, tables)
            except BaseException:  # the author's code can raise any exception, also SystemExit
                return None

    def _renew(self, value: object, folder: str) -> object:
        """Return a copy of an argument, which the function can change."""
        if isinstance(value, RunInfo):
            return msgspec.structs.replace(value, temporary_folder=Path(folder))
        return _try_copy(value)


def _try_copy(value: object) -> object:
    try:
        return copy.deepcopy(value)
    except Exception:  # an object of the author that cannot be copied
        return value


_is_muted: ContextVar[bool] = ContextVar("is_muted", default=False)
_lock = threading.Lock()
_mute_count = 0


class _MutedStream(io.TextIOBase):
    """A standard stream that drops the text of muted runs. Other runs can be in other threads of this process."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        return len(text) if _is_muted.get() else int(self.stream.write(text) or 0)

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def mute() -> Iterator[None]:
    """Drop log lines, prints and warnings within the context."""
    global _mute_count  # noqa: PLW0603 - the streams of the process are replaced once for all threads
    with _lock:
        _mute_count += 1
        if _mute_count == 1:
            sys.stdout, sys.stderr = _MutedStream(sys.stdout), _MutedStream(sys.stderr)
    token = _is_muted.set(True)
    try:
        with logs.use_console(lambda _line: None):
            yield
    finally:
        _is_muted.reset(token)
        with _lock:
            _mute_count -= 1
            if _mute_count == 0:
                for name in ("stdout", "stderr"):
                    if isinstance(stream := getattr(sys, name), _MutedStream):
                        setattr(sys, name, stream.stream)
