"""What the kernel offers to give privileges up, and Python has no name for."""

from __future__ import annotations

import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
CAPABILITY_VERSION_3 = 0x20080522


def system_call(number: int, *arguments: object) -> int:
    """Call the kernel by number.

    Raises:
        OSError: as the kernel says.
    """
    return _checked(int(_libc.syscall(ctypes.c_long(number), *arguments)))


def drop_capabilities() -> None:
    """Give up every capability of this process; a change of user alone leaves the inheritable ones."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    nothing = bytes(24)  # effective, permitted and inheritable, in two halves of 32 bits
    _checked(_libc.capset(header, nothing))


def no_new_privileges() -> None:
    """From here on no program that is started gains any, neither by its setuid bit nor by capabilities of its file."""
    _control(PR_SET_NO_NEW_PRIVS)


def belong_to_oneself() -> None:
    """Own one's files under /proc again: after a change of user they are root's, and ``/proc/self/fd`` is closed."""
    _control(PR_SET_DUMPABLE)


def _control(option: int) -> None:
    _checked(_libc.prctl(ctypes.c_int(option), *(ctypes.c_ulong(value) for value in (1, 0, 0, 0))))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
