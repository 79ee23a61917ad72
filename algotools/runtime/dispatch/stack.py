"""The stack of a worker shortly before its time limit, which shows where the author's code is.

The worker may be busy in compiled code that never returns to Python, so no thread of the worker could report its
position. Instead, the worker registers a signal with ``faulthandler``, whose handler is compiled code, and sends the
supervisor a pipe. The supervisor sends the signal shortly before the limit, and reads the pipe at the limit. So the
worker is killed in time, whether it has written its stack or not.

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

from algotools.declare import locate
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


def offer_stack(channel: socket.socket) -> None:
    """Let the supervisor read the stack of the calling thread, the worker's main thread."""
    read_end, write_end = os.pipe()
    try:
        os.set_blocking(write_end, False)
        faulthandler.register(_SIGNAL, file=write_end, all_threads=False)
        send(channel, StackOffer(), read_end)
    finally:
        os.close(read_end)


class WorkerStack:
    """The supervisor's access to the stack of its worker.

    Args:
        pipe: the read end of the pipe that the worker writes its stack to.
        timeout: the time limit of the run, in seconds; None for no limit.
    """

    def __init__(self, pipe: int, timeout: float | None) -> None:
        self._pipe = pipe
        self.lead = min(LEAD, LEAD_SHARE * (timeout or 0.0))
        """Seconds before the limit at which the stack is requested."""
        self.is_requested = False

    def request(self, pid: int) -> None:
        """Let the process write its stack into the pipe; do not wait for it."""
        self.is_requested = True
        with contextlib.suppress(OSError):  # another user, in a container without CAP_KILL
            os.kill(pid, _SIGNAL)

    def read(self) -> list[traceback.FrameSummary]:
        """Return the frames of the stack, outermost first; none if the worker has not written them."""
        os.set_blocking(self._pipe, False)
        data = b""
        with contextlib.suppress(OSError):
            data = os.read(self._pipe, _LARGEST)
        lines = map(_FRAME.fullmatch, data.decode(errors="backslashreplace").splitlines())
        frames = [traceback.FrameSummary(line[1], int(line[2]), line[3]) for line in lines if line]
        # A worker that is forked from a copy of this process has the frames of this process on its stack.
        return list(itertools.takewhile(lambda frame: (frame.filename, frame.name) != _WORK, frames))[::-1]

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._pipe)


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
