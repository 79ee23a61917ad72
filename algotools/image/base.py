"""The base image of every algorithm: made from ``Dockerfile.base`` when it is first needed, tagged by our version."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import docker

import algotools
from algotools import __version__
from algotools.errors import ImageError
from algotools.image import context, labels
from algotools.image.engine import fetched, labels_of
from algotools.image.reference import parse
from algotools.image.steps import Tell, build

NAME = "algotools-base"
PYTHON_IMAGE = "python:3.13-slim"
"""As in ``Dockerfile.base``; the build argument of that name takes another one."""

VARIABLE = "ALGOTOOLS_PYTHON_IMAGE"
"""The environment variable that takes another one for good: a mirror, or another version."""

ARGUMENTS = ("PYTHON_IMAGE", "PIP_INDEX_URL")
"""The build arguments of the base; those of a project are its own."""


def files() -> tuple[context.Context, str]:
    """What the base is built from, and its Dockerfile: those of the checkout, or those in the installed package."""
    package = Path(algotools.__file__).parent
    beside = package.parent if (package.parent / "Dockerfile.base").is_file() else package / "image"
    if not (beside / "Dockerfile.base").is_file():
        raise ImageError("this installation of algotools has no Dockerfile.base; install it anew")
    return (
        context.of_patterns(package.parent, beside / ".dockerignore"),
        (beside / "Dockerfile.base").read_text(encoding="utf-8"),
    )


def reference(python_image: str | None = None, platform: str | None = None) -> str:
    """How the base is called: by our version, and by what else was asked for."""
    more = [re.sub(r"[^A-Za-z0-9_.-]+", "-", part) for part in (python_image, platform) if part]
    return f"{NAME}:{'-'.join([__version__, *more])[:128]}"


def ensure(
    client: docker.DockerClient,
    tell: Tell,
    *,
    arguments: dict[str, str] | None = None,
    platform: str | None = None,
    no_cache: bool = False,
    tag: str | None = None,
) -> str:
    """The name of a base that is made from what is here; built if there is none.

    Raises:
        ImageError: it cannot be built.
        ImageNotFound: the tag is no image's name.
        EngineError: see ``engine.engine``.
    """
    own = {name: value for name, value in (arguments or {}).items() if name in ARGUMENTS}
    if VARIABLE in os.environ:
        own.setdefault("PYTHON_IMAGE", os.environ[VARIABLE])
    python_image = own.get("PYTHON_IMAGE")
    if "@" in urlsplit(own.get("PIP_INDEX_URL", "")).netloc:
        tell("careful: there is a login in PIP_INDEX_URL, and whoever gets the image can read its build arguments")
    tag = tag or reference(python_image, platform)
    parse(tag)
    sources, dockerfile = files()
    digest = sources.digest(dockerfile, python_image or PYTHON_IMAGE, platform or "")
    if not no_cache and labels_of(client, tag).get(labels.CONTEXT) == digest:
        return tag
    tell(f"making the base image {tag} from {python_image or PYTHON_IMAGE}")
    build(
        client,
        sources.archive(dockerfile),
        dockerfile="Dockerfile",
        tag=tag,
        tell=tell,
        arguments=own,
        labels={labels.CONTEXT: digest},
        platform=platform,
        no_cache=no_cache,
        way_out=f"give one that it can get, with --build-arg PYTHON_IMAGE=… or {VARIABLE} in the environment",
    )
    return tag


def check_version(client: docker.DockerClient, base: str, tell: Tell) -> None:
    """Refuse a base that somebody names if it is none, or one of another version than ours.

    Raises:
        ImageError: says which version it is.
        ImageNotFound: it is neither here nor in its registry, or no image can have that name.
    """
    parse(base)
    found = fetched(client, base, tell).labels.get(labels.VERSION)
    if found is None:
        raise ImageError(
            f"{base} was not made from Dockerfile.base: it has no label {labels.VERSION}; build on a base that "
            "`algotools build --base --tag NAME` made, or leave BASE_IMAGE out"
        )
    if found != __version__:
        raise ImageError(
            f"{base} has algotools {found}, and you test with {__version__}: the image would not behave as it does "
            f"here; install federated-algotools {found}, or make a base of {__version__} with `algotools build --base`"
        )
