"""The runner for another interpreter (``python=``): each run is a new process, started by the algorithm's own wrapper.

The process gets the variables that a node prepares and those that an image sets. The user's own variables are removed,
because a container would not have them, and because they can crash a run: the wrappers of v4 and v5 decode *every*
variable that looks like base32, and fail if the decoded bytes are not text. ``TEAM=ABCDEFGH`` is enough.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING

from algotools.data.names import suggest_name
from algotools.errors import FederationError, TimedOut, UnknownMethod
from algotools.federation._package import Package, make_image_variables
from algotools.federation.runners import Job
from algotools.runtime.dispatch.checking import CheckedCall, CheckReply, make_task
from algotools.runtime.logs import Console, format_failure
from algotools.task import Role

if TYPE_CHECKING:
    from algotools.federation._generation import Generation

GRACE = 10.0
"""Seconds after the time limit in which a run of algotools can report by itself that it timed out."""

_MOST_METHODS = 10
"""Number of methods that a message lists."""

_WRAPPERS = {
    "v3": "from vantage6.tools.docker_wrapper import docker_wrapper; docker_wrapper({module!r})",
    "v4": "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()",
    "v5": "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()",
}
"""Python code that the images of a generation run, if the algorithm does not name its own."""

_GUARD = """
import contextlib, os, signal, sys
groups = set()
for line in sys.stdin:
    number = int(line)
    (groups.add if number > 0 else groups.discard)(abs(number))
for group in groups:
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)
"""
"""A helper process that kills the runs if this process is killed.

This process sends the group of each run when it starts, and the negated number when it finishes. The helper's input is
closed when this process exits in any way, even by SIGKILL. Then the helper kills the groups that are left.
"""


class ForeignRunner:
    """Runs a package in another interpreter, through the wrapper of the package's generation.

    Args:
        python: the interpreter.
        package: the package to run.
        generation: the generation that the package is written for.

    Raises:
        FederationError: the operating system has no process groups.
    """

    sees_frames = False

    def __init__(self, python: Path, package: Package, generation: Generation) -> None:
        if not hasattr(os, "killpg"):
            raise FederationError("python= needs an operating system with process groups, such as Linux")
        self.slots = max(2, os.cpu_count() or 1)
        self.has_gate = generation.uses_algotools
        self._variables = make_image_variables(python, package)
        if generation.uses_algotools:
            self._variables["ALGOTOOLS_ALGORITHM"] = package.module
            self._command = [str(python), "-m", "algotools"]
        else:
            code = package.code or _WRAPPERS[generation.name].format(module=package.module)
            self._command = [str(python), "-c", code]
        self._grace = GRACE if generation.uses_algotools else 0.0
        self._roles: dict[str, Role] = {
            method: endpoint.role for method, endpoint in generation.functions.items() if endpoint.role
        }
        self._words, self._methods = generation.words, frozenset(generation.functions)
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._closed = False
        self._guard: subprocess.Popen[str] | None = None

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""
        job.make_temporary_folder()
        read_end, write_end = os.pipe()
        is_overdue = threading.Event()
        with open(read_end, "rb", buffering=0) as log:
            try:
                process = self._start(job, write_end)
            except BaseException:
                os.close(write_end)
                raise

            def expire() -> None:
                is_overdue.set()
                _kill_group(process.pid)

            timer = threading.Timer((timeout or 0) + self._grace, expire)
            timer.daemon = True
            if timeout is not None:
                timer.start()
            # The pipe may stay open after the run has exited, because a daemon that the run started can hold it open
            # forever. So `_wait` writes a mark, which no run can guess, and the log ends at the mark.
            mark = f"\0{secrets.token_hex(16)}".encode()
            waiting = threading.Thread(target=self._wait, args=(process, write_end, mark), daemon=True)
            waiting.start()
            try:
                with job.cancellation.register(lambda: _kill_group(process.pid)):
                    for line in _read_lines(log.fileno(), mark):
                        console(line)
            except BaseException:
                _kill_group(process.pid)
                raise
            finally:
                log.close()  # otherwise `_wait` would block when it writes the mark to a full pipe
                waiting.join()
                timer.cancel()
        if self._closed:
            raise CancelledError
        if is_overdue.is_set():
            console(format_failure(TimedOut(f"the run did not end within its limit of {timeout:g} s").failure()))
        return process.returncode

    def check(self, call: CheckedCall | None, timeout: float) -> CheckReply | None:
        """See ``Runner``. The package is not imported, so only a name that its source does not contain is refused."""
        del timeout
        if call is None:
            return CheckReply(roles=self._roles)
        method = make_task(call).method
        if "*" not in self._words and not {method, f"RPC_{method}"} & self._words:
            names = sorted(self._methods)
            raise UnknownMethod(
                f"this algorithm has no method {method[:60]!r}{suggest_name(method, names)} (methods: "
                f"{', '.join(names[:_MOST_METHODS]) or 'unknown'})"
            )
        return None

    def start(self) -> None:
        """See ``Runner``. Nothing to prepare."""

    def stop(self) -> None:
        """See ``Runner``."""
        with self._lock:
            guard, self._guard = self._guard, None
        if guard is not None:
            # A fork of this process can hold the guard's input open, so the guard may not exit when it is closed here.
            guard.kill()
            with contextlib.suppress(OSError):
                guard.communicate()

    def close(self) -> None:
        """See ``Runner``."""
        with self._lock:
            self._closed = True
            for group in self._groups:
                _kill_group(group)
        self.stop()

    def _start(self, job: Job, log: int) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise CancelledError
            if self._guard is None:
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _GUARD], stdin=subprocess.PIPE, text=True, start_new_session=True
                )
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._variables, **job.environment},
                cwd=job.task.output_file.parent,
                start_new_session=True,
            )
            self._groups.add(process.pid)
            self._notify_guard(process.pid)
        return process

    def _wait(self, process: subprocess.Popen[bytes], log: int, mark: bytes) -> None:
        """Wait for a run to exit, kill the processes that it left in its group, and mark the end of its log."""
        process.wait()
        with self._lock:
            _kill_group(process.pid)
            self._groups.discard(process.pid)
            self._notify_guard(-process.pid)
        with contextlib.suppress(OSError):
            os.write(log, mark)
        os.close(log)

    def _notify_guard(self, number: int) -> None:
        """Send the guard the group of a run that has started, or the negated group of a run that has exited."""
        if self._guard is None or self._guard.stdin is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self._guard.stdin.write(f"{number}\n")
            self._guard.stdin.flush()


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _read_lines(log: int, mark: bytes) -> Iterator[str]:
    """Yield the lines of a log up to the mark, each as soon as it is complete."""
    incomplete = b""
    while mark not in incomplete and (chunk := os.read(log, 1 << 16)):
        *lines, incomplete = (incomplete + chunk).split(b"\n")
        yield from (line.rstrip(b"\r").decode(errors="backslashreplace") for line in lines)
    if last := incomplete.partition(mark)[0]:
        yield last.decode(errors="backslashreplace")
