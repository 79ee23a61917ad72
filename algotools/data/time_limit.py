"""Time limits for what other programs can delay: a call of any library, and a connection whose peer may die."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

IDLE, INTERVAL, COUNT = 60, 15, 4
"""The limits of ``keep_alive`` by default."""

DEAD_PEER = IDLE + INTERVAL * COUNT
"""Seconds after which a connection to a machine that no longer exists is lost."""


def keep_alive(connection: socket.socket, idle: int = IDLE, interval: int = INTERVAL, count: int = COUNT) -> None:
    """Let the system test a connection while it is silent, so that nothing waits for a machine that no longer exists.

    The other side may be silent as long as it likes, because its system answers the tests. A connection that is silent
    for *idle* seconds is tested every *interval* seconds; after *count* tests it is lost.
    """
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": idle,
        "TCP_KEEPINTVL": interval,
        "TCP_KEEPCNT": count,
        "TCP_USER_TIMEOUT": 1000 * (idle + interval * count),
    }
    for name, value in options.items():
        if (number := getattr(socket, name, None)) is not None:  # macOS does not have all of them
            connection.setsockopt(socket.IPPROTO_TCP, number, value)


def call_within(
    seconds: float, work: Callable[[], T], late_error: Exception, discard: Callable[[T], object] | None = None
) -> T:
    """Call ``work`` in a thread, and return its result or raise its exception.

    Python cannot stop a thread. Late work goes on in a daemon thread, which does not keep the process running.

    Args:
        seconds: the time limit.
        work: the call.
        late_error: the error to raise if ``work`` takes longer.
        discard: releases a result that arrives after the time limit, such as an open connection.
    """
    outcome: Future[T] = Future()

    def call() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # raised again in the waiting thread
            outcome.set_exception(error)

    threading.Thread(target=call, name="call with a time limit", daemon=True).start()
    try:
        return outcome.result(seconds)
    except FutureTimeout:
        if outcome.done():  # `work` itself has raised a TimeoutError, or has just finished
            return outcome.result()
        if discard is not None:
            outcome.add_done_callback(lambda late: _discard(late, discard))
        raise late_error from None


def _discard(late: Future[T], discard: Callable[[T], object]) -> None:
    with suppress(Exception):  # nobody waits for the result any more
        discard(late.result())
