"""Filters of system calls (seccomp): the numbers of the calls, the parts of a filter's program, and its installation.

A program is written in the kernel's language for filters (BPF). It holds for the process and for all programs that it
starts, and needs no privilege.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from algotools.runtime.sandbox._kernel import system_call


class Machine(NamedTuple):
    """The facts of a processor's architecture on which a filter depends."""

    column: int
    """The column in ``NUMBERS``."""
    architecture: int
    """The kernel's id of the architecture."""
    number: int
    """The number of ``seccomp`` itself."""


MACHINES = {"x86_64": Machine(0, 0xC000003E, 317), "aarch64": Machine(1, 0xC00000B7, 277)}

NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # Mounts, namespaces and the machine itself. Some calls only fail without privileges, but a user namespace, which
    # needs none, would give the privileges back.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "unshare": (272, 97),
    "setns": (308, 268), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89),
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "syslog": (103, 116), "iopl": (172, None), "ioperm": (173, None),
    "vhangup": (153, 58), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "fanotify_init": (300, 262), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    # Other processes, their memory, and what they share with this one.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "shmget": (29, 194), "shmat": (30, 196),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    # The ways out of the limits: a process group that is killed as a whole, a timer, and the counted user.
    "setsid": (112, 157), "setpgid": (109, 154), "timer_delete": (226, 111),
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143), "setgroups": (116, 159),
    "setresuid": (117, 147), "setresgid": (119, 149), "setfsuid": (122, 151), "setfsgid": (123, 152),
    # Mode, owner, times and attributes of files, which Landlock does not cover.
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "utimensat": (280, 88), "futimesat": (261, None), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
}  # fmt: skip
"""System call -> its number on x86-64 and on 64-bit ARM; None where it does not exist."""

IOCTL = (16, 29)
IO_URING = ((425, 425), (426, 426), (427, 427))
_LIMIT = (302, 261)
"""``prlimit64``."""
_SCHEDULE = ((144, 119), (142, 118), (314, 274), (203, 122))
"""``sched_setscheduler``, ``sched_setparam``, ``sched_setattr`` and ``sched_setaffinity``."""
ATTRIBUTE_REQUESTS = (0x40086602, 0x401C5820)
"""Requests of ``ioctl`` that change attributes of a file (FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR)."""

ALLOW = 0x7FFF0000
FAIL = 0x00050000
EQUAL, ANY_BIT, RETURN = 0x15, 0x45, 0x06
_LOAD, _GREATER, _AND = 0x20, 0x35, 0x54

_SET_FILTER = 1


def find_machine() -> Machine | None:
    """Return the facts of this machine; None if the numbers of its calls are unknown."""
    return MACHINES.get(platform.machine())


def install(machine: Machine, program: Iterable[bytes], flags: int) -> int:
    """Filter the calls of this process and its children, for good; call ``forbid_new_privileges`` before.

    Return the descriptor of the filter's listener, if the flags request one.

    Raises:
        OSError: the kernel refuses the filter.
    """
    instructions = b"".join(program)
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    description = struct.pack("@HP", len(instructions) // 8, ctypes.addressof(buffer))  # struct sock_fprog
    return system_call(machine.number, ctypes.c_uint(_SET_FILTER), ctypes.c_uint(flags), description)


def begin(machine: Machine) -> Iterator[bytes]:
    """Load the number of the call. Calls with other numbers than those in ``NUMBERS`` fail as if they did not exist."""
    yield from instruction(_LOAD, 4)  # the architecture of the call
    yield from instruction(EQUAL, machine.architecture, 1, 0)
    yield from instruction(RETURN, FAIL | errno.ENOSYS)  # a 32-bit call has other numbers
    yield from instruction(_LOAD, 0)  # the number of the call
    if machine.column == 0:
        yield from instruction(_GREATER, 0x40000000, 0, 1)
        yield from instruction(RETURN, FAIL | errno.ENOSYS)  # the x32 variants have other numbers, too


def refuse_changes_of_others(machine: Machine) -> Iterator[bytes]:
    """Refuse to change the limits, the priority and the processors of other processes."""
    for pair in (_LIMIT, *_SCHEDULE):  # 0 is the calling process or thread
        yield from refuse_unless(pair[machine.column], 0, (0,), errno.EPERM)


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> Iterator[bytes]:
    """Yield an instruction; the last two numbers are the instructions to skip after a comparison."""
    yield struct.pack("=HBBI", code, if_true, if_false, value)


def answer(number: int | None, action: int) -> Iterator[bytes]:
    """End the program with an action for one call; nothing for a call that the architecture does not have."""
    if number is not None:
        yield from instruction(EQUAL, number, 0, 1)
        yield from instruction(RETURN, action)


def refuse(number: int | None, code: int) -> Iterator[bytes]:
    """Let a call fail with an error code."""
    yield from answer(number, FAIL | code)


def refuse_if(
    number: int, position: int, test: int, values: tuple[int, ...], code: int, *, mask: int | None = None
) -> Iterator[bytes]:
    """Refuse a call if its argument at *position* passes the test with one of the values."""
    body = [*_load_argument(position, mask)]
    for remaining in range(len(values), 0, -1):
        body += instruction(test, values[-remaining], remaining - 1, 0 if remaining > 1 else 1)
    body += instruction(RETURN, FAIL | code)
    yield from _for_call(number, body)


def refuse_unless(
    number: int, position: int, values: tuple[int, ...], code: int, *, mask: int | None = None
) -> Iterator[bytes]:
    """Refuse a call if its argument at *position* is none of the values."""
    body = [*_load_argument(position, mask)]
    for remaining in range(len(values), 0, -1):
        body += instruction(EQUAL, values[-remaining], remaining, 0)
    body += instruction(RETURN, FAIL | code)
    yield from _for_call(number, body)


def _load_argument(position: int, mask: int | None) -> Iterator[bytes]:
    yield from instruction(_LOAD, 16 + 8 * position)  # the lower half; both machines are little-endian
    if mask is not None:
        yield from instruction(_AND, mask)


def _for_call(number: int, body: list[bytes]) -> Iterator[bytes]:
    """Run instructions only for one call, and load the number of the call again after them."""
    yield from instruction(EQUAL, number, 0, len(body) + 1)
    yield from body
    yield from instruction(_LOAD, 0)
