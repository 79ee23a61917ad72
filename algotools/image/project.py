"""An algorithm's image: built from its project, tried, and labelled with what it can do."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import docker
import msgspec

from algotools.errors import ImageError
from algotools.image import base, context, labels, reference, revision
from algotools.image.engine import labels_of
from algotools.image.reference import tag_of
from algotools.image.steps import Tell, build, remove
from algotools.image.trial import try_out
from algotools.locate import read_toml, table

DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
WORKDIR /app
COPY pyproject.toml ./
RUN python -m algotools.packaging install
COPY src ./src
RUN python -m compileall -q src
ENV ALGOTOOLS_ALGORITHM=/app
"""
"""What a project needs at least; ``examples/average`` has it with its reasons."""


class Built(NamedTuple):
    """An image that is ready to be pushed."""

    tag: str
    id: str
    size: int
    """Bytes, unpacked, base included."""
    seconds: float


def local_tag(folder: Path) -> str:
    """``name:version`` of a project, as its ``pyproject.toml`` says: what its image is called on this machine.

    Raises:
        ImageError: there is no such folder.
        AlgorithmNotFound: there is no such file.
    """
    _check(folder)
    project = table(read_toml(folder / "pyproject.toml"), "project")
    name = re.sub(r"[^A-Za-z0-9]+", "-", str(project.get("name") or folder.resolve().name)).strip("-").lower()
    return f"{name or 'algorithm'}:{tag_of(str(project.get('version') or 'latest'))}"


def default_tag(folder: Path) -> str:
    """The name to push a project's image by: ``[tool.algotools] image`` and its version; else as ``local_tag``.

    Raises:
        ImageError: there is no such folder.
        AlgorithmNotFound: there is no such file.
    """
    name, _, version = local_tag(folder).rpartition(":")
    return f"{table(read_toml(folder / 'pyproject.toml'), 'tool', 'algotools').get('image') or name}:{version}"


def build_project(
    client: docker.DockerClient,
    folder: Path,
    tag: str,
    tell: Tell,
    *,
    arguments: Mapping[str, str] | None = None,
    platform: str | None = None,
    no_cache: bool = False,
) -> Built:
    """Build a project's image, see that it starts, and label it with what its functions are.

    ``arguments`` are build arguments: ``BASE_IMAGE`` takes another base than the one that is made here,
    ``PYTHON_IMAGE`` makes that from another Python, all others are the Dockerfile's.

    Raises:
        ImageError: it cannot be built, or would not run at a node.
        ImageNotFound: the tag is no image's name, or BASE_IMAGE is not to be had.
        EngineError: see ``engine.engine``.
    """
    started = time.monotonic()
    _check(folder)
    if reference.parse(tag).digest:
        raise ImageError(f"{tag} names an image by its digest, which is known when it is pushed; give it a tag")
    dockerfile = _dockerfile(folder)
    given = dict(arguments or {})
    sources = context.of_project(folder)
    for name in sources.data:
        tell(f"left out: {name} looks like data (if it must be in the image, add a line !{name} to .dockerignore)")
    if re.search(r"^\s*ARG\s+BASE_IMAGE\b", dockerfile, re.MULTILINE | re.IGNORECASE):
        if "BASE_IMAGE" in given:
            base.check_version(client, given["BASE_IMAGE"], tell)
        else:
            given["BASE_IMAGE"] = base.ensure(client, tell, arguments=given, platform=platform, no_cache=no_cache)
    elif "BASE_IMAGE" in given:
        raise ImageError(f"{folder / 'Dockerfile'} has no line ARG BASE_IMAGE; begin it with:\n{DOCKERFILE}")
    if "PYTHON_IMAGE" not in dockerfile:
        given.pop("PYTHON_IMAGE", None)  # the base's
    unlabelled = build(
        client,
        sources.archive(),
        dockerfile="Dockerfile",
        tag=None,
        tell=tell,
        arguments=given,
        platform=platform,
        no_cache=no_cache,
    )
    known = {
        labels.MADE_FROM: unlabelled,
        **_told_of_base(client, given.get("BASE_IMAGE")),
        **_told_of_project(folder),
        **revision.told(folder, sources.files),
    }
    if labels_of(client, tag).items() >= known.items():
        tell("nothing has changed")
        return _built(client, tag, started)
    try:
        tell("starting it, and describing its functions inside of it")
        told = try_out(client, unlabelled, platform)
        found = {
            labels.DESCRIPTION: msgspec.json.encode(told.description).decode(),
            labels.PACKAGES: msgspec.json.encode(told.packages).decode(),
            labels.VERSION: told.packages.get("federated-algotools", ""),
            **known,
        }
        step, rest = labels.in_one_step(found)
        build(
            client,
            context.Context(folder, ()).archive(f"FROM {unlabelled}\n{step}\n"),
            dockerfile="Dockerfile",
            tag=tag,
            tell=lambda _line: None,
            labels=rest,
            platform=platform,
        )
    except BaseException:
        remove(client, unlabelled)
        raise
    return _built(client, tag, started)


def _built(client: docker.DockerClient, tag: str, started: float) -> Built:
    image = client.images.get(tag)
    return Built(tag, str(image.id), int(image.attrs["Size"]), time.monotonic() - started)


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise ImageError(f"there is no folder {folder}; name the folder of an algorithm's project")


def _dockerfile(folder: Path) -> str:
    try:
        return (folder / "Dockerfile").read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        raise ImageError(
            f"{folder} has no Dockerfile (it has: {found}); this one will do:", detail=DOCKERFILE
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{folder / 'Dockerfile'} cannot be read ({error})") from None


def _told_of_base(client: docker.DockerClient, name: str | None) -> dict[str, str]:
    if name is None:
        return {}
    image = client.images.get(name)
    digests = image.attrs.get("RepoDigests") or []
    digest = digests[0].partition("@")[2] if digests else str(image.id)
    return {labels.BASE: name, labels.BASE_DIGEST: digest}


def _told_of_project(folder: Path) -> dict[str, str]:
    """OCI's labels, from what ``pyproject.toml`` says anyway."""
    file = folder / "pyproject.toml"
    project = table(read_toml(file), "project") if file.is_file() else {}
    keys = {
        labels.TITLE: "name",
        labels.DETAILS: "description",
        labels.ALGORITHM_VERSION: "version",
        labels.LICENSES: "license",
    }
    # Empty rather than absent: else the base's own labels would shine through.
    return {label: text if isinstance(text := project.get(key), str) else "" for label, key in keys.items()}
