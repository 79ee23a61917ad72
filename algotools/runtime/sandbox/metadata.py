"""Changes of modes and times that the author's code requests, in the supervisor; see ``_metadata_filter``.

The supervisor carries out a change only in the folders that the author's code may write to. Then ``shutil.copy`` and
similar functions work there, and the files of other tasks stay unchanged.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterable

from algotools.runtime.sandbox._kernel import system_call
from algotools.runtime.sandbox._metadata_filter import get_metadata_calls
from algotools.runtime.sandbox._rules import TEMPORARY
from algotools.task import Task

_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
"""The operations of a listener: SECCOMP_IOCTL_NOTIF_RECV, _SEND and _ID_VALID."""
_NOTIFICATION = struct.Struct("=QII iIQ 6Q")
"""Id, thread, flags; number of the call, architecture, instruction; six arguments."""
_REPLY = struct.Struct("=Qqii")
_CURRENT_FOLDER = -100
_NO_FOLLOW, _EMPTY_PATH = 0x100, 0x1000
_NO_MAGIC_LINKS = 2
"""RESOLVE_NO_MAGICLINKS: a path under /proc/self would name the supervisor's own open files."""
_OPENAT2 = 437
"""The number of ``openat2`` on every architecture."""
_PAGE, _LONGEST_PATH = 4096, 4096


def list_folders(task: Task) -> list[str]:
    """Return the folders that the author's code of a task may write to."""
    return [*TEMPORARY, *([str(task.temporary_folder)] if task.temporary_folder else [])]


class MetadataChanges:
    """The requests on one listener.

    Args:
        listener: the descriptor from ``install_metadata_filter``; ``close`` closes it.
        folders: the folders below which files may be changed.
    """

    def __init__(self, listener: int, folders: Iterable[str]) -> None:
        self.listener = listener
        self._folders = tuple(f"{os.path.realpath(folder)}/" for folder in folders)
        self._calls = get_metadata_calls()

    def answer(self) -> None:
        """Answer one request, which must be waiting."""
        request = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self.listener, _RECEIVE, request)
        except OSError:  # the process has exited or received a signal
            return
        identifier, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(request)
        try:
            self._carry_out(identifier, thread, number, arguments)
            code = 0
        except OSError as error:
            code = -(error.errno or errno.EPERM)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.listener, _SEND, bytearray(_REPLY.pack(identifier, 0, code, 0)))

    def close(self) -> None:
        """Close the listener; from then on, the calls fail."""
        os.close(self.listener)

    def _carry_out(self, identifier: int, thread: int, number: int, arguments: list[int]) -> None:
        calls = self._calls
        if calls is None:
            raise PermissionError(errno.EPERM, "unknown architecture")
        first, second, third, fourth = arguments[:4]
        with contextlib.ExitStack() as stack:
            memory = _Memory(thread)
            stack.callback(memory.close)
            folder, path, flags = first, second, 0
            if number == calls.fchmod:
                path = 0
            elif number == calls.chmod:
                folder, path = _CURRENT_FOLDER, first
            elif number in (calls.fchmodat2, calls.utimensat):
                flags = fourth
            file = _open(thread, folder, memory.read_text(path) if path else None, flags)
            stack.callback(os.close, file)
            # The id is valid if the thread still waits for the answer. So its number has not been given to another one.
            fcntl.ioctl(self.listener, _IS_VALID, struct.pack("=Q", identifier))
            own_name = f"/proc/self/fd/{file}"
            if not os.readlink(own_name).startswith(self._folders):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            if number == calls.utimensat:
                times = memory.read(third, 32) if third else None
                system_call(number, _CURRENT_FOLDER, own_name.encode(), times, 0)
            else:
                mode = {calls.chmod: second, calls.fchmod: second}.get(number, third)
                os.chmod(own_name, mode & 0o7777)


class _Memory:
    """The memory of a thread whose user is the user of this process."""

    def __init__(self, thread: int) -> None:
        self._file = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def read(self, address: int, size: int) -> bytes:
        """Return exactly *size* bytes."""
        data = os.pread(self._file, size, address)
        if len(data) != size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return data

    def read_text(self, address: int) -> bytes:
        """Return the bytes before the next null byte."""
        text = b""
        while len(text) < _LONGEST_PATH:  # page by page, because the next one may not exist
            text += self.read(address + len(text), _PAGE - (address + len(text)) % _PAGE)
            if b"\0" in text:
                return text.partition(b"\0")[0]
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    def close(self) -> None:
        os.close(self._file)


def _open(thread: int, folder: int, path: bytes | None, flags: int) -> int:
    """Open the file that a thread names, only to refer to it; without a path, *folder* is the file itself."""
    number = struct.unpack("=i", struct.pack("=I", folder & 0xFFFFFFFF))[0]
    name = "/" if path and path.startswith(b"/") else f"/proc/{thread}/fd/{number}"
    try:
        base = os.open(f"/proc/{thread}/cwd" if number == _CURRENT_FOLDER else name, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
    if path is None or (not path and flags & _EMPTY_PATH):
        return base
    try:
        mode = os.O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if flags & _NO_FOLLOW else 0)
        how = struct.pack("=QQQ", mode, 0, _NO_MAGIC_LINKS)
        return system_call(_OPENAT2, base, path, how, len(how))
    finally:
        os.close(base)
