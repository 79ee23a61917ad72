"""The child process that runs the author's code."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

import msgspec

from algotools import report
from algotools.client import Connection
from algotools.contract import Contract
from algotools.dispatch.messages import (
    DatabaseAsked,
    DatabaseGiven,
    Failed,
    Returned,
    Said,
    TokenAsked,
    TokenGiven,
    receive,
    send,
)
from algotools.dispatch.perform import Load, perform
from algotools.errors import CODES, AlgotoolsError, DatabaseUnreadable, InternalError, TokenError
from algotools.functions import Algorithm
from algotools.report import log
from algotools.task import Database, Task

if TYPE_CHECKING:
    from algotools.confine import Confinement


def work(
    task: Task,
    load: Load,
    contract: Contract,
    channel: socket.socket,
    output: int,
    confinement: Confinement | None = None,
) -> NoReturn:
    """Run the task and report over the channel; whatever the author's code prints goes to ``output``.

    With a confinement, all that is done under it, from before the algorithm is imported. Never returns: the process
    ends without going back up the supervisor's stack.
    """
    try:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        _redirect(output, channel.fileno())
        for secret in [variable for variable in os.environ if variable.startswith(contract.secrets)]:
            del os.environ[secret]

        def connect() -> Connection:
            return contract.connect(task, _token(channel))

        try:
            with report.to(lambda line: send(channel, Said(line))):
                if confinement is None:
                    data = perform(task, lambda: _load(load), connect)
                else:
                    confinement.apply(task)
                    data = perform(task, lambda: _load(load), connect, lambda database: _reach(database, task, channel))
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
    given = receive(channel, TokenGiven)
    if given.exit_code:
        raise CODES.get(given.exit_code, TokenError)(given.message, detail=given.detail)
    return given.token


def _reach(database: Database, task: Task, channel: socket.socket) -> Database:
    """The database as it is, or a copy of the supervisor's if this process may not open it."""
    from algotools.confine import copies
    from algotools.data.reading import path_of

    path = path_of(database.uri)
    if path is None or copies.readable(path):
        if database not in task.databases:
            log(copies.not_asked_for(database.label))
        return database
    send(channel, DatabaseAsked(database.label))
    given = receive(channel, DatabaseGiven)
    if given.exit_code:
        raise CODES.get(given.exit_code, DatabaseUnreadable)(given.message, detail=given.detail)
    return msgspec.structs.replace(database, uri=given.uri)
