"""The output file: either the whole answer is in it, or nothing new is."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from algotools.errors import OutputError


def write_output(path: Path, data: bytes) -> None:
    """Write the answer: replace the file where its folder allows, else write it in one go.

    A node may mount the file itself (v5), which nothing can replace, or lend a folder in which nothing new
    can be made.

    Raises:
        OutputError: it cannot be written; what was there is still there, or the file is empty.
    """
    try:
        if not _replace(path, data):
            _overwrite(path, data)
    except OSError as error:
        raise OutputError(
            f"the answer cannot be written to the node's output file ({error.strerror or type(error).__name__})",
            detail=f"{path}: {error}",
        ) from None


def _replace(path: Path, data: bytes) -> bool:
    """Put a complete new file in the old one's place; false if that cannot be done here."""
    try:
        before = path.lstat()
        if not stat.S_ISREG(before.st_mode) or not os.access(path, os.W_OK):
            return False
        mode = stat.S_IMODE(before.st_mode)
    except FileNotFoundError:
        before, mode = None, 0o644
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return False
    return True


def _overwrite(path: Path, data: bytes) -> None:
    """Write in place; what fails half-way is emptied again."""
    with open(path, "wb", buffering=0) as file:
        try:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(0)
            raise
