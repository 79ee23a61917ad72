"""Names of images, taken apart as Docker does it: registry, repository, tag, digest."""

from __future__ import annotations

import ipaddress
import re

import msgspec

from algotools.errors import ImageNotFound

HUB = "docker.io"
"""The registry that Docker takes when a name has none."""

_REGISTRY = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an image's name; a part that is not in it is empty."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """Registry and repository: what a tag or a digest comes after."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    @property
    def version(self) -> str:
        """What says which of the images of this name is meant: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or "latest"

    @property
    def host(self) -> str:
        """Where the registry answers; Docker's own does so under another name than that in its images' names."""
        return "registry-1.docker.io" if self.registry in {HUB, f"index.{HUB}"} else self.registry

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine, where Docker allows plain http."""
        return is_loopback(self.registry)


def tag_of(version: str) -> str:
    """The tag of a project's version: a local version's ``+`` is none of a tag's characters."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", version)


def parse(text: str) -> Reference:
    """Take a name apart.

    Raises:
        ImageNotFound: no image can have such a name; says why, and how one looks.
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _malformed(text, "what stands after @ is a digest: sha256: and 64 hexadecimal digits")
    if "://" in rest:
        raise _malformed(text, f"leave {rest.partition('://')[0]}:// off")
    first, slash, path = rest.partition("/")
    registry = first if slash and ("." in first or ":" in first or first == "localhost") else ""
    if not registry:
        path = rest
    repository, colon, tag = path.partition(":")
    if registry and not _REGISTRY.fullmatch(registry):
        raise _malformed(text, f"{registry!r} is no registry; one is a host, with a port if need be")
    if colon and not _TAG.fullmatch(tag):
        raise _malformed(text, f"{tag!r} is no tag; one is of letters, digits, '.', '_' and '-'")
    if not _REPOSITORY.fullmatch(repository):
        why = "all but the tag is written in lower case" if repository != repository.lower() else ""
        raise _malformed(text, why)
    return Reference(registry=registry, repository=repository, tag=tag, digest=digest)


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine by its very name: ``localhost``, ``127.0.0.0/8``."""
    bare = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def _malformed(text: str, why: str) -> ImageNotFound:
    because = f": {why}" if why else ""
    return ImageNotFound(
        f"{text!r} is not a name of an image{because}; one looks like registry.example.org/demo/average:1"
    )
