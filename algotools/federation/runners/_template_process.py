"""The template process of the process runner: its start, its control socket and its end (see ``_template``)."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from algotools.declare import locate
from algotools.declare.functions import Algorithm
from algotools.declare.locate import Location
from algotools.errors import FederationError
from algotools.federation.runners import _template
from algotools.runtime import lifetime

IDLE_TIMEOUT = 5.0
"""Seconds without a run after which a template that is a fresh interpreter exits."""

STOP_TIMEOUT = 5.0
"""Seconds to wait for a template to exit, or to take a request. After that it is killed."""


class TemplateProcess:
    """A template process and its control socket."""

    def __init__(self, algorithm: Location | Algorithm, *, copy: bool) -> None:
        library = find_fork_unsafe_library()
        if library and isinstance(algorithm, Algorithm) and _uses_library(algorithm, library):
            raise FederationError(
                f"runner process copies this process to run functions that are defined in it, but the functions use "
                f"{library}, which hangs in a copy after it has been used here; use runner inline, or move the "
                "functions to a folder with a pyproject.toml (`algotools new`)"
            )
        self.is_copy = copy
        self.has_responded = False
        """Whether the template has forked a worker, so its libraries are imported."""
        self.control, template_end = socket.socketpair()
        self.control.settimeout(STOP_TIMEOUT)
        # The kernel kills the template's process group when `self._guard` is closed, even by a crash of this process.
        # So a template that is stopped (SIGSTOP) does not remain.
        self._guard, guarded_end = socket.socketpair()
        self._is_killed = False
        with template_end, guarded_end:
            if isinstance(algorithm, Location) and not copy:
                group, self._wait = _spawn(template_end, guarded_end, algorithm)
            else:
                group, self._wait = _fork((template_end, guarded_end), (self.control, self._guard), algorithm)
            lifetime.kill_group_on_close(guarded_end, group)

    def has_exited(self) -> bool:
        """Whether the template was killed, or its end of the control socket is closed."""
        if self._is_killed:
            return True
        poll = select.poll()  # `select.select` refuses descriptors above 1,023
        poll.register(self.control, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Stop the template, and wait until it has exited."""
        # Every process that is forked from this one has a copy of `self.control`. The socket therefore stays open when
        # this process closes its descriptor, and the template would not notice. `shutdown` acts on the socket itself.
        # The template never sends anything, so `recv` returns when the template's end is closed. Another process may
        # have a copy of that end and keep it open. Then `recv` stops at the timeout, with an OSError.
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_WR)
            if not self._is_killed:
                self.control.recv(1)
        self.kill()
        self._guard.close()
        self.control.close()
        self._wait()

    def kill(self) -> None:
        """Kill the template without waiting for it. Its workers and their children are killed with it."""
        self._is_killed = True
        with contextlib.suppress(OSError):
            self._guard.shutdown(socket.SHUT_WR)


def _uses_library(algorithm: Algorithm, library: str) -> bool:
    """Whether the global variables of the functions include the library, or an object of the library.

    ``import polars as pl``, ``from polars import col`` and a frame of Polars are detected. An import inside a function
    is not detected.
    """
    # Values are never compared with ==: an array would return an array.
    values = (value for function in algorithm.functions.values() for value in function.__globals__.values())
    return any(_find_origin(value).partition(".")[0] == library for value in values)


def _find_origin(value: object) -> str:
    """Return the module that defines a class, a function or the class of another value; for a module its own name."""
    if isinstance(value, types.ModuleType):
        return value.__name__
    owner = value if isinstance(value, (type, types.FunctionType)) else type(value)
    return str(owner.__module__)


def _wait_for(pid: int) -> None:
    """Wait for a forked template; ignore that other code of this process has already waited for all children."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


_START = """
import os, sys
os.fork() and os._exit(0)
from algotools.federation.runners._template import main
main(*sys.argv[1:])
"""
"""Starts a template as a grandchild.

A template may exit at any time after its idle timeout. As a child it would then stay a zombie until this process waits
for it. The child in between exits at once and is waited for, and the system's init process reaps the template.
"""


def _spawn(
    template_end: socket.socket, guarded_end: socket.socket, location: Location
) -> tuple[int, Callable[[], object]]:
    """Start a fresh interpreter as the template; return its group and a function that waits for the child in between.

    The template keeps *guarded_end* open.
    """
    arguments = [str(template_end.fileno()), str(IDLE_TIMEOUT), location.module]
    if location.root is not None:
        arguments.append(str(location.file or location.root))
    process = _start_interpreter(arguments, [template_end.fileno(), guarded_end.fileno()])
    return process.pid, process.wait


def _start_interpreter(arguments: Sequence[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start a fresh interpreter, which forks a template and exits. The tests replace this function by a faster one."""
    command = [sys.executable, "-c", _START, *arguments]
    return subprocess.Popen(command, pass_fds=descriptors, stdin=subprocess.DEVNULL, start_new_session=True)


def _fork(
    template_ends: tuple[socket.socket, socket.socket],
    runner_ends: tuple[socket.socket, socket.socket],
    algorithm: Location | Algorithm,
) -> tuple[int, Callable[[], object]]:
    """Copy this process as the template; return its group and a function that waits for the copy.

    The copy closes its copies of *runner_ends*, and keeps *template_ends* open. The first one is the control socket.

    The copy has the functions and frames that exist only in this process. Frames could instead be written to files in
    memory, but these need too much memory. `benchmarks/federation.py` allows 1.3 times the frames' size, and the
    caller's own frames take 1.0 of it. Measured over all processes and files in /dev/shm:

    ==================================================  =================  ================
    nodes with 10 columns of numbers                    40 x 100,000 rows  4 x 1,000,000
    ==================================================  =================  ================
    copies of this process                              1.09               1.25
    files, written once                                 2.5                3.2
    files, written for each run                         1.5                2.5 to 2.9
    files of bare numbers that are mapped, once         2.25               2.3
    files of bare numbers that are mapped, each run     1.27 to 1.32       1.6 to 1.8
    ==================================================  =================  ================
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python warns about a fork while threads run, because their locks stay locked in the copy. The template's loop
        # takes no lock that another thread may hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            for end in runner_ends:
                end.close()
            os.setsid()
            # This process may have imported the algorithm already. A run must not see the state of that module.
            load = (lambda: algorithm) if isinstance(algorithm, Algorithm) else (lambda: locate.reload(algorithm))
            _template.serve(template_ends[0], load)
        finally:
            os._exit(0)
    return pid, lambda: _wait_for(pid)


_POLARS = re.compile(r"polars-\d+")
"""Names of Polars' threads, which start at its first computation, not when it is imported."""


def find_fork_unsafe_library() -> str | None:
    """Return the library that would hang in a copy of this process; None if no such library is in use.

    Polars computes in a pool of threads. A copy of the process has the pool without its threads, so a computation in
    the copy would wait for them forever.
    """
    if "polars" not in sys.modules:
        return None
    try:
        names = [path.read_text(encoding="utf-8").strip() for path in Path("/proc/self/task").glob("*/comm")]
    except OSError:  # a thread has just exited
        return "polars"
    return "polars" if not names or any(map(_POLARS.fullmatch, names)) else None
