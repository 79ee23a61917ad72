"""The function that an engine calls: start the worker of one run, and relay between it and the federation.

The worker has its own connection to the federation, its channel. This module relays the rest: the worker's prints,
which must be a pipe in the worker, its exit code and its stack.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from algotools import __version__
from algotools.declare.locate import Location
from algotools.errors import AlgotoolsError
from algotools.federation.engines._connections import CHANNELS, CONTROL, OUTPUT, Ticket, close_in_forks, connect, end
from algotools.federation.engines._handshake import (
    STACK_REQUEST,
    CodeInPlace,
    FolderMarker,
    Hello,
    Offer,
    Response,
    Started,
    StartWorker,
    WorkerExit,
    WorkerTrace,
)
from algotools.federation.folders import make_prefix
from algotools.federation.runners import Cancellation
from algotools.federation.runners.sandbox import find_code
from algotools.federation.runners.workers import StartedWorker, WorkerRequest, Workers, list_image_variables
from algotools.runtime.dispatch.messages import receive, send
from algotools.runtime.dispatch.scratch import VARIABLE, make_scratch_folder
from algotools.runtime.unexpected import convert_unexpected

__all__ = ["DONE", "REFUSED", "Ticket", "execute"]

DONE, REFUSED = "done", "refused"
"""The values of the engine's call. The result of the run does not travel with it."""

_CHUNK = 1 << 16
_LAST_READS = 16
"""Reads after the worker's exit. They empty the pipe, but end even if a child of the worker writes without pause."""
_EXIT_TIMEOUT = 10.0
"""Seconds to wait for the exit code of a worker that has been killed."""
_CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the federation to take the last bytes."""


def execute(ticket: Ticket) -> str:
    """Run one worker for a federation, and return when the worker has exited.

    A ticket is valid once: the call returns at once if the federation does not know the ticket, or no longer.

    Raises:
        ConnectionError: the federation cannot be reached.
    """
    control = connect(ticket, CONTROL)
    close_in_forks(control)
    try:
        send(control, Hello(__version__, ".".join(platform.python_version_tuple()[:2]), socket.gethostname()))
        offer = receive(control, Offer)
        send(control, Response(all(map(_is_here, offer.markers))))
        start = receive(control, StartWorker)
    except (EOFError, ConnectionError):  # the ticket was used before, or the run was cancelled
        end(control)
        return REFUSED
    try:
        _run(ticket, control, _find_workers(ticket.federation, offer.code), _locate(offer.code), start)
    except (EOFError, ConnectionError, BrokenPipeError):  # the federation has exited
        pass
    finally:
        end(control)
    return DONE


def _is_here(marker: FolderMarker) -> bool:
    try:
        return Path(marker.path).read_bytes() == marker.content
    except OSError:
        return False


def _run(ticket: Ticket, control: socket.socket, workers: Workers, location: Location, start: StartWorker) -> None:
    """Start the worker, relay until it has exited, and report its exit code."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(_open(ticket, OUTPUT))
        with contextlib.ExitStack() as run_stack:
            purposes: list[bytes] = []

            def open_channel() -> socket.socket:
                purposes.append(CHANNELS[len(purposes)])
                return connect(ticket, purposes[-1])

            try:
                scratch = run_stack.enter_context(make_scratch_folder(prefix=make_prefix()))
                request = _make_request(start, scratch, location)
                worker = workers.start(
                    request, open_channel, run_stack, start.timeout, Cancellation(), interrupting=control
                )
            except AlgotoolsError as error:
                send(control, Started(failure=error.failure()))
                return
            except Exception as error:  # a fault of ours, or of this machine
                send(control, Started(failure=convert_unexpected(error).failure()))
                return
            run_stack.callback(os.close, worker.output)
            run_stack.callback(worker.stack.close)
            send(control, Started(worker.process.pid, purposes[-1]))
            code = _Relay(worker, control, output).relay()
        # The run's folder is removed now, and all prints are sent, so the exit code is the last message.
        with contextlib.suppress(OSError):
            output.shutdown(socket.SHUT_WR)
        send(control, WorkerExit(code))
        control.shutdown(socket.SHUT_WR)
        # If a connection is closed while it has unread bytes, the kernel drops what it has not sent yet.
        control.settimeout(_CLOSE_TIMEOUT)
        with contextlib.suppress(OSError):
            while control.recv(_CHUNK):
                pass


@contextlib.contextmanager
def _open(ticket: Ticket, purpose: bytes) -> Iterator[socket.socket]:
    connection = connect(ticket, purpose)
    try:
        yield connection
    finally:
        end(connection)


