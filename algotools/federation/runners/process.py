"""The process runner: every run in a process of its own, forked from a template that is already warm."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable

from algotools.contract.environment import from_image
from algotools.errors import FederationError
from algotools.federation.runners import Job, template
from algotools.functions import Algorithm
from algotools.locate import Place
from algotools.report import Console

GRACE = 10.0
"""Seconds that a run gets past its limit, to tell in its own words that it is overdue."""


class ProcessRunner:
    """Runs ``python -m algotools`` in the environment that a node prepares, and in little else."""

    def __init__(self, algorithm: Place | Algorithm) -> None:
        if not hasattr(os, "fork"):
            raise FederationError("runner process needs an operating system that can fork; use runner inline here")
        self.places = max(2, os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        self._variables = {name: value for name, value in os.environ.items() if from_image(name)}
        for name in ("ALGOTOOLS_ALGORITHM", "PKG_NAME"):
            self._variables.pop(name, None)
        with theirs:
            if isinstance(algorithm, Algorithm):
                self._wait = _fork(theirs, self._control, algorithm)
            else:
                self._variables["ALGOTOOLS_ALGORITHM"] = _named(algorithm)
                self._wait = _spawn(theirs, algorithm)

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""
        read_end, write_end = os.pipe()
        mine, its = socket.socketpair()
        with its, mine:
            try:
                with self._lock:
                    template.request(self._control, {**self._variables, **job.environment}, write_end, its.fileno())
            except OSError:
                os.close(read_end)
                raise FederationError("the processes of this federation have ended; make a new one") from None
            finally:
                os.close(write_end)
            its.close()
            overdue = threading.Timer(timeout + GRACE, mine.shutdown, (socket.SHUT_WR,)) if timeout else None
            if overdue:
                overdue.daemon = True
                overdue.start()
            with open(read_end, encoding="utf-8", errors="backslashreplace") as log:
                for line in log:
                    console(line.rstrip("\n"))
            try:
                return template.exit_code(mine)
            finally:
                if overdue:
                    overdue.cancel()

    def close(self) -> None:
        """See ``Runner``: the template ends all runs when its control is gone.

        A template that was forked later may have a copy of it, so closing alone would not tell this one.
        """
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        self._wait()


def _wait_for(pid: int) -> None:
    """Wait for a forked template; somebody else may have waited for all children already."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _named(place: Place) -> str:
    """How the container's entry point is told of an algorithm."""
    if place.root is None:
        return place.module
    return str(
        place.root.parent if place.root.name == "src" and not (place.root / "pyproject.toml").exists() else place.root
    )


def _spawn(theirs: socket.socket, place: Place) -> Callable[[], object]:
    """A fresh interpreter, with nothing of this process in it; gives how to wait for its end."""
    arguments = [sys.executable, "-m", "algotools.federation.runners.template", str(theirs.fileno()), place.module]
    if place.root is not None:
        arguments.append(str(place.root))
    return subprocess.Popen(
        arguments, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
    ).wait


def _fork(theirs: socket.socket, mine: socket.socket, algorithm: Algorithm) -> Callable[[], object]:
    """A copy of this process, for functions that are nowhere else: those of a notebook."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # The copy runs nothing but the template's loop, which takes no lock that another thread may hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            mine.close()
            os.setsid()
            template.serve(theirs, lambda: algorithm)
        finally:
            os._exit(0)
    return lambda: _wait_for(pid)
