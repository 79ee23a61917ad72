"""The runner for engines: rpcs run on any ``concurrent.futures.Executor``, masters in processes of this machine."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

import msgspec

from algotools import __version__
from algotools.declare.functions import Algorithm
from algotools.declare.locate import Location
from algotools.errors import CODES, AlgotoolsError, EngineError, Stopped, WorkerKilled
from algotools.federation.engines._code import PYTHON
from algotools.federation.engines._connections import OUTPUT
from algotools.federation.engines._dask_workers import INSTALL
from algotools.federation.engines._engine import Engine
from algotools.federation.engines._gateway import Gateway, Visit
from algotools.federation.engines._handshake import Hello, Started
from algotools.federation.engines._preparation import Preparation
from algotools.federation.engines._remote_worker import RemoteWorker
from algotools.federation.engines._submission import EngineBroken, EngineLost, Submission, submit
from algotools.federation.runners import Job
from algotools.federation.runners.process import ProcessRunner
from algotools.runtime.dispatch.checking import CheckedCall, CheckReply
from algotools.runtime.dispatch.messages import receive, send
from algotools.runtime.dispatch.supervisor import Run, follow
from algotools.runtime.logs import Console, format_failure, format_line
from algotools.runtime.run import read_task, run_task
from algotools.task import Role

_ATTEMPTS = 3
"""Attempts to run a task whose process of the engine is lost."""
_FEWEST_SLOTS, _MOST_SLOTS = 4, 256
_REPLY_TIMEOUT = 300.0
"""Seconds in which an engine's process must send its versions, and start its worker once it has all files."""
_ROLES_TIMEOUT = 60.0
"""Seconds in which a process of this machine must import the algorithm and report the roles of its methods."""

Message = TypeVar("Message", bound=msgspec.Struct)


class EngineRunner:
    """Runs rpcs on an engine. Masters and checks of calls run in processes of this machine, as with ``ProcessRunner``.

    Args:
        algorithm: the algorithm to run.
        engine: the engine; ``close`` does not close it.
        memory: the memory limit of a run in bytes, in addition to the imported libraries.
        confined: whether each worker is in the sandbox of ``algotools.runtime.sandbox.local``.

    Raises:
        FederationError: see ``ProcessRunner``.
    """

    has_gate = True
    sees_frames = False

    def __init__(
        self,
        algorithm: Location | Algorithm,
        engine: Engine,
        *,
        memory: int | None = None,
        confined: bool = False,
    ) -> None:
        self._engine = engine
        self._name = engine.name
        self.preparation = Preparation(algorithm, memory, confined=confined)
        self.slots = min(_MOST_SLOTS, max(_FEWEST_SLOTS, 2 * engine.threads))  # the engine's queue is never empty
        self._prepare_pool()  # before any thread exists, because the pool forks
        self._local = ProcessRunner(algorithm, memory, confined=confined)
        self._roles: Mapping[str, Role] = {}
        self._lock = threading.Lock()
        try:
            self._gateway = Gateway(engine.address, secrets.token_hex(8))
        except EngineError:
            self._local.close()
            raise

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""
        try:
            read = read_task(job.environment)
        except AlgotoolsError:  # a run in a process of this machine reads the same input, and reports the error
            return self._local.run(job, console, timeout)
        if not self._is_rpc(read[1].method):
            return self._local.run(job, console, timeout)
        for attempt in range(1, _ATTEMPTS + 1):
            call = _Call(self, job, console, timeout)
            code = run_task(lambda: read, call.run, call.write)
            if not call.is_lost:
                return code
            if attempt == _ATTEMPTS or job.cancellation.is_requested or isinstance(call.error, EngineBroken):
                console(format_failure(call.error.failure()))
                return code
            if isinstance(call.error, _OtherVersion):
                continue  # nothing was started there
            console(format_line("info", f"the engine's process at {call.host} was lost; the run starts again"))
        raise AssertionError

    def check(self, call: CheckedCall | None, timeout: float) -> CheckReply | None:
        """See ``Runner``."""
        return self._local.check(call, timeout)

    def start(self) -> None:
        """See ``Runner``."""
        self._local.start()
        self._gateway.start()

    def stop(self) -> None:
        """See ``Runner``."""
        self._gateway.stop()
        self._local.stop()

    def close(self) -> None:
        """See ``Runner``."""
        self._gateway.close()
        self._local.close()

    def _is_rpc(self, method: str) -> bool:
        """Whether a method is an rpc, which runs on the engine: not a master, and no unknown function."""
        with self._lock:
            if not self._roles and (reply := self._local.check(None, _ROLES_TIMEOUT)) is not None:
                self._roles = reply.roles
        return self._roles.get(method) == "rpc"

    def _prepare_pool(self) -> None:
        """Let a pool of processes fork them now, because a fork is not safe while other threads run.

        Raises:
            EngineError: the pool is shut down.
            EngineBroken: one of the pool's processes was killed before.
        """
        if isinstance(self._engine.executor, (ProcessPoolExecutor, ThreadPoolExecutor)):
            with warnings.catch_warnings():
                # Python warns about a fork while threads run. The caller's threads cannot be avoided here.
                warnings.simplefilter("ignore", DeprecationWarning)
                submit(self._engine, os.getpid)

    @contextlib.contextmanager
    def submit(self, job: Job) -> Iterator[tuple[Visit, Submission]]:
        """Let the engine call the relay; cancel the call, or its worker, when the context is left.

        Raises:
            EngineError: the engine does not accept calls.
        """
        with self._gateway.open_visit() as visit, job.cancellation.register(visit.cancel):
            submission = Submission(self._engine, visit)
            try:
                yield visit, submission
            finally:
                submission.cancel()

    def check_version(self, hello: Hello) -> None:
        """Refuse a process of the engine that has another version of algotools.

        Raises:
            EngineError: the versions differ.
        """
        if hello.version == __version__:
            return
        text = (
            f"the engine's process at {hello.host} has algotools {hello.version}, and the federation has "
            f"{__version__}; install the same version"
        )
        if (workers := self._engine.workers) is None:
            raise EngineError(text)
        workers.refresh()  # the worker has joined just before
        raise _OtherVersion(text)

    def explain_end(self, future: Future[str]) -> AlgotoolsError:
        """Return the error for a call of the engine that ended before it reached the federation."""
        try:
            error = future.exception()
        except CancelledError as cancelled:
            return self._engine.explain(cancelled) or EngineError(f"the engine ({self._name}) has cancelled the run")
        if isinstance(error, BrokenExecutor):
            return EngineBroken(self._name, error)
        if error is not None and (explained := self._engine.explain(error)) is not None:
            return explained
        if error is None:
            return EngineLost(f"a process of the engine ({self._name}) ended the run before it started")
        if isinstance(error, ModuleNotFoundError) and error.name == "algotools":
            return EngineError(f"algotools is not installed at a process of the engine ({self._name}); {INSTALL}")
        return EngineError(f"the engine ({self._name}) cannot run the function: {error}", detail=repr(error))


