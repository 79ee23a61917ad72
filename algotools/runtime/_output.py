"""Write the output file: afterwards it contains the whole output, or nothing.

In an image without a confinement, the author's code can write the output file, too, or put something else in its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from algotools.errors import OutputError


class OutputFile:
    """The output file that the node has prepared: a file, or nothing yet; a link or a pipe is kept.

    Raises:
        OutputError: the node has prepared a folder, or the file cannot be reached.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _convert_errors(path):
            self._kind, self._target = _describe(path)
            self._has_folder = path.parent.is_dir()
            if self._kind == stat.S_IFDIR:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    def write(self, data: bytes) -> None:
        """Write the output of a run that has succeeded.

        Raises:
            OutputError: the output cannot be written; the file has its old content, or is empty.
        """
        with _convert_errors(self._path):
            self._restore()
        write_output(self._path, data)

    def clear(self) -> None:
        """Leave an empty file after a failed run. A process that still has the file open writes into another file.

        Raises:
            OutputError: the file cannot be emptied.
        """
        with _convert_errors(self._path):
            self._restore()
            if self._kind in _REGULAR and not _replace(self._path, b""):
                _overwrite(self._path, b"")
            elif self._kind == stat.S_IFLNK and self._path.is_file():
                os.truncate(self._path, 0)

    def _restore(self) -> None:
        """Remove what the author's code has put in the place of the file, and create the file's folder again."""
        if self._has_folder:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        kind, target = _describe(self._path)
        is_regular = kind in _REGULAR and self._kind in _REGULAR
        if is_regular or (kind, target) == (self._kind, self._target):
            return
        if kind == stat.S_IFDIR:
            import shutil  # here, because few runs need it

            shutil.rmtree(self._path)
        elif kind:
            self._path.unlink()
        if self._kind == stat.S_IFLNK:
            self._path.symlink_to(self._target)


_REGULAR = (0, stat.S_IFREG)
"""The kinds of a regular file, and of a file that does not exist yet."""


def _describe(path: Path) -> tuple[int, str]:
    """Return the kind of file at a path, and the target of a link; 0 if nothing exists there."""
    try:
        kind = stat.S_IFMT(path.lstat().st_mode)
        return kind, os.readlink(path) if kind == stat.S_IFLNK else ""
    except FileNotFoundError:
        return 0, ""


def write_output(path: Path, data: bytes) -> None:
    """Write the output: replace the file if its folder allows it, otherwise write into the existing file.

    Raises:
        OutputError: the output cannot be written; the file has its old content, or is empty.
    """
    # Replacing is safe at any moment. But a node may mount the file itself (v5), which cannot be replaced, or mount a
    # folder in which no file can be created.
    with _convert_errors(path):
        if not _replace(path, data):
            _overwrite(path, data)


@contextlib.contextmanager
def _convert_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        reason = error.strerror if isinstance(error, OSError) else None
        raise OutputError(
            f"the output cannot be written to the node's output file ({reason or type(error).__name__})",
            detail=f"{path}: {error}",
        ) from None


def _replace(path: Path, data: bytes) -> bool:
    """Replace the file by a complete new file; return false if that is not possible here."""
    try:
        old = path.lstat()
        if not stat.S_ISREG(old.st_mode) or not os.access(path, os.W_OK):
            return False
        mode = stat.S_IMODE(old.st_mode)
    except FileNotFoundError:
        old, mode = None, 0o644
    temporary = path.with_name(f".{path.name}-{os.urandom(8).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return False
    return True


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file. Opening a pipe would wait for its reader, perhaps for ever."""
    file = os.open(path, flags | os.O_NONBLOCK, 0o666)
    os.set_blocking(file, True)
    return file


def _overwrite(path: Path, data: bytes) -> None:
    """Write into the existing file; if that fails half-way, empty the file."""
    with open(path, "wb", buffering=0, opener=_open_without_waiting) as file:
        try:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(0)
            raise
