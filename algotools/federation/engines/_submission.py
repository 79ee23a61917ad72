"""The call of an engine that starts one run."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from typing import Any

from algotools.errors import EngineError, MachineError, WorkerKilled
from algotools.federation.engines import relay
from algotools.federation.engines._connections import CONTROL, Ticket
from algotools.federation.engines._engine import Engine
from algotools.federation.engines._gateway import Visit
from algotools.runtime.logs import Console
from algotools.runtime.unexpected import convert_unexpected

_INTERVAL = 0.5
"""Seconds between two checks of the engine's workers, while a run waits for one."""
_ATTEMPTS = 5
"""Calls that may fail because a worker cannot import the relay, before the failure is that of the run."""


class EngineLost(WorkerKilled, exit_code=44, shares_code=True):
    """The engine's process that relays a worker is gone."""


class EngineBroken(EngineLost, exit_code=44, shares_code=True):
    """The engine accepts no calls any more, because one of its processes was killed."""

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(
            f"a process of the engine ({name}) was killed, and the engine accepts no calls any more; create a new one",
            detail=str(error),
        )


class Submission:
    """Lets an engine call the relay for one ticket, and calls again if the worker turns out to be unsuitable.

    Args:
        engine: the engine.
        visit: the connections of the ticket.

    Raises:
        EngineError: the engine does not accept calls.
        EngineBroken: one of the engine's processes was killed before.
    """

    def __init__(self, engine: Engine, visit: Visit) -> None:
        self._engine = engine
        self._visit = visit
        self._lock = threading.Lock()
        self._future: Future[str] | None = None
        self._placement: tuple[str, ...] | None = None
        self._submit()

    def wait(self, console: Console) -> socket.socket | Future[str]:
        """Return the control connection, or the engine's call if it has ended before; log what the run waits for.

        Raises:
            EngineError: none of the engine's workers can run the relay.
            Stopped: the run was cancelled.
        """
        workers = self._engine.workers
        if workers is None:
            return self._visit.wait(CONTROL)
        attempt = 1
        while True:
            try:
                arrival = self._visit.wait(CONTROL, _INTERVAL)
            except TimeoutError:
                workers.watch(console)
                if workers.get_placement() == self._placement:
                    continue
            else:
                if not isinstance(arrival, Future):
                    return arrival
                if not _is_import_error(arrival) or attempt == _ATTEMPTS:
                    return arrival
                attempt += 1
                workers.refresh()
            # The ticket is valid once. So if the earlier call has just begun, it runs, and the relay refuses this one.
            self.cancel()
            self._submit()

    def cancel(self) -> None:
        """Cancel the call if it has not begun. The run itself is cancelled through its connection."""
        with self._lock:
            future, self._future = self._future, None
        if future is not None:
            future.cancel()

    def _submit(self) -> None:
        keywords: dict[str, Any] = {}
        if self._engine.workers is not None:
            self._placement = self._engine.workers.get_placement()
            if self._placement is not None:
                keywords["workers"] = list(self._placement)
            if self._placement == ():  # a suitable worker may join
                return
        future = submit(self._engine, pickle.loads, pack_call(self._visit.ticket), **keywords)
        with self._lock:
            self._future = future
        future.add_done_callback(self._report_end)

    def _report_end(self, future: Future[str]) -> None:
        with self._lock:
            if future is not self._future:  # a later call has replaced this one
                return
        is_refused = not future.cancelled() and future.exception() is None and future.result() == relay.REFUSED
        if not (is_refused and self._visit.has_begun()):  # otherwise an earlier call runs
            self._visit.report_end(future)


class _RelayCall:
    """A call of the relay that a pickle contains. To read the pickle is to make the call."""

    def __init__(self, ticket: Ticket) -> None:
        self._ticket = ticket

    def __reduce__(self) -> tuple[Callable[[Ticket], str], tuple[Ticket]]:
        return relay.execute, (self._ticket,)


def pack_call(ticket: Ticket) -> bytes:
    """Return a call of the relay as bytes; ``pickle.loads`` of the bytes makes the call and returns its result.

    An engine pickles the function and its arguments itself, and some engines lose a worker that cannot unpickle them.
    ``pickle.loads`` and bytes need only the standard library. The import of algotools is then part of the call, and a
    worker without algotools reports an ordinary exception.
    """
    return pickle.dumps(_RelayCall(ticket))


def submit(engine: Engine, function: Callable[..., Any], *arguments: object, **keywords: object) -> Future[Any]:
    """Let the engine call a function.

    Raises:
        EngineError: the engine does not accept calls, or does not return a future.
        EngineBroken: one of the engine's processes was killed before.
        MachineError: this machine lacks what the engine needs to accept the call.
    """
    try:
        future: Future[Any] = engine.executor.submit(function, *arguments, **keywords)
    except BrokenExecutor as error:
        raise EngineBroken(engine.name, error) from None
    except RuntimeError as error:  # it is shut down
        raise EngineError(f"the engine ({engine.name}) accepts no calls ({error}); create a new one") from None
    except Exception as error:  # an executor can have any author
        if isinstance(converted := convert_unexpected(error), MachineError):
            raise converted from None
        raise EngineError(
            f"the engine ({engine.name}) does not accept the call: submit() raised {type(error).__name__}",
            detail=f"{type(error).__name__}: {error}",
        ) from None
    if not hasattr(future, "add_done_callback"):
        raise EngineError(
            f"submit() of the engine ({engine.name}) returned a value of the type {type(future).__name__}; an "
            "executor returns a concurrent.futures.Future"
        )
    return future


def _is_import_error(future: Future[str]) -> bool:
    """Whether the call failed because its worker cannot import the relay, or has a version without it."""
    try:
        return isinstance(future.exception(), (ImportError, AttributeError))
    except CancelledError:
        return False
