"""Dask as the engine: connect to a scheduler, or start a local cluster.

Dask itself starts workers on many kinds of clusters. This module only needs the scheduler: its address, the file that
``dask scheduler --scheduler-file`` writes, or the executor of a client that the caller made.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import socket
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from algotools import __version__
from algotools.errors import AlgotoolsError, EngineError, FederationError, WorkerKilled
from algotools.federation.engines._engine import Address, Engine, find_address
from algotools.federation.engines._local_cluster import LocalDaskCluster
from algotools.runtime.logs import OWNER_LOG

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

CONNECT_TIMEOUT = 10.0
"""Seconds in which a scheduler must answer."""

_FILE_TIMEOUT = 60.0
"""Seconds in which a starting scheduler must write its file; imports of Dask take long on shared storage."""

_MIN_THREADS = 64
"""Threads that a cluster may have after it has grown: its workers may start later than the federation."""

_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application")
"""The loggers for which Dask sets a level of their own."""

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")


def check_installed(*, is_local: bool) -> None:
    """Refuse the runner if its packages are missing; only a local cluster needs ``cryptography``.

    Raises:
        FederationError: a package is not installed.
    """
    needed = ("distributed", "cryptography") if is_local else ("distributed",)
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise FederationError(
            f"runner dask needs {' and '.join(missing)}; install the extra dask of algotools, or run: "
            f"python -m pip install {' '.join(missing)}"
        )


def parse_scheduler(scheduler: str | Path) -> str | Path:
    """Return the address of a scheduler as Dask writes it, or the path of a scheduler file.

    Raises:
        FederationError: the text is neither an address nor the path of a file.
    """
    text = str(scheduler)
    if isinstance(scheduler, str) and _HOST_AND_PORT.fullmatch(text) and not Path(text).exists():
        return f"tcp://{text}"
    if isinstance(scheduler, str) and "://" in text:
        kind, _, place = text.partition("://")
        if kind in ("tcp", "tls", "ws", "wss", "ucx") and _HOST_AND_PORT.fullmatch(place):
            return text
        raise FederationError(
            f"scheduler {text!r} is not an address; write tcp://HOST:PORT, for instance tcp://a1:8786"
        )
    if Path(text).exists() or Path(text).suffix == ".json" or isinstance(scheduler, Path) or os.sep in text:
        return Path(text).expanduser().absolute()
    raise FederationError(
        f"scheduler {text!r} is neither an address (tcp://HOST:PORT) nor the file of `dask scheduler --scheduler-file`"
    )


def open_scheduler(scheduler: str | Path | None, address: Address | None) -> Engine:
    """Connect to a scheduler, or start a local cluster, and return the engine; ``close`` closes both.

    Raises:
        EngineError: the scheduler does not answer, or the local cluster does not start.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet_loggers())
        security: Security | None = None
        threads = _MIN_THREADS
        if scheduler is None:
            cluster = stack.enter_context(LocalDaskCluster.start())
            from distributed.security import Security

            target, threads = cluster.address, cluster.threads
            security = Security(
                require_encryption=True,
                tls_ca_file=cluster.certificate,
                tls_client_cert=cluster.certificate,
                tls_client_key=cluster.key,
            )
        else:
            target = read_scheduler_file(scheduler) if isinstance(scheduler, Path) else scheduler
        client = _connect(target, scheduler, security)
        stack.callback(_close_client, client)
        engine = _make_engine(client, address, threads)
        return replace(engine, close=stack.pop_all().close)


def open_client_executor(executor: Executor, address: Address | None) -> Engine:
    """Return the engine of the executor of a caller's client, which remains open.

    Raises:
        EngineError: the client is not connected.
    """
    client = cast("Client", executor._client)  # type: ignore[attr-defined]  # noqa: SLF001 - it has no public name
    if client.status != "running":
        raise EngineError(f"the client of the executor is not connected to a Dask scheduler (it is {client.status})")
    return _make_engine(client, address, _MIN_THREADS)


def read_scheduler_file(path: Path) -> str:
    """Return the address in a scheduler file. A scheduler that was started just before writes its file later.

    Raises:
        EngineError: the file does not exist after the time limit, or does not contain an address.
    """
    deadline = time.monotonic() + (_FILE_TIMEOUT if path.parent.is_dir() else 0.0)
    while True:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(content, dict) and isinstance(address := content.get("address"), str):
                return address
            reason = "does not contain the address of a Dask scheduler"
        except FileNotFoundError:
            reason = "does not exist"
        except (OSError, ValueError):
            reason = "cannot be read as the JSON that a Dask scheduler writes"
        if time.monotonic() > deadline:
            raise EngineError(
                f"the scheduler file {path} {reason}; start the scheduler with: dask scheduler --scheduler-file {path}"
            )
        time.sleep(0.1)


