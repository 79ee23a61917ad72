"""The inline runner: both halves in this process. Breakpoints work; a kill takes the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from algotools import container, report
from algotools.client import Connection
from algotools.contract import Contract
from algotools.contract.token import token_of
from algotools.dispatch.perform import Load, perform
from algotools.dispatch.supervisor import Sink
from algotools.errors import TimedOut
from algotools.federation.runners import Job
from algotools.report import Console
from algotools.task import Task


class InlineRunner:
    """Calls functions in threads of this process."""

    sees_frames = True

    def __init__(self, load: Load) -> None:
        self._load = load
        self.places = 4 + 2 * (os.cpu_count() or 1)

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``; the limit is in the environment, where every way of running finds it.

        A function cannot be ended from outside its thread. It goes on by itself, and nobody hears of it.
        """
        del timeout
        return container.run(job.environment, self._load, perform_here, console)

    def wake(self) -> None:
        """See ``Runner``: there is nothing to get ready."""

    def rest(self) -> None:
        """Threads end with their function."""

    def close(self) -> None:
        """Threads cannot be ended from outside; they end with their function."""


def perform_here(
    task: Task, load: Load, contract: Contract, console: Console, sink: Sink, timeout: float | None
) -> bytes:
    """Run a task in this process; a function that is overdue is left behind in its thread.

    Raises:
        AlgotoolsError: whatever went wrong, named.
    """
    del sink  # the author is at the screen, and sees what is printed there

    def connect() -> Connection:
        return contract.connect(task, token_of(task))

    def work() -> bytes:
        with report.to(console):
            return perform(task, load, connect)

    return work() if timeout is None else _within(timeout, work)


def _within(timeout: float, work: Callable[[], bytes]) -> bytes:
    """What ``work`` gives or raises, if it does so in time."""
    outcome: Future[bytes] = Future()

    def go() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # handed on to the thread that waits
            outcome.set_exception(error)

    threading.Thread(target=go, name="function", daemon=True).start()
    try:
        return outcome.result(timeout)
    except FutureTimeout:
        if outcome.done():
            raise
        raise TimedOut(f"the run did not end within its limit of {timeout:g} s") from None
