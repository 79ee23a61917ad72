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
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from algotools.errors import AlgotoolsError, EngineError, FederationError, WorkerKilled
from algotools.federation.engines._dask_workers import INSTALL, DaskWorkers
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

_WRITE_TIMEOUT = 2.0
"""Seconds in which a scheduler must have written the content of its file."""

_TLS_SETTINGS = "distributed.comm.tls.ca-file, distributed.comm.tls.client.cert and distributed.comm.tls.client.key"

_POLLING_INTERVAL = 0.1
"""Seconds between two attempts to read a scheduler file."""

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
        kind, _, host_and_port = text.partition("://")
        if kind in ("tcp", "tls", "ws", "wss", "ucx") and _HOST_AND_PORT.fullmatch(host_and_port):
            return text
        raise FederationError(
            f"scheduler {text!r} is not an address; write tcp://HOST:PORT, for instance tcp://a1:8786"
        )
    if Path(text).exists() or Path(text).suffix == ".json" or isinstance(scheduler, Path) or os.sep in text:
        return Path(text).expanduser().resolve()
    raise FederationError(
        f"scheduler {text!r} is neither an address (tcp://HOST:PORT) nor the file of `dask scheduler --scheduler-file`"
    )


def open_scheduler(scheduler: str | Path | None, address: Address | None) -> Engine:
    """Connect to a scheduler, or start a local cluster, and return the engine; ``close`` closes both.

    Raises:
        EngineError: the scheduler does not answer, no worker is suitable, or the local cluster does not start.
        FederationError: the scheduler file or the settings for certificates are wrong.
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
        EngineError: the client is not connected, or none of the workers is suitable.
    """
    client = cast("Client", executor._client)  # type: ignore[attr-defined]  # noqa: SLF001 - it has no public name
    if client.status != "running":
        raise EngineError(f"the client of the executor is not connected to a Dask scheduler (it is {client.status})")
    return _make_engine(client, address, _MIN_THREADS)


def read_scheduler_file(path: Path) -> str:
    """Return the address in a scheduler file. A scheduler that was started just before writes its file later.

    Raises:
        EngineError: the file does not exist after the time limit.
        FederationError: the file is not that of a scheduler, or cannot be read.
    """
    limit = _FILE_TIMEOUT if path.parent.is_dir() else 0.0
    missing = f"the scheduler file {path} does not exist"
    start = time.monotonic()
    if limit and not path.exists():
        _report(f"waiting up to {limit:g} s for the scheduler file {path}")
    while not path.exists():
        if time.monotonic() - start >= limit:
            reason = f" after {limit:g} s" if limit else ", and its folder does not either"
            raise EngineError(f"{missing}{reason}; start the scheduler with: dask scheduler --scheduler-file {path}")
        time.sleep(_POLLING_INTERVAL)
    start = time.monotonic()
    while True:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(content, dict) and isinstance(address := content.get("address"), str):
                return address
            reason = "does not contain the address of a Dask scheduler"
        except OSError as error:
            reason = f"cannot be read ({_describe_os_error(error)})"
        except ValueError:
            reason = "is not the JSON that a Dask scheduler writes"
        if time.monotonic() - start > _WRITE_TIMEOUT:
            raise FederationError(
                f"the file {path} {reason}; name the file that was given to `dask scheduler --scheduler-file`"
            )
        time.sleep(_POLLING_INTERVAL)