def _connect(target: str, scheduler: str | Path | None, security: Security | None) -> Client:
    """Return a connected client of the scheduler at an address.

    Raises:
        EngineError: the scheduler does not answer.
    """
    from distributed import Client

    origin = f" (the address in {scheduler})" if isinstance(scheduler, Path) else ""
    keywords: dict[str, Any] = {} if security is None else {"security": security}
    try:
        _check_answer(target)
        with warnings.catch_warnings():
            # Dask warns about packages that differ between client, scheduler and workers. Only Python and algotools
            # have to be equal, which the relay of each run checks.
            warnings.simplefilter("ignore")
            return Client(target, timeout=CONNECT_TIMEOUT / 2, set_as_default=False, name="algotools", **keywords)
    except Exception as error:  # Dask raises OSError, TimeoutError, ValueError or ImportError here
        raise EngineError(
            f"the Dask scheduler at {target}{origin} does not answer; check that it runs and that this machine reaches "
            f"it, or leave the option scheduler out to start a local cluster",
            detail=f"{type(error).__name__}: {error}",
        ) from None


def _check_answer(target: str) -> None:
    """Check that a Dask scheduler listens at an address. A Dask client would wait forever for a server that is silent.

    Raises:
        OSError: the host is unknown, no server listens, or the server does not begin as a Dask scheduler does.
    """
    place = urlsplit(target)
    with socket.create_connection((str(place.hostname), place.port or 0), CONNECT_TIMEOUT / 2) as connection:
        # Both sides of a connection begin with their capabilities. With TLS, the client is the first to send.
        if place.scheme == "tcp" and not connection.recv(1):
            raise ConnectionError("the server closed the connection")


def _make_engine(client: Client, address: Address | None, threads: int) -> Engine:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = client.scheduler_info(n_workers=-1)
    workers = info.get("workers", {})
    known = sum(int(worker.get("nthreads", 1)) for worker in workers.values())
    peers = [urlsplit(place).hostname for place in (info.get("address", ""), *workers)]
    place = str(info.get("address", "")) or "unknown"

    def explain(error: BaseException) -> AlgotoolsError | None:
        return explain_failure(error, place)

    return Engine(
        name="dask",
        # Every task has its own key: Dask must not take the result of an equal task, and must not retry by itself.
        executor=client.get_executor(pure=False, retries=0),
        address=address or find_address([peer for peer in peers if peer]),
        threads=max(known, threads),
        explain=explain,
        close=lambda: None,
    )


def explain_failure(error: BaseException, scheduler: str) -> AlgotoolsError | None:
    """Return the error for an exception of Dask, or for the missing installation at a worker; None otherwise."""
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    chain = list(_list_causes(error))
    if any(_is_missing_algotools(cause) for cause in chain):
        return EngineError(
            "algotools is not installed where the scheduler and the workers of Dask run; install algotools "
            f"{__version__} there"
        )
    if any(isinstance(cause, (CommClosedError, CancelledError)) for cause in chain):
        return EngineError(f"the connection to the Dask scheduler at {scheduler} was lost, and with it the run")
    if isinstance(error, KilledWorker):
        return WorkerKilled(
            "the run was sent to several workers of Dask, and each was lost before the run started there; see the logs "
            "of the workers",
            detail=str(error),
        )
    return None


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_missing_algotools(error: BaseException) -> bool:
    """Whether an import of algotools failed. Dask sends some exceptions of a scheduler only as text."""
    if isinstance(error, ModuleNotFoundError):
        return (error.name or "").partition(".")[0] == "algotools" or "named 'algotools" in str(error)
    return "No module named 'algotools" in str(error)


def _close_client(client: Client) -> None:
    with contextlib.suppress(Exception):  # the scheduler may have stopped
        client.close(timeout=CONNECT_TIMEOUT / 2)


@contextlib.contextmanager
def _quiet_loggers() -> Iterator[None]:
    """Silence Dask's loggers while the context is open, unless the owner's log is requested.

    Lost workers and a stopped scheduler are reported by the runs. The levels that the caller set return afterwards.
    """
    if os.environ.get(OWNER_LOG):
        yield
        return
    import distributed  # noqa: F401 - the import sets the levels

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
