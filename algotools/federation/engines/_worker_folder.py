"""The folder of an engine's worker process for one federation: copies of databases and code, and the files of runs.

Everything travels once per worker process: threads that need the same file wait for one transfer. The folder is in the
worker's TMPDIR, and only its user may read it. It is removed

* when the lease, a connection to the federation, closes: the federation was closed, or its process was killed;
* when the worker process exits;
* by a guard process, if the worker process is killed;
* by the next folder on this machine, if the guard is killed as well (see ``federation.folders``).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from algotools.data.reading import Unreadable
from algotools.data.time_limit import keep_alive
from algotools.declare.locate import Location
from algotools.federation import folders
from algotools.federation.engines._code import CodeFacts, unpack
from algotools.federation.engines._files import FileFacts
from algotools.federation.engines._members import list_members
from algotools.runtime.dispatch.messages import wait_readable

_ATTEMPTS = 25
"""Attempts to remove a folder, to which a process that is being killed can still write."""
_CHECK_INTERVAL = 0.2
"""Seconds between two checks whether a run that waits for a file was cancelled."""

_GUARD = """
import os, select, shutil, sys, time
folder, parent = sys.argv[1], int(sys.argv[2])
poll, timeout = select.poll(), 1000
poll.register(0, select.POLLIN)
try:
    poll.register(os.pidfd_open(parent), select.POLLIN)
    timeout = None
except (AttributeError, OSError):
    pass
while os.getppid() == parent and not poll.poll(timeout):
    pass
for attempt in range(25):
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.lexists(folder):
        break
    time.sleep(0.02)
"""
"""The guard process: it removes the folder when the worker process exits in any way, even by SIGKILL.

Signals that end a whole job are blocked in the guard, because it has to outlive the worker process. Its input is
written when the worker process has removed the folder. A fork of the worker process can hold the input open, so the
guard watches the process itself.
"""


def _start_guard(folder: Path) -> subprocess.Popen[bytes]:
    # The guard inherits the mask of this thread. A handler of its own would come too late for a signal at its start.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(folder), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _Copy(NamedTuple):
    """A stored database, and the state of its members."""

    path: Path
    state: list[tuple[object, ...]]


class _Slot:
    """The place of one database or algorithm, and the lock for its transfer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.copy: _Copy | None = None
        self.location: Location | None = None


