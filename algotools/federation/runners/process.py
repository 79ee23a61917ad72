"""The process runner: each run is a process that is forked from a preloaded template (see ``_template``).

Importing pandas takes longer than most functions run, so the imports happen once, in the template. There are two kinds
of template:

* A *fresh interpreter* for an algorithm in a folder. It contains nothing of this process, as in a container.
* A *copy of this process* for functions that are defined in it, such as in a notebook, and for nodes whose data are
  frames in its memory. No other process could import such functions or see such frames.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from algotools.declare import locate
from algotools.declare.functions import Algorithm
from algotools.declare.locate import Location
from algotools.errors import FederationError, Stopped
from algotools.federation.folders import make_prefix
from algotools.federation.runners import Job, _template
from algotools.federation.runners._sandbox import make_sandbox
from algotools.runtime import lifetime
from algotools.runtime.contract.environment import is_image_variable
from algotools.runtime.dispatch.limits import can_limit_memory
from algotools.runtime.dispatch.scratch import make_scratch_folder
from algotools.runtime.dispatch.supervisor import Run, follow
from algotools.runtime.logs import Console
from algotools.runtime.run import read_task, run_task

IDLE_TIMEOUT = 5.0
"""Seconds without a run after which a template that is a fresh interpreter exits."""

_STOP_TIMEOUT = 5.0
"""Seconds to wait for a template to exit, or to take a request. After that it is killed."""

_START_TIMEOUT = 120.0
"""Seconds in which a new template must import its libraries and fork a worker."""

_RESPONSE_TIMEOUT = 30.0
"""Seconds in which a template that has forked a worker before must fork the next one."""


class ProcessRunner:
    """Runs the author's code in a process with the environment variables that a node prepares.

    The supervisor of each run is a thread of this process. It runs the same code as the supervisor process in a
    container.

    Args:
        algorithm: the algorithm to run.
        memory: the memory limit of a run in bytes, in addition to the imported libraries.
        confined: whether each worker is in the sandbox of ``algotools.runtime.sandbox.local``.
        holds_frames: whether nodes' data are frames in the memory of this process. The template is then a copy of this
            process, so that runs see the frames.

    Raises:
        FederationError: this operating system cannot fork, or cannot limit a process's memory.
    """

    def __init__(
        self,
        algorithm: Location | Algorithm,
        memory: int | None = None,
        *,
        holds_frames: bool = False,
        confined: bool = False,
    ) -> None:
        if not hasattr(os, "fork"):
            raise FederationError("runner process needs an operating system that can fork; use runner inline here")
        if memory is not None and not can_limit_memory():
            raise FederationError("a memory limit for runner process needs Linux; use runner container here")
        if confined and sys.platform != "linux":
            raise FederationError("a sandbox for runner process (--confined) needs Linux; use runner container here")
        self._confined = confined
        self.has_gate, self.slots = True, (os.cpu_count() or 1) + 1  # one more, because each run waits for the template
        self._holds_frames = holds_frames
        self._algorithm = algorithm
        self._memory = memory
        self._lock = threading.Lock()
        self._template: _Template | None = None
        self._closed = False
        self._workers: set[_template.TemplateWorker] = set()
        self._variables = {name: value for name, value in os.environ.items() if is_image_variable(name)}
        for name in ("ALGOTOOLS_ALGORITHM", "PKG_NAME"):
            self._variables.pop(name, None)
        if not self.sees_frames:
            self.start()  # the template imports the libraries while the caller prepares the first task

    @property
    def sees_frames(self) -> bool:
        """See ``Runner``: whether its template is, or would be, a copy of this process."""
        if (template := self._template) is not None and not template.has_exited():
            return template.is_copy
        return isinstance(self._algorithm, Algorithm) or (self._holds_frames and not _find_fork_unsafe_library())

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""

        def call(run: Run) -> bytes:
            with contextlib.ExitStack() as stack:
                scratch = stack.enter_context(make_scratch_folder(prefix=make_prefix()))
                worker, channel, output = self._start(job, scratch, stack, timeout)
                return follow(worker, channel, output, run)

        return run_task(lambda: read_task(job.environment), call, console)

    def start(self) -> None:
        """See ``Runner``."""
        # A fork copies only the calling thread. A lock that another thread held at that moment stays locked in the copy
        # forever. `start` is called when no run is active, so no thread of a run can hold a lock.
        with self._lock:
            if not self._closed:
                self._ensure_template()

    def stop(self) -> None:
        """See ``Runner``. A copy is stopped, because it holds memory; a fresh interpreter has an idle timeout."""
        with self._lock:
            if self._template is not None and self._template.is_copy:
                self._close_template()

    def close(self) -> None:
        """See ``Runner``."""
        with self._lock:
            self._closed = True
            for worker in self._workers:  # first, because a killed template cannot kill the groups of its workers
                worker.kill()
            self._close_template()

    def _start(
        self, job: Job, scratch: Mapping[str, str], stack: contextlib.ExitStack, timeout: float | None
    ) -> tuple[_template.TemplateWorker, socket.socket, int]:
        """Let the template fork a worker; return the worker, its channel and the pipe with its printed output.

        The worker is killed when the job is cancelled. A template that does not respond is killed and replaced.

        Raises:
            Stopped: the job was cancelled before its worker existed.
            FederationError: the runner is closed, or no template responds.
        """
        request = _template.WorkerRequest({**self._variables, **job.make_worker_environment(), **scratch}, self._memory)
        if self._confined:
            job.make_temporary_folder()  # the worker may not create it
            request.sandbox = make_sandbox(job, self._algorithm, scratch, self._memory)
        for _ in range(2):
            channel, workers_channel = socket.socketpair()
            status_socket, workers_status_socket = socket.socketpair()
            output, workers_output = os.pipe()
            with workers_channel, workers_status_socket:
                template = self._send(request, workers_channel.fileno(), workers_output, workers_status_socket.fileno())
                os.close(workers_output)
            worker = _template.TemplateWorker(stack.enter_context(status_socket))
            stack.enter_context(self._register(worker))
            stack.enter_context(job.cancellation.register(worker.kill))
            if template is not None and self._wait_started(worker, template, timeout):
                return worker, channel, output
            # A request can be sent to a template whose idle timeout has just expired. The template then exits without
            # forking a worker, and the second attempt starts a new template.
            channel.close()
            os.close(output)
            if job.cancellation.is_requested:
                raise Stopped("the run was cancelled before its process started")
        raise FederationError("the processes of this federation have stopped; create a new Federation")

    @contextlib.contextmanager
    def _register(self, worker: _template.TemplateWorker) -> Iterator[None]:
        """Let ``close`` kill a worker while the context is open."""
        with self._lock:
            self._workers.add(worker)
        try:
            yield
        finally:
            with self._lock:
                self._workers.discard(worker)

    def _wait_started(self, worker: _template.TemplateWorker, template: _Template, timeout: float | None) -> bool:
        """Wait until a template has forked a worker; kill the template if it does not respond in time.

        Args:
            worker: the requested worker.
            template: the template that got the request.
            timeout: the time limit of the run. The template needs time of its own, but not much more.
        """
        limit = _RESPONSE_TIMEOUT if template.has_responded else _START_TIMEOUT
        if timeout is not None:
            limit = min(limit, timeout + (_STOP_TIMEOUT if template.has_responded else _RESPONSE_TIMEOUT))
        try:
            is_started = worker.wait_started(limit)
        except TimeoutError:
            template.kill()
            return False
        template.has_responded = template.has_responded or is_started
        return is_started

    def _send(self, request: _template.WorkerRequest, *descriptors: int) -> _Template | None:
        """Send a request to the template, or to a new one if the template has exited; return the template.

        Return None if the runner is closed, or if no template takes the request.
        """
        with self._lock:
            if self._closed:
                return None
            for _ in range(2):  # a template can exit between the check of `_ensure_template` and the request
                template = self._ensure_template()
                try:
                    _template.send_request(template.control, request, *descriptors)
                except OSError:  # it has exited, or it is stopped and the part that it got cannot be taken back
                    template.kill()
                else:
                    return template
        return None

    def _ensure_template(self) -> _Template:
        """Return the template; start a new one if there is none or it has exited."""
        if self._template is None or self._template.has_exited():
            self._close_template()
            self._template = _Template(self._algorithm, copy=self.sees_frames)
        return self._template

    def _close_template(self) -> None:
        if self._template is not None:
            self._template.close()
            self._template = None


class _Template:
    """A template process and its control socket."""

    def __init__(self, algorithm: Location | Algorithm, *, copy: bool) -> None:
        library = _find_fork_unsafe_library()
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
        self.control.settimeout(_STOP_TIMEOUT)
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
        """Kill the template without waiting for it. Its workers are killed with it, but not their children."""
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


_START = "import os, sys; os.fork() and os._exit(0); from algotools.federation.runners._template import main; main()"
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
    arguments = [sys.executable, "-c", _START, str(template_end.fileno()), str(IDLE_TIMEOUT), location.module]
    if location.root is not None:
        arguments.append(str(location.root))
    descriptors = [template_end.fileno(), guarded_end.fileno()]
    process = subprocess.Popen(arguments, pass_fds=descriptors, stdin=subprocess.DEVNULL, start_new_session=True)
    return process.pid, process.wait


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


def _find_fork_unsafe_library() -> str | None:
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
