"""The stack of a worker shortly before its time limit, which shows where the author's code is.

The worker may be busy in compiled code that never returns to Python, so no thread of the worker could report its
position. Instead, the worker registers a signal with ``faulthandler``, whose handler is compiled code and writes the
stack into a pipe. The supervisor sends the signal shortly before the limit, and reads the pipe at the limit. So the
worker is killed in time, whether it has written its stack or not.

The worker of a container makes the pipe, and sends its read end over the channel. For a worker of a template process,
the runner makes the pipe: the channel of a worker on another machine is a TCP connection, which carries no descriptors.

The kernel gives the signal to the main thread, which runs the function. With several threads of the author, the stack
shows where the main thread waits for them.
"""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import os
import re
import signal
import socket
import traceback
from collections.abc import Iterable
from typing import Protocol

from algotools.errors import PACKAGE, TimedOut, select_author_frames
from algotools.runtime.dispatch.messages import StackOffer, send

LEAD, LEAD_SHARE = 0.5, 0.25
"""The signal is sent 0.5 s before the limit, but not before three quarters of it."""

_LARGEST = 1 << 16
"""Bytes of a stack. The worker writes at most 100 frames, and a pipe has room for this many bytes."""

_FRAME = re.compile(r'  File "(.*)", line ([0-9]+) in (.*)')
_IMPORT = str(PACKAGE / "declare" / "locate.py"), "_import"
"""File and name of the function that imports an algorithm."""

_WORK = str(PACKAGE / "runtime" / "dispatch" / "worker.py"), "work"
"""File and name of the function that performs a task in a worker."""

_SIGNAL = int(getattr(signal, "SIGRTMIN", signal.SIGUSR2)) + (9 if hasattr(signal, "SIGRTMIN") else 0)
"""A signal that libraries do not use; macOS has no signals of this kind."""


def offer_stack(channel: socket.socket, pipe: int | None = None) -> None:
    """Let the supervisor read the stack of the calling thread, the worker's main thread.

    Args:
        channel: the worker's end of the channel.
        pipe: the write end of the pipe whose read end the supervisor has; default: make a pipe and send its read end.
    """
    if pipe is not None:
        os.set_inheritable(pipe, False)
        _register(pipe)
        send(channel, StackOffer())
        return
    read_end, write_end = os.pipe()
    try:
        _register(write_end)
        send(channel, StackOffer(), read_end)
    finally:
        os.close(read_end)


def _register(pipe: int) -> None:
    os.set_blocking(pipe, False)
    faulthandler.register(_SIGNAL, file=pipe, all_threads=False)


class StackSource(Protocol):
    """The bytes that a worker writes about its stack."""

    def request(self, pid: int) -> None:
        """Let the process write its stack; do not wait for it."""

    def read(self) -> bytes:
        """Return the bytes that the worker has written; empty if there are none yet."""

    def map_path(self, path: str) -> str:
        """Return the path here of a source file or folder of the worker, which may be on another machine."""

    def close(self) -> None:
        """Release the source."""


class PipeStack:
    """A ``StackSource`` for a worker on this machine.

    Args:
        pipe: the read end of the pipe that the worker writes its stack to; closed with this object.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the worker writes its stack."""
        return self._pipe

    def request(self, pid: int) -> None:
        """See ``StackSource``."""
        with contextlib.suppress(OSError):  # another user, in a container without CAP_KILL
            os.kill(pid, _SIGNAL)

    def read(self) -> bytes:
        """See ``StackSource``."""
        os.set_blocking(self._pipe, False)
        with contextlib.suppress(OSError):
            return os.read(self._pipe, _LARGEST)
        return b""

    def map_path(self, path: str) -> str:
        """See ``StackSource``."""
        return path

    def close(self) -> None:
        """See ``StackSource``."""
        os.close(self._pipe)


class WorkerStack:
    """The supervisor's access to the stack of its worker.

    Args:
        source: provides the bytes that the worker writes.
        timeout: the time limit of the run, in seconds; None for no limit.
    """

    def __init__(self, source: StackSource, timeout: float | None) -> None:
        self._source = source
        self.lead = min(LEAD, LEAD_SHARE * (timeout or 0.0))
        """Seconds before the limit at which the stack is requested."""
        self.is_requested = False

    def request(self, pid: int) -> None:
        """Let the process write its stack; do not wait for it."""
        self.is_requested = True
        self._source.request(pid)

    def read(self) -> list[traceback.FrameSummary]:
        """Return the frames of the stack, outermost first; none if the worker has not written them."""
        lines = map(_FRAME.fullmatch, self._source.read().decode(errors="backslashreplace").splitlines())
        map_path = self._source.map_path
        frames = [traceback.FrameSummary(map_path(line[1]), int(line[2]), line[3]) for line in lines if line]
        # A worker that is forked from a copy of this process has the frames of this process on its stack.
        return list(itertools.takewhile(lambda frame: (frame.filename, frame.name) != _WORK, frames))[::-1]

    def describe_position(self, source: str | None) -> str | None:
        """Return " at FILE, line N", or an empty text; None if the worker has not written its stack.

        *source* is the folder of the algorithm at the worker; None before the algorithm is imported.
        """
        frames = self.read()
        return describe_position(frames, self._map_source(source)) if frames else None

    def make_late_error(self, timeout: float, source: str | None) -> TimedOut:
        """Return the error for a run that reached its limit; see the function ``make_late_error``."""
        return make_late_error(timeout, self.read(), self._map_source(source))

    def _map_source(self, source: str | None) -> str | None:
        return None if source is None else self._source.map_path(source)


def make_late_error(timeout: float, frames: Iterable[traceback.FrameSummary], source: str | None) -> TimedOut:
    """Return the error for a run that reached its limit: the message names the author's line, the detail the stack.

    Args:
        timeout: the limit, in seconds.
        frames: the frames of the thread of the function, outermost first.
        source: the folder of the algorithm, or the file of a notebook's cell; None before the algorithm is imported.
    """
    message = f"the run did not end within its limit of {timeout:g} s"
    if not (frames := list(frames)):
        return TimedOut(message)
    location = describe_position(frames, source)
    stack = "".join(traceback.format_list(select_author_frames(frames)))
    detail = f"Stack shortly before the time limit (most recent call last):\n{stack}"
    return TimedOut(f"{message}; it was{location}" if location else message, detail=detail)


def describe_position(frames: list[traceback.FrameSummary], source: str | None) -> str:
    """Return " at FILE, line N": the author's line on a stack; empty if it has none. See ``make_late_error``."""
    from algotools.declare import locate  # here, because a supervisor starts faster without it

    return locate.describe_line(frames, source or _find_imported_folder(frames))


def _find_imported_folder(frames: list[traceback.FrameSummary]) -> str | None:
    """Return the folder of the package whose import is on the stack, or the file of a single module."""
    names = [(frame.filename, frame.name) for frame in frames]
    if _IMPORT not in names:
        return None
    files = [file for file, _ in names[names.index(_IMPORT) + 1 :] if not file.startswith("<frozen ")]
    # The first frame may be that of `importlib.import_module`, which has a file of the standard library.
    own_files = [file for file in files if os.path.dirname(file) != os.path.dirname(os.__file__) + "/importlib"]
    if not own_files:
        return None
    return os.path.dirname(own_files[0]) if os.path.basename(own_files[0]) == "__init__.py" else own_files[0]