class WorkerFolder:
    """The folder of this process for one federation; see ``get_worker_folder``."""

    def __init__(self, lease: socket.socket) -> None:
        self._lease = lease
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._slots: dict[tuple[str, ...], _Slot] = {}
        self._callbacks: list[Callable[[], object]] = []
        self._is_closed = False
        keep_alive(lease)
        self.path = folders.make_folder(Path(tempfile.gettempdir()))
        try:
            self._guard = _start_guard(self.path)
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        threading.Thread(target=self._wait_for_lease, name="algotools-lease", daemon=True).start()

    @property
    def is_closed(self) -> bool:
        """Whether the folder is removed, or will be at once because the federation is closed."""
        try:
            return self._is_closed or bool(wait_readable([self._lease], 0))
        except ValueError:  # it has just been closed
            return True

    def on_close(self, callback: Callable[[], object]) -> None:
        """Register a function that is called once, before the folder is removed; at once if it is removed already."""
        with self._lock:
            if not self._is_closed:
                self._callbacks.append(callback)
                return
        callback()

    def find(self, facts: FileFacts) -> Path | None:
        """Return the copy of a database; None if it has not been stored, or was changed since."""
        copy = self._get_slot(*_make_key(facts)).copy
        if copy is None or (state := _read_state(copy.path, copy.state)) is None:
            return None
        return copy.path if state == copy.state else None

    def store(
        self,
        facts: FileFacts,
        receive: Callable[[Path], object],
        check: Callable[[], object] | None = None,
    ) -> Path:
        """Return the copy of a database. If it has not been stored, *receive* stores it under the path that it gets.

        Only one thread receives a database at a time, and the others wait for it. If the transfer fails, the next
        thread receives the database. While a thread waits, *check* is called often; it raises to stop the wait.

        Raises:
            OSError: the folder for the copy cannot be made.
        """
        slot = self._get_slot(*_make_key(facts))
        with _acquire(slot.lock, check):
            if (path := self.find(facts)) is not None:
                return path
            slot.copy = None
            with self._make_folder("files-") as folder:
                path = folder / _make_name(facts)
                receive(path)
                if (state := _read_state(path)) is not None:
                    slot.copy = _Copy(path, state)
            return path

    def store_code(
        self,
        facts: CodeFacts,
        receive: Callable[[], bytes],
        check: Callable[[], object] | None = None,
    ) -> Location:
        """Return the location of an algorithm. If it has not been stored, *receive* returns its packed code.

        Raises:
            AlgotoolsError: the code cannot be unpacked here.
            OSError: the code cannot be stored.
        """
        slot = self._get_slot("code", facts.digest)
        with _acquire(slot.lock, check):
            if slot.location is None:
                data = receive()
                with self._make_folder("code-") as folder:
                    slot.location = unpack(data, folder)
            return slot.location

    def make_run_folder(self) -> Path:
        """Make a new folder for the files of one run. The caller removes it."""
        return Path(tempfile.mkdtemp(prefix="run-", dir=self.path))

    def close(self) -> None:
        """Remove the folder. A forked copy of this process does nothing, because the folder belongs to its parent."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            callbacks = list(self._callbacks)
        for callback in callbacks:
            with contextlib.suppress(Exception):  # the folder is removed in any case
                callback()
        for _ in range(_ATTEMPTS):
            shutil.rmtree(self.path, ignore_errors=True)
            if not self.path.exists():
                break
            time.sleep(0.02)
        with contextlib.suppress(OSError):  # the guard was killed
            self._guard.communicate(b"removed")
        with contextlib.suppress(OSError):
            self._lease.shutdown(socket.SHUT_RDWR)  # ends the wait of the other thread

    def _wait_for_lease(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while not wait_readable([self._lease], None):
                pass
        self.close()
        self._lease.close()

    def _get_slot(self, *key: str) -> _Slot:
        with self._lock:
            return self._slots.setdefault(key, _Slot())

    @contextlib.contextmanager
    def _make_folder(self, prefix: str) -> Iterator[Path]:
        """Make a folder, and remove it if the block fails."""
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.path))
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


@contextlib.contextmanager
def _acquire(lock: threading.Lock, check: Callable[[], object] | None) -> Iterator[None]:
    while not lock.acquire(timeout=-1 if check is None else _CHECK_INTERVAL):
        if check is not None:
            check()
    try:
        yield
    finally:
        lock.release()


def _make_key(facts: FileFacts) -> tuple[str, ...]:
    # With the state, because a change can keep the size, the time and all samples of a file.
    return "file", facts.name, facts.digest, facts.state


def _make_name(facts: FileFacts) -> str:
    """Return the name of a copy. Readers look at its suffix."""
    name = facts.name
    return "data" if name in ("", ".", "..") or {"/", "\0"} & {*name} else name


def _read_state(path: Path, stored: list[tuple[object, ...]] | None = None) -> list[tuple[object, ...]] | None:
    """Return the state of a copy; None if it cannot be read.

    A reader of a SQLite database can make a companion, which is not a change of the copy: the copy of a file is
    compared by its *stored* members alone.
    """
    try:
        states = [member.state for member in list_members(os.fsencode(path))]
    except (OSError, Unreadable):  # the author's code can have changed the copy to anything
        return None
    if stored is None or not path.is_file():
        return states
    names = {state[0] for state in stored}
    return [state for state in states if state[0] in names]


class _Registry:
    """The folders of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._federation_locks: dict[str, threading.Lock] = {}
        self._folders: dict[str, WorkerFolder] = {}

    def get(self, federation: str, lease: Callable[[], socket.socket]) -> WorkerFolder:
        """See ``get_worker_folder``."""
        with self._lock:
            federation_lock = self._federation_locks.setdefault(federation, threading.Lock())
        with federation_lock:
            folder = self._folders.get(federation)
            if folder is not None and not folder.is_closed:
                return folder
            connection = lease()
            try:
                folder = WorkerFolder(connection)
            except BaseException:
                connection.close()
                raise
            with self._lock:
                self._folders[federation] = folder
            folder.on_close(lambda: self._forget(federation, folder))
            return folder

    def close(self) -> None:
        """Remove all folders, because this process exits."""
        for folder in list(self._folders.values()):
            folder.close()

    def _forget(self, federation: str, folder: WorkerFolder) -> None:
        with self._lock:
            if self._folders.get(federation) is folder:
                del self._folders[federation]


_registry = _Registry()


def _start_anew() -> None:
    """Forget the folders of the parent in a forked copy, where a lock can be held by a thread that does not exist."""
    global _registry  # noqa: PLW0603 - one registry per process
    _inherited.append(_registry)
    _registry = _Registry()


_inherited: list[_Registry] = []
"""The parent's folders. Their finalizers would report that the guard still runs."""


def _close_all() -> None:
    _registry.close()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_start_anew)


def get_worker_folder(federation: str, lease: Callable[[], socket.socket]) -> WorkerFolder:
    """Return the folder of this process for a federation; make it if the federation has none, or its lease has ended.

    Args:
        federation: the id of the federation.
        lease: opens a connection to the federation, on which nothing is sent. It is called once for each folder.

    Raises:
        OSError: the folder cannot be made.
    """
    return _registry.get(federation, lease)
