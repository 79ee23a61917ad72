"""The way from a container without network to the federation's API, and to nothing else.

A second container shares the network of the first, in which there is nothing but a loopback of its own. It listens
there, and hands every connection on to a Unix socket that is mounted into it. (An internal network of the engine would
leave all ports of the machine open.)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker.errors import APIError
from docker.models.containers import Container

from algotools.errors import EngineError
from algotools.federation.runners.containers import Containers
from algotools.image import labels
from algotools.image.engine import said as words

NAP = 0.02
"""Seconds between looks at whether a relay is ready."""

PORT = 8080
SOCKET = "/run/algotools/api"

ABSENT = ("executable file not found", "no such file or directory")
"""What an engine says of a program that an image does not have."""

PYTHONS = ("python", "python3")
"""What an interpreter may be called in an image."""

SCRIPT = f"""
import socket, threading

def hand_on(source, target):
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
        api.connect({SOCKET!r})
        back = threading.Thread(target=hand_on, args=(api, caller))
        back.start()
        hand_on(caller, api)
        back.join()

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", {PORT}))
server.listen(128)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
"""What the relay runs; any Python 3 does."""


@contextlib.contextmanager
def relay(containers: Containers, image: str, api: Path, settings: dict[str, Any]) -> Iterator[Container]:
    """A relay that is ready; ``api`` is the socket's folder, ``settings`` are the container's.

    It runs in the algorithm's own image, which is there; if that has no Python, in one of algotools.

    Raises:
        EngineError: it does not start.
    """
    volumes = {str(api): {"bind": str(Path(SOCKET).parent), "mode": "ro"}}
    with contextlib.ExitStack() as stack:
        for candidate, python in _candidates(containers, image):
            container = stack.enter_context(
                containers.create(
                    candidate,
                    [python, "-c", SCRIPT],
                    entrypoint=[],
                    network_mode="none",
                    volumes=volumes,
                    **settings,
                )
            )
            if starts(container):
                break
            stack.close()
        else:
            raise EngineError(
                "the relay to the federation's API needs a Python: the image has none, and there is no image of "
                "algotools here (`algotools build --base` makes one)"
            )
        said = b""
        while said != b"ready\n":
            container.reload()
            if container.status != "running":
                why = "the relay to the federation's API does not start: the image has no usable Python"
                raise EngineError(why, detail=said.decode(errors="backslashreplace"))
            time.sleep(NAP)
            said = container.logs()
        yield container


def starts(container: Container) -> bool:
    """Start a container; false if its image does not have the program that is to be started."""
    try:
        container.start()
    except APIError as error:
        if any(sign in words(error) for sign in ABSENT):
            return False
        raise
    return True


def _candidates(containers: Containers, image: str) -> Iterator[tuple[str, str]]:
    """Images, and what their Python may be called."""
    yield from ((image, python) for python in PYTHONS)
    for other in containers.client.images.list(filters={"label": labels.VERSION}):
        yield str(other.id), PYTHONS[0]
