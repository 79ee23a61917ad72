"""From an algorithm to a runner of its image."""

from __future__ import annotations

import sys
from pathlib import Path

from algotools.errors import FederationError
from algotools.federation.runners import Runner
from algotools.federation.runners.as_node import AsNodeRunner
from algotools.federation.runners.container import ContainerRunner
from algotools.image import local
from algotools.image.engine import connect, naming_trouble

CONNECTIONS = 64
"""To the engine: each run holds one for its log, and needs others now and then."""


def make(what: object, api: Path, *, as_node: bool, memory: int | None) -> Runner:
    """A runner for a project's folder, whose image is built if need be, or for an image.

    Raises:
        FederationError: functions, and modules that are installed here, are in no image.
        ImageNotFound: there is no such image.
        ImageError, EngineError: see ``algotools.image``.
    """
    if not isinstance(what, (str, Path)):
        raise FederationError(
            "functions that are defined here are in no image; give runner container a project's folder or an image"
        )
    with naming_trouble():
        client = connect(CONNECTIONS)
        try:
            image = (
                local.built(client, Path(what), _tell) if Path(what).is_dir() else local.found(client, str(what), _tell)
            )
            return AsNodeRunner(client, image, api) if as_node else ContainerRunner(client, image, api, memory)
        except BaseException:
            client.close()
            raise


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