def _make_request(start: StartWorker, scratch: dict[str, str], location: Location) -> WorkerRequest:
    sandbox = start.sandbox
    if sandbox is not None:
        sandbox = msgspec.structs.replace(sandbox, folder=scratch[VARIABLE], readable=find_code(location))
    return WorkerRequest({**list_image_variables(), **start.environment, **scratch}, start.memory, sandbox)


class _Relay:
    """Waits for one worker, its prints and its stack, and for the federation, in one poll.

    Args:
        worker: the worker.
        control: the control connection.
        output: the connection for the worker's prints.
    """

    def __init__(self, worker: StartedWorker, control: socket.socket, output: socket.socket) -> None:
        self._worker = worker
        self._control = control
        self._output = output
        self._prints = b""
        self._deadline: float | None = None
        """The time by which the killed worker must have exited."""
        self._poll = select.poll()
        output.setblocking(False)
        for end_ in (control, worker.process, worker.output, worker.stack):
            self._poll.register(end_, select.POLLIN)

    def relay(self) -> int:
        """Relay until the worker has exited; return its exit code."""
        try:
            while (code := self._relay_once()) is None:
                pass
        except BaseException:  # Ctrl-C in a process of the engine
            self._worker.process.kill()
            raise
        self._forward_last_prints()
        return code

    def _relay_once(self) -> int | None:
        """Wait for the next event and handle it; return the worker's exit code, or None while it is alive."""
        timeout = None if self._deadline is None else max(0.0, self._deadline - time.monotonic()) * 1000
        ready = dict(self._poll.poll(timeout))
        process, control = self._worker.process, self._control.fileno()
        if not ready:  # the template is stopped
            return process.poll(wait=True)
        if control in ready:
            self._handle_control()
        if self._worker.stack.fileno() in ready:
            self._forward_stack(ready[self._worker.stack.fileno()])
        if self._output.fileno() in ready and self._send_prints():
            self._poll.unregister(self._output)
            self._poll.register(self._worker.output, select.POLLIN)
        elif self._worker.output in ready:
            self._read_prints()
        return process.poll() if process.fileno() in ready else None

    def _handle_control(self) -> None:
        try:
            data = self._control.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:  # the run was cancelled, or has ended, or the federation was killed
            self._poll.unregister(self._control)
            self._worker.process.kill()
            self._deadline = time.monotonic() + _EXIT_TIMEOUT
        elif STACK_REQUEST in data:
            self._worker.stack.request(self._worker.process.pid)

    def _forward_stack(self, event: int) -> None:
        data = self._worker.stack.read()
        if data:
            with contextlib.suppress(OSError):
                send(self._control, WorkerTrace(data))
        elif event & ~select.POLLIN:
            self._poll.unregister(self._worker.stack)

    def _read_prints(self) -> None:
        """Read prints, and send them; wait with the next ones until these are sent, as a full pipe would."""
        self._prints = os.read(self._worker.output, _CHUNK)
        if not self._prints:
            self._poll.unregister(self._worker.output)
        elif not self._send_prints():
            self._poll.unregister(self._worker.output)
            self._poll.register(self._output, select.POLLOUT)

    def _send_prints(self) -> bool:
        """Send prints without blocking; return whether all are sent."""
        try:
            self._prints = self._prints[self._output.send(self._prints) :]
        except BlockingIOError:
            return False
        except OSError:  # the federation does not read any more
            self._prints = b""
        return not self._prints

    def _forward_last_prints(self) -> None:
        """Send the prints that the pipe still contains, without waiting for more."""
        os.set_blocking(self._worker.output, False)
        self._output.settimeout(_CLOSE_TIMEOUT)
        with contextlib.suppress(OSError):
            self._output.sendall(self._prints)
            for _ in range(_LAST_READS):
                if not (chunk := os.read(self._worker.output, _CHUNK)):
                    break
                self._output.sendall(chunk)


# --- The templates of this process, which all of its threads share ---


def _locate(code: CodeInPlace) -> Location:
    return Location(code.module, code.root and Path(code.root), code.file and Path(code.file))  # type: ignore[arg-type]


def _find_workers(federation: str, code: CodeInPlace) -> Workers:
    """Return the workers of an algorithm, with one template for all runs in this process."""
    key = federation, msgspec.msgpack.encode(code)
    with _lock:
        if key not in _workers:
            _workers[key] = Workers(_locate(code), lambda: False)
        return _workers[key]


_lock = threading.Lock()
_workers: dict[tuple[str, bytes], Workers] = {}
if hasattr(os, "register_at_fork"):
    # The child must not use the templates of this process. The lock is free in the child, too.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
    os.register_at_fork(after_in_child=_workers.clear)
