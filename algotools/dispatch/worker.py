"""The child process that runs the author's code."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from typing import NoReturn

from algotools import report
from algotools.client import Connection
from algotools.contract import Contract
from algotools.dispatch.messages import Failed, Returned, Said, TokenAsked, receive_token, send
from algotools.dispatch.perform import Load, perform
from algotools.errors import CODES, AlgotoolsError, InternalError, TokenError
from algotools.functions import Algorithm
from algotools.task import Task


def work(task: Task, load: Load, contract: Contract, channel: socket.socket, output: int) -> NoReturn:
    """Run the task and report over the channel; whatever the author's code prints goes to ``output``.

    Never returns: the process ends without going back up the supervisor's stack.
    """
    try:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        _redirect(output, channel.fileno())

        def connect() -> Connection:
            return contract.connect(task, _token(channel))

        try:
            with report.to(lambda line: send(channel, Said(line))):
                data = perform(task, lambda: _load(load), connect)
            last: Returned | Failed = Returned(data)
        except AlgotoolsError as error:
            last = Failed(*error.failure())
        except BaseException as error:  # ours: the author's own are named in `perform`
            last = Failed(*InternalError.of(error).failure())
        _flush()
        send(channel, last)
        os._exit(0)
    finally:
        os._exit(1)


def _load(load: Load) -> Algorithm:
    """Import the algorithm without looking for garbage: imports make none, and it takes a tenth of pandas' time."""
    gc.disable()
    try:
        return load()
    finally:
        gc.freeze()
        gc.enable()


def _redirect(output: int, channel: int) -> None:
    """Standard output and error go to ``output``, standard input is empty, and no other file stays open."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, channel)
    os.closerange(channel + 1, os.sysconf("SC_OPEN_MAX"))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the author closed or replaced it
            stream.flush()


def _token(channel: socket.socket) -> str:
    """Ask the supervisor for the token: the worker itself may not be allowed to read it."""
    send(channel, TokenAsked())
    given = receive_token(channel)
    if given.exit_code:
        raise CODES.get(given.exit_code, TokenError)(given.message, detail=given.detail)
    return given.token
