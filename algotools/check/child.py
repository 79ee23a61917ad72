"""The child process that runs the author's code, from outside: started, listened to, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import msgspec

from algotools.check.finding import Finding, found
from algotools.check.telling import Told
from algotools.errors import AlgorithmNotFound, InternalError

GRACE = 5.0
"""Seconds that the child gets past its limit, to say in its own words where it hangs."""


class Outcome(NamedTuple):
    """What the child said."""

    algorithm: str | None
    findings: list[Finding]
    functions: int
    files: int


class Child:
    """A process that imports the algorithm and examines its functions, while we do something else."""

    def __init__(self, what: str, seconds: float) -> None:
        self._seconds = seconds
        self._process = subprocess.Popen(
            [sys.executable, "-m", "algotools.check.functions", what, str(seconds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._deadline = time.monotonic() + seconds + GRACE
        self._told: list[Told] = []
        self._listener = threading.Thread(target=self._listen, name="check", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        """Take lines until the last one: a process that the author's code left behind may keep the pipe open."""
        for line in self._process.stdout or ():
            with contextlib.suppress(msgspec.DecodeError):
                self._told.append(msgspec.json.decode(line, type=Told))
                if self._told[-1].done:
                    return

    def outcome(self, named_in: str) -> Outcome:
        """Wait for its end; ``named_in`` is the file to name where it says nothing of its own.

        Raises:
            AlgorithmNotFound: WHAT names nothing.
            InternalError: the child failed by a fault of our own.
        """
        self._listener.join(max(0.0, self._deadline - time.monotonic()))
        hangs = self._listener.is_alive()
        self._end()
        self._listener.join()
        if unknown := next((told.unknown for told in self._told if told.unknown), None):
            raise AlgorithmNotFound(unknown)
        algorithm = next((told.algorithm for told in self._told if told.algorithm), None)
        if fault := next((told.fault for told in self._told if told.fault), None):
            raise InternalError("the check itself failed", detail=fault)
        if algorithm is None:
            raise InternalError(f"the check's process ended with {self._process.returncode} and said nothing")
        findings = [told.finding for told in self._told if told.finding]
        count = next((told.functions for told in self._told if told.functions is not None), None)
        done = any(told.done for told in self._told)
        if not done and count is None:
            findings.append(found("import-fails", named_in, None, self._ending(hangs=hangs)))
        files = next((told.files for told in self._told if told.files is not None), 0)
        return Outcome(algorithm, findings, count or 0, files)

    def _ending(self, *, hangs: bool) -> str:
        if hangs:
            return f"its import has not ended after {self._seconds:g} s"
        code = self._process.returncode
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"it ends the process when it is imported ({how})"

    def _end(self) -> None:
        """End it, with whatever the author's code started."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0 if self._listener.is_alive() else 1)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if not self._listener.is_alive() and self._process.stdout:
            self._process.stdout.close()

    def cancel(self) -> None:
        """End it unheard."""
        self._end()
        self._listener.join()
