"""An image that the engine has, or gets, or makes: what a runner needs to know of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import docker
from docker.models.images import Image as DockerImage

from algotools.image import labels
from algotools.image.engine import fetched
from algotools.image.project import build_project, local_tag
from algotools.image.steps import Tell


class Image(NamedTuple):
    """An image to run."""

    id: str
    roles: Mapping[str, str]
    """Method -> ``master`` or ``rpc``, where its labels tell; else empty."""
    ours: bool = True
    """Whether its labels say that it was made with algotools."""
    command: tuple[str, ...] = ()
    """What a node starts: entry point and command."""
    variables: Mapping[str, str] = {}
    """The environment that it brings."""


def built(client: docker.DockerClient, folder: Path, tell: Tell, arguments: Mapping[str, str] | None = None) -> Image:
    """The image of a project, for running it here; steps that were done before are not done again."""
    tag = f"algotools-run/{local_tag(folder)}"
    return _known(client.images.get(build_project(client, folder, tag, tell, arguments=arguments).id))


def found(client: docker.DockerClient, reference: str, tell: Tell) -> Image:
    """An image by name, from its registry if the engine has none.

    Raises:
        ImageNotFound: it is in neither.
    """
    return _known(fetched(client, reference, tell))


def _known(image: DockerImage) -> Image:
    try:
        functions = json.loads(image.labels.get(labels.DESCRIPTION) or "{}").get("functions", [])
        roles = {str(function["method"]): str(function["role"]) for function in functions}
    except (ValueError, TypeError, KeyError, AttributeError):
        roles = {}  # somebody else's label
    configuration = image.attrs.get("Config") or {}
    return Image(
        str(image.id),
        roles,
        ours=bool({labels.VERSION, labels.DESCRIPTION} & image.labels.keys()),
        command=(*(configuration.get("Entrypoint") or ()), *(configuration.get("Cmd") or ())),
        variables=dict(pair.split("=", 1) for pair in configuration.get("Env") or () if "=" in pair),
    )
