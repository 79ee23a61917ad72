"""The containers of a runner: they are watched while they run, and removed in every case.

A master must reach the federation's API, but nothing else. Its container has no network, only the loopback interface of
a second container, the *relay*, whose network it shares:

    master -> 127.0.0.1:8080 -> relay -> Unix socket, mounted into the relay -> API of the federation

An internal network of the engine would be simpler, but all ports of the machine could be reached through it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from algotools.errors import EngineError, TimedOut, WorkerKilled
from algotools.federation.folders import has_exited, identify_process
from algotools.federation.runners import Cancellation
from algotools.image.engine import get_error_text, read_stream, remove_container, translate_errors
from algotools.image.lease import Lease
from algotools.image.names import Label
from algotools.runtime.logs import Console, format_failure, read_failure

OWNER = "algotools.owner"
"""Label of each container and volume of a federation: host, id and start time of the process that removes it."""

GRACE = 10.0
"""Seconds after the time limit in which a run can report by itself that it timed out."""


class Containers:
    """The containers and volumes of one runner.

    Args:
        client: the connection to the engine; ``close`` closes it.
        image: the id of the algorithm's image, which no build removes until ``close``; default: none.
    """

    def __init__(self, client: docker.DockerClient, image: str | None = None) -> None:
        self.client = client
        self._lease = Lease(client, image) if image else None
        self._lock = threading.Lock()
        self._containers: set[str] = set()
        self._volumes: set[str] = set()
        self._closed = False
        self._owner = identify_process()
        with translate_errors():
            remove_leftovers(client)

    @contextlib.contextmanager
    def use(self) -> Iterator[None]:
        """Translate the engine's errors within the context.

        Raises:
            CancelledError: the runner was closed, which removes the containers in use.
            EngineError: see ``translate_errors``.
        """
        try:
            with translate_errors(is_connected=True):
                yield
        except Exception:
            if self._closed:
                raise CancelledError from None
            raise
        if self._closed:
            raise CancelledError

    def ensure_volume(self, name: str) -> str:
        """Create a volume unless it exists, and return its name; it is removed when the runner is closed."""
        with self._lock:
            if name not in self._volumes:
                self.client.volumes.create(name, labels={OWNER: self._owner})
                self._volumes.add(name)
        return name

    @contextlib.contextmanager
    def create(self, image: str, command: list[str] | None = None, **settings: Any) -> Iterator[Container]:
        """Create a container, and remove it at the end of the context, even if it is still running.

        Args:
            image: the image.
            command: the command; default: the image's.
            settings: further arguments of the docker package's ``containers.create``.
        """
        labels = {**settings.pop("labels", {}), OWNER: self._owner}
        container = self.client.containers.create(image, command, labels=labels, detach=True, **settings)
        with self._lock:
            self._containers.add(str(container.id))
            closed = self._closed
        try:
            if closed:
                raise CancelledError
            yield container
        finally:
            self._remove(str(container.id))

    def watch(
        self,
        container: Container,
        console: Console,
        cancellation: Cancellation,
        limit: float | None,
        grace: float = GRACE,
    ) -> int:
        """Start a container, pass on its log, and return its exit code.

        The container is killed after ``limit`` plus ``grace`` seconds. If it fails without a failure in its log, the
        reason is added: a timeout, or too little memory.
        """
        is_overdue = threading.Event()

        def kill() -> None:
            with contextlib.suppress(APIError):
                container.kill()

        def expire() -> None:
            is_overdue.set()
            kill()

        timer = threading.Timer((limit or 0) + grace, expire)
        timer.daemon = True
        container.start()
        if limit is not None:
            timer.start()
        last = ""
        try:
            with cancellation.register(kill):
                for line in _read_lines(container):
                    last = line
                    console(line)
                code = int(container.wait()["StatusCode"])
        finally:
            timer.cancel()
        if code and read_failure(last) is None:
            container.reload()
            if is_overdue.is_set():
                console(format_failure(TimedOut(f"the run did not end within its limit of {limit:g} s").failure()))
            elif container.attrs["State"].get("OOMKilled"):
                memory = container.attrs["HostConfig"].get("Memory") or 0
                message = f"the container was killed because its memory ran out (its limit is {memory / 1e9:.1f} GB)"
                console(format_failure(WorkerKilled(message).failure()))
        return code

    def close(self) -> None:
        """Kill and remove all containers, remove all volumes, and release the image."""
        with self._lock:
            self._closed = True
            containers = list(self._containers)
        for container in containers:
            self._remove(container)
        for volume in self._volumes:
            with contextlib.suppress(Exception):  # the next runner calls `remove_leftovers`
                self.client.api.remove_volume(volume, force=True)
        if self._lease:
            self._lease.close()
        self.client.close()

    def _remove(self, container: str) -> None:
        remove_container(self.client, container)  # if this fails, the next runner calls `remove_leftovers`
        with self._lock:
            self._containers.discard(container)


def remove_leftovers(client: docker.DockerClient) -> None:
    """Remove the containers and volumes of processes of this machine that died without removing them."""
    for container in client.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True):
        if has_exited(container.labels.get(OWNER, "")):
            remove_container(client, str(container.id))
    for volume in client.volumes.list(filters={"label": OWNER}):
        if has_exited((volume.attrs.get("Labels") or {}).get(OWNER, "")):
            with contextlib.suppress(NotFound, APIError):
                volume.remove(force=True)


def _read_lines(container: Container) -> Iterator[str]:
    """Yield the lines of a container's log, each as soon as it is complete."""
    incomplete = b""
    for chunk in read_stream(container.logs(stream=True, follow=True)):
        *lines, incomplete = (incomplete + chunk).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r").decode(errors="backslashreplace")
    if incomplete:
        yield incomplete.decode(errors="backslashreplace")


