"""A Dask cluster on this machine, for ``runner="dask"`` without a scheduler.

The cluster is a process of its own with worker processes below it. It does not import the caller's main module, and a
Ctrl-C at the terminal does not reach it. It closes when the federation closes its input, or when the federation's
process exits in any way.

A Dask scheduler executes code for everyone who can connect to its port. So the cluster listens only on the loopback
address, and requires the certificate that it makes at its start and hands to this process alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from algotools.errors import EngineError
from algotools.federation.engines._engine import LOOPBACK
from algotools.federation.folders import make_folder
from algotools.runtime.logs import OWNER_LOG

_START_TIMEOUT = 120.0
"""Seconds in which the cluster must start; a busy machine imports slowly."""

_STOP_TIMEOUT = 10.0
"""Seconds in which the cluster must stop. After that it is killed."""

_POLLING_INTERVAL = 1.0
"""Seconds between two checks of the cluster that the federation's process still exists."""

_THREADS_PER_WORKER = 8
"""The most threads of one worker process. A thread only relays; the function runs in a process of its own."""

_START = (
    "import sys; sys.path[:] = [*filter(None, sys.path), sys.argv.pop(1)]; "
    "from algotools.federation.engines._local_cluster import main; main()"
)
"""Starts the cluster. Modules of the current folder must not replace those of Dask."""


@dataclass(frozen=True)
class LocalDaskCluster:
    """A running cluster: its address, and the certificate for a client."""

    address: str
    threads: int
    certificate: str
    key: str

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[LocalDaskCluster]:
        """Start a cluster with a thread for each processor; it stops when the context is closed.

        Raises:
            EngineError: the cluster does not start.
        """
        threads = (os.cpu_count() or 1) + 1  # one more, because each run waits for the start of its process
        root = str(Path(__file__).resolve().parents[3])
        arguments = [sys.executable, "-c", _START, root, str(threads), str(os.getpid())]
        log = None if os.environ.get(OWNER_LOG) else subprocess.DEVNULL
        process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
        try:
            yield cls(threads=threads, **_read_description(process))
        finally:
            _stop(process)


def _read_description(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Return the address and the certificate that a starting cluster prints.

    Raises:
        EngineError: the cluster does not start.
    """
    assert process.stdout is not None  # noqa: S101 - Popen was called with a pipe
    poll = select.poll()  # `select.select` refuses descriptors above 1,023
    poll.register(process.stdout, select.POLLIN)
    line = process.stdout.readline() if poll.poll(_START_TIMEOUT * 1000) else b"{}"
    content: dict[str, str] = json.loads(line or "{}")
    if "address" not in content:
        raise EngineError(
            "the local Dask cluster did not start; set the variable ALGOTOOLS_DEBUG to see its log",
            detail=content.get("error", ""),
        )
    return content


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101 - Popen was called with pipes
    assert process.stdout is not None  # noqa: S101
    # A copy of this process may keep the pipe open, so the end of the input alone would not reach the cluster.
    with contextlib.suppress(OSError):
        process.stdin.write(b"\n")
    with contextlib.suppress(OSError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_TIMEOUT)
    with contextlib.suppress(OSError):  # also workers that outlived the cluster
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def main() -> None:
    """Run the cluster until its input is closed or its parent has exited."""
    threads, parent = map(int, sys.argv[1:3])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder = make_folder(Path(tempfile.gettempdir()))
    output, sys.stdout = sys.stdout, sys.stderr  # Dask prints nothing, but a plugin of the user may
    try:
        with _open_cluster(threads, folder) as description:
            print(json.dumps(description), file=output, flush=True)
            _wait_for_end(parent)
    except Exception as error:
        with contextlib.suppress(OSError):
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=output, flush=True)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _open_cluster(threads: int, folder: Path) -> Iterator[dict[str, str]]:
    """Start scheduler and workers; yield the address and the certificate."""
    import dask.config
    from distributed import LocalCluster
    from distributed.security import Security

    # Dask starts its HTTP servers in any case. Without routes they answer nothing.
    dask.config.set({"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []})
    security = Security.temporary()
    workers = -(-threads // _THREADS_PER_WORKER)
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=-(-threads // workers),
        memory_limit=0,  # the limits of algotools apply to the processes of the runs
        host=LOOPBACK,
        dashboard_address=f"{LOOPBACK}:0",
        scheduler_kwargs={"dashboard": False},
        local_directory=str(folder),
        security=security,
        silence_logs=False,
    ) as cluster:
        yield {
            "address": cluster.scheduler_address,
            "certificate": security.tls_client_cert,
            "key": security.tls_client_key,
        }


def _wait_for_end(parent: int) -> None:
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    while not poll.poll(_POLLING_INTERVAL * 1000) and os.getppid() == parent:
        pass
