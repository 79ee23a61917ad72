"""The base image of all algorithms.

It is built from ``Dockerfile.base`` when it is first needed. Its tag is the version of algotools.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import docker

from algotools import __version__
from algotools.errors import PACKAGE, ImageError
from algotools.image import context
from algotools.image._steps import build_image
from algotools.image.engine import Log, fetch_image, read_labels
from algotools.image.names import Label, parse_reference

NAME = "algotools-base"
PYTHON_IMAGE = "python:3.13-slim"
"""The default in ``Dockerfile.base``. The build argument of that name changes it."""

VARIABLE = "ALGOTOOLS_PYTHON_IMAGE"
"""The environment variable that changes the Python image for all builds: a mirror, or another version."""

_ARGUMENTS = ("PYTHON_IMAGE", "PIP_INDEX_URL")
"""The build arguments of the base. All other build arguments are for the Dockerfile of a project."""


def read_sources() -> tuple[context.Context, str]:
    """Return the sources of the base and the text of its Dockerfile, from the checkout or the installed package."""
    folder = PACKAGE.parent if (PACKAGE.parent / "Dockerfile.base").is_file() else PACKAGE / "image"
    if not (folder / "Dockerfile.base").is_file():
        raise ImageError("this installation of algotools has no Dockerfile.base; reinstall algotools")
    return (
        context.collect_folder(PACKAGE.parent, folder / ".dockerignore"),
        (folder / "Dockerfile.base").read_text(encoding="utf-8"),
    )


def make_name(python_image: str | None = None, platform: str | None = None) -> str:
    """Return the default name of the base. Its tag is our version, followed by the Python image and the platform."""
    parts = [re.sub(r"[^A-Za-z0-9_.-]+", "-", part) for part in (python_image, platform) if part]
    return f"{NAME}:{'-'.join([__version__, *parts])[:128]}"


def ensure_base(
    client: docker.DockerClient,
    log: Log,
    *,
    arguments: dict[str, str] | None = None,
    platform: str | None = None,
    no_cache: bool = False,
    tag: str | None = None,
) -> str:
    """Return the name of a base with the current sources. Build the base if the engine does not have it.

    The label ``Label.CONTEXT`` holds a digest of the sources, so that a base with the current sources is recognized.

    Raises:
        ImageError: the build fails.
        ImageNotFound: the tag is not the name of an image.
        EngineError: see ``engine.open_engine``.
    """
    base_arguments = {name: value for name, value in (arguments or {}).items() if name in _ARGUMENTS}
    if VARIABLE in os.environ:
        base_arguments.setdefault("PYTHON_IMAGE", os.environ[VARIABLE])
    python_image = base_arguments.get("PYTHON_IMAGE")
    if "@" in urlsplit(base_arguments.get("PIP_INDEX_URL", "")).netloc:
        log("warning: PIP_INDEX_URL contains a login, and everybody who gets the image can read its build arguments")
    tag = tag or make_name(python_image, platform)
    parse_reference(tag)
    sources, dockerfile = read_sources()
    digest = sources.compute_digest(dockerfile, python_image or PYTHON_IMAGE, platform or "")
    if not no_cache and read_labels(client, tag).get(Label.CONTEXT) == digest:
        return tag
    log(f"building the base image {tag} from {python_image or PYTHON_IMAGE}")
    build_image(
        client,
        sources.make_archive(dockerfile),
        tag=tag,
        log=log,
        arguments=base_arguments,
        labels={Label.CONTEXT: digest},
        platform=platform,
        no_cache=no_cache,
        hint=f"name another image with --build-arg PYTHON_IMAGE=… or the environment variable {VARIABLE}",
    )
    return tag


def check_version(client: docker.DockerClient, base: str, log: Log) -> None:
    """Check that an image is a base of our version.

    Raises:
        ImageError: the image is not a base, or is a base of another version.
        ImageNotFound: the image is neither on this machine nor in its registry, or its name is malformed.
    """
    parse_reference(base)
    version = fetch_image(client, base, log).labels.get(Label.VERSION)
    if version is None:
        raise ImageError(
            f"{base} is not a base image of algotools: it has no label {Label.VERSION}; build a base with "
            "`algotools build --base --tag NAME`, or omit BASE_IMAGE"
        )
    if version != __version__:
        raise ImageError(
            f"{base} has algotools {version}, but version {__version__} is installed here, so the image would behave "
            f"differently; install federated-algotools {version}, or build a base of {__version__} with "
            "`algotools build --base`"
        )
