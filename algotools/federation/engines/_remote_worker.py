"""A worker that a process of an engine has started, seen through its control connection."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from pathlib import Path

import msgspec

from algotools.federation.engines._handshake import STACK_REQUEST, FromRelay, WorkerExit
from algotools.runtime.dispatch.messages import LENGTH, wait_readable

_CHUNK = 1 << 16
_DELAY = 5.0
"""Seconds by which messages on one connection can arrive later than those on another."""
_EXIT_TIMEOUT = 15.0
"""Seconds to wait for the exit code of a worker that has been killed."""

_decode = msgspec.msgpack.Decoder(FromRelay).decode


class RemoteWorker:
    """A ``WorkerProcess`` of an engine, and the ``StackSource`` of its stack.

    Args:
        pid: the worker's process id on its machine.
        control: the control connection.
        channel: the federation's end of the worker's channel.
        code: the folder or file of the algorithm at the worker, and here.
    """

    delay = _DELAY

    def __init__(self, pid: int, control: socket.socket, channel: socket.socket, code: tuple[str, str]) -> None:
        self.pid = pid
        self.is_lost = False
        """Whether the process of the engine is gone, or does not respond. The worker is then killed, too."""
        self._control = control
        self._channel = channel
        self._code_there, self._code_here = code
        self._lock = threading.Lock()
        self._inbox = bytearray()
        self._trace = b""
        self._code: int | None = None
        self._exited_at = 0.0

    def poll(self, *, wait: bool = False) -> int | None:
        """See ``WorkerProcess``.

        Without *wait*, a worker has not exited before its channel has ended. Otherwise its last message, which arrives
        on another connection than the exit code, could be lost.
        """
        with self._lock:
            deadline = time.monotonic() + (_EXIT_TIMEOUT if wait else 0.0)
            while self._receive(deadline - time.monotonic()) and self._code is None and wait:
                pass
            if wait and self._code is None:
                self._set_lost()
            return self._code if wait or (self._code is not None and self._has_channel_ended()) else None

    def kill(self) -> bool:
        """See ``WorkerProcess``. Only the sending side is closed, because the exit code still has to arrive."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        return True

    def request(self, pid: int) -> None:
        """See ``StackSource``."""
        del pid
        with contextlib.suppress(OSError):
            self._control.send(STACK_REQUEST)

    def read(self) -> bytes:
        """See ``StackSource``."""
        with self._lock:
            self._receive(0.0)
            trace, self._trace = self._trace, b""
            return trace

    def map_path(self, path: str) -> str:
        """See ``StackSource``."""
        if self._code_there and self._code_here and Path(path).is_relative_to(self._code_there):
            return str(Path(self._code_here, Path(path).relative_to(self._code_there)))
        return path

    def close(self) -> None:
        """See ``StackSource``. Nothing to release."""

    def _receive(self, timeout: float) -> bool:
        """Handle the messages that arrive within *timeout* seconds; return whether there were any."""
        if self._code is not None or not wait_readable([self._control], max(0.0, timeout)):
            return False
        try:
            chunk = self._control.recv(_CHUNK)
        except OSError:
            chunk = b""
        if not chunk:
            self._set_lost()
        self._inbox += chunk
        while len(self._inbox) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._inbox)
            if len(self._inbox) < LENGTH.size + size:
                break
            message = _decode(bytes(self._inbox[LENGTH.size : LENGTH.size + size]))
            del self._inbox[: LENGTH.size + size]
            if isinstance(message, WorkerExit):
                self._set_code(message.code)
            else:
                self._trace += message.data
        return True

    def _set_lost(self) -> None:
        if self._code is None:
            self.is_lost = True
            self._set_code(-int(signal.SIGKILL))

    def _set_code(self, code: int) -> None:
        self._code = code
        self._exited_at = time.monotonic()

    def _has_channel_ended(self) -> bool:
        """Whether all messages of the worker were read. A process that it left running can keep the channel open."""
        try:
            return not self._channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return time.monotonic() > self._exited_at + _DELAY
        except OSError:
            return True
