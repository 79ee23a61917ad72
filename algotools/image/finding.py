"""Finding an image that the engine has, and naming those that may have been meant instead."""

from __future__ import annotations

import difflib
from typing import Any

import docker
from docker.errors import ImageNotFound as NoSuchImage

from algotools.errors import ImageNotFound
from algotools.image import labels


def find(client: docker.DockerClient, name: str) -> dict[str, Any]:
    """What the engine tells of an image.

    Raises:
        ImageNotFound: it has none of that name; lists some that it has.
    """
    try:
        return client.images.get(name).attrs
    except NoSuchImage:
        raise ImageNotFound(f"there is no image {name} on this machine; {_others(client, name)}") from None


def _others(client: docker.DockerClient, name: str) -> str:
    """Images that may have been meant: of a similar name, else all algorithms."""
    there = {tag: image for image in client.api.images() for tag in image.get("RepoTags") or () if "<none>" not in tag}
    alike = [tag for tag in there if _last(tag) == _last(name)]
    alike += difflib.get_close_matches(name, [tag for tag in there if tag not in alike], n=5, cutoff=0.7)
    if alike:
        return f"similar: {', '.join(alike[:5])}"
    algorithms = sorted(tag for tag, image in there.items() if labels.DESCRIPTION in (image.get("Labels") or {}))
    if algorithms:
        return f"algorithms here: {', '.join(algorithms[:8])}"
    return "`algotools build` makes one from a project's folder"


def _last(name: str) -> str:
    """The last part of a repository's path: what people remember of a name."""
    return name.partition("@")[0].rpartition("/")[2].partition(":")[0]
