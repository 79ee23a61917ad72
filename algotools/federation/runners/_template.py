"""The preloaded template process: it imports pandas and other slow libraries once, and forks a worker for every run.

The template never imports the author's own module. Each worker imports it after the fork, as a container does, so no
run sees state that an earlier run left in the module. The worker's supervisor is a thread of the federation.

Four descriptors travel with each request (see ``send_request``):

* the *channel*, over which worker and supervisor exchange messages;
* the *output*, a pipe for everything that the worker prints;
* the *status socket*. The template sends the worker's process id on it, and later its exit code. It also ties the
  worker to its supervisor: when the supervisor's end is closed, even by a crash, the kernel kills the worker's process
  group. Where the kernel cannot do this, the template does.
* the *trace*, a pipe for the worker's stack (see ``algotools.runtime.dispatch.stack``).

A template or a worker can be stopped (SIGSTOP) at any time. So every wait for one of them has a limit.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import signal
import socket
import struct
import sys
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NoReturn, Union

import msgspec

from algotools.declare import locate
from algotools.federation.imports import Import, SourceFile, list_files, read_imports
from algotools.runtime import contract, lifetime
from algotools.runtime.dispatch import limits
from algotools.runtime.dispatch.messages import receive, send, wait_readable
from algotools.runtime.dispatch.perform import Load
from algotools.runtime.dispatch.worker import work, work_check
from algotools.runtime.run import read_task
from algotools.runtime.sandbox.local import LocalSandbox

NUMBER = struct.Struct("!i")
"""The format of a process id and of an exit code on a status socket."""
_EXIT_TIMEOUT = 5.0
"""Seconds to wait for the exit code of a worker that has been killed."""


class WorkerRequest(msgspec.Struct):
    """A request to the template to fork a worker."""

    environment: dict[str, str]
    memory: Union[int, None] = None
    """The memory limit in bytes, in addition to the template's own memory."""
    sandbox: Union[LocalSandbox, None] = None
    is_check: bool = False
    """Whether the worker checks a call instead of running a task."""


def send_request(
    control: socket.socket, request: WorkerRequest, channel: int, output: int, status_socket: int, trace: int
) -> None:
    """Send the template a request and the four descriptors of the new worker (see the module's docstring)."""
    socket.send_fds(control, [b"+"], [channel, output, status_socket, trace])
    send(control, request)


class TemplateWorker:
    """A ``WorkerProcess`` that a template forks.

    The worker is not a child of this process, so its exit code comes from the template over the status socket.

    Args:
        status_socket: the supervisor's end of the status socket.
    """

    delay = 0.0

    def __init__(self, status_socket: socket.socket) -> None:
        self._status_socket = status_socket
        self._code: int | None = None
        self.pid = 0
        """The worker's process id, which is also its process group; 0 until the template has forked the worker."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the worker has exited."""
        return self._status_socket.fileno()

    def wait_started(self, timeout: float, interrupting: socket.socket | None = None) -> bool:
        """Wait until the template has forked the worker.

        Return False if the template had already exited, if ``kill`` is called before the fork, or if *interrupting* is
        closed at its other end, which sends nothing meanwhile. The worker is then killed.

        Raises:
            TimeoutError: the template does not respond within *timeout* seconds.
        """
        if interrupting is not None:
            readable = wait_readable([self._status_socket, interrupting], timeout)
            if interrupting in readable and self._status_socket not in readable:
                self.kill()
                return False
        self._status_socket.settimeout(timeout)
        data = self._status_socket.recv(NUMBER.size)
        if len(data) == NUMBER.size:
            self.pid = int(NUMBER.unpack(data)[0])
        return self.pid > 0

    def poll(self, *, wait: bool = False) -> int | None:
        """See ``WorkerProcess``. The template of a killed worker may be stopped, so the wait has a limit."""
        if self._code is None:
            self._status_socket.settimeout(_EXIT_TIMEOUT if wait else 0)
            try:
                data = self._status_socket.recv(NUMBER.size)
            except BlockingIOError:
                return None
            except TimeoutError:
                data = b""
            if len(data) == NUMBER.size:
                self._code = int(NUMBER.unpack(data)[0])
            else:  # the template was killed or is stopped, so it cannot kill the group of the worker
                _kill_group(self.pid)
                self._code = -int(signal.SIGKILL)
        return self._code

    def kill(self) -> bool:
        """See ``WorkerProcess``."""
        # After the fork, only the writing half is shut down, because the exit code still has to arrive.
        with contextlib.suppress(OSError):
            self._status_socket.shutdown(socket.SHUT_WR if self.pid else socket.SHUT_RDWR)
        return True


