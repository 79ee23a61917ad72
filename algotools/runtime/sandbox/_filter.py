"""A filter of system calls (seccomp) for a process that runs on the author's own machine, not in a container.

File rules (Landlock) do not cover everything: a process may still change the mode of any file of its user, connect to
the sockets of other programs, or limit their resources. The filter refuses these calls for the process and for all
programs that it starts. No privilege is needed.
"""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from typing import NamedTuple

from algotools.runtime.sandbox._system_calls import (
    ALLOW,
    ANY_BIT,
    ATTRIBUTE_REQUESTS,
    EQUAL,
    IO_URING,
    IOCTL,
    NUMBERS,
    RETURN,
    Machine,
    begin,
    find_machine,
    install,
    instruction,
    refuse,
    refuse_changes_of_others,
    refuse_if,
    refuse_unless,
)

_SOCKET, _SOCKET_PAIR, _BIND, _LISTEN, _SEND_TO = (41, 198), (53, 199), (49, 200), (50, 201), (44, 206)
_SEND_MESSAGE, _SEND_MESSAGES, _CLONE, _CLONE3 = (46, 211), (307, 269), (56, 220), (435, 435)
_SIGNALS = ((62, 129), (200, 130), (234, 131))
"""``kill``, ``tkill`` and ``tgkill``."""
_QUEUED_SIGNALS = ((129, 138), (297, 240), (424, 424))
"""``rt_sigqueueinfo``, ``rt_tgsigqueueinfo`` and ``pidfd_send_signal``."""

_NAMESPACES = 0x7E020000
"""The flags of ``clone`` for new namespaces."""
_TERMINAL_REQUESTS = (0x5412, 0x541C)
"""Requests of ``ioctl`` that type into a terminal (TIOCSTI, TIOCLINUX)."""
_FAST_OPEN = 0x20000000
"""The flag with which sending a message also connects."""
_STREAM, _DATAGRAM, _TYPE_MASK = 1, 2, 0xF
_TCP = 6
_INTERNET = (2, 10)
"""The families of IPv4 and IPv6."""

_ALL_THREADS = 1


class SystemCallPolicy(NamedTuple):
    """The system calls that depend on the caller of the sandbox."""

    may_connect: bool = False
    """Whether TCP connections are possible; Landlock restricts their ports. Otherwise no socket can be created."""
    may_resolve: bool = False
    """Whether datagrams are possible, which the lookup of a host's name needs; only with ``may_connect``."""
    own_signals_only: bool = False
    """Whether the filter restricts signals to this process, because the kernel's Landlock cannot restrict them."""


class FilterUnavailable(Exception):
    """The kernel has no filter of system calls, or its calls have unknown numbers on this machine."""


def install_filter(policy: SystemCallPolicy) -> None:
    """Refuse system calls of this process and its children, for good; call ``forbid_new_privileges`` before.

    Raises:
        FilterUnavailable: the kernel or the machine does not support the filter.
    """
    machine = find_machine()
    if machine is None:
        raise FilterUnavailable(f"machine {platform.machine()}")
    try:
        install(machine, _build_program(policy, machine), _ALL_THREADS)
    except OSError as error:
        raise FilterUnavailable(error.strerror) from error


def _build_program(policy: SystemCallPolicy, machine: Machine) -> Iterator[bytes]:
    """Yield the instructions: every call in ``NUMBERS`` is refused, and others depend on their arguments."""
    column = machine.column
    yield from begin(machine)
    for numbers in NUMBERS.values():
        yield from refuse(numbers[column], errno.EPERM)
    # The C library then uses the older call, whose flags a filter can read. io_uring would bypass the filter.
    for pair in (_CLONE3, *IO_URING):
        yield from refuse(pair[column], errno.ENOSYS)
    yield from refuse_if(_CLONE[column], 0, ANY_BIT, (_NAMESPACES,), errno.EPERM)
    yield from refuse_if(IOCTL[column], 1, EQUAL, (*_TERMINAL_REQUESTS, *ATTRIBUTE_REQUESTS), errno.EPERM)
    yield from refuse_changes_of_others(machine)
    if policy.own_signals_only:
        for pair in _QUEUED_SIGNALS:
            yield from refuse(pair[column], errno.EPERM)
        for pair in _SIGNALS:
            yield from refuse_unless(pair[column], 0, (0, os.getpid()), errno.EPERM)
    for pair in (_BIND, _LISTEN):
        yield from refuse(pair[column], errno.EACCES)
    # A pair of datagram sockets could still send to the named socket of another program.
    yield from refuse_if(_SOCKET_PAIR[column], 1, EQUAL, (_DATAGRAM,), errno.EACCES, mask=_TYPE_MASK)
    if not policy.may_connect:
        yield from refuse(_SOCKET[column], errno.EACCES)
    else:
        types = (_STREAM, _DATAGRAM) if policy.may_resolve else (_STREAM,)
        protocols = (0, _TCP, 17) if policy.may_resolve else (0, _TCP)
        yield from refuse_unless(_SOCKET[column], 0, _INTERNET, errno.EACCES)
        yield from refuse_unless(_SOCKET[column], 1, types, errno.EACCES, mask=_TYPE_MASK)
        yield from refuse_unless(_SOCKET[column], 2, protocols, errno.EACCES)
        for pair, position in ((_SEND_TO, 3), (_SEND_MESSAGE, 2), (_SEND_MESSAGES, 3)):
            yield from refuse_if(pair[column], position, ANY_BIT, (_FAST_OPEN,), errno.EACCES)
    yield from instruction(RETURN, ALLOW)
