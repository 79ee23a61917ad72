"""The process runner: each run is a process that is forked from a preloaded template (see ``_template``).

Importing pandas takes longer than most functions run, so the imports happen once, in the template. There are two kinds
of template:

* A *fresh interpreter* for an algorithm in a folder. It contains nothing of this process, as in a container.
* A *copy of this process* for functions that are defined in it, such as in a notebook, and for nodes whose data are
  frames in its memory. No other process could import such functions or see such frames.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Mapping

from algotools.declare.functions import Algorithm
from algotools.declare.locate import Location
from algotools.errors import FederationError
from algotools.federation.folders import make_prefix
from algotools.federation.runners import Cancellation, Job
from algotools.federation.runners._template_process import find_fork_unsafe_library
from algotools.federation.runners.sandbox import make_check_sandbox, make_sandbox
from algotools.federation.runners.workers import StartedWorker, WorkerRequest, Workers, list_image_variables
from algotools.runtime.dispatch.checking import CheckedCall, CheckReply, CheckRequest, check, receive_reply
from algotools.runtime.dispatch.limits import can_limit_memory
from algotools.runtime.dispatch.messages import send
from algotools.runtime.dispatch.scratch import make_scratch_folder
from algotools.runtime.dispatch.supervisor import Run, follow
from algotools.runtime.logs import Console
from algotools.runtime.run import read_task, run_task


class ProcessRunner:
    """Runs the author's code in a process with the environment variables that a node prepares.

    The supervisor of each run is a thread of this process. It runs the same code as the supervisor process in a
    container.

    Args:
        algorithm: the algorithm to run.
        memory: the memory limit of a run in bytes, in addition to the imported libraries.
        confined: whether each worker is in the sandbox of ``algotools.runtime.sandbox.local``.
        holds_frames: whether nodes' data are frames in the memory of this process. The template is then a copy of this
            process, so that runs see the frames.

    Raises:
        FederationError: this operating system cannot fork, or cannot limit a process's memory.
    """

    def __init__(
        self,
        algorithm: Location | Algorithm,
        memory: int | None = None,
        *,
        holds_frames: bool = False,
        confined: bool = False,
    ) -> None:
        if not hasattr(os, "fork"):
            raise FederationError("runner process needs an operating system that can fork; use runner inline here")
        if memory is not None and not can_limit_memory():
            raise FederationError("a memory limit for runner process needs Linux; use runner container here")
        if confined and sys.platform != "linux":
            raise FederationError("a sandbox for runner process (--confined) needs Linux; use runner container here")
        self._confined = confined
        self.has_gate, self.slots = True, (os.cpu_count() or 1) + 1  # one more, because each run waits for the template
        self._holds_frames = holds_frames
        self._algorithm = algorithm
        self._memory = memory
        self._workers = Workers(algorithm, self._must_copy)
        self._declared = CheckReply()
        """The declarations of the methods, from the last check in a worker."""
        self._variables = list_image_variables()
        if not self.sees_frames:
            self.start()  # the template imports the libraries while the caller prepares the first task

    @property
    def sees_frames(self) -> bool:
        """See ``Runner``: whether its template is, or would be, a copy of this process."""
        return self._workers.is_copy

    def _must_copy(self) -> bool:
        return isinstance(self._algorithm, Algorithm) or (self._holds_frames and not find_fork_unsafe_library())

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""

        def call(run: Run) -> bytes:
            with contextlib.ExitStack() as stack:
                scratch = stack.enter_context(make_scratch_folder(prefix=make_prefix()))
                request = self._make_request(job, scratch)
                worker, channel = self._start(request, job.cancellation, stack, timeout)
                return follow(
                    worker.process,
                    channel,
                    worker.output,
                    run,
                    offer_position=job.cancellation.offer_position,
                    stack=worker.stack,
                )

        return run_task(lambda: read_task(job.environment), call, console)

    def check(self, call: CheckedCall | None, timeout: float) -> CheckReply | None:
        """See ``Runner``. A worker checks the call, unless the functions are those of this process."""
        if isinstance(algorithm := self._algorithm, Algorithm):
            return check(lambda: algorithm, call)
        if call is None and self._declared.roles:
            return self._declared
        reply = self._check_in_worker(algorithm, call, timeout)
        if reply is not None and reply.roles:
            self._declared = CheckReply(roles=reply.roles, variables=reply.variables, arrays=reply.arrays)
        return reply

    def _check_in_worker(self, algorithm: Location, call: CheckedCall | None, timeout: float) -> CheckReply | None:
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(make_scratch_folder(prefix=make_prefix()))
            sandbox = make_check_sandbox(algorithm, scratch, self._memory) if self._confined else None
            request = WorkerRequest({**self._variables, **scratch}, self._memory, sandbox, is_check=True)
            worker, channel = self._start(request, Cancellation(), stack, None)
            try:
                with contextlib.suppress(ConnectionError):  # the worker has exited
                    send(channel, CheckRequest(call))
                    return receive_reply(channel, worker.output, timeout)
            finally:
                worker.process.kill()
                channel.close()
                os.close(worker.output)
                worker.stack.close()
        return None

    def start(self) -> None:
        """See ``Runner``."""
        self._workers.prepare()

    def stop(self) -> None:
        """See ``Runner``. A copy is stopped, because it holds memory; a fresh interpreter has an idle timeout."""
        self._workers.release()

    def close(self) -> None:
        """See ``Runner``."""
        self._workers.close()

    def _make_request(self, job: Job, scratch: Mapping[str, str]) -> WorkerRequest:
        """Return the request for the worker of a run."""
        request = WorkerRequest({**self._variables, **job.make_worker_environment(), **scratch}, self._memory)
        if self._confined:
            job.make_temporary_folder()  # the worker may not create it
            request.sandbox = make_sandbox(job, self._algorithm, scratch, self._memory)
        return request

    def _start(
        self, request: WorkerRequest, cancellation: Cancellation, stack: contextlib.ExitStack, timeout: float | None
    ) -> tuple[StartedWorker, socket.socket]:
        """Start a worker; return it with the supervisor's end of its channel. See ``Workers.start`` for the errors."""
        channels: list[socket.socket] = []

        def open_channel() -> socket.socket:
            channel, workers_channel = socket.socketpair()
            channels.append(channel)
            return workers_channel

        try:
            return self._workers.start(request, open_channel, stack, timeout, cancellation), channels.pop()
        finally:
            for channel in channels:
                channel.close()