_RELAY_TIMEOUT = 60.0
"""Seconds in which the relay must accept connections."""

_POLLING_INTERVAL = 0.02
"""Seconds between two checks whether a relay is ready."""

PORT = 8080
_SOCKET = "/run/algotools/api"

_MISSING_PROGRAM = ("executable file not found", "no such file or directory")
"""Texts in an engine's error for a program that the image does not have."""

PYTHONS = ("python", "python3")
"""The names that an interpreter can have in an image."""

_SCRIPT = f"""
import socket, threading

def forward(source, target):
    try:
        data = source.recv(65536)
        while data:
            target.sendall(data)
            data = source.recv(65536)
    except OSError:
        pass
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass

def serve(caller):
    with caller, socket.socket(socket.AF_UNIX) as api:
        api.connect({_SOCKET!r})
        back = threading.Thread(target=forward, args=(api, caller))
        back.start()
        forward(caller, api)
        back.join()

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", {PORT}))
server.listen(128)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
"""The relay's program, for any Python 3. It prints ``ready`` when it listens."""


@contextlib.contextmanager
def start_relay(containers: Containers, image: str, api: Path, settings: dict[str, Any]) -> Iterator[Container]:
    """Start a relay, wait until it is ready, and remove it at the end of the context.

    Args:
        containers: the runner's containers.
        image: the algorithm's image.
        api: the folder of the API's socket.
        settings: further settings of the relay's container.

    Raises:
        EngineError: no image has a Python in which the relay starts.
    """
    # The relay runs in the algorithm's own image, so nothing has to be downloaded. An image without Python, such as one
    # of R, cannot run it; then any image of algotools is used that the engine has.
    volumes = {str(api): {"bind": str(Path(_SOCKET).parent), "mode": "ro"}}
    with contextlib.ExitStack() as stack:
        for candidate, python in _list_candidates(containers, image):
            container = stack.enter_context(
                containers.create(
                    candidate,
                    [python, "-c", _SCRIPT],
                    entrypoint=[],
                    network_mode="none",
                    volumes=volumes,
                    **settings,
                )
            )
            if try_start(container):
                break
            stack.close()  # removes the container that did not start
        else:
            raise EngineError(
                "the relay to the federation's API needs Python: the algorithm's image has no Python, and the engine "
                "has no image of algotools (build one with `algotools build --base`)"
            )
        log, deadline = b"", time.monotonic() + _RELAY_TIMEOUT
        while not log.endswith(b"ready\n"):  # Python may have written warnings before
            container.reload()
            if container.status != "running" or time.monotonic() > deadline:
                raise EngineError(
                    "the relay to the federation's API does not start: the image has no usable Python",
                    detail=log.decode(errors="backslashreplace"),
                )
            time.sleep(_POLLING_INTERVAL)
            log = container.logs()
        yield container


def try_start(container: Container) -> bool:
    """Start a container; return False if its image does not have the program to start."""
    try:
        container.start()
    except APIError as error:
        if any(text in get_error_text(error) for text in _MISSING_PROGRAM):
            return False
        raise
    return True


def _list_candidates(containers: Containers, image: str) -> Iterator[tuple[str, str]]:
    """Yield images that can run a relay, each with the name of its Python."""
    yield from ((image, python) for python in PYTHONS)
    # `client.images.list` reads each image, and fails if another program removes one meanwhile.
    for own_image in containers.client.api.images(filters={"label": Label.VERSION}):
        yield str(own_image["Id"]), PYTHONS[0]
