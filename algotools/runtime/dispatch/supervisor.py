"""The supervisor: start the worker, follow it to its last message, and stop it.

The supervisor's process holds everything that the node provides: token, databases and output file. The author's code
runs only in the worker's process, where it can exit, crash, loop or be killed. Each of these becomes either the encoded
result or an error of a known class.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import msgspec

from algotools.disclosure.facts import Matches
from algotools.disclosure.gate import WITHHELD_MESSAGE, Gate
from algotools.errors import AlgotoolsError, FunctionExited, FunctionRaised, UserError, WorkerKilled
from algotools.payload import LARGEST
from algotools.runtime.contract import Contract
from algotools.runtime.dispatch._replies import Replies, judge_line
from algotools.runtime.dispatch._worker_errors import (
    describe_exit_code,
    make_misuse_error,
    rebuild_error,
)
from algotools.runtime.dispatch.messages import (
    ENVELOPE,
    LARGEST_TABLE,
    Declaration,
    Inbox,
    Listener,
    LogLine,
    ResultMatches,
    RunFailure,
    RunResult,
    StackOffer,
    Start,
    TablesRead,
    send,
    try_reply,
    wait_readable,
)
from algotools.runtime.dispatch.scratch import make_scratch_folder
from algotools.runtime.dispatch.stack import LEAD, PipeStack, StackSource, WorkerStack, make_late_error
from algotools.runtime.logs import Console, format_line
from algotools.task import Task

if TYPE_CHECKING:
    from algotools.runtime.dispatch.child import ChildWorker
    from algotools.runtime.sandbox import Confinement
    from algotools.runtime.sandbox.metadata import MetadataChanges

CHUNK = 1 << 20
_LAST_PRINTS = 500
"""Bytes of the last prints that are kept, to find the reason for an exit."""
_LAST_READS = 64
"""Reads after the worker's exit. They empty the pipe, but end even if a child of the worker writes without pause."""
_MOST_DESCRIPTORS = 2
"""Descriptors that our worker sends before their messages are handled: for its stack and for its filter."""
POLLING_INTERVAL = 0.1
"""Seconds between two checks of whether the worker is still alive."""


class Run(NamedTuple):
    """A task, and the destinations of its output."""

    task: Task
    contract: Contract
    console: Console
    """Receives the log lines, which the researcher reads."""
    sink: Callable[[bytes], None]
    """Receives the author's prints and error details, which only the node's owner may read."""
    timeout: float | None
    """Seconds; None for no limit."""
    gate: Gate
    """Judges what leaves the node."""


def supervise(
    run: Run,
    environ: Mapping[str, str],
    confinement: Confinement | None,
    start_worker: Callable[[], ChildWorker],
) -> bytes:
    """Run the task in a worker process and return the encoded result.

    The worker finds the algorithm in the environment. With a confinement, the worker gives up its access to the node's
    files, and requests databases from this process.

    Args:
        run: the task, and the destinations of its output.
        environ: the variables of the node and of the image.
        confinement: the user and the folders of the author's code; None for a worker with the rights of this process.
        start_worker: returns a worker that waits for its task.

    Raises:
        AlgotoolsError: the worker's own error, or an error that describes how the worker's process exited.
    """
    secrets = run.contract.list_secrets(environ)
    environment = {name: value for name, value in environ.items() if name not in secrets}
    if confinement is not None:
        from algotools.runtime.sandbox import hide_supervisor  # here, because only images need it

        hide_supervisor()  # before the worker has its task, so before any code of the author runs
        confinement.prepare(run.task, lambda text: run.console(format_line("info", text)))
    with make_scratch_folder(is_shared=confinement is not None) as scratch:
        try:
            worker = start_worker()
        except OSError as error:
            raise WorkerKilled(
                f"the process for the function cannot be started ({error.strerror})", detail=str(error)
            ) from None
        variables = {os.fsencode(name): os.fsencode(value) for name, value in {**environment, **scratch}.items()}
        try:
            with contextlib.suppress(ConnectionError):  # the worker has exited, which `follow` reports
                send(worker.channel, Start(variables, run.task.databases, confinement))
            return follow(worker, worker.channel, worker.output, run, may_request_copies=confinement is not None)
        finally:
            worker.kill_descendants()


def follow(
    process: WorkerProcess,
    channel: socket.socket,
    output: int,
    run: Run,
    *,
    may_request_copies: bool = False,
    offer_position: OfferPosition | None = None,
    stack: StackSource | None = None,
) -> bytes:
    """Follow a started worker until its last message, stop it, and return the encoded result; see ``supervise``.

    Args:
        process: the worker's process.
        channel: the supervisor's end of the socket to the worker; closed before the function returns.
        output: the supervisor's end of the pipe with the worker's prints; closed before the function returns.
        run: the task that the worker runs.
        may_request_copies: whether the worker may request copies of databases that it cannot open itself.
        offer_position: lets another thread find the line where the run is, while the returned context is open.
        stack: the source of the worker's stack, closed before the function returns; default: the worker sends a pipe.
    """
    worker = _Worker(process, channel, output, run, stack, may_request_copies=may_request_copies)
    try:
        with offer_position(worker.find_position) if offer_position else nullcontext():
            return worker.follow()
    finally:
        worker.stop()


