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

from docker.models.containers import Container

from algotools.errors import EngineError
from algotools.federation.runners.containers import Containers

NAP = 0.02
"""Seconds between looks at whether a relay is ready."""

PORT = 8080
SOCKET = "/run/algotools/api"

SCRIPT = f"""
import socket, threading

def hand_on(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
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

server = socket.create_server(("127.0.0.1", {PORT}), backlog=128)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
"""What the relay runs; any Python does."""


@contextlib.contextmanager
def relay(containers: Containers, image: str, api: Path, settings: dict[str, Any]) -> Iterator[Container]:
    """A relay that is ready; ``api`` is the socket's folder, ``settings`` are the container's.

    Raises:
        EngineError: it does not start.
    """
    volumes = {str(api): {"bind": str(Path(SOCKET).parent), "mode": "ro"}}
    command = ["python", "-c", SCRIPT]
    with containers.create(
        image, command, entrypoint=[], network_mode="none", volumes=volumes, **settings
    ) as container:
        container.start()
        said = b""
        while said != b"ready\n":
            container.reload()
            if container.status != "running":
                why = "the relay to the federation's API does not start: the image has no usable Python"
                raise EngineError(why, detail=said.decode(errors="backslashreplace"))
            time.sleep(NAP)
            said = container.logs()
        yield container
