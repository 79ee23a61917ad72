"""Start workers through a template process (see ``_template``), which is replaced when it has exited.

Runner ``process`` starts the workers of this machine. With an engine, each process of the engine starts workers in the
same way, and relays their messages to the federation.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from algotools.declare.functions import Algorithm
from algotools.declare.locate import Location
from algotools.errors import FederationError, Stopped
from algotools.federation.runners import Cancellation, _template
from algotools.federation.runners._template import TemplateWorker, WorkerRequest
from algotools.federation.runners._template_process import STOP_TIMEOUT, TemplateProcess
from algotools.runtime.dispatch.messages import wait_readable
from algotools.runtime.dispatch.stack import PipeStack
from algotools.task import is_image_variable

__all__ = ["StartedWorker", "TemplateWorker", "WorkerRequest", "Workers", "list_image_variables"]

_START_TIMEOUT = 120.0
"""Seconds in which a new template must import its libraries and fork a worker."""

_RESPONSE_TIMEOUT = 30.0
"""Seconds in which a template that has forked a worker before must fork the next one."""


def list_image_variables() -> dict[str, str]:
    """Return the variables of this process that an image would set; those that name an algorithm are left out."""
    variables = {name: value for name, value in os.environ.items() if is_image_variable(name)}
    for name in ("ALGOTOOLS_ALGORITHM", "PKG_NAME"):
        variables.pop(name, None)
    return variables


class StartedWorker(NamedTuple):
    """A worker that a template has forked. The caller closes the pipes."""

    process: TemplateWorker
    output: int
    """The read end of the pipe with everything that the worker prints."""
    stack: PipeStack


class Workers:
    """The workers of one algorithm, and their template.

    Args:
        algorithm: the algorithm that the workers run.
        must_copy: returns whether a new template must be a copy of this process.
    """

    def __init__(self, algorithm: Location | Algorithm, must_copy: Callable[[], bool]) -> None:
        self._algorithm = algorithm
        self._must_copy = must_copy
        self._lock = threading.Lock()
        self._template: TemplateProcess | None = None
        self._closed = False
        self._workers: set[TemplateWorker] = set()

    @property
    def is_copy(self) -> bool:
        """Whether the template is, or would be, a copy of this process."""
        if (template := self._template) is not None and not template.has_exited():
            return template.is_copy
        return self._must_copy()

    def prepare(self) -> None:
        """Start the template if there is none."""
        # A fork copies only the calling thread. A lock that another thread held at that moment stays locked in the copy
        # forever. The function is called when no run is active, so no thread of a run can hold a lock.
        with self._lock:
            if not self._closed:
                self._ensure_template()

    def release(self) -> None:
        """Stop a template that is a copy, because it holds memory; a fresh interpreter has an idle timeout."""
        with self._lock:
            if self._template is not None and self._template.is_copy:
                self._close_template()

    def close(self) -> None:
        """Kill all workers, and stop the template."""
        with self._lock:
            self._closed = True
            for worker in self._workers:  # first, because a killed template cannot kill the groups of its workers
                worker.kill()
            self._close_template()

    def start(
        self,
        request: WorkerRequest,
        open_channel: Callable[[], socket.socket],
        stack: contextlib.ExitStack,
        timeout: float | None,
        cancellation: Cancellation,
        interrupting: socket.socket | None = None,
    ) -> StartedWorker:
        """Let the template fork a worker. A template that does not respond is killed and replaced.

        Args:
            request: the request for the worker.
            open_channel: returns the worker's end of a new channel; called again for a second attempt.
            stack: the worker belongs to this object while the stack is open.
            timeout: the time limit of the run.
            cancellation: the worker is killed when the run is cancelled.
            interrupting: a connection whose end cancels the start, too; nothing else arrives on it meanwhile.

        Raises:
            Stopped: the run was cancelled before its worker existed.
            FederationError: this object is closed, or no template responds.
        """
        for _ in range(2):
            status_socket, workers_status_socket = socket.socketpair()
            output, workers_output = os.pipe()
            trace, workers_trace = os.pipe()
            with open_channel() as channel, workers_status_socket:
                descriptors = (channel.fileno(), workers_output, workers_status_socket.fileno(), workers_trace)
                try:
                    template = self._send(request, *descriptors)
                finally:
                    os.close(workers_output)
                    os.close(workers_trace)
            worker = TemplateWorker(stack.enter_context(status_socket))
            stack.enter_context(self._register(worker))
            stack.enter_context(cancellation.register(worker.kill))
            if template is not None and self._wait_started(worker, template, timeout, interrupting):
                return StartedWorker(worker, output, PipeStack(trace))
            # A request can be sent to a template whose idle timeout has just expired. The template then exits without
            # forking a worker, and the second attempt starts a new template.
            os.close(output)
            os.close(trace)
            if cancellation.is_requested or (interrupting is not None and wait_readable([interrupting], 0)):
                raise Stopped("the run was cancelled before its process started")
        raise FederationError("the processes of this federation have stopped; create a new Federation")

    @contextlib.contextmanager
    def _register(self, worker: TemplateWorker) -> Iterator[None]:
        """Let ``close`` kill a worker while the context is open."""
        with self._lock:
            self._workers.add(worker)
        try:
            yield
        finally:
            with self._lock:
                self._workers.discard(worker)

    def _wait_started(
        self,
        worker: TemplateWorker,
        template: TemplateProcess,
        timeout: float | None,
        interrupting: socket.socket | None,
    ) -> bool:
        """Wait until a template has forked a worker; kill the template if it does not respond in time.

        Args:
            worker: the requested worker.
            template: the template that got the request.
            timeout: the time limit of the run. The template needs time of its own, but not much more.
            interrupting: a connection whose end interrupts the wait.
        """
        limit = _RESPONSE_TIMEOUT if template.has_responded else _START_TIMEOUT
        if timeout is not None:
            limit = min(limit, timeout + (STOP_TIMEOUT if template.has_responded else _RESPONSE_TIMEOUT))
        try:
            is_started = worker.wait_started(limit, interrupting)
        except TimeoutError:
            template.kill()
            return False
        template.has_responded = template.has_responded or is_started
        return is_started

    def _send(self, request: WorkerRequest, *descriptors: int) -> TemplateProcess | None:
        """Send a request to the template, or to a new one if the template has exited; return the template.

        Return None if this object is closed, or if no template takes the request.
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
            self._template = TemplateProcess(self._algorithm, copy=self.is_copy)
        return self._template

    def _close_template(self) -> None:
        if self._template is not None:
            self._template.close()
            self._template = None
