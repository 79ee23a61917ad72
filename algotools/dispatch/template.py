"""The warm template process: it has imported what takes long, and forks the worker of every run.

It never imports the author's own module: that happens in each worker, as it does in a container. The worker's
supervisor is the federation itself, which is none of the author's code.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import importlib.util
import os
import select
import signal
import socket
import struct
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, Union

import msgspec

from algotools import contract, locate
from algotools.dispatch import limits
from algotools.dispatch.perform import Load
from algotools.dispatch.worker import work

LENGTH = struct.Struct("!Q")
STATUS = struct.Struct("!i")
TAKEN = b"+"
"""What a worker's lifeline says first."""


class Asked(msgspec.Struct, array_like=True):
    """A worker that is asked for."""

    environment: dict[str, str]
    memory: Union[int, None] = None
    """What it may allocate, in bytes, besides what the template has imported."""


def request(control: socket.socket, asked: Asked, channel: int, output: int, lifeline: int) -> None:
    """Ask the template for a worker: with the channel to its supervisor, and with what its prints go to."""
    data = msgspec.msgpack.encode(asked)
    socket.send_fds(control, [LENGTH.pack(len(data))], [channel, output, lifeline])
    control.sendall(data)


class Lifeline:
    """A worker that a template has forked, seen from the supervisor: see ``WorkerProcess``.

    Closing our end kills the worker; how it ended comes over it.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._code: int | None = None
        self.pid = 0

    def taken(self) -> bool:
        """Wait until the template has taken the request; false if it had ended before."""
        return self._end.recv(len(TAKEN)) == TAKEN

    def ended(self, *, wait: bool = False) -> int | None:
        """See ``WorkerProcess``."""
        if self._code is None:
            try:
                told = self._end.recv(STATUS.size, socket.MSG_WAITALL if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            # The template has gone without a word: so have its workers.
            self._code = int(STATUS.unpack(told)[0]) if len(told) == STATUS.size else -int(signal.SIGKILL)
        return self._code

    def kill(self) -> bool:
        """See ``WorkerProcess``."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)
        return True


def serve(control: socket.socket, load: Load, patience: float | None = None) -> None:
    """Fork a worker for each request, until the other end of ``control`` is closed; then end them all.

    With ``patience`` it ends by itself after so many seconds without a worker.
    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    workers: dict[int, socket.socket] = {}
    try:
        while True:
            watched = (control.fileno(), wake_read, *(lifeline.fileno() for lifeline in workers.values()))
            readable = _readable(*watched, patience=None if workers else patience)
            if not readable:
                return
            if wake_read in readable:
                os.read(wake_read, 4096)
            for pid, lifeline in workers.items():
                if lifeline.fileno() in readable:  # nothing is ever sent to us there: it was closed
                    _kill(pid)
            _reap(workers)
            if control.fileno() in readable:
                received = _receive(control)
                if received is None:
                    return
                asked, channel, output, lifeline = received
                workers[_fork(asked, channel, output, load)] = lifeline
                channel.close()
                os.close(output)
    finally:
        for pid in workers:
            _kill(pid)


def _readable(*descriptors: int, patience: float | None = None) -> set[int]:
    """Wait until some of any number of descriptors can be read, or for so many seconds."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(None if patience is None else patience * 1000)}


def _receive(control: socket.socket) -> tuple[Asked, socket.socket, int, socket.socket] | None:
    data, descriptors, _, _ = socket.recv_fds(control, LENGTH.size, 3)
    if len(data) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(data)
    content = b""
    while len(content) < size:
        if not (chunk := control.recv(size - len(content))):
            return None
        content += chunk
    channel, lifeline = socket.socket(fileno=descriptors[0]), socket.socket(fileno=descriptors[2])
    lifeline.sendall(TAKEN)
    return msgspec.msgpack.decode(content, type=Asked), channel, descriptors[1], lifeline


def _fork(asked: Asked, channel: socket.socket, output: int, load: Load) -> int:
    with warnings.catch_warnings():
        # numpy's threads are of OpenBLAS, which stops them around a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.environ.clear()
        os.environ.update(asked.environment)
        # A notebook's streams lead to the notebook; the worker will have what it prints go to ``output``.
        sys.stdout = sys.stderr = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        if generators := sys.modules.get("numpy.random"):
            generators.seed()  # else all workers would draw the same numbers
        if asked.memory is not None:
            limits.set_memory(asked.memory)
        generation = contract.detect(os.environ)
        work(generation.read(os.environ), load, generation, channel, output)
    finally:
        os._exit(1)


def _reap(workers: dict[int, socket.socket]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _kill_group(pid)  # whatever the author's code started and left behind
        if lifeline := workers.pop(pid, None):
            with lifeline, contextlib.suppress(OSError):
                lifeline.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))


def _kill(pid: int) -> None:
    """End a worker that has not been waited for; it may be so young that it has no group of its own yet."""
    os.kill(pid, signal.SIGKILL)
    _kill_group(pid)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def warm(place: locate.Place) -> None:
    """Import what the algorithm imports from elsewhere, as far as its source tells."""
    package = place.module.partition(".")[0]
    if place.root is not None:
        sys.path.insert(0, str(place.root))
    for name in sorted(_foreign_imports(package)):
        with contextlib.suppress(Exception):  # the run itself will say what is wrong with it
            importlib.import_module(name)


def use() -> None:
    """Do once what pandas does at its first use, and then never again."""
    import io

    import pandas as pd

    frame = pd.read_csv(io.StringIO("a,b\n1,x\n2,"), usecols=lambda name: name in ("a", "b"))
    assert frame["a"].dropna().sum() == 3  # noqa: S101 - a use, not a check
    frame.loc[:, [True, False]]


def _foreign_imports(package: str) -> Iterator[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return
    folders = list(spec.submodule_search_locations or [])
    sources = [source for folder in folders for source in Path(folder).rglob("*.py")] or [Path(spec.origin)]
    for source in sources:
        with contextlib.suppress(SyntaxError, ValueError, OSError):
            for node in ast.walk(ast.parse(source.read_bytes())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                yield from (name for name in names if name.partition(".")[0] != package)


def main() -> NoReturn:
    """The template's own process: descriptor of the control socket, patience, module, folder to import it from."""
    number, patience, module, *root = sys.argv[1:]
    control = socket.socket(fileno=int(number))
    place = locate.Place(module, Path(root[0]) if root else None)
    for generation in contract.NAMES:
        contract.by_name(generation)
    importlib.import_module("algotools.data.csv")
    warm(place)
    use()
    gc.freeze()  # what is imported stays shared between the processes
    serve(control, lambda: locate.load(place), float(patience))
    os._exit(0)
