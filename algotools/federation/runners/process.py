"""The process runner: every run in a process of its own, forked from a template that is already warm."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import NoReturn

from algotools import container, locate
from algotools.contract import Contract
from algotools.contract.environment import from_image
from algotools.dispatch import template
from algotools.dispatch.limits import can_limit_memory
from algotools.dispatch.perform import Load
from algotools.dispatch.supervisor import Sink, listen
from algotools.errors import FederationError
from algotools.federation.runners import Job
from algotools.federation.runners.copying import cannot_survive_a_copy
from algotools.functions import Algorithm
from algotools.locate import Place
from algotools.report import Console
from algotools.task import Task

PATIENCE = 5.0
"""Seconds for which a template of its own stays warm without a run."""

PATIENCE_AT_THE_END = 5.0
"""Seconds for which the end of a template is waited for."""


class ProcessRunner:
    """Runs the author's code in the environment that a node prepares, and in little else.

    The supervisor of each run is a thread here: it takes the one road, on which a container's supervisor is a process.

    Args:
        algorithm: what to run.
        memory: what a run may allocate, in bytes, besides what is imported.
        holds_frames: whether nodes' data are frames of this process. Then runs are copies of it, which see them; those
            of an algorithm in a folder are otherwise copies of an interpreter with nothing else in it.

    Raises:
        FederationError: this operating system cannot do it.
    """

    def __init__(self, algorithm: Place | Algorithm, memory: int | None = None, *, holds_frames: bool = False) -> None:
        if not hasattr(os, "fork"):
            raise FederationError("runner process needs an operating system that can fork; use runner inline here")
        if memory is not None and not can_limit_memory():
            raise FederationError("a limit of memory needs Linux for runner process; use runner container here")
        self.places = (os.cpu_count() or 1) + 1  # one more, for each waits a while: for the template, to be answered
        self._holds_frames = holds_frames
        self._algorithm = algorithm
        self._memory = memory
        self._lock = threading.Lock()
        self._template: _Template | None = None
        self._closed = False
        self._variables = {name: value for name, value in os.environ.items() if from_image(name)}
        for name in ("ALGOTOOLS_ALGORITHM", "PKG_NAME"):
            self._variables.pop(name, None)
        if not self.sees_frames:
            self.wake()  # it will be warm by the time that it is needed

    @property
    def sees_frames(self) -> bool:
        """See ``Runner``: whether its template is, or would be, a copy of this process."""
        if (living := self._template) is not None and not living.has_ended():
            return living.is_copy
        return isinstance(self._algorithm, Algorithm) or (self._holds_frames and not cannot_survive_a_copy())

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``; the limit is in the environment, where every way of running finds it."""
        del timeout

        def perform(
            task: Task, load: Load, contract: Contract, console: Console, sink: Sink, timeout: float | None
        ) -> bytes:
            del load, contract  # the worker finds them for itself
            with contextlib.ExitStack() as stack:
                worker, channel, output = self._start(job, stack)
                stack.enter_context(job.ending.by(worker.kill))
                return listen(worker, channel, output, task, console, sink, timeout)

        return container.run(job.environment, _nobody, perform, console)

    def wake(self) -> None:
        """See ``Runner``: a copy of this process is made where nothing runs in it, so that nobody holds a lock."""
        with self._lock:
            if not self._closed:
                self._living()

    def rest(self) -> None:
        """See ``Runner``: a copy of this process ends, a template of its own does so after a while."""
        with self._lock:
            if self._template is not None and self._template.is_copy:
                self._end()

    def close(self) -> None:
        """See ``Runner``: the template ends all runs when its control is gone."""
        with self._lock:
            self._closed = True
            self._end()

    def _start(self, job: Job, stack: contextlib.ExitStack) -> tuple[template.Lifeline, socket.socket, int]:
        """Have a worker forked; gives it, the channel to it and what its prints come out of."""
        asked = template.Asked({**self._variables, **job.environment}, self._memory)
        for _ in range(2):
            (mine, its), (end, lifeline), (read_end, write_end) = socket.socketpair(), socket.socketpair(), os.pipe()
            with its, lifeline:
                sent = self._send(asked, its.fileno(), write_end, lifeline.fileno())
                os.close(write_end)
            worker = template.Lifeline(stack.enter_context(end))
            if sent and worker.taken():
                return worker, mine, read_end
            # The template had ended by itself just before it was asked; a new one is at hand.
            mine.close()
            os.close(read_end)
        raise FederationError("the processes of this federation have ended; make a new one")

    def _send(self, asked: template.Asked, *descriptors: int) -> bool:
        """Send a request to the template, or to a new one if it has ended by itself; false after the runner's end."""
        with self._lock:
            for _ in range(0 if self._closed else 2):
                living = self._living()
                with contextlib.suppress(OSError):
                    template.request(living.control, asked, *descriptors)
                    return True
        return False

    def _living(self) -> _Template:
        """The template, or a new one if it has ended."""
        if self._template is None or self._template.has_ended():
            self._end()
            self._template = _Template(self._algorithm, copy=self.sees_frames)
        return self._template

    def _end(self) -> None:
        if self._template is not None:
            self._template.close()
            self._template = None


