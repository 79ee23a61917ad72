"""The runner for an interpreter of its own: every run is a fresh process of it, started as the image would start it.

The process gets what the node prepares, what an image brings, and nothing else. Not only because a container sees no
more: the wrappers of v4 and v5 decode *every* variable of their environment that looks like base32, write it back, and
crash where the bytes are no text. One variable of the user's own, such as ``TEAM=ABCDEFGH``, would be enough.
"""

from __future__ import annotations

import base64
import binascii
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

from algotools.contract.environment import from_image
from algotools.errors import FederationError, TimedOut
from algotools.federation.package import Package
from algotools.federation.runners import Job
from algotools.report import Console, failure_line

if TYPE_CHECKING:
    from algotools.federation.generation import Generation  # which asks with these variables

GRACE = 10.0
"""Seconds that a run of ours gets past its limit, to say so in its own words; no other wrapper does."""

WRAPPERS = {
    "v3": "from vantage6.tools.docker_wrapper import docker_wrapper; docker_wrapper({module!r})",
    "v4": "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()",
    "v5": "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()",
}
"""What the images of a generation start, where the algorithm does not say."""

GUARD = """
import contextlib, os, signal, sys
groups = set()
for line in sys.stdin:
    number = int(line)
    (groups.add if number > 0 else groups.discard)(abs(number))
for group in groups:
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)
"""
"""Ends the runs of a process that has been killed: its end of the pipe is then closed."""


def image_variables(python: Path, package: Package) -> dict[str, str]:
    """What an image with this interpreter and package would bring."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if from_image(name) and not name.startswith(("PYTHON", "ALGOTOOLS_", "VIRTUAL_ENV")) and not _is_base32(value)
    }
    kept["PATH"] = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    kept |= {"PKG_NAME": package.module, "PYTHONUNBUFFERED": "1"}
    return {**kept, **({"PYTHONPATH": str(package.root)} if package.root else {})}


def _is_base32(value: str) -> bool:
    """Whether a wrapper would decode a value, to a text or not."""
    try:
        base64.b32decode(value.replace("!", "="))
    except (binascii.Error, ValueError):
        return False
    return True


class ForeignRunner:
    """Runs a package in an interpreter of its own, by the wrapper that it was made for.

    Args:
        python: the interpreter.
        package: what to run.
        generation: what it speaks.
    """

    sees_frames = False

    def __init__(self, python: Path, package: Package, generation: Generation) -> None:
        if not hasattr(os, "killpg"):
            raise FederationError(
                "an interpreter of its own needs an operating system with process groups, as Linux has"
            )
        self.places = max(2, os.cpu_count() or 1)
        self._variables = image_variables(python, package)
        if generation.ours:
            self._variables["ALGOTOOLS_ALGORITHM"] = package.module
            self._command = [str(python), "-m", "algotools"]
        else:
            code = package.code or WRAPPERS[generation.contract].format(module=package.module)
            self._command = [str(python), "-c", code]
        self._grace = GRACE if generation.ours else 0.0
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._closed = False
        self._guard: subprocess.Popen[str] | None = None

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""
        job.make_room()
        read_end, write_end = os.pipe()
        overdue = threading.Event()
        with open(read_end, "rb", buffering=0) as log:
            try:
                process = self._start(job, write_end)
            except BaseException:
                os.close(write_end)
                raise

            def end() -> None:
                overdue.set()
                _kill_group(process.pid)

            timer = threading.Timer((timeout or 0) + self._grace, end)
            timer.daemon = True
            if timeout is not None:
                timer.start()
            mark = f"\0{secrets.token_hex(16)}".encode()
            waiting = threading.Thread(target=self._wait, args=(process, write_end, mark), daemon=True)
            waiting.start()
            try:
                with job.ending.by(lambda: _kill_group(process.pid)):
                    for line in _lines(log.fileno(), mark):
                        console(line)
            except BaseException:
                _kill_group(process.pid)
                raise
            finally:
                log.close()  # else who marks the log's end might wait for somebody to read it
                waiting.join()
                timer.cancel()
        if self._closed:
            raise CancelledError
        if overdue.is_set():
            console(failure_line(TimedOut(f"the run did not end within its limit of {timeout:g} s").failure()))
        return process.returncode

    def wake(self) -> None:
        """See ``Runner``: there is nothing to get ready."""

    def rest(self) -> None:
        """See ``Runner``."""
        with self._lock:
            guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()  # nothing is left to guard, and a fork of this process may hold its pipe open
            with contextlib.suppress(OSError):
                guard.communicate()

    def close(self) -> None:
        """See ``Runner``."""
        with self._lock:
            self._closed = True
            for group in self._groups:
                _kill_group(group)
        self.rest()

    def _start(self, job: Job, log: int) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise CancelledError
            if self._guard is None:
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", GUARD], stdin=subprocess.PIPE, text=True, start_new_session=True
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
            self._tell(process.pid)
        return process

    def _wait(self, process: subprocess.Popen[bytes], log: int, mark: bytes) -> None:
        """Wait for a run's end, end what it left behind, and mark the end of its log.

        Something that has left the run's group may hold the log open for ever.
        """
        process.wait()
        with self._lock:
            _kill_group(process.pid)
            self._groups.discard(process.pid)
            self._tell(-process.pid)
        with contextlib.suppress(OSError):
            os.write(log, mark)
        os.close(log)

    def _tell(self, number: int) -> None:
        """Tell the guard of a run's beginning, or of its end (negative)."""
        if self._guard is None or self._guard.stdin is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self._guard.stdin.write(f"{number}\n")
            self._guard.stdin.flush()


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _lines(log: int, mark: bytes) -> Iterator[str]:
    """The lines of a log up to the mark, each as soon as it is complete."""
    rest = b""
    while mark not in rest and (chunk := os.read(log, 1 << 16)):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.rstrip(b"\r").decode(errors="backslashreplace") for line in lines)
    if last := rest.partition(mark)[0]:
        yield last.decode(errors="backslashreplace")
