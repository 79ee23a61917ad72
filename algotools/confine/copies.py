"""Databases that the author's code may not open itself: the supervisor copies them, and the worker gets the copy."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from algotools.confine.places import TEMPORARY
from algotools.data.reading import path_of
from algotools.errors import AlgotoolsError, DatabaseUnreadable, Failure, UnknownLabel
from algotools.task import Database, Task

CHUNK = 1 << 26
"""Bytes that are copied between two looks at the clock."""

# A FIFO must not keep anybody waiting; of a folder's content, a link is never followed.
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


def not_asked_for(label: str) -> str:
    """What everybody reads when a function names a database in its signature that the task did not name."""
    return f"the function reads database {label!r}, which the task did not ask for"


def readable(path: str) -> bool:
    """Whether this process may read a file, or a folder with all that is in it.

    True, too, of what is not there or no file: whoever reads it says so better. It opens them, for ``access`` knows
    nothing of Landlock.
    """
    try:
        file = os.open(path, _OPEN)
    except PermissionError:
        return False
    except (OSError, ValueError):
        return True
    try:
        if not stat.S_ISDIR(os.fstat(file).st_mode):
            return True
        with os.scandir(file) as entries:
            names = [entry.name for entry in entries if not entry.is_symlink()]
    finally:
        os.close(file)
    return all(readable(os.path.join(path, name)) for name in names)


class Copies:
    """The supervisor's copies for one run, each in a folder of its own.

    The worker says no more than a label, which counts only if it is one of this node's: it may be the author's code
    that speaks.
    """

    def __init__(self, task: Task, worker: int, say: Callable[[str], None], note: Callable[[str], None]) -> None:
        """``worker`` is a process's id; ``say`` tells everybody, ``note`` the node's owner."""
        self._task = task
        self._worker = worker
        self._say = say
        self._note = note
        self._folders: list[Path] = []
        self._given: dict[str, str | Failure] = {}

    def give(self, label: str, go_on: Callable[[], object]) -> str:
        """The URI of a copy, which is made once; ``go_on`` raises when there is no time left.

        Raises:
            UnknownLabel: the node has no such database.
            DatabaseUnreadable: it cannot be read, or not be copied.
        """
        if label not in self._given:
            try:
                self._given[label] = self._make(label, go_on)
            except (UnknownLabel, DatabaseUnreadable) as error:
                self._given[label] = error.failure()
        given = self._given[label]
        if isinstance(given, Failure):
            kind: type[AlgotoolsError] = (
                UnknownLabel if given.exit_code == UnknownLabel.exit_code else DatabaseUnreadable
            )
            raise kind(given.message, detail=given.detail)
        return given

    def remove(self) -> None:
        """Remove all of them."""
        if self._folders:
            import shutil  # here, because few runs have a copy

            for folder in self._folders:
                shutil.rmtree(folder, ignore_errors=True)

    def _make(self, label: str, go_on: Callable[[], object]) -> str:
        database = next((d for d in (*self._task.databases, *self._task.configured) if d.label == label), None)
        path = path_of(database.uri) if database else None
        if database is None or path is None:
            raise UnknownLabel("this node has no such database, or it is neither a file nor a folder")
        if database not in self._task.databases:
            self._say(not_asked_for(label))
        folder = self._folder(database)
        target = folder / (Path(path).name or "database")
        try:
            size = _copy(path, folder, target.name, _user(self._worker), go_on)
        except FileNotFoundError as error:
            raise _failed(database, "its file does not exist", error) from None
        except PermissionError as error:
            raise _failed(database, "its file may not be read (permission denied)", error) from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise _failed(database, f"it cannot be copied for the function ({why})", error) from None
        self._note(f"database {label!r}: the function may not open {path} itself and got a copy of {size} bytes")
        scheme, separator, _ = database.uri.partition("://")
        if not separator:
            return str(target)
        return f"file://{quote(str(target))}" if scheme == "file" else f"{scheme}:///{target}"

    def _folder(self, database: Database) -> Path:
        """A new folder of ours, in the first place that takes one."""
        import tempfile  # here, because few runs have a copy

        for place in TEMPORARY:
            try:
                folder = Path(tempfile.mkdtemp(prefix="algotools-", dir=place))
            except OSError as error:
                last = error
                continue
            self._folders.append(folder)
            return folder
        raise _failed(database, f"there is no place for a copy of it ({last.strerror})", last)


def _failed(database: Database, why: str, error: Exception) -> DatabaseUnreadable:
    return DatabaseUnreadable(f"database {database.label!r}: {why}", detail=f"{database.uri}: {error}")


def _user(process: int) -> tuple[int, int]:
    """User and group of a process, which may not have become the one that was asked for."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    found = dict(line.split(":", 1) for line in status.splitlines())
    return int(found["Uid"].split()[1]), int(found["Gid"].split()[1])


def _copy(path: str, folder: Path, name: str, user: tuple[int, int], go_on: Callable[[], object]) -> int:
    """Copy a file or folder, then let the user into it; gives its size.

    Until then the folder is closed to everybody else: nobody can change in between where something is written.
    """
    source = os.open(path, _OPEN)
    into = os.open(folder, _FOLDER)
    try:
        size = _copy_opened(source, into, name, user, go_on)
        os.fchmod(into, 0o711)
    finally:
        os.close(source)
        os.close(into)
    return size


def _copy_opened(source: int, into: int, name: str, user: tuple[int, int], go_on: Callable[[], object]) -> int:
    mode = os.fstat(source).st_mode
    if stat.S_ISDIR(mode):
        return _copy_folder(source, into, name, user, go_on)
    if not stat.S_ISREG(mode):
        raise ValueError("it is neither a file nor a folder")
    target = os.open(name, _MAKE, 0o600, dir_fd=into)
    try:
        size = 0
        while sent := os.sendfile(target, source, None, CHUNK):  # None: on from where it is
            size += sent
            go_on()
        _give_away(target, user)
    finally:
        os.close(target)
    return size


def _copy_folder(source: int, into: int, name: str, user: tuple[int, int], go_on: Callable[[], object]) -> int:
    os.mkdir(name, 0o700, dir_fd=into)
    target = os.open(name, _FOLDER, dir_fd=into)
    size = 0
    try:
        with os.scandir(source) as entries:
            for entry in entries:
                go_on()
                if entry.is_symlink():
                    # As it is: through a link to elsewhere the worker sees what it may see there, not what we may.
                    os.symlink(os.readlink(entry.name, dir_fd=source), entry.name, dir_fd=target)
                elif entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
                    file = os.open(entry.name, _OPEN | os.O_NOFOLLOW, dir_fd=source)
                    try:
                        size += _copy_opened(file, target, entry.name, user, go_on)
                    finally:
                        os.close(file)
        _give_away(target, user)
    finally:
        os.close(target)
    return size


def _give_away(file: int, user: tuple[int, int]) -> None:
    if user != (os.geteuid(), os.getegid()):
        os.fchown(file, *user)
