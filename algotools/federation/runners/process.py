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
import threading
from collections.abc import Iterator, Mapping

from algotools.declare.functions import Algorithm
from algotools.declare.locate import Location
from algotools.errors import FederationError, Stopped
from algotools.federation.folders import make_prefix
from algotools.federation.runners import Cancellation, Job, _template
from algotools.federation.runners._sandbox import make_check_sandbox, make_sandbox
from algotools.federation.runners._template_process import STOP_TIMEOUT, TemplateProcess, find_fork_unsafe_library
from algotools.runtime.dispatch.checking import CheckedCall, CheckReply, CheckRequest, check, receive_reply
from algotools.runtime.dispatch.limits import can_limit_memory
from algotools.runtime.dispatch.messages import send
from algotools.runtime.dispatch.scratch import make_scratch_folder
from algotools.runtime.dispatch.supervisor import Run, follow
from algotools.runtime.logs import Console
from algotools.runtime.run import read_task, run_task
from algotools.task import is_image_variable

_START_TIMEOUT = 120.0
"""Seconds in which a new template must import its libraries and fork a worker."""

_RESPONSE_TIMEOUT = 30.0
"""Seconds in which a template that has forked a worker before must fork the next one."""


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
        self._lock = threading.Lock()
        self._template: TemplateProcess | None = None
        self._closed = False
        self._declared = CheckReply()
        """The declarations of the methods, from the last check in a worker."""
        self._workers: set[_template.TemplateWorker] = set()
        self._variables = {name: value for name, value in os.environ.items() if is_image_variable(name)}
        for name in ("ALGOTOOLS_ALGORITHM", "PKG_NAME"):
            self._variables.pop(name, None)
        if not self.sees_frames:
            self.start()  # the template imports the libraries while the caller prepares the first task

    @property
    def sees_frames(self) -> bool:
        """See ``Runner``: whether its template is, or would be, a copy of this process."""
        if (template := self._template) is not None and not template.has_exited():
            return template.is_copy
        return isinstance(self._algorithm, Algorithm) or (self._holds_frames and not find_fork_unsafe_library())

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""

        def call(run: Run) -> bytes:
            with contextlib.ExitStack() as stack:
                scratch = stack.enter_context(make_scratch_folder(prefix=make_prefix()))
                request = self._make_request(job, scratch)
                worker, channel, output = self._start(request, job.cancellation, stack, timeout)
                return follow(worker, channel, output, run, offer_position=job.cancellation.offer_position)

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
            request = _template.WorkerRequest({**self._variables, **scratch}, self._memory, sandbox, is_check=True)
            worker, channel, output = self._start(request, Cancellation(), stack, None)
            try:
                with contextlib.suppress(ConnectionError):  # the worker has exited
                    send(channel, CheckRequest(call))
                    return receive_reply(channel, output, timeout)
            finally:
                worker.kill()
                channel.close()
                os.close(output)
        return None

    def start(self) -> None:
        """See ``Runner``."""
        # A fork copies only the calling thread. A lock that another thread held at that moment stays locked in the copy
        # forever. `start` is called when no run is active, so no thread of a run can hold a lock.
        with self._lock:
            if not self._closed:
                self._ensure_template()

    def stop(self) -> None:
        """See ``Runner``. A copy is stopped, because it holds memory; a fresh interpreter has an idle timeout."""
        with self._lock:
            if self._template is not None and self._template.is_copy:
                self._close_template()

    def close(self) -> None:
        """See ``Runner``."""
        with self._lock:
            self._closed = True
            for worker in self._workers:  # first, because a killed template cannot kill the groups of its workers
                worker.kill()
            self._close_template()

    def _make_request(self, job: Job, scratch: Mapping[str, str]) -> _template.WorkerRequest:
        """Return the request for the worker of a run."""
        request = _template.WorkerRequest({**self._variables, **job.make_worker_environment(), **scratch}, self._memory)
        if self._confined:
            job.make_temporary_folder()  # the worker may not create it
            request.sandbox = make_sandbox(job, self._algorithm, scratch, self._memory)
        return request

    def _start(
        self,
        request: _template.WorkerRequest,
        cancellation: Cancellation,
        stack: contextlib.ExitStack,
        timeout: float | None,
    ) -> tuple[_template.TemplateWorker, socket.socket, int]:
        """Let the template fork a worker; return the worker, its channel and the pipe with its printed output.

        The worker is killed when its run is cancelled. A template that does not respond is killed and replaced.

        Raises:
            Stopped: the run was cancelled before its worker existed.
            FederationError: the runner is closed, or no template responds.
        """
        for _ in range(2):
            channel, workers_channel = socket.socketpair()
            status_socket, workers_status_socket = socket.socketpair()
            output, workers_output = os.pipe()
            with workers_channel, workers_status_socket:
                template = self._send(request, workers_channel.fileno(), workers_output, workers_status_socket.fileno())
                os.close(workers_output)
            worker = _template.TemplateWorker(stack.enter_context(status_socket))
            stack.enter_context(self._register(worker))
            stack.enter_context(cancellation.register(worker.kill))
            if template is not None and self._wait_started(worker, template, timeout):
                return worker, channel, output
            # A request can be sent to a template whose idle timeout has just expired. The template then exits without
            # forking a worker, and the second attempt starts a new template.
            channel.close()
            os.close(output)
            if cancellation.is_requested:
                raise Stopped("the run was cancelled before its process started")
        raise FederationError("the processes of this federation have stopped; create a new Federation")

    @contextlib.contextmanager
    def _register(self, worker: _template.TemplateWorker) -> Iterator[None]:
        """Let ``close`` kill a worker while the context is open."""
        with self._lock:
            self._workers.add(worker)
        try:
            yield
        finally:
            with self._lock:
                self._workers.discard(worker)

    def _wait_started(self, worker: _template.TemplateWorker, template: TemplateProcess, timeout: float | None) -> bool:
        """Wait until a template has forked a worker; kill the template if it does not respond in time.

        Args:
            worker: the requested worker.
            template: the template that got the request.
            timeout: the time limit of the run. The template needs time of its own, but not much more.
        """
        limit = _RESPONSE_TIMEOUT if template.has_responded else _START_TIMEOUT
        if timeout is not None:
            limit = min(limit, timeout + (STOP_TIMEOUT if template.has_responded else _RESPONSE_TIMEOUT))
        try:
            is_started = worker.wait_started(limit)
        except TimeoutError:
            template.kill()
            return False
        template.has_responded = template.has_responded or is_started
        return is_started

    def _send(self, request: _template.WorkerRequest, *descriptors: int) -> TemplateProcess | None:
        """Send a request to the template, or to a new one if the template has exited; return the template.

        Return None if the runner is closed, or if no template takes the request.
        """
        with self._lock:
            if self._closed:
                return None
            for _ in range(2):  # a template can exit between the check of `_ensure_template` and the request
                template = self._ensure_template()
                try:
                    _template.send_request(template.control, request, *descriptors)
                except OSError:  # it has exited, or it is stopped and the part that it got cannot be taken back
                    template.kill()
                else:
                    return template
        return None

    def _ensure_template(self) -> TemplateProcess:
        """Return the template; start a new one if there is none or it has exited."""
        if self._template is None or self._template.has_exited():
            self._close_template()
            self._template = TemplateProcess(self._algorithm, copy=self.sees_frames)
        return self._template

    def _close_template(self) -> None:
        if self._template is not None:
            self._template.close()
            self._template = None
