"""The names of images, as Docker defines them, and the labels of our images.

An image's name is ``registry/repository:tag``, and optionally ``@digest``. A first part without a dot, colon or
``localhost`` is not a registry: ``demo/average`` is a repository of this machine or of Docker's own registry.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

from algotools.errors import ImageNotFound

HUB = "docker.io"
"""The registry of a name without a registry."""

_REGISTRY = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Label:
    """The labels of an image. ``algotools build`` writes them; ``algotools inspect`` reads them."""

    DESCRIPTION = "algotools.description"
    """JSON: name and functions of the algorithm, as in ``algotools describe --json``."""

    LEFT_IN_TRIAL = "algotools.left-in-trial"
    """JSON: method -> paths, kinds and evidence of the values that left in a trial call, without the values."""

    PACKAGES = "algotools.packages"
    """JSON: name -> version of Python and of every package in the image."""

    VERSION = "algotools.version"
    """The version of algotools in the image."""

    GATE = "algotools.gate"
    """The version of the disclosure gate in the image's algotools. An image inherits the label of its base."""

    CONTEXT = "algotools.context"
    """Only on a base image: the digest of its sources."""

    MADE_FROM = "algotools.made-from"
    """The id of the unlabelled image. An image with the same id does not need another trial."""

    CLEAN = "algotools.clean"
    """``true`` if the files in the image are identical to those of the revision."""

    TRIAL = "algotools.trial"
    """Only on a container: it tests a new image, and is removed afterwards."""

    REVISION = "org.opencontainers.image.revision"
    TITLE = "org.opencontainers.image.title"
    DETAILS = "org.opencontainers.image.description"
    ALGORITHM_VERSION = "org.opencontainers.image.version"
    LICENSES = "org.opencontainers.image.licenses"
    BASE = "org.opencontainers.image.base.name"
    BASE_DIGEST = "org.opencontainers.image.base.digest"


GATE_VERSION = "1"
"""The value of ``Label.GATE``."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an image's name; a missing part is empty."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """The registry and the repository, which come before the tag or digest."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    @property
    def version(self) -> str:
        """The digest, otherwise the tag, otherwise ``latest``."""
        return self.digest or self.tag or "latest"

    @property
    def host(self) -> str:
        """The host of the registry. The host of Docker's own registry differs from its name."""
        return "registry-1.docker.io" if self.registry in {HUB, f"index.{HUB}"} else self.registry


def make_version_tag(version: str) -> str:
    """Return the tag of a project's version. A tag cannot contain the ``+`` of a local version."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", version)


def parse_reference(text: str) -> Reference:
    """Split an image's name into its parts, as Docker does.

    Raises:
        ImageNotFound: the name is malformed. The message says why.
    """
    tagged_name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _make_malformed_error(text, "after @ comes a digest: sha256: and 64 hexadecimal digits")
    if "://" in tagged_name:
        raise _make_malformed_error(text, f"remove {tagged_name.partition('://')[0]}://")
    first, slash, path = tagged_name.partition("/")
    registry = first if slash and ("." in first or ":" in first or first == "localhost") else ""
    if not registry:
        path = tagged_name
    repository, colon, tag = path.partition(":")
    if registry and not _REGISTRY.fullmatch(registry):
        raise _make_malformed_error(text, f"{registry!r} is not a registry, which is a host with an optional port")
    if colon and not _TAG.fullmatch(tag):
        raise _make_malformed_error(text, f"{tag!r} is not a tag, which has letters, digits, '.', '_' and '-'")
    if not _REPOSITORY.fullmatch(repository):
        raise _make_malformed_error(
            text, "everything before the tag must be lower case" if repository != repository.lower() else ""
        )
    return Reference(registry=registry, repository=repository, tag=tag, digest=digest)


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is a loopback address, where Docker allows plain HTTP."""
    bare = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def _make_malformed_error(text: str, reason: str) -> ImageNotFound:
    return ImageNotFound(
        f"{text!r} is not the name of an image{f': {reason}' if reason else ''}; "
        "an example of a name: registry.example.org/demo/average:1"
    )