def serve(control: socket.socket, load: Load, idle_timeout: float | None = None) -> None:
    """Fork a worker for each request until the other end of ``control`` is closed; then kill all workers.

    Args:
        control: the template's end of the control socket.
        load: loads the algorithm, in the worker.
        idle_timeout: seconds without a worker after which the function returns; default: never.
    """
    # One poll waits for requests, closed status sockets and exited workers. SIGCHLD reports the last: its handler does
    # nothing, but Python writes a byte into the wake-up pipe for each signal, and the poll returns.
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    workers: dict[int, socket.socket] = {}
    guard = os.pipe()
    try:
        while True:
            watched = (control.fileno(), wake_read, *(status_socket.fileno() for status_socket in workers.values()))
            readable = wait_readable(watched, None if workers else idle_timeout)
            if not readable:
                return
            if wake_read in readable:
                os.read(wake_read, 4096)
            for pid, status_socket in workers.items():
                if status_socket.fileno() in readable:  # the supervisor sends nothing here, so it has closed its end
                    _kill(pid)
            _reap(workers)
            if control.fileno() in readable:
                received = _receive(control)
                if received is None:
                    return
                request, channel, output, status_socket, trace = received
                if wait_readable([status_socket], 0):  # the runner has closed its end and needs no worker
                    status_socket.close()
                else:
                    pid = _fork(request, channel, output, status_socket, trace, load, guard)
                    workers[pid] = status_socket
                    with contextlib.suppress(OSError):
                        status_socket.sendall(NUMBER.pack(pid))
                channel.close()
                os.close(output)
                os.close(trace)
    finally:
        for pid in workers:
            _kill(pid)


def _receive(control: socket.socket) -> tuple[WorkerRequest, socket.socket, int, socket.socket, int] | None:
    """Return the next request with its channel, output, status socket and trace.

    Return None if the other end is closed.
    """
    _, descriptors, _, _ = socket.recv_fds(control, 1, 4)
    if not descriptors:
        return None
    try:
        request = receive(control, WorkerRequest)
    except EOFError:
        return None
    channel, status_socket = socket.socket(fileno=descriptors[0]), socket.socket(fileno=descriptors[2])
    return request, channel, descriptors[1], status_socket, descriptors[3]


def _fork(
    request: WorkerRequest,
    channel: socket.socket,
    output: int,
    status_socket: socket.socket,
    trace: int,
    load: Load,
    guard: tuple[int, int],
) -> int:
    """Fork a worker, and return its process id. The worker itself never returns from here.

    The template keeps the write end of the pipe *guard* open until it exits.
    """
    with warnings.catch_warnings():
        # Python warns about a fork while threads run. The only threads here belong to numpy's OpenBLAS, which stops
        # them before a fork and starts them again after it.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    try:
        # The worker must not behave like the template. The author's code may start processes, whose SIGCHLD must not
        # reach the template's wake-up pipe, and `setsid` puts all of them into one group that can be killed together.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        lifetime.kill_group_on_close(status_socket, os.getpid())
        guarded_end = _die_with_template(guard)
        os.environ.clear()
        os.environ.update(request.environment)
        # In a copy of a notebook's kernel, these streams lead to the notebook. `work` redirects descriptor 1 to
        # `output`, so everything that is printed must go there.
        sys.stdout = sys.stderr = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        # The fork has copied the state of numpy's global generator: without a new seed, all workers draw the same
        # numbers.
        if generators := sys.modules.get("numpy.random"):
            generators.seed()
        if request.memory is not None:
            limits.limit_memory(request.memory)
        if request.is_check:
            work_check(load, channel, output, request.sandbox, guarded_end=guarded_end)
        work(
            lambda: read_task(os.environ),
            load,
            channel,
            output,
            sandbox=request.sandbox,
            guarded_end=guarded_end,
            stack=trace,
        )
    finally:
        os._exit(1)


