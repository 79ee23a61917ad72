"""The containers that a runner starts: watched while they run, and removed whatever happens to them or to us."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from algotools.errors import TimedOut, WorkerKilled
from algotools.federation import owner
from algotools.federation.runners import Ending
from algotools.image.engine import naming_trouble, told
from algotools.report import Console, failure_line, read_failure

OWNER = "algotools.owner"
"""Label of all that a federation starts: host, process and start of the process that is to remove it."""

CONFLICT = 409
"""What the engine answers to who would remove what is being removed."""

GRACE = 10.0
"""Seconds that a run gets past its limit, to tell in its own words that it is overdue."""


class Containers:
    """Those of one runner."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._mine: set[str] = set()
        self._volumes: set[str] = set()
        self._closed = False
        self._owner = owner.this_process()
        with naming_trouble():
            remove_leftovers(client)

    @contextlib.contextmanager
    def use(self) -> Iterator[None]:
        """Name what goes wrong within, unless it does because the runner was closed.

        Raises:
            CancelledError: it was.
            EngineError: see ``naming_trouble``.
        """
        try:
            with naming_trouble(met=True):
                yield
        except Exception:
            if self._closed:
                raise CancelledError from None
            raise
        if self._closed:
            raise CancelledError

    def volume(self, name: str) -> str:
        """A volume of that name, removed when the runner is closed."""
        with self._lock:
            if name not in self._volumes:
                self.client.volumes.create(name, labels={OWNER: self._owner})
                self._volumes.add(name)
        return name

    @contextlib.contextmanager
    def create(self, image: str, command: list[str] | None = None, **settings: Any) -> Iterator[Container]:
        """A container that is removed at the end, running or not; ``settings`` are those of the docker package."""
        labels = {**settings.pop("labels", {}), OWNER: self._owner}
        container = self.client.containers.create(image, command, labels=labels, detach=True, **settings)
        with self._lock:
            self._mine.add(str(container.id))
            closed = self._closed
        try:
            if closed:
                raise CancelledError
            yield container
        finally:
            self._remove(str(container.id))

    def watch(
        self, container: Container, console: Console, ending: Ending, limit: float | None, grace: float = GRACE
    ) -> int:
        """Start a container and follow it to its end, at most ``limit`` seconds and ``grace``; gives its exit code.

        When nothing in it says why it ended, we do.
        """
        overdue = threading.Event()

        def kill() -> None:
            with contextlib.suppress(APIError):
                container.kill()

        def end() -> None:
            overdue.set()
            kill()

        timer = threading.Timer((limit or 0) + grace, end)
        timer.daemon = True
        container.start()
        if limit is not None:
            timer.start()
        last = ""
        try:
            with ending.by(kill):
                for line in _lines(container):
                    last = line
                    console(line)
                code = int(container.wait()["StatusCode"])
        finally:
            timer.cancel()
        if code and read_failure(last) is None:
            container.reload()
            if overdue.is_set():
                console(failure_line(TimedOut(f"the run did not end within its limit of {limit:g} s").failure()))
            elif container.attrs["State"].get("OOMKilled"):
                memory = container.attrs["HostConfig"].get("Memory") or 0
                why = f"the container was killed, because its memory ran out (its limit is {memory / 1e9:.1f} GB)"
                console(failure_line(WorkerKilled(why).failure()))
        return code

    def close(self) -> None:
        """Kill and remove all that is left."""
        with self._lock:
            self._closed = True
            left = list(self._mine)
        for container in left:
            self._remove(container)
        for volume in self._volumes:
            with contextlib.suppress(Exception):  # the next start looks again
                self.client.api.remove_volume(volume, force=True)
        self.client.close()

    def _remove(self, container: str) -> None:
        with contextlib.suppress(Exception):  # gone already, or the engine is: the next start looks again
            try:
                self.client.api.remove_container(container, force=True, v=True)
            except APIError as error:
                if error.status_code == CONFLICT:  # another thread of ours has begun to, and may end with the process
                    self.client.api.wait(container, timeout=int(GRACE), condition="removed")
        with self._lock:
            self._mine.discard(container)


def remove_leftovers(client: docker.DockerClient) -> None:
    """Remove what a process of this machine started that has died without cleaning up."""
    for container in client.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True):
        if owner.is_gone(container.labels.get(OWNER, "")):
            with contextlib.suppress(NotFound, APIError):
                container.remove(force=True, v=True)
    for volume in client.volumes.list(filters={"label": OWNER}):
        if owner.is_gone((volume.attrs.get("Labels") or {}).get(OWNER, "")):
            with contextlib.suppress(NotFound, APIError):
                volume.remove(force=True)


def _lines(container: Container) -> Iterator[str]:
    """A container's log, a line as soon as it is complete."""
    rest = b""
    for chunk in told(container.logs(stream=True, follow=True)):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r").decode(errors="backslashreplace")
    if rest:
        yield rest.decode(errors="backslashreplace")
