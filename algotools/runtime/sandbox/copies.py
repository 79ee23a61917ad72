"""Copies of databases that the worker's user may not open: the supervisor makes them, and the worker reads them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from algotools.data.reading import describe_error, find_path
from algotools.errors import AlgotoolsError, DatabaseUnreadable, Failure, UnknownLabel
from algotools.runtime.sandbox._rules import TEMPORARY
from algotools.task import Database, Task

CHUNK = 1 << 26
"""Bytes copied between two checks of the deadline."""

# O_NONBLOCK: opening a FIFO must not block. O_NOFOLLOW: a link inside a copied folder is never followed.
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


def is_readable(path: str) -> bool:
    """Return whether this process may read a file, or a folder with everything in it.

    A path that does not exist, or is not a file, counts as readable: the code that reads it gives the better error.
    """
    # Open the file to find out, because `os.access` does not take Landlock target_folder account.
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
    return all(is_readable(os.path.join(path, name)) for name in names)


class Copies:
    """The copies made for one run, each in its own folder.

    A request contains only the label of one of the node's databases, and never a path. The author's code can send
    requests, too. With a path, the author's code could read any file that root can read.
    """

    def __init__(self, task: Task, worker: int, note: Callable[[str], None]) -> None:
        """Prepare copies for the user of the process *worker*; *note* receives lines for the node's owner."""
        self._task = task
        self._worker = worker
        self._note = note
        self._folders: list[Path] = []
        self._uris: dict[str, str | Failure] = {}

    def get(self, label: str, check_deadline: Callable[[], object]) -> str:
        """Return the URI of the copy of a database, made on the first call; *check_deadline* raises to stop the copy.

        Raises:
            UnknownLabel: the node has no such database, or the database is not a file or folder.
            DatabaseUnreadable: the database cannot be read, or not be copied.
        """
        if label not in self._uris:
            try:
                self._uris[label] = self._copy_database(label, check_deadline)
            except (UnknownLabel, DatabaseUnreadable) as error:
                self._uris[label] = error.failure()
        uri = self._uris[label]
        if isinstance(uri, Failure):
            kind: type[AlgotoolsError] = UnknownLabel if uri.exit_code == UnknownLabel.exit_code else DatabaseUnreadable
            raise kind(uri.message, detail=uri.detail)
        return uri

    def remove(self) -> None:
        """Remove all copies."""
        if self._folders:
            import shutil  # here, because few runs have a copy

            for folder in self._folders:
                shutil.rmtree(folder, ignore_errors=True)

    def _copy_database(self, label: str, check_deadline: Callable[[], object]) -> str:
        database = next((d for d in (*self._task.databases, *self._task.configured) if d.label == label), None)
        path = find_path(database.uri) if database else None
        if database is None or path is None:
            raise UnknownLabel("this node has no such database, or the database is not a file or folder")
        folder = self._create_folder(database)
        target = folder / (Path(path).name or "database")
        try:
            size = _copy(path, folder, target.name, _read_user(self._worker), check_deadline)
        except FileNotFoundError as error:
            raise _make_unreadable_error(database, "its file does not exist", error) from None
        except PermissionError as error:
            raise _make_unreadable_error(database, "its file may not be read (permission denied)", error) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise _make_unreadable_error(database, f"it cannot be copied for the function ({reason})", error) from None
        self._note(f"database {label!r}: the function may not open {path} itself and got a copy of {size} bytes")
        scheme, separator, _ = database.uri.partition("://")
        if not separator:
            return str(target)
        return f"file://{quote(str(target))}" if scheme == "file" else f"{scheme}:///{target}"

    def _create_folder(self, database: Database) -> Path:
        """Create a folder for a copy in the first temporary folder that allows it."""
        import tempfile  # here, because few runs have a copy

        for parent in TEMPORARY:
            try:
                folder = Path(tempfile.mkdtemp(prefix="algotools-", dir=parent))
            except OSError as error:
                last_error = error
                continue
            self._folders.append(folder)
            return folder
        raise _make_unreadable_error(
            database, f"no temporary folder can take a copy of it ({last_error.strerror})", last_error
        )


def _make_unreadable_error(database: Database, reason: str, error: Exception) -> DatabaseUnreadable:
    return DatabaseUnreadable(f"database {database.label!r}: {reason}", detail=describe_error(database, error))


def _read_user(process: int) -> tuple[int, int]:
    """Return user and group of a process. A worker that could not change its user is not the requested user."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["Uid"].split()[1]), int(fields["Gid"].split()[1])


def _copy(path: str, folder: Path, name: str, user: tuple[int, int], check_deadline: Callable[[], object]) -> int:
    """Copy a file or folder target_folder *folder*, then open *folder* to the user; return the number of bytes."""
    source = os.open(path, _OPEN)
    target_folder = os.open(folder, _FOLDER)
    try:
        # Until the copy is complete, only we can enter the folder. Otherwise the author's code could replace a
        # half-copied folder by a link, and root would write the rest of the copy to wherever the link points.
        size = _copy_opened(source, target_folder, name, user, check_deadline)
        os.fchmod(target_folder, 0o711)
    finally:
        os.close(source)
        os.close(target_folder)
    return size


def _copy_opened(
    source: int, target_folder: int, name: str, user: tuple[int, int], check_deadline: Callable[[], object]
) -> int:
    mode = os.fstat(source).st_mode
    if stat.S_ISDIR(mode):
        return _copy_folder(source, target_folder, name, user, check_deadline)
    if not stat.S_ISREG(mode):
        raise ValueError("it is neither a file nor a folder")
    target = os.open(name, _CREATE, 0o600, dir_fd=target_folder)
    try:
        size = 0
        while count := os.sendfile(target, source, None, CHUNK):  # None: continue at the file's current position
            size += count
            check_deadline()
        _change_owner(target, user)
    finally:
        os.close(target)
    return size


def _copy_folder(
    source: int, target_folder: int, name: str, user: tuple[int, int], check_deadline: Callable[[], object]
) -> int:
    os.mkdir(name, 0o700, dir_fd=target_folder)
    target = os.open(name, _FOLDER, dir_fd=target_folder)
    size = 0
    try:
        with os.scandir(source) as entries:
            for entry in entries:
                check_deadline()
                if entry.is_symlink():
                    # Copy the link, not its target: the worker then sees only targets that it may open itself.
                    os.symlink(os.readlink(entry.name, dir_fd=source), entry.name, dir_fd=target)
                elif entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
                    file = os.open(entry.name, _OPEN | os.O_NOFOLLOW, dir_fd=source)
                    try:
                        size += _copy_opened(file, target, entry.name, user, check_deadline)
                    finally:
                        os.close(file)
        _change_owner(target, user)
    finally:
        os.close(target)
    return size


def _change_owner(file: int, user: tuple[int, int]) -> None:
    if user != (os.geteuid(), os.getegid()):
        os.fchown(file, *user)
