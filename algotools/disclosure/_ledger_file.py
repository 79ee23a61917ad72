"""The file of a ledger: JSON lines, each with the hash of the line before, which writers append under a lock.

A writer that is killed leaves half a line at most, which the next writer cuts off. The chain does not show that lines
at its end are missing; therefore the hash of the last line is in the log of each run.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from algotools.disclosure._ledger_entry import (
    LedgerEntry,
    LedgerHead,
    decode_entry,
    decode_link,
    encode_entry,
    hash_bytes,
)

NAME = "ledger.jsonl"
KEY_NAME = "ledger.key"

LOCK_TIME = 30.0
"""Seconds to wait for other writers. One writer needs milliseconds."""

KEY_BYTES = 32

_BLOCK = 1 << 13
_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class LedgerProblem(Exception):
    """The ledger cannot be used. The text names no path, because a researcher may read it."""


class LedgerFile:
    """The ledger in a folder.

    Args:
        folder: the folder with ledger and key; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME

    @contextlib.contextmanager
    def lock(self) -> Iterator[LockedLedger]:
        """Let no other writer append while the context is open.

        Raises:
            LedgerProblem: the file cannot be opened or locked, or its last line is not an entry.
        """
        with _convert_errors("opened"):
            descriptor = self._open_locked()
        try:
            with _convert_errors("read"):
                locked = LockedLedger(descriptor)
            yield locked
        finally:
            os.close(descriptor)  # and unlocks

    def read_key(self) -> bytes:
        """Return the secret key of the sketches. The first writer of a ledger makes the key.

        Raises:
            LedgerProblem: see ``lock``; or the key cannot be read or made, or a ledger with entries has lost its key.
        """
        with self.lock() as ledger, _convert_errors("opened"):
            if (key := self._find_key()) is not None:
                return key
            if ledger.head.number:
                raise LedgerProblem(f"the ledger has entries, but its key ({KEY_NAME}) is missing or too short")
            return self._make_key()

    def _open_locked(self) -> int:
        deadline = time.monotonic() + LOCK_TIME
        while True:
            is_new = not self._path.exists()
            descriptor = os.open(self._path, _OPEN_FLAGS, 0o600)
            try:
                _check_kind(descriptor, "the ledger")
                _lock(descriptor, deadline)
                # The owner may have moved the file away since it was opened.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), os.lstat(self._path)):
                        if is_new:
                            _sync_folder(self._folder)
                        return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _find_key(self) -> bytes | None:
        """Return the key; None if the file is missing, or shorter because its writer was killed."""
        try:
            descriptor = os.open(self._folder / KEY_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as file:
            _check_kind(descriptor, "the key of the ledger")
            if os.fstat(descriptor).st_mode & 0o077:
                raise LedgerProblem(f"other users can read the key of the ledger; run chmod 600 {KEY_NAME}")
            key = file.read(KEY_BYTES)
        return key if len(key) == KEY_BYTES else None

    def _make_key(self) -> bytes:
        key = os.urandom(KEY_BYTES)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(self._folder / KEY_NAME, flags, 0o600), "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(self._folder)
        return key


class LockedLedger:
    """A ledger that no other process changes: read the last entries, and append one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self.head = LedgerHead()
        """Number and hash of the last entry."""
        if (line := self._read_last_line()) is not None:
            try:
                self.head = LedgerHead(decode_link(line)[0], hash_bytes(line))
            except ValueError:
                raise LedgerProblem(
                    "the last line of the ledger is not an entry; run algotools ledger verify"
                ) from None

    def find_lines(self, mark: bytes, most_bytes: int | None = None) -> Iterator[bytes]:
        """Yield the lines that contain a mark, from the last to the first; only lines in the last *most_bytes*."""
        if not self._size:
            return
        first = 0 if most_bytes is None else max(0, self._size - most_bytes)
        with mmap.mmap(self._descriptor, self._size, access=mmap.ACCESS_READ) as content:
            end = self._size
            while (position := content.rfind(mark, first, end)) >= 0:
                start = content.rfind(b"\n", 0, position) + 1
                yield content[start : content.find(b"\n", position)]
                end = start

    def _read_last_line(self) -> bytes | None:
        """Return the last line with its end, after half a line of a killed writer was cut off; None without lines."""
        data, block = b"", _BLOCK
        while True:
            start = max(0, self._size - block)
            data = os.pread(self._descriptor, self._size - start, start)
            end = data.rfind(b"\n") + 1
            begin = data.rfind(b"\n", 0, max(0, end - 1)) + 1
            if start == 0 or begin:
                break
            block *= 4
        if start + end < self._size:
            os.ftruncate(self._descriptor, start + end)
            self._size = start + end
        return data[begin:end] if end else None

    def append(self, entry: LedgerEntry) -> LedgerHead:
        """Append an entry with the next number, and return the new head. The entry is on the disk afterwards.

        Raises:
            LedgerProblem: the entry cannot be written; the ledger is then unchanged.
        """
        line = encode_entry(
            msgspec.structs.replace(entry, number=self.head.number + 1, previous=self.head.hash, time=_format_now())
        )
        with _convert_errors("written"):
            try:
                _write(self._descriptor, line, self._size)
                os.fsync(self._descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._size)
                raise
        self._size += len(line)
        self.head = LedgerHead(self.head.number + 1, hash_bytes(line))
        return self.head


class Break(NamedTuple):
    """The first place at which a chain is broken."""

    line: int
    """Number of the line in the file, from 1."""
    problem: str


class Verification(NamedTuple):
    """The state of a ledger's chain."""

    head: LedgerHead
    bytes: int
    fault: Break | None = None
    has_half_line: bool = False
    """Whether the file ends with half a line, which the next writer cuts off."""
    missing: tuple[LedgerHead, ...] = ()
    """The heads in logs of runs that are not in the ledger: lines at the end were removed, or entries replaced."""


def verify_ledger(path: Path, heads: Iterable[LedgerHead] = ()) -> Verification:
    """Check the chain of a ledger, and that it contains the heads that the logs of runs name.

    Raises:
        OSError: the file cannot be read.
    """
    head, size, fault, has_half_line = LedgerHead(), 0, None, False
    expected: dict[int, set[LedgerHead]] = {}
    for item in heads:
        expected.setdefault(item.number, set()).add(item)
    missing = {item for items in expected.values() for item in items}
    with path.open("rb") as file:
        for position, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                has_half_line = True
                break
            size += len(line)
            fault = fault or _find_fault(position, line, head)
            if fault is None:
                head = LedgerHead(head.number + 1, hash_bytes(line))
                missing.discard(head)
    return Verification(head, size, fault, has_half_line, tuple(sorted(missing)))


def read_entries(path: Path) -> Iterator[LedgerEntry]:
    """Yield the entries of a ledger from the first to the last; lines that are not entries are left out.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                with contextlib.suppress(ValueError):
                    yield decode_entry(line)


def _find_fault(position: int, line: bytes, head: LedgerHead) -> Break | None:
    """Return the break between a line and the one before, whose head is given."""
    try:
        number, previous = decode_link(line)
        decode_entry(line)
    except ValueError:
        return Break(position, "is not an entry")
    if number != head.number + 1:
        return Break(position, f"has number {number} instead of {head.number + 1}")
    if previous != head.hash:
        return Break(position, "does not have the hash of the line before, which was changed, removed or added")
    return None


def _check_kind(descriptor: int, name: str) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise LedgerProblem(f"{name} is not a regular file")


def _lock(descriptor: int, deadline: float) -> None:
    """Lock a file; another container could hold the lock for ever, so wait only until the deadline."""
    interval = 0.0002
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LedgerProblem(f"another process has locked the ledger for {LOCK_TIME:g} s") from None
        time.sleep(interval)
        interval = min(0.005, interval * 1.5)


def _write(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written


def _sync_folder(folder: Path) -> None:
    """Write the name of a new file to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _format_now() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"


@contextlib.contextmanager
def _convert_errors(verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerProblem(f"the ledger cannot be {verb} ({error.strerror or type(error).__name__})") from error
