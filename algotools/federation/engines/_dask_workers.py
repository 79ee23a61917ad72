"""The workers of a Dask scheduler: which of them can run the relay, and whether there are any.

A cluster may belong to several people, and not each of its workers needs to have algotools. Runs go only to workers
that can import the relay in the version of the federation. The check of a worker sends it a function of the standard
library and a name, so that a worker without algotools reports an ordinary exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import pkgutil
import socket
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from algotools import __version__
from algotools.errors import EngineError
from algotools.runtime.logs import Console, format_line
from algotools.runtime.packaging import DISTRIBUTION

if TYPE_CHECKING:
    from distributed import Client

INSTALL = f"install it there: python -m pip install {DISTRIBUTION}=={__version__}"

_VERSION = "algotools.federation.engines.relay:__version__"
"""The name that a worker looks up. The relay imports all that a run needs there."""
_PROBE_TIMEOUT = 60.0
"""Seconds in which a worker must have imported the relay; imports take long on shared storage."""
_REFRESH_TIMEOUT = 15.0
"""Seconds that a caller waits for the workers' replies. Later replies arrive while runs wait."""
_REFRESH_INTERVAL = 0.5
"""Seconds between two requests to the scheduler, while runs wait."""
_FIRST_LINE = 5.0
"""Seconds without workers until a line reports them, if there were none before either."""
_NEXT_LINE = 60.0
"""Seconds until the line is repeated."""
_MOST_NAMES = 3


class DaskWorkers:
    """The workers of one scheduler, as known to one federation. All runs that wait share one object.

    Args:
        client: the connected client.
        scheduler: the address of the scheduler, for messages.
    """

    def __init__(self, client: Client, scheduler: str) -> None:
        self._client = client
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._present: frozenset[str] = frozenset()
        self._suitable: set[str] = set()
        self._unsuitable: dict[str, str] = {}
        """Address of a worker -> its host and what it lacks."""
        self._probed: set[str] = set()
        """The workers that are being checked."""
        self._unreported: list[str] = []
        self._had_workers = False
        self._had_suitable = False
        self._is_refreshing = False
        self._refreshed_at = 0.0
        self._watched_at = 0.0
        self._line_at: float | None = None
        """The time of the next line about missing workers; None while there are workers."""
        self._has_line = False

    def get_placement(self) -> tuple[str, ...] | None:
        """Return the workers to which a run may go; None for all. It is empty while no worker is suitable.

        Raises:
            EngineError: no worker is suitable, and none ever was.
        """
        with self._lock:
            if not any(worker in self._unsuitable for worker in self._present):
                return None
            suitable = tuple(sorted(self._present & self._suitable))
            is_known = all(worker in self._unsuitable for worker in self._present)
            if not self._had_suitable and is_known:
                lacks = _join([self._unsuitable[worker] for worker in sorted(self._present)])
                raise EngineError(
                    f"no worker of the Dask scheduler at {self._scheduler} can run algotools {__version__}: {lacks}; "
                    f"{INSTALL}"
                )
            return suitable

    def watch(self, console: Console) -> None:
        """Request the workers from the scheduler, without waiting for the reply, and log what the runs wait for.

        Runs call this while they wait. Each line is in the log of only one run.
        """
        now = time.monotonic()
        with self._lock:
            must_refresh = not self._is_refreshing and now - self._refreshed_at > _REFRESH_INTERVAL
            self._is_refreshing |= must_refresh
            lines = [*self._take_unsuitable(), *self._take_missing(now)]
        if must_refresh:
            loop = self._client.loop
            with contextlib.suppress(RuntimeError):  # the client is closed
                if loop is not None:
                    loop.add_callback(self._refresh_for_watch)
        for line in lines:
            console(format_line("info", line))

    def refresh(self) -> None:
        """Request the workers from the scheduler, check the new ones, and wait for the replies."""
        with contextlib.suppress(Exception):  # a lost scheduler is reported by the runs
            self._client.sync(self._refresh, callback_timeout=_REFRESH_TIMEOUT)

    def _take_unsuitable(self) -> list[str]:
        lacks, self._unreported = self._unreported, []
        return [f"some workers of Dask get no runs: {_join(lacks)}; {INSTALL}"] if lacks else []

    def _take_missing(self, now: float) -> list[str]:
        is_resumed, self._watched_at = now - self._watched_at > _FIRST_LINE, now
        if any(worker not in self._unsuitable for worker in self._present):
            self._line_at, self._has_line = None, False
            return []
        if self._line_at is None or is_resumed:
            self._line_at = now + (0.0 if self._had_workers else _FIRST_LINE)
        if now < self._line_at:
            return []
        start = "still waiting" if self._has_line else "waiting"
        self._line_at, self._has_line = now + _NEXT_LINE, True
        kind = f" with algotools {__version__}" if self._present else ""
        return [f"{start} for workers: the scheduler at {self._scheduler} has none{kind}"]

    async def _refresh_for_watch(self) -> None:
        try:
            with contextlib.suppress(Exception):  # a lost scheduler is reported by the runs
                await self._refresh()
        finally:
            with self._lock:
                self._is_refreshing, self._refreshed_at = False, time.monotonic()

    async def _refresh(self) -> None:
        """Read the list of workers, and check the new ones. Runs in the thread of the client."""
        scheduler = self._client.scheduler
        if scheduler is None:
            return
        present = frozenset(await scheduler.ncores())
        with self._lock:
            # Another worker may start later at the address of one that has left.
            self._suitable &= present
            self._unsuitable = {worker: lack for worker, lack in self._unsuitable.items() if worker in present}
            self._present = present
            new = present - self._suitable - self._unsuitable.keys() - self._probed
            self._probed |= new
        try:
            await asyncio.gather(*map(self._probe, new))
        finally:
            with self._lock:
                self._probed -= new
                self._had_workers |= bool(present)

    async def _probe(self, worker: str) -> None:
        """Check whether a worker can import the relay. A worker that does not reply is checked again later."""
        version = await self._call(worker, pkgutil.resolve_name, _VERSION)
        if version is None or version == __version__:
            with self._lock:
                if version is not None:
                    self._suitable.add(worker)
                    self._had_suitable = True
            return
        host = await self._call(worker, socket.gethostname)
        text = f"{host if isinstance(host, str) else urlsplit(worker).hostname} ({_describe(version)})"
        with self._lock:
            self._unsuitable[worker] = text
            if text not in self._unreported:
                self._unreported.append(text)

    async def _call(self, worker: str, function: object, *arguments: str) -> object:
        """Return the result or the exception of a function at a worker; None if the worker does not reply."""
        call = self._client.run(function, *arguments, workers=[worker], on_error="return")
        try:
            result: object = (await asyncio.wait_for(call, _PROBE_TIMEOUT)).get(worker)
        except (asyncio.TimeoutError, OSError):
            return None
        return None if isinstance(result, OSError) else result  # the worker is lost


def _describe(version: object) -> str:
    """Return what a worker lacks: the version that it has, or the exception of its import."""
    if isinstance(version, ModuleNotFoundError) and version.name == "algotools":
        return "not installed"
    if isinstance(version, BaseException):
        return f"{type(version).__name__}: {version}"
    return f"algotools {version}"


def _join(lacks: list[str]) -> str:
    lacks = list(dict.fromkeys(lacks))
    more = f" and {len(lacks) - _MOST_NAMES} more" if len(lacks) > _MOST_NAMES else ""
    return ", ".join(lacks[:_MOST_NAMES]) + more
