"""The engine of ``runner=``: an executor of the caller, or Dask."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor
from pathlib import Path

from algotools.errors import FederationError
from algotools.federation.engines._engine import LOOPBACK, Address, Engine, parse_address


class EngineSource:
    """Open the engine of a federation when the first runner needs it, and close it with the federation.

    Args:
        runner: ``dask`` or an executor.
        scheduler: the address or the scheduler file of a Dask scheduler; None starts a local cluster.
        address: the host, or HOST:PORT, on which this process listens for the workers; None finds the address.

    Raises:
        FederationError: the arguments do not fit together, or are malformed.
    """

    def __init__(self, runner: str | Executor, scheduler: str | Path | None, address: str | None) -> None:
        self._executor = check_executor(runner) if isinstance(runner, Executor) else None
        if self._executor is not None and scheduler is not None:
            raise FederationError("scheduler= (--scheduler) needs runner dask, not executor")
        self._address = None if address is None else parse_address(address)
        if self._executor is None:
            from algotools.federation.engines import dask  # here, because only this runner needs it

            dask.check_installed(is_local=scheduler is None)
            scheduler = None if scheduler is None else dask.parse_scheduler(scheduler)
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    def open(self) -> Engine:
        """Return the engine; the first call connects to the scheduler, or starts the local cluster.

        Raises:
            EngineError: the scheduler does not answer, or the local cluster does not start.
        """
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def close(self) -> None:
        """Close the engine if it was opened for this federation."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _open(self) -> Engine:
        if self._executor is not None and not _is_dask(self._executor):
            return open_executor(self._executor, self._address)
        from algotools.federation.engines import dask

        if self._executor is not None:
            return dask.open_client_executor(self._executor, self._address)
        return dask.open_scheduler(self._scheduler, self._address)


def check_executor(executor: Executor) -> Executor:
    """Return an executor that a federation can use.

    Raises:
        FederationError: the executor is the asynchronous one of Dask.
    """
    if _is_dask(executor) and getattr(getattr(executor, "_client", None), "asynchronous", False):
        raise FederationError("the executor belongs to an asynchronous Dask client; use Client(…).get_executor()")
    return executor


def check_runner(runner: object) -> None:
    """Refuse an object that is neither the name of a runner nor an executor.

    Raises:
        FederationError: the object is not an executor.
    """
    if isinstance(runner, (str, Executor)):
        return
    if type(runner).__module__.partition(".")[0] == "distributed" and hasattr(runner, "get_executor"):
        raise FederationError("runner= is a Dask client, which is not an executor; pass client.get_executor()")
    if isinstance(runner, type) and issubclass(runner, Executor):
        raise FederationError(f"runner= is the class {runner.__name__}; pass an executor: runner={runner.__name__}()")
    raise FederationError(
        f"runner= is a value of the type {type(runner).__name__}; pass the name of a runner or an executor "
        "(concurrent.futures.Executor)"
    )


def open_executor(executor: Executor, address: Address | None) -> Engine:
    """Return the engine of an executor whose workers are on this machine, or reach *address*."""
    threads = getattr(executor, "_max_workers", None)
    return Engine(
        name=type(executor).__name__,
        executor=executor,
        address=address or Address(LOOPBACK),
        threads=threads if isinstance(threads, int) and threads > 0 else os.cpu_count() or 1,
        explain=lambda _error: None,
        close=lambda: None,
    )


def _is_dask(executor: Executor) -> bool:
    """Whether an executor is that of a Dask client; ``distributed`` is not imported for this."""
    return any(kind.__module__ == "distributed.cfexecutor" for kind in type(executor).__mro__)
