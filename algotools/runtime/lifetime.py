"""Tie the life of processes together, so that no process is left behind when another one exits or is killed.

The kernel does the killing. It therefore also works if a process is stopped (SIGSTOP), computes in compiled code, or
was itself killed by SIGKILL. Only Linux has these functions; on other systems each function does nothing.

A process that calls ``setsid`` leaves its group, so ``kill_group_on_close`` does not reach it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys

_PR_SET_PDEATHSIG = 1
_CLOCK_MONOTONIC = 1


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent exits.

    The kernel forgets the setting when this process changes its user or group; call the function again afterwards.

    Args:
        parent: process id of the parent. If the parent has already exited, this process exits at once.
    """
    if sys.platform != "linux":
        return
    import ctypes  # here, because a supervisor does not need the module

    numbers = (ctypes.c_ulong(number) for number in (signal.SIGKILL, 0, 0, 0))
    ctypes.CDLL(None).prctl(ctypes.c_int(_PR_SET_PDEATHSIG), *numbers)
    # The parent may have exited before the call. Then this process has another parent already.
    if os.getppid() != parent:
        os._exit(1)


def kill_group_on_close(end: socket.socket | int, group: int) -> None:
    """Let the kernel kill a process group when the other end of a socket pair or pipe is closed or shut down.

    A process that exits in any way closes its ends. The other end must never send anything, because the kernel would
    react to data in the same way. Keep *end* open in a process of the group.

    Args:
        end: the group's end of the socket pair, or the read end of the pipe.
        group: the id of the process group.
    """
    if sys.platform != "linux":
        return
    import fcntl  # here, because not every operating system has it

    # With O_ASYNC the kernel sends a signal at each event on the socket: the signal of F_SETSIG, to F_SETOWN.
    fcntl.fcntl(end, fcntl.F_SETOWN, -group)
    fcntl.fcntl(end, fcntl.F_SETSIG, int(signal.SIGKILL))
    fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(end, select.POLLIN)
    if poll.poll(0):  # the other end was closed before the kernel was told to watch it
        os.killpg(group, signal.SIGKILL)


def limit_lifetime(seconds: float) -> None:
    """Let the kernel kill this process after *seconds*. A later call replaces the limit.

    Unlike ``signal.alarm``, the limit is not disturbed by code that uses SIGALRM.
    """
    if sys.platform != "linux":
        return
    import ctypes

    libc = ctypes.CDLL(None)
    if not hasattr(libc, "timer_create"):  # glibc before 2.34 has the function in another library
        return
    if not _timer:
        timer = ctypes.c_void_p()
        event = struct.pack("@Pii48x", 0, signal.SIGKILL, 0)  # struct sigevent; SIGEV_SIGNAL is 0
        if libc.timer_create(_CLOCK_MONOTONIC, event, ctypes.byref(timer)) != 0:
            return
        _timer.append(timer)
    whole = int(seconds)
    setting = struct.pack("@llll", 0, 0, whole, int((seconds - whole) * 1e9))  # struct itimerspec: interval, value
    libc.timer_settime(_timer[0], 0, setting, None)


_timer: list[object] = []
"""The timer of this process, once ``limit_lifetime`` was called."""