def _nobody() -> NoReturn:
    raise AssertionError("workers load the algorithm, not their supervisor")


class _Template:
    """A template process, and the control of it."""

    def __init__(self, algorithm: Place | Algorithm, *, copy: bool) -> None:
        library = cannot_survive_a_copy()
        if library and isinstance(algorithm, Algorithm) and _uses(algorithm, library):
            raise FederationError(
                f"runner process makes copies of this process to run functions that are defined in it, and {library}, "
                "with which they work, hangs in a copy when it has been at work here before; use runner inline, or put "
                "the functions into a folder with a pyproject.toml (`algotools new`)"
            )
        self.is_copy = copy
        self.control, theirs = socket.socketpair()
        with theirs:
            if isinstance(algorithm, Algorithm):
                self._wait = _fork(theirs, self.control, lambda: algorithm)
            elif copy:
                self._wait = _fork(theirs, self.control, lambda: locate.load_afresh(algorithm))
            else:
                self._wait = _spawn(theirs, algorithm)

    def has_ended(self) -> bool:
        """Whether its end of the control is closed."""
        poll = select.poll()  # unlike ``select.select``, for a socket of any number
        poll.register(self.control, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """End it, and wait for that.

        A template that was forked later may have a copy of its control, so closing alone would not tell this one.
        """
        with contextlib.suppress(OSError):  # a time-out is one: such a copy of the other end must not hold us up
            self.control.shutdown(socket.SHUT_WR)
            self.control.settimeout(PATIENCE_AT_THE_END)
            self.control.recv(1)  # nothing is ever sent here; the end of it is that of the template
        self.control.close()
        self._wait()


def _uses(algorithm: Algorithm, library: str) -> bool:
    """Whether a function's module has imported a library."""
    module = sys.modules[library]
    return any(module in function.__globals__.values() for function in algorithm.functions.values())


def _wait_for(pid: int) -> None:
    """Wait for a forked template; somebody else may have waited for all children already."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


START = "import os, sys; os.fork() and os._exit(0); from algotools.dispatch.template import main; main()"
"""Nobody is there to wait for a template that ends by itself; so what starts it ends at once, and is waited for."""


def _spawn(theirs: socket.socket, place: Place) -> Callable[[], object]:
    """A fresh interpreter, with nothing of this process in it; gives how to wait for what is left of it."""
    arguments = [sys.executable, "-c", START, str(theirs.fileno()), str(PATIENCE), place.module]
    if place.root is not None:
        arguments.append(str(place.root))
    return subprocess.Popen(
        arguments, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
    ).wait


def _fork(theirs: socket.socket, mine: socket.socket, load: Load) -> Callable[[], object]:
    """A copy of this process, for functions and frames that are nowhere else: those of a notebook."""
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
            template.serve(theirs, load)
        finally:
            os._exit(0)
    return lambda: _wait_for(pid)
