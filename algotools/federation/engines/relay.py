"""The function that an engine calls: start the worker of one run, and relay between it and the federation.

The worker has its own connection to the federation, its channel. This module relays the rest: the worker's prints,
which must be a pipe in the worker, its exit code and its stack.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from algotools import __version__
from algotools.declare.locate import Location
from algotools.errors import AlgotoolsError, Failure
from algotools.federation.engines._code import PYTHON
from algotools.federation.engines._connections import (
    CHANNELS,
    CONTROL,
    LEASE,
    OUTPUT,
    Ticket,
    close_in_forks,
    connect,
    end,
)
from algotools.federation.engines._file_receiver import TransferFailed
from algotools.federation.engines._handshake import (
    STACK_REQUEST,
    Hello,
    Offer,
    Ready,
    Started,
    StartWorker,
    WorkerExit,
    WorkerTrace,
)
from algotools.federation.engines._reception import obtain
from algotools.federation.engines._worker_folder import WorkerFolder, get_worker_folder
from algotools.federation.runners import Cancellation
from algotools.federation.runners.sandbox import find_code
from algotools.federation.runners.workers import StartedWorker, WorkerRequest, Workers, list_image_variables
from algotools.runtime.dispatch.messages import receive, send
from algotools.runtime.dispatch.scratch import VARIABLE, remove_folder
from algotools.runtime.unexpected import convert_unexpected

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
    with _open(ticket, CONTROL) as control:
        close_in_forks(control)
        try:
            send(control, Hello(__version__, PYTHON, socket.gethostname()))
            offer = receive(control, Offer)
        except (EOFError, ConnectionError):
            return REFUSED
        with contextlib.suppress(EOFError, ConnectionError, TransferFailed):  # the run was cancelled, or cannot start
            _run(ticket, control, offer)
    return DONE


def _run(ticket: Ticket, control: socket.socket, offer: Offer) -> None:
    """Receive the missing parts of a run, start its worker, relay until it has exited, and report its exit code."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(_open(ticket, OUTPUT))
        with contextlib.ExitStack() as run_stack:
            try:
                folder = get_worker_folder(ticket.federation, lambda: connect(ticket, LEASE))
                run_folder = run_stack.enter_context(_make_run_folder(folder))
                location, start = obtain(control, offer, folder, run_folder)
            except (EOFError, ConnectionError, TransferFailed):
                raise
            except Exception as error:
                send(control, Ready(failure=_convert(error)))
                return
            purposes: list[bytes] = []

            def open_channel() -> socket.socket:
                purposes.append(CHANNELS[len(purposes)])
                return connect(ticket, purposes[-1])

            try:
                workers = _find_workers(folder, location)
                request = _make_request(start, run_folder, location)
                worker = workers.start(
                    request, open_channel, run_stack, start.timeout, Cancellation(), interrupting=control
                )
            except ConnectionError:
                raise
            except Exception as error:
                send(control, Started(failure=_convert(error)))
                return
            run_stack.callback(os.close, worker.output)
            run_stack.callback(worker.stack.close)
            try:
                send(control, Started(worker.process.pid, purposes[-1]))
            except BaseException:  # the federation has cancelled the run
                worker.process.kill()
                raise
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


@contextlib.contextmanager
def _make_run_folder(folder: WorkerFolder) -> Iterator[Path]:
    path = folder.make_run_folder()
    try:
        yield path
    finally:
        remove_folder(str(path))


def _convert(error: Exception) -> Failure:
    """Return an error of this machine, or a fault of ours, as plain data."""
    return (error if isinstance(error, AlgotoolsError) else convert_unexpected(error)).failure()


def _make_request(start: StartWorker, folder: Path, location: Location) -> WorkerRequest:
    sandbox = start.sandbox
    if sandbox is not None:
        sandbox = msgspec.structs.replace(sandbox, folder=str(folder), readable=find_code(location))
    environment = {**list_image_variables(), **start.environment, VARIABLE: str(folder)}
    return WorkerRequest(environment, start.memory, sandbox)


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


def _find_workers(folder: WorkerFolder, location: Location) -> Workers:
    """Return the workers of an algorithm, with one template for all runs in this process."""
    key = folder.path, location
    with _lock:
        if (workers := _workers.get(key)) is not None:
            return workers
        _workers[key] = workers = Workers(location, lambda: False)

    def close() -> None:
        with _lock:
            _workers.pop(key, None)
        workers.close()

    folder.on_close(close)
    return workers


_lock = threading.Lock()
_workers: dict[tuple[Path, Location], Workers] = {}
if hasattr(os, "register_at_fork"):
    # The child must not use the templates of this process. The lock is free in the child, too.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
    os.register_at_fork(after_in_child=_workers.clear)
