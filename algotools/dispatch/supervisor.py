"""The half that holds what the node gave: it starts the worker, listens to it, and ends it.

Whatever the author's code does (exit, crash, loop, be killed) becomes one of two things here: the encoded
result, or an error with a name.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable

import msgspec

from algotools.contract import Contract
from algotools.contract.token import token_of
from algotools.dispatch.messages import Failed, Inbox, Returned, Said, TokenGiven, send
from algotools.dispatch.perform import Load
from algotools.errors import CODES, AlgotoolsError, FunctionExited, InternalError, TimedOut, WorkerKilled
from algotools.report import Console
from algotools.task import Task

CHUNK = 1 << 20
LONGEST_NAP = 0.1
"""Seconds between looks at whether the worker still lives."""

Sink = Callable[[bytes], None]


def supervise(task: Task, load: Load, contract: Contract, console: Console, sink: Sink, timeout: float | None) -> bytes:
    """Run the task in a worker process; give the encoded result.

    Lines for everybody go to ``console``, what the author's code prints goes to ``sink``.

    Raises:
        AlgotoolsError: the worker's own error, or what became of the worker.
    """
    mine, its = socket.socketpair()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        from algotools.dispatch.worker import work

        mine.close()
        os.close(read_end)
        work(task, load, contract, its, write_end)
    its.close()
    os.close(write_end)
    worker = _Worker(pid, mine, read_end, task, console, sink)
    try:
        return worker.listen(timeout)
    finally:
        worker.end()


class _Worker:
    """A worker process, seen from the supervisor."""

    def __init__(self, pid: int, channel: socket.socket, output: int, task: Task, console: Console, sink: Sink) -> None:
        self._pid = pid
        self._channel = channel
        self._output = output
        self._task = task
        self._console = console
        self._sink = sink
        self._inbox = Inbox()
        self._status: int | None = None

    def listen(self, timeout: float | None) -> bytes:
        """Take messages until the last one, or until there will be none."""
        deadline = None if timeout is None else time.monotonic() + timeout
        open_ends: list[socket.socket | int] = [self._channel, self._output]
        while True:
            left = LONGEST_NAP if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimedOut(f"the run did not end within its limit of {timeout:g} s")
            readable, _, _ = select.select(open_ends, [], [], min(left, LONGEST_NAP))
            if self._output in readable and not self._pass_on():
                open_ends.remove(self._output)
            if self._channel in readable:
                chunk = self._received()
                if not chunk:
                    open_ends.remove(self._channel)
                self._inbox.add(chunk)
                if (last := self._take()) is not None:
                    return last
            if self._channel not in open_ends or (not readable and self._has_ended()):
                raise self._gone()

    def end(self) -> None:
        """Make sure that nothing of the worker is left."""
        if not self._has_ended():
            os.kill(self._pid, signal.SIGKILL)
            self._wait(0)
        os.set_blocking(self._output, False)
        while self._pass_on():
            pass
        os.close(self._output)
        self._channel.close()

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
                else:
                    self._give_token()
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise FunctionExited(
                "the function wrote into the channel to its supervisor, which it must leave alone"
            ) from None
        return None

    def _give_token(self) -> None:
        try:
            answer = TokenGiven(token_of(self._task))
        except AlgotoolsError as error:
            answer = TokenGiven("", *error.failure())
        send(self._channel, answer)

    def _pass_on(self) -> bool:
        """Hand on what the author's code printed; false at the end of it."""
        try:
            chunk = os.read(self._output, CHUNK)
        except BlockingIOError:
            return False
        if chunk:
            self._sink(chunk)
        return bool(chunk)

    def _has_ended(self) -> bool:
        return self._status is not None or self._wait(os.WNOHANG)

    def _wait(self, options: int) -> bool:
        pid, status = os.waitpid(self._pid, options)
        if pid:
            self._status = status
        return bool(pid)

    def _gone(self) -> AlgotoolsError:
        """The worker closed the channel without a last word: what became of it?"""
        for _ in range(20):
            if self._has_ended():
                break
            time.sleep(LONGEST_NAP / 20)
        if self._status is None:
            return FunctionExited("the function closed the channel to its supervisor, which it must leave alone")
        if os.WIFSIGNALED(self._status):
            number = os.WTERMSIG(self._status)
            why = _SIGNALS.get(number, "it was killed, or its interpreter crashed")
            return WorkerKilled(
                f"the function's process ended by signal {number} ({signal.Signals(number).name}): {why}"
            )
        code = os.WEXITSTATUS(self._status)
        return FunctionExited(f"the function ended its process with exit status {code} instead of returning")


_SIGNALS: dict[int, str] = {
    signal.SIGKILL: "it was killed from outside, most often because memory ran out",
    signal.SIGSEGV: "the interpreter crashed in compiled code",
    signal.SIGABRT: "compiled code gave up",
}


def _rebuilt(error: type[AlgotoolsError], failed: Failed) -> AlgotoolsError:
    """The worker's error as the worker raised it; its class may take other arguments than a message."""
    rebuilt = AlgotoolsError.__new__(error)
    AlgotoolsError.__init__(rebuilt, failed.message, detail=failed.detail)
    return rebuilt
