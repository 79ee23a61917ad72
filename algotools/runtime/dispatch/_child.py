"""A worker that is a child of the supervisor's process: start it, and kill it with all its own processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from algotools.errors import WorkerKilled
from algotools.runtime import lifetime

_ROUNDS = 100
"""Rounds of killing the worker's descendants, which may start processes faster than they are killed."""
_ROUND = 0.01
"""Seconds between two rounds."""


class ChildWorker:
    """A new interpreter as the worker; its only open files are its ends of the channel and of two pipes.

    When this process exits in any way, the kernel kills the worker and all processes of its group.

    Args:
        channel: the worker's end of the channel.
        output: the pipe for everything that the worker prints; closed when the worker has started.
        environment: all variables of the worker.

    Raises:
        WorkerKilled: the process cannot be started.
    """

    delay = 0.0

    def __init__(self, channel: socket.socket, output: int, environment: Mapping[str, str]) -> None:
        module = __name__.rpartition(".")[0]
        guarded_end, self._guard = os.pipe()  # not a socket, so that the author's code sees one socket only
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(channel.fileno()), str(os.getpid())],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[channel.fileno(), guarded_end],
                start_new_session=True,
            )
            lifetime.kill_group_on_close(guarded_end, self._process.pid)
        except OSError as error:
            raise WorkerKilled(
                f"the process for the function cannot be started ({error.strerror})", detail=str(error)
            ) from None
        finally:
            os.close(guarded_end)
            os.close(output)
        self.pid = self._process.pid

    def poll(self, *, wait: bool = False) -> int | None:
        """See ``WorkerProcess``."""
        return self._process.wait() if wait else self._process.poll()

    def kill(self) -> bool:
        """See ``WorkerProcess``."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except PermissionError:
            return False  # another user, in a container without CAP_KILL: the worker is killed with its container
        return True

    def kill_descendants(self) -> None:
        """Kill the processes that the author's code has started, after the worker has exited.

        A process could otherwise write into the output file after the supervisor. The process 1 of a container adopts
        orphans, so it sees all of them. Elsewhere, a process that has left the worker's session is not seen.
        """
        for _ in range(_ROUNDS):
            processes = [process.pid for process in _list_processes(self.pid) if process.is_alive]
            killed = [pid for pid in processes if _try_kill(pid)]
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not killed:
                break
            time.sleep(_ROUND)
        os.close(self._guard)


def _try_kill(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


class _Process(NamedTuple):
    """A line of ``/proc/PID/stat``; see proc(5)."""

    pid: int
    is_alive: bool
    parent: int
    session: int


def _list_processes(session: int) -> list[_Process]:
    """Return the descendants of this process, and the members of a session."""
    processes = list(_read_processes())
    family = {os.getpid()}
    while grown := {process.pid for process in processes if process.parent in family} - family:
        family |= grown
    return [p for p in processes if p.pid != os.getpid() and (p.pid in family or p.session == session)]


def _read_processes() -> Iterator[_Process]:
    try:
        names = [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:  # not Linux
        return
    for name in names:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
            # The name of the program is in parentheses, and may contain any byte.
            state, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
            yield _Process(int(name), state not in (b"Z", b"X"), int(parent), int(session))