def _report(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{line}\n")


def _connect(target: str, scheduler: str | Path | None, security: Security | None) -> Client:
    """Return a connected client of the scheduler at an address.

    Raises:
        EngineError: the scheduler does not answer.
        FederationError: the scheduler needs certificates, and Dask's settings do not name usable ones.
    """
    from distributed import Client

    origin = f" (the address in {scheduler})" if isinstance(scheduler, Path) else ""
    keywords: dict[str, Any] = {} if security is None else {"security": security}
    if security is None and urlsplit(target).scheme in ("tls", "wss"):
        _check_certificates(target, origin)
    try:
        _check_answer(target)
        with warnings.catch_warnings():
            # Dask warns about packages that differ between client, scheduler and workers. Only Python and algotools
            # have to be equal, which the relay of each run checks.
            warnings.simplefilter("ignore")
            return Client(target, timeout=CONNECT_TIMEOUT / 2, set_as_default=False, name="algotools", **keywords)
    except Exception as error:  # Dask raises OSError, TimeoutError, ValueError or ImportError here
        reason, detail = _describe_failure(error)
        raise EngineError(
            f"the Dask scheduler at {target}{origin} does not answer{reason}; check that it runs and that this machine "
            "reaches it, or leave the option scheduler out to start a local cluster",
            detail=detail,
        ) from None


def _check_certificates(target: str, origin: str) -> None:
    """Check that Dask's settings name the certificates that a client needs.

    Raises:
        FederationError: a setting is missing, or names a file that cannot be used.
    """
    from distributed.security import Security

    error = ""
    try:
        if Security().get_connection_args("client")["ssl_context"] is not None:
            return
    except OSError as failure:  # also errors of TLS
        error = f" ({_describe_os_error(failure)})"
    except (TypeError, ValueError) as failure:
        error = f" ({failure})"
    state = "are not usable" if error else "are not set"
    raise FederationError(
        f"the Dask scheduler at {target}{origin} needs certificates, and Dask's settings for them {state}{error}; set "
        f"{_TLS_SETTINGS} in ~/.config/dask/distributed.yaml or as variables (DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …)"
    )


def _describe_failure(error: Exception) -> tuple[str, str]:
    """Return the reason of a failed connection for a sentence, or the exception as detail if it has no plain reason."""
    cause = next((cause for cause in _list_causes(error) if isinstance(cause, OSError) and cause.strerror), None)
    if cause is not None:
        return f" ({_describe_os_error(cause)})", ""
    if any(isinstance(cause, TimeoutError) for cause in _list_causes(error)):
        return " (timed out)", ""
    return "", f"{type(error).__name__}: {error}"


def _describe_os_error(error: OSError) -> str:
    """Return the reason of an error of the operating system for the middle of a sentence."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _check_answer(target: str) -> None:
    """Check that a Dask scheduler listens at an address. A Dask client would wait forever for a server that is silent.

    Raises:
        OSError: the host is unknown, no server listens, or the server does not begin as a Dask scheduler does.
    """
    parts = urlsplit(target)
    with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=CONNECT_TIMEOUT / 2) as connection:
        # Both sides of a connection begin with their capabilities. With TLS, the client is the first to send.
        if parts.scheme == "tcp" and not connection.recv(1):
            raise ConnectionError("the server closed the connection")


def _make_engine(client: Client, address: Address | None, threads: int) -> Engine:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = client.scheduler_info(n_workers=-1)
    workers = info.get("workers", {})
    known = sum(int(worker.get("nthreads", 1)) for worker in workers.values())
    peers = [urlsplit(peer).hostname for peer in (info.get("address", ""), *workers)]
    scheduler = str(info.get("address", "")) or "unknown"

    dask_workers = DaskWorkers(client, scheduler)
    dask_workers.refresh()
    dask_workers.get_placement()  # raises if no worker is suitable

    def explain(error: BaseException) -> AlgotoolsError | None:
        return explain_failure(error, scheduler)

    return Engine(
        name="dask",
        # Every task has its own key: Dask must not take the result of an equal task, and must not retry by itself.
        executor=client.get_executor(pure=False, retries=0),
        address=address or find_address([peer for peer in peers if peer]),
        threads=max(known, threads),
        explain=explain,
        close=lambda: None,
        workers=dask_workers,
    )


def explain_failure(error: BaseException, scheduler: str) -> AlgotoolsError | None:
    """Return the error for an exception of Dask, or for the missing installation at a worker; None otherwise."""
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    chain = list(_list_causes(error))
    if any(_is_missing_algotools(cause) for cause in chain):
        return EngineError(f"algotools is not installed at a worker of the Dask scheduler at {scheduler}; {INSTALL}")
    if any(isinstance(cause, (CommClosedError, CancelledError)) for cause in chain):
        return EngineError(
            f"the connection to the Dask scheduler at {scheduler} was lost, and with it the run; start the scheduler "
            "and its workers again, and create a new Federation"
        )
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
