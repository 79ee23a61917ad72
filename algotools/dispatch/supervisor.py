"""The half that holds what the node gave: it starts the worker, listens to it, and ends it.

Whatever the author's code does (exit, crash, loop, be killed) becomes one of two things here: the encoded
result, or an error with a name.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from algotools.contract import Contract
from algotools.contract.token import token_of
from algotools.dispatch.messages import (
    DatabaseAsked,
    DatabaseGiven,
    Failed,
    Inbox,
    Returned,
    Said,
    TokenAsked,
    TokenGiven,
    answer,
)
from algotools.dispatch.perform import Load
from algotools.errors import (
    CODES,
    AlgotoolsError,
    DatabaseUnreadable,
    FunctionExited,
    InternalError,
    TimedOut,
    UnknownLabel,
    WorkerKilled,
)
from algotools.report import Console, line
from algotools.task import Task

if TYPE_CHECKING:
    from algotools.confine import Confinement
    from algotools.confine.copies import Copies

CHUNK = 1 << 20
_LAST_READS = 16
"""Enough for what is left in a pipe; a grandchild of the worker's may write for ever."""
LONGEST_NAP = 0.1
"""Seconds between looks at whether the worker still lives."""

Sink = Callable[[bytes], None]


def supervise(
    task: Task,
    load: Load,
    contract: Contract,
    console: Console,
    sink: Sink,
    timeout: float | None,
    confinement: Confinement | None = None,
) -> bytes:
    """Run the task in a worker process; give the encoded result.

    Lines for everybody go to ``console``, what the author's code prints goes to ``sink``. With a confinement, the
    worker gives up what the node gave this process, and asks for the rest.

    Raises:
        AlgotoolsError: the worker's own error, or what became of the worker.
    """
    if confinement is not None:
        confinement.prepare(task, lambda text: console(line("info", text)))
    mine, its = socket.socketpair()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        from algotools.dispatch.worker import work

        mine.close()
        os.close(read_end)
        work(task, load, contract, its, write_end, confinement)
    its.close()
    os.close(write_end)
    return listen(Child(pid), mine, read_end, task, console, sink, timeout, copies=confinement is not None)


def listen(
    process: WorkerProcess,
    channel: socket.socket,
    output: int,
    task: Task,
    console: Console,
    sink: Sink,
    timeout: float | None,
    *,
    copies: bool = False,
) -> bytes:
    """Follow a worker that has been started to its last word, and end it; see ``supervise``.

    ``channel`` and ``output`` are our ends of what it has, and closed at the end. ``copies`` says whether it may ask
    for what it cannot read itself.
    """
    worker = _Worker(process, channel, output, task, console, sink, copies=copies)
    try:
        return worker.listen(timeout)
    finally:
        worker.end()


class WorkerProcess(Protocol):
    """What a supervisor must know of a worker's process, and do to it."""

    pid: int

    def ended(self, *, wait: bool = False) -> int | None:
        """Its exit code, negative for a signal; None while it lives, unless we ``wait``."""

    def kill(self) -> bool:
        """End it; false if we may not."""