class _OtherVersion(EngineError, exit_code=62, shares_code=True):
    """A worker with another version of algotools got a run. The next attempt goes to another worker."""


class _Call:
    """One attempt to run a task on the engine.

    Args:
        runner: the runner.
        job: the run.
        console: receives the log.
        timeout: the time limit, in seconds.
    """

    def __init__(self, runner: EngineRunner, job: Job, console: Console, timeout: float | None) -> None:
        self._runner = runner
        self._job = job
        self._console = console
        self._timeout = timeout
        self.host = "an unknown host"
        self.error: AlgotoolsError = WorkerKilled("")
        self.is_lost = False
        """Whether the engine's process was lost. Another attempt then runs the task."""

    def write(self, line: str) -> None:
        """Write a line of the log, except for the failure of a lost attempt."""
        if not self.is_lost:
            self._console(line)

    def run(self, run: Run) -> bytes:
        """Run a task on the engine, and return the encoded result."""
        try:
            with self._runner.submit(self._job) as (visit, submission):
                return self._follow(visit, submission, run)
        except (EngineLost, _OtherVersion) as error:
            self.is_lost, self.error = True, error
            raise

    def _follow(self, visit: Visit, submission: Submission, run: Run) -> bytes:
        control = submission.wait(run.console)
        if not isinstance(control, socket.socket):
            raise self._runner.explain_end(control)
        hello = self._receive(control, Hello)
        self.host = hello.host
        self._runner.check_version(hello)
        if hello.python != PYTHON:
            text = f"the engine's process at {hello.host} runs Python {hello.python}, and the federation {PYTHON}"
            run.console(format_line("info", text))
        try:
            start, code = self._runner.preparation.prepare(control, self._job, self._timeout)
            send(control, start)
        except AlgotoolsError:  # some are errors of the operating system, too
            raise
        except (EOFError, OSError):
            raise self._make_lost() from None
        started = self._receive(control, Started)
        if started.failure is not None:
            exit_code, message, detail = started.failure
            raise CODES.get(exit_code, EngineError)(message, detail=detail)
        visit.note_worker()
        try:
            visit.wait(started.channel)
            visit.wait(OUTPUT)
        except TimeoutError:
            raise self._make_lost() from None
        channel = visit.take(started.channel)
        output = visit.take(OUTPUT).detach()
        worker = RemoteWorker(started.pid, control, channel, code)
        offer_position = self._job.cancellation.offer_position
        try:
            return follow(worker, channel, output, run, offer_position=offer_position, stack=worker)
        except WorkerKilled:
            if worker.is_lost:
                raise self._make_lost() from None
            raise

    def _receive(self, control: socket.socket, kind: type[Message]) -> Message:
        control.settimeout(_REPLY_TIMEOUT)  # a stopped process would never answer
        try:
            message = receive(control, kind)
        except (EOFError, ConnectionError, TimeoutError):
            raise self._make_lost() from None
        control.settimeout(None)
        return message

    def _make_lost(self) -> AlgotoolsError:
        """Return the error for a control connection that has ended."""
        if self._job.cancellation.is_requested:
            return Stopped("the run was cancelled before its process started")
        return EngineLost(
            f"the engine's process at {self.host} that ran the function was lost: it was killed, or its machine does "
            "not respond"
        )