OfferPosition = Callable[[Callable[[], str]], AbstractContextManager[None]]
"""Offers a function that returns " at FILE, line N", or an empty text, as long as the returned context is open."""


class WorkerProcess(Protocol):
    """The process of a worker: a child of this process, or of a runner's template process, maybe on another machine."""

    pid: int
    delay: float
    """Seconds by which the exit code and the last prints can arrive later than the end of the channel."""

    def poll(self, *, wait: bool = False) -> int | None:
        """Return the exit code, negative for a signal, or None while the process is alive; *wait* blocks until exit."""

    def kill(self) -> bool:
        """Kill the process; return false if this process lacks the permission."""


class _Worker:
    """The supervisor's view of one worker: its process, its channel and its prints."""

    def __init__(
        self,
        process: WorkerProcess,
        channel: socket.socket,
        output: int,
        run: Run,
        stack: StackSource | None,
        *,
        may_request_copies: bool,
    ) -> None:
        self._process = process
        self._channel = channel
        self._output = output
        self._run = run
        # Only the tables of a v5 session stay at the node, so only they may be larger than a result.
        self._last_prints = b""
        self._inbox = Inbox((LARGEST if run.task.step == "compute" else LARGEST_TABLE) + ENVELOPE)
        self._deadline = math.inf if run.timeout is None else time.monotonic() + run.timeout
        self._may_request_copies = may_request_copies

        def note(text: str) -> None:
            run.sink(f"{text}\n".encode(errors="backslashreplace"))

        self._replies = Replies(
            run.task,
            run.gate,
            run.console,
            note,
            process.pid,
            self._compute_remaining_time,
            may_request_copies=may_request_copies,
        )
        self._stack_source = stack
        self._stack: WorkerStack | None = None
        self._wants_stack = False
        self._changes: MetadataChanges | None = None
        self._descriptors: list[int] = []

    def follow(self) -> bytes:
        """Handle messages and prints until the worker's last message; return the encoded result."""
        open_ends: list[socket.socket | int] = [self._channel, self._output]
        has_exited = False
        while True:
            interval = 0 if has_exited else min(POLLING_INTERVAL, self._compute_time_to_stack())
            listeners = [self._changes.listener] if self._changes else []
            readable = wait_readable([*open_ends, *listeners], min(self._compute_remaining_time(), interval))
            if self._changes and self._changes.listener in readable:
                self._changes.answer()
            if self._output in readable and not self._forward_prints():
                open_ends.remove(self._output)
            if self._channel in readable:
                chunk = self._receive()
                if not chunk:
                    open_ends.remove(self._channel)
                self._inbox.add(chunk)
                if (result := self._handle_messages()) is not None:
                    return result
            if self._channel not in open_ends or (has_exited and self._channel not in readable):
                raise self._describe_exit()
            # An end of file is not enough to notice an exit, because a child of the worker may keep the channel open.
            # The trap: the worker can send its last message and exit between our read and this poll. If we gave up
            # here, that result would be lost. So after the exit we read until nothing is left, without waiting.
            # Poll even if something was readable: a child of the worker may print without pause after the exit.
            has_exited = has_exited or self._process.poll() is not None

    def find_position(self) -> str:
        """Return " at FILE, line N", where the worker is; empty if it does not report its stack in time.

        Called in another thread than ``follow``, which requests the stack, because only it knows whether the worker
        still exists.
        """
        if (stack := self._stack) is None or stack.is_requested:
            return ""
        self._wants_stack = True
        end = time.monotonic() + POLLING_INTERVAL + LEAD
        while time.monotonic() < end:
            time.sleep(POLLING_INTERVAL / 10)
            if (position := stack.describe_position(self._replies.source)) is not None:
                return position
        return ""

    def stop(self) -> None:
        """Kill the worker if it is alive, forward its last prints, and release everything that belongs to it."""
        if self._process.poll() is None and self._process.kill():
            self._process.poll(wait=True)
        self._forward_last_prints()
        os.close(self._output)
        self._channel.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        if self._stack_source is not None:
            self._stack_source.close()
        if self._changes is not None:
            self._changes.close()
        self._replies.close()

    def _compute_remaining_time(self) -> float:
        """Return the seconds until the deadline; raise ``TimedOut`` after it."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            timeout, stack = cast("float", self._run.timeout), self._stack
            raise stack.make_late_error(timeout, self._replies.source) if stack else make_late_error(timeout, (), None)
        return remaining

    def _compute_time_to_stack(self) -> float:
        """Return the seconds until the worker must write its stack, and request the stack when the time has come."""
        if self._stack is None or self._stack.is_requested:
            return math.inf
        remaining = 0.0 if self._wants_stack else self._deadline - time.monotonic() - self._stack.lead
        if remaining <= 0 and self._process.poll() is None:
            self._stack.request(self._process.pid)
        return max(0.0, remaining)

    def _receive(self) -> bytes:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._channel, CHUNK, 1)
            for descriptor in descriptors:
                if len(self._descriptors) == _MOST_DESCRIPTORS:  # sent by the author's code
                    os.close(descriptor)
                else:
                    self._descriptors.append(descriptor)
            return data
        except ConnectionError:
            return b""

    def _handle_messages(self) -> bytes | None:
        """Handle the messages received so far; return the result if it is among them."""
        try:
            for message in self._inbox.take_messages():
                if isinstance(message, RunResult):
                    return message.data
                if isinstance(message, RunFailure):
                    raise self._judge_failure(message)
                if isinstance(message, LogLine):
                    self._run.console(judge_line(self._run.gate, message))
                elif isinstance(message, Listener):
                    self._start_listening()
                elif isinstance(message, StackOffer):
                    self._accept_stack()
                elif isinstance(message, TablesRead):
                    self._run.gate.add_tables(message.tables)
                elif isinstance(message, ResultMatches):
                    self._run.gate.add_matches(message.matches)
                else:
                    reply = self._replies.reply_to(message)
                    # Our worker reads each reply before its next request, so its buffer never fills up. A full buffer
                    # shows that the author's code has written requests into the channel.
                    if not try_reply(self._channel, reply):
                        raise make_misuse_error()
                    if isinstance(message, Declaration):
                        self._run.gate.preload()
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise make_misuse_error() from None
        return None

    def _accept_stack(self) -> None:
        """Read from now on the worker's stack if the run reaches its time limit."""
        if self._stack_source is None and self._descriptors:
            self._stack_source = PipeStack(self._descriptors.pop(0))
        if self._stack is not None or self._stack_source is None:
            raise make_misuse_error()
        self._stack = WorkerStack(self._stack_source, self._run.timeout)

    def _start_listening(self) -> None:
        """Answer from now on the requests of the worker's filter of system calls."""
        # Our worker has a listener only if its user is ours. With another user, the change would have our rights.
        has_own_user = os.stat(f"/proc/{self._process.pid}").st_uid != os.geteuid()
        if not self._may_request_copies or has_own_user or self._changes is not None or not self._descriptors:
            raise make_misuse_error()
        from algotools.runtime.sandbox.metadata import MetadataChanges, list_folders  # here, because few runs need it

        self._changes = MetadataChanges(self._descriptors.pop(0), list_folders(self._run.task))

    def _judge_failure(self, failure: RunFailure) -> AlgotoolsError:
        """Return the worker's error. A message of the author is withheld if it may contain values from the data."""
        is_authors = failure.exit_code == UserError.exit_code
        if is_authors and not self._run.gate.check_line(failure.field_text, failure.matches or Matches()):
            return FunctionRaised(WITHHELD_MESSAGE, detail=failure.message)
        return rebuild_error(failure)

    def _forward_prints(self) -> bool:
        """Forward the prints of the author's code to the node's owner.

        Return false at the end of file, and for a pipe without prints if it does not block.
        """
        try:
            chunk = os.read(self._output, CHUNK)
        except (BlockingIOError, ConnectionError):
            return False
        if chunk:
            self._run.sink(chunk)
            self._last_prints = (self._last_prints + chunk)[-_LAST_PRINTS:]
        return bool(chunk)

    def _forward_last_prints(self) -> None:
        """Forward the prints that the pipe still contains, or that are on their way from another machine."""
        os.set_blocking(self._output, False)
        for _ in range(_LAST_READS):
            if not wait_readable([self._output], self._process.delay) or not self._forward_prints():
                break

    def _describe_exit(self) -> AlgotoolsError:
        """Return the error for a worker that closed the channel without a last message."""
        # The kernel closes a dying process's descriptors before its parent can wait for it. So poll a moment longer.
        end = time.monotonic() + POLLING_INTERVAL + self._process.delay
        while (code := self._process.poll()) is None and time.monotonic() < end:
            time.sleep(POLLING_INTERVAL / 20)
        if code is None:
            return FunctionExited("the function closed the channel to its supervisor; leave this file descriptor alone")
        self._forward_last_prints()
        return describe_exit_code(code, self._last_prints)