def _die_with_template(guard: tuple[int, int]) -> int | None:
    """Let the kernel kill the worker's group when the template exits; return the descriptor that the worker must keep.

    The worker cannot keep the status socket, whose end tells the supervisor that the template has exited. And the
    signal for the death of a parent would reach only the worker. So if the process of the federation or of the engine
    was killed, and its template ended first, the children of the worker remained.
    """
    if sys.platform != "linux":
        return None
    read_end, write_end = guard
    os.close(write_end)
    # A descriptor that was inherited would share the group that is killed with all other workers.
    guarded_end = os.open(f"/proc/self/fd/{read_end}", os.O_RDONLY)
    lifetime.kill_group_on_close(guarded_end, os.getpid())
    return guarded_end


def _reap(workers: dict[int, socket.socket]) -> None:
    """Collect all workers that have exited, and send their exit codes to their supervisors."""
    while True:
        try:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _kill_group(pid)  # processes that the author's code started and left running
        if status_socket := workers.pop(pid, None):
            with status_socket, contextlib.suppress(OSError):
                status_socket.sendall(NUMBER.pack(os.waitstatus_to_exitcode(wait_status)))


def _kill(pid: int) -> None:
    """Kill a worker that has not been reaped, and its group.

    Both are needed: a worker that was forked just now may not have called ``setsid`` yet, and then has no group.
    """
    os.kill(pid, signal.SIGKILL)
    _kill_group(pid)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def import_dependencies(location: locate.Location) -> None:
    """Import the modules outside the algorithm's package that its source imports, and those of pooled functions."""
    package = location.module.partition(".")[0]
    if location.file is not None:
        imports = list(read_imports(SourceFile(location.file, package)))
    else:
        if location.root is not None:
            sys.path.insert(0, str(location.root))
        imports = _list_foreign_imports(package)
    modules = sorted({imported.module for imported in imports if not imported.may_be_attribute})
    if any(imported.module == "algotools.federated" for imported in imports):
        modules.append("algotools.runtime.pooled.rounds")  # each worker would need 25 ms for it
    for name in modules:
        with contextlib.suppress(Exception):  # the run imports it again, and reports the error
            importlib.import_module(name)


def initialize_pandas() -> None:
    """Use pandas once, because its first use imports further modules and fills caches."""
    import io

    import pandas as pd

    frame = pd.read_csv(io.StringIO("a,b\n1,x\n2,"), usecols=lambda name: name in ("a", "b"))
    assert frame["a"].dropna().sum() == 3  # noqa: S101 - this uses pandas
    frame.loc[:, [True, False]]


def _list_foreign_imports(package: str) -> list[Import]:
    """Return the imports of modules outside ``package`` in its source."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return []
    roots = [Path(folder).parent for folder in spec.submodule_search_locations or [spec.origin]]
    files = [file for root in roots for file in list_files(root, package)]
    imports = [imported for file in files for imported in read_imports(file)]
    return [i for i in imports if i.module and i.module.partition(".")[0] != package]


def preload() -> None:
    """Import the modules that the worker of every run needs."""
    for generation in contract.NAMES:
        contract.get_contract(generation)
    importlib.import_module("algotools.data.csv")
    initialize_pandas()


def main(descriptor: str, idle_timeout: str, module: str, path: str = "") -> NoReturn:
    """Run the template in a process of its own.

    Args:
        descriptor: the descriptor of the control socket.
        idle_timeout: seconds without a worker after which the template exits.
        module: the algorithm's module.
        path: for an algorithm in a folder or a file, the folder to import the module from, or the file.
    """
    control = socket.socket(fileno=int(descriptor))
    # The main module is `python -c`, without a file. A library that looks for its specification, such as pyspark, takes
    # a main module with neither for a fault.
    sys.modules["__main__"].__spec__ = ModuleSpec("__main__", None)
    location = locate.Location(module)
    if path:
        folder = Path(path)
        location = (
            locate.Location(module, folder.parent, folder) if folder.is_file() else locate.Location(module, folder)
        )
    import_dependencies(location)
    preload()
    # Workers share the template's memory as long as neither writes to it. The garbage collector writes to every object
    # that it examines; frozen objects are not examined.
    gc.freeze()
    serve(control, lambda: locate.load(location), float(idle_timeout))
    os._exit(0)