class Child:
    """A process that this one has forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def ended(self, *, wait: bool = False) -> int | None:
        """See ``WorkerProcess``."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def kill(self) -> bool:
        """See ``WorkerProcess``."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except PermissionError:
            return False  # another user, in a container without CAP_KILL: the container's end is the worker's
        return True


class _Worker:
    """A worker process, seen from the supervisor."""

    def __init__(
        self,
        process: WorkerProcess,
        channel: socket.socket,
        output: int,
        task: Task,
        console: Console,
        sink: Sink,
        *,
        copies: bool,
    ) -> None:
        self._process = process
        self._channel = channel
        self._output = output
        self._task = task
        self._console = console
        self._sink = sink
        self._inbox = Inbox()
        self._timeout: float | None = None
        self._deadline = math.inf
        self._may_have_copies = copies
        self._copies: Copies | None = None

    def listen(self, timeout: float | None) -> bytes:
        """Take messages until the last one, or until there will be none."""
        if timeout is not None:
            self._timeout, self._deadline = timeout, time.monotonic() + timeout
        open_ends: list[socket.socket | int] = [self._channel, self._output]
        ended = False
        while True:
            nap = 0 if ended else LONGEST_NAP
            readable = _readable(open_ends, min(self._time_left(), nap))
            if self._output in readable and not self._pass_on():
                open_ends.remove(self._output)
            if self._channel in readable:
                chunk = self._received()
                if not chunk:
                    open_ends.remove(self._channel)
                self._inbox.add(chunk)
                if (last := self._take()) is not None:
                    return last
            if self._channel not in open_ends or (ended and self._channel not in readable):
                raise self._gone()
            # It may have sent its last word and ended since we looked; so once it has ended, we look again.
            ended = ended or (not readable and self._process.ended() is not None)

    def end(self) -> None:
        """Make sure that nothing of the worker is left."""
        if self._process.ended() is None and self._process.kill():
            self._process.ended(wait=True)
        os.set_blocking(self._output, False)
        for _ in range(_LAST_READS):
            if not self._pass_on():
                break
        os.close(self._output)
        self._channel.close()
        if self._copies is not None:
            self._copies.remove()

    def _time_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"the run did not end within its limit of {self._timeout:g} s")
        return left

    def _received(self) -> bytes:
        try:
            return self._channel.recv(CHUNK)
        except ConnectionError:
            return b""

    def _take(self) -> bytes | None:
        """Deal with the messages that have come in; the result, if it is among them."""
        try:
            for message in self._inbox.messages():
                if isinstance(message, Returned):
                    return message.data
                if isinstance(message, Failed):
                    error = CODES.get(message.exit_code, InternalError)
                    raise _rebuilt(error, message)
                if isinstance(message, Said):
                    self._console(message.line)
                elif not answer(self._channel, self._given(message)):
                    raise _meddled()
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _meddled() from None
        return None

    def _given(self, asked: TokenAsked | DatabaseAsked) -> TokenGiven | DatabaseGiven:
        if isinstance(asked, DatabaseAsked):
            return self._database(asked.label)
        try:
            return TokenGiven(token_of(self._task))
        except AlgotoolsError as error:
            return TokenGiven("", *error.failure())

    def _database(self, label: str) -> DatabaseGiven:
        if not self._may_have_copies:
            raise _meddled()
        if self._copies is None:
            from algotools.confine.copies import Copies  # here, because few runs need one

            self._copies = Copies(self._task, self._process.pid, self._say, self._note)
        try:
            return DatabaseGiven(self._copies.give(label, self._time_left))
        except (DatabaseUnreadable, UnknownLabel) as error:
            return DatabaseGiven("", *error.failure())

    def _say(self, text: str) -> None:
        self._console(line("info", text))

    def _note(self, text: str) -> None:
        self._sink(f"{text}\n".encode(errors="backslashreplace"))

    def _pass_on(self) -> bool:
        """Hand on what the author's code printed; false at the end of it."""
        try:
            chunk = os.read(self._output, CHUNK)
        except BlockingIOError:
            return False
        if chunk:
            self._sink(chunk)
        return bool(chunk)

    def _gone(self) -> AlgotoolsError:
        """The worker closed the channel without a last word: what became of it?"""
        code = None
        for _ in range(20):
            if (code := self._process.ended()) is not None:
                break
            time.sleep(LONGEST_NAP / 20)
        if code is None:
            return FunctionExited("the function closed the channel to its supervisor, which it must leave alone")
        if code < 0:
            why = _SIGNALS.get(-code, "it was killed, or its interpreter crashed")
            return WorkerKilled(f"the function's process ended by signal {-code} ({signal.Signals(-code).name}): {why}")
        return FunctionExited(f"the function ended its process with exit status {code} instead of returning")


def _readable(ends: list[socket.socket | int], patience: float) -> list[socket.socket | int]:
    """Which can be read within so many seconds; unlike ``select.select``, whatever their numbers."""
    poll = select.poll()
    by_number = {end if isinstance(end, int) else end.fileno(): end for end in ends}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(patience * 1000)]


_SIGNALS: dict[int, str] = {
    signal.SIGKILL: "it was killed from outside, most often because memory ran out",
    signal.SIGSEGV: "the interpreter crashed in compiled code",
    signal.SIGABRT: "compiled code gave up",
}


def _meddled() -> FunctionExited:
    return FunctionExited("the function wrote into the channel to its supervisor, which it must leave alone")


def _rebuilt(error: type[AlgotoolsError], failed: Failed) -> AlgotoolsError:
    """The worker's error as the worker raised it; its class may take other arguments than a message."""
    rebuilt = AlgotoolsError.__new__(error)
    AlgotoolsError.__init__(rebuilt, failed.message, detail=failed.detail)
    return rebuilt
