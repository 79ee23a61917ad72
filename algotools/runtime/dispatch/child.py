"""A worker that is a child of the supervisor's process: start it, and kill it with all its own processes.

A worker imports algotools like the supervisor, which takes as long as everything else at the start of a run. So the
entry point of an image starts the worker first, and both processes import at the same time. Until the supervisor sends
the message ``Start``, the worker runs no code except that of the interpreter and of algotools.

This module is imported before all others. So it imports only modules that an interpreter loads quickly.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping

from algotools.runtime import lifetime

STOPPING_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
"""The signals with which a node stops a run."""

_INITIAL_VARIABLES = frozenset(
    {
        "HOME", "LANG", "LANGUAGE", "LD_BIND_NOW", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "TZ", "VIRTUAL_ENV",
        "GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_CONF", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_",
        "MALLOC_PERTURB_", "MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_",
        "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME",
        "PYTHON_CPU_COUNT", "PYTHON_GIL", "PYTHON_JIT",
    }
)  # fmt: skip
"""Variables that the loader, the C library or the interpreter reads once, when a process starts.

No node names a variable with the token or a database like this, whatever the label of the database is. So all names
with an underscore are listed in full: a label ``LC`` would have the variable ``LC_DATABASE_URI``.
"""

_MOST_NUMBERS = 1 << 16
"""Numbers of descriptors that are tried if open descriptors cannot be listed."""


class ChildWorker:
    """A new interpreter as the worker; its only open files are its ends of the channel and of two pipes.

    When this process exits in any way, the kernel kills the worker and all processes of its group.

    Args:
        environ: the variables of this process. The worker starts with a few of them, which contain no secret, because
            it is not known yet which variables the author's code may have. The message ``Start`` has the others.

    Raises:
        OSError: the process cannot be started.
    """

    delay = 0.0

    def __init__(self, environ: Mapping[str, str]) -> None:
        # Messages and prints travel separately: an author's print can then never be mistaken for a message.
        self.channel, worker_channel = socket.socketpair()
        self.output, write_end = os.pipe()
        guarded_end, self._guard = os.pipe()  # not a socket, so that the author's code sees one socket only
        self._exit_code: int | None = None
        try:
            # The worker must hold the only open copies of its ends. Otherwise we would never read an end of file.
            with worker_channel:
                self.pid = _spawn(environ, worker_channel.fileno(), write_end, guarded_end)
            lifetime.kill_group_on_close(guarded_end, self.pid)
        except OSError:
            self.channel.close()
            os.close(self.output)
            os.close(self._guard)
            raise
        finally:
            os.close(guarded_end)
            os.close(write_end)

    def poll(self, *, wait: bool = False) -> int | None:
        """See ``WorkerProcess``."""
        if self._exit_code is None:
            try:
                pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            except ChildProcessError:  # another part of this process has waited for all children
                self._exit_code = 0
            else:
                self._exit_code = os.waitstatus_to_exitcode(status) if pid else None
        return self._exit_code

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
        from algotools.runtime.dispatch._descendants import kill_descendants  # here, because the start is not delayed

        kill_descendants(self.pid)
        os.close(self._guard)

    def discard(self) -> None:
        """Kill the worker without a run, and wait for its exit."""
        if self.poll() is None and self.kill():
            self.poll(wait=True)
        self.channel.close()
        os.close(self.output)
        os.close(self._guard)


def try_start_worker(environ: Mapping[str, str]) -> ChildWorker | None:
    """Start a worker before it is needed. If this fails, the supervisor starts it later, and reports the error.

    The signals that stop a run are blocked until ``run.main`` handles them, so that the worker is stopped, too.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING_SIGNALS)
    with contextlib.suppress(OSError):
        return ChildWorker(environ)
    return None


def _spawn(environ: Mapping[str, str], channel: int, output: int, guarded_end: int) -> int:
    """Start the interpreter in a session of its own, and return its process id."""
    for descriptor in (channel, guarded_end):
        os.set_inheritable(descriptor, True)
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", __name__.rpartition(".")[0], str(channel), str(os.getpid())],
        {name: value for name, value in environ.items() if _is_initial(name)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
            *((os.POSIX_SPAWN_CLOSE, number) for number in _list_inheritable() if number not in (channel, guarded_end)),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores these signals, which a child would inherit
    )


def _is_initial(name: str) -> bool:
    return name in _INITIAL_VARIABLES or (name.startswith("PYTHON") and "_" not in name)


def _list_inheritable() -> Iterator[int]:
    """Yield the descriptors that a new process would inherit, except those of the standard streams."""
    numbers: Iterable[int] = range(min(os.sysconf("SC_OPEN_MAX"), _MOST_NUMBERS))
    with contextlib.suppress(OSError):  # there is no /proc, or this process is hidden and may not list its own files
        numbers = map(int, os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"))
    for number in numbers:
        with contextlib.suppress(OSError):  # no file has the number, such as that of the listed folder
            if number > 2 and os.get_inheritable(number):
                yield number
