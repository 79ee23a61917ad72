"""A filter of system calls for changes that Landlock cannot forbid: modes, times, owners and attributes of files.

A process may change these of every file that its user owns, even if it may not open the file. It may also change the
limits, the priority and the processors of its user's other processes, such as the supervisor. So a container needs the
filter if the author's code has the same user as the files of the node. In contrast to ``_filter``, libraries can still
change the modes and times of the task's own files: ``metadata`` answers these calls.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import NamedTuple, cast

from algotools.runtime.sandbox._system_calls import (
    ALLOW,
    ATTRIBUTE_REQUESTS,
    EQUAL,
    FAIL,
    IO_URING,
    IOCTL,
    NUMBERS,
    RETURN,
    Machine,
    answer,
    begin,
    find_machine,
    install,
    instruction,
    refuse,
    refuse_changes_of_others,
    refuse_if,
    refuse_unless,
)

_DENIED = (
    "chown", "fchown", "lchown", "fchownat", "utime", "utimes", "futimesat", "setxattr", "lsetxattr", "fsetxattr",
    "removexattr", "lremovexattr", "fremovexattr", "setxattrat", "removexattrat", "file_setattr",
)  # fmt: skip
_VERITY_REQUEST = 0x40806685
"""A request of ``ioctl`` that makes a file unchangeable for ever (FS_IOC_ENABLE_VERITY)."""
_NEW_LISTENER = 8
_NOTIFY = 0x7FC00000


class MetadataCalls(NamedTuple):
    """The numbers of the calls that ``metadata`` carries out."""

    chmod: int | None
    """Only old architectures have it."""
    fchmod: int | None
    fchmodat: int | None
    fchmodat2: int | None
    utimensat: int | None


def get_metadata_calls() -> MetadataCalls | None:
    """Return the numbers for this machine; None if they are unknown."""
    machine = find_machine()
    return MetadataCalls(*(NUMBERS[name][machine.column] for name in MetadataCalls._fields)) if machine else None


def install_metadata_filter() -> tuple[bool, int | None]:
    """Filter the calls of this process and its children, for good; call ``forbid_new_privileges`` before.

    Return whether the kernel accepted the filter, and the descriptor on which changes of modes and times are requested.
    Without a descriptor, these changes are forbidden.
    """
    machine = find_machine()
    if machine is None:
        return False, None
    for action, flags in ((_NOTIFY, _NEW_LISTENER), (FAIL | errno.EPERM, 0)):
        try:
            listener = install(machine, _build_program(machine, action), flags)
        except OSError:  # too old, turned off, or an outer filter has a listener already
            continue
        return True, listener if flags else None
    return False, None


def _build_program(machine: Machine, action: int) -> Iterator[bytes]:
    """Yield the instructions; *action* is the answer to calls that ``metadata`` can carry out."""
    column = machine.column
    yield from begin(machine)
    for name in MetadataCalls._fields:
        yield from answer(NUMBERS[name][column], action)
    for name in _DENIED:
        yield from refuse(NUMBERS[name][column], errno.EPERM)
    for pair in IO_URING:  # its operations are not filtered
        yield from refuse(pair[column], errno.ENOSYS)
    yield from refuse_if(IOCTL[column], 1, EQUAL, (*ATTRIBUTE_REQUESTS, _VERITY_REQUEST), errno.EPERM)
    yield from refuse_changes_of_others(machine)
    for name, kind in (("setpriority", 0), ("ioprio_set", 1)):  # first the kind: a process; then its id
        for position, value in ((0, kind), (1, 0)):
            yield from refuse_unless(cast("int", NUMBERS[name][column]), position, (value,), errno.EPERM)
    yield from instruction(RETURN, ALLOW)
