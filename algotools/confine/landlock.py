"""Landlock: a process gives up, for itself and all that it starts, every file that no rule names.

Needs no privilege and no set-up of the host; Linux has it from 5.13 on, where it is turned on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable
from typing import NamedTuple

from algotools.confine.kernel import system_call

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The system calls' numbers, which are the same on every machine."""

PATH_BENEATH = 1
"""The kind of rule."""

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15
EVERY = (1 << 16) - 1
"""Besides those above: to make, remove and move files and folders of any kind."""
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""The rights that a file can have; the kernel refuses a rule that gives it others."""

KNOWN_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""Version -> how many rights it knows, each one bit. Version 1 lets nothing move from one folder to another."""
SCOPES = 0b11
"""From version 6: neither abstract sockets nor signals of processes outside."""

_ABSENT = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
"""Older kernel; turned off at boot; refused by the container engine's filter."""


class Rule(NamedTuple):
    """What may be done with a file, or with a folder and all below it."""

    path: str
    rights: int
    follow: bool = False
    """Whether a symbolic link stands for what it points to; else there is no such file."""


def version() -> int:
    """The version of the kernel's Landlock; 0 where there is none."""
    try:
        return system_call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError as error:
        if error.errno in _ABSENT:
            return 0
        raise


def handled(abi: int) -> int:
    """The rights that a version can take away."""
    return (1 << max((bits for since, bits in KNOWN_RIGHTS.items() if since <= abi), default=0)) - 1


def ruleset(rules: Iterable[Rule]) -> int | None:
    """A descriptor of rules for ``restrict``; None where the kernel has no Landlock.

    What a rule names and is not there is left out.

    Raises:
        OSError: the kernel refuses.
    """
    if not (abi := version()):
        return None
    known = handled(abi)
    # Fields that an older kernel does not know must be zero, and may then be given.
    attributes = struct.pack("=QQQ", known, 0, SCOPES if abi >= 6 else 0)  # files, network, scopes
    made = system_call(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    for rule in rules:
        _add(made, rule, known)
    return made


def restrict(made: int) -> None:
    """Keep to the rules from here on, for good; ``no_new_privileges`` must have been called.

    Raises:
        OSError: the kernel refuses.
    """
    system_call(RESTRICT_SELF, ctypes.c_int(made), ctypes.c_uint32(0))
    os.close(made)


def _add(made: int, rule: Rule, known: int) -> None:
    try:
        path = os.open(rule.path, os.O_PATH | os.O_CLOEXEC | (0 if rule.follow else os.O_NOFOLLOW))
    except (OSError, ValueError):  # a path with a null character is a ValueError
        return
    try:
        mode = os.fstat(path).st_mode
        rights = rule.rights & known & (EVERY if stat.S_ISDIR(mode) else OF_FILES)
        if rights and not stat.S_ISLNK(mode):
            beneath = struct.pack("=Qi", rights, path)
            system_call(ADD_RULE, ctypes.c_int(made), ctypes.c_int(PATH_BENEATH), beneath, ctypes.c_uint32(0))
    finally:
        os.close(path)
