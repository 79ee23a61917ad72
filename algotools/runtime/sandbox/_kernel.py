"""System calls by which a process gives up rights for good: capabilities, new privileges and file access (Landlock).

Landlock needs no privilege and no setup of the host. Linux has it since 5.13, unless it is turned off.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
from collections.abc import Collection, Iterable
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
LAST_POSSIBLE_CAPABILITY = 63
CAPABILITY_VERSION_3 = 0x20080522


def system_call(number: int, *arguments: object) -> int:
    """Call the kernel by number.

    Raises:
        OSError: the kernel refused the call.
    """
    return _check(int(_libc.syscall(ctypes.c_long(number), *arguments)))


def drop_capabilities() -> None:
    """Give up every capability of this process, including inheritable capabilities, which a change of user keeps."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    no_capabilities = bytes(24)  # effective, permitted and inheritable, in two halves of 32 bits
    _check(_libc.capset(header, no_capabilities))


def drop_bounding_set() -> None:
    """Let no program that this process starts gain a capability. Without the privilege for it, nothing happens."""
    with contextlib.suppress(OSError):  # the kernel has no such capability, or the process may not drop it
        for capability in range(LAST_POSSIBLE_CAPABILITY + 1):
            _control(PR_CAPBSET_DROP, capability)


def forbid_new_privileges() -> None:
    """Ignore the setuid bit and the file capabilities of every program that this process starts from now on."""
    _control(PR_SET_NO_NEW_PRIVS)


def set_dumpable() -> None:
    """Make this process the owner of its files under /proc again. After a change of user, root owns them."""
    _control(PR_SET_DUMPABLE)


def hide_process() -> None:
    """Let no process of the same user read the memory, the variables and the files of this process."""
    _control(PR_SET_DUMPABLE, 0)


def _control(option: int, argument: int = 1) -> None:
    _check(_libc.prctl(ctypes.c_int(option), *(ctypes.c_ulong(value) for value in (argument, 0, 0, 0))))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The numbers of Landlock's system calls, which are the same on every architecture."""

PATH_BENEATH = 1
"""The type of a rule for a file, or for a folder and everything below it."""
NET_PORT = 2
"""The type of a rule for a TCP port."""

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15
ALL_RIGHTS = (1 << 16) - 1
"""The rights above, and the rights to create, remove and move files and folders of any type."""
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""The rights that a rule for a file may contain. The kernel refuses a rule for a file with any other right."""

RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 5: 16}
"""Landlock version -> number of rights that the version knows, from the lowest bit.

Version 1 forbids all moves between folders.
"""
NETWORK_VERSION = 4
"""The first version that can forbid TCP connections."""
BIND_TCP = 1 << 0
CONNECT_TCP = 1 << 1
SCOPE_VERSION = 6
SCOPES = 0b11
"""From version 6: forbid connections to abstract sockets and signals to processes outside the sandbox."""

_ABSENT = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
"""Errors of a kernel without Landlock: too old, turned off at boot, or hidden by the container engine's filter."""


class Rule(NamedTuple):
    """The rights on a file, or on a folder and everything below it."""

    path: str
    rights: int
    follows_links: bool = False
    """Whether a symbolic link at *path* is followed. Otherwise the rule of a link is left out."""


def read_version() -> int:
    """Return the version of the kernel's Landlock; 0 without Landlock."""
    try:
        return system_call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError as error:
        if error.errno in _ABSENT:
            return 0
        raise


def get_supported_rights(version: int) -> int:
    """Return the rights that a Landlock version can take away, as a bit mask."""
    return (1 << max((bits for since, bits in RIGHTS_BY_VERSION.items() if since <= version), default=0)) - 1


def create_ruleset(rules: Iterable[Rule], ports: Collection[int] | None = None) -> int | None:
    """Return a descriptor of the rules for ``restrict_self``; None if the kernel has no Landlock.

    Rules for paths that do not exist are left out. TCP connections are possible only to *ports*; None: to all ports.

    Raises:
        OSError: the kernel refused the rules.
    """
    if not (version := read_version()):
        return None
    rights = get_supported_rights(version)
    # An older kernel accepts the longer struct if the fields that it does not know are zero.
    network = BIND_TCP | CONNECT_TCP if ports is not None and version >= NETWORK_VERSION else 0
    attributes = struct.pack("=QQQ", rights, network, SCOPES if version >= SCOPE_VERSION else 0)
    ruleset = system_call(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    for rule in rules:
        _add_rule(ruleset, rule, rights)
    for port in ports or () if network else ():
        allowed = struct.pack("=QQ", CONNECT_TCP, port)
        system_call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(NET_PORT), allowed, ctypes.c_uint32(0))
    return ruleset


def restrict_self(ruleset: int) -> None:
    """Enforce the rules on this process and its children, for good; call ``forbid_new_privileges`` before.

    Raises:
        OSError: the kernel refused.
    """
    system_call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def _add_rule(ruleset: int, rule: Rule, known_rights: int) -> None:
    try:
        path = os.open(rule.path, os.O_PATH | os.O_CLOEXEC | (0 if rule.follows_links else os.O_NOFOLLOW))
    except (OSError, ValueError):  # a path with a null character is a ValueError
        return
    try:
        mode = os.fstat(path).st_mode
        rights = rule.rights & known_rights & (ALL_RIGHTS if stat.S_ISDIR(mode) else FILE_RIGHTS)
        if rights and not stat.S_ISLNK(mode):
            beneath = struct.pack("=Qi", rights, path)
            system_call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(PATH_BENEATH), beneath, ctypes.c_uint32(0))
    finally:
        os.close(path)
