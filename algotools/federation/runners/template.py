"""The warm template process: it has imported what takes long, and forks a process for every run.

It never imports the author's own module: that happens in each run, as it does in a container.
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

from algotools import container
from algotools.dispatch import limits
from algotools.dispatch.perform import Load

LENGTH = struct.Struct("!Q")
STATUS = struct.Struct("!i")
TAKEN = b"+"
"""What a run's lifeline says first."""


class Asked(msgspec.Struct, array_like=True):
    """A run that is asked for."""

    environment: dict[str, str]
    memory: Union[int, None] = None
    """What it may allocate, in bytes, besides what the template has imported."""


def request(control: socket.socket, asked: Asked, log: int, lifeline: int) -> None:
    """Ask the template for a run. Closing our end of ``lifeline`` kills it; how it ended comes over it."""
    data = msgspec.msgpack.encode(asked)
    socket.send_fds(control, [LENGTH.pack(len(data))], [log, lifeline])
    control.sendall(data)


def exit_code(lifeline: socket.socket) -> int | None:
    """How a run ended: its exit code, negative for a signal; None if the template had ended before it took it."""
    data = lifeline.recv(len(TAKEN) + STATUS.size, socket.MSG_WAITALL)
    if not data:
        return None
    return int(STATUS.unpack(data[len(TAKEN) :])[0]) if len(data) > len(TAKEN) else -int(signal.SIGKILL)


def serve(control: socket.socket, load: Load | None, patience: float | None = None) -> None:
    """Fork a process for each request, until the other end of ``control`` is closed; then end them all.

    With ``patience`` it ends by itself after so many seconds without a run.
    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    runs: dict[int, socket.socket] = {}
    try:
        while True:
            watched = (control.fileno(), wake_read, *(lifeline.fileno() for lifeline in runs.values()))
            readable = _readable(*watched, patience=None if runs else patience)
            if not readable:
                return
            if wake_read in readable:
                os.read(wake_read, 4096)
            for pid, lifeline in runs.items():
                if lifeline.fileno() in readable:  # nothing is ever sent to us there: it was closed
                    _kill(pid)
            _reap(runs)
            if control.fileno() in readable:
                asked = _receive(control)
                if asked is None:
                    return
                wanted, log, lifeline = asked
                pid = _fork(wanted, log, [control, *runs.values(), lifeline], (wake_read, wake_write), load)
                os.close(log)
                runs[pid] = lifeline
    finally:
        for pid in runs:
            _kill(pid)


def _readable(*descriptors: int, patience: float | None = None) -> set[int]:
    """Wait until some of any number of descriptors can be read, or for so many seconds."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(None if patience is None else patience * 1000)}


def _receive(control: socket.socket) -> tuple[Asked, int, socket.socket] | None:
    data, descriptors, _, _ = socket.recv_fds(control, LENGTH.size, 2)
    if len(data) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(data)
    content = b""
    while len(content) < size:
        if not (chunk := control.recv(size - len(content))):
            return None
        content += chunk
    log, lifeline = descriptors[0], socket.socket(fileno=descriptors[1])
    lifeline.sendall(TAKEN)
    return msgspec.msgpack.decode(content, type=Asked), log, lifeline


def _fork(asked: Asked, log: int, sockets: list[socket.socket], wake: tuple[int, int], load: Load | None) -> int:
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
        for end in sockets:
            end.close()
        for descriptor in wake:
            os.close(descriptor)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        sys.stdout = sys.stderr = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.environ.clear()
        os.environ.update(asked.environment)
        if asked.memory is not None:
            limits.set_memory(asked.memory)
        os._exit(container.main(os.environ, load))
    finally:
        os._exit(1)


def _reap(runs: dict[int, socket.socket]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _kill_group(pid)  # whatever the author's code started and left behind
        if lifeline := runs.pop(pid, None):
            with lifeline, contextlib.suppress(OSError):
                lifeline.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))


def _kill(pid: int) -> None:
    """End a run that has not been waited for; it may be so young that it has no group of its own yet."""
    os.kill(pid, signal.SIGKILL)
    _kill_group(pid)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def warm(module: str, root: str | None) -> None:
    """Import what the algorithm imports from elsewhere, as far as its source tells."""
    package = module.partition(".")[0]
    if root is not None:
        sys.path.insert(0, root)
    for name in sorted(_foreign_imports(package)):
        with contextlib.suppress(Exception):  # the run itself will say what is wrong with it
            importlib.import_module(name)


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
    importlib.import_module("algotools.dispatch.worker")
    warm(module, root[0] if root else None)
    gc.freeze()  # what is imported stays shared between the processes
    serve(control, None, float(patience))
    os._exit(0)
