"""Handing an image to a registry, through the engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from docker.errors import APIError

from algotools.errors import ImageError, ImageNotFound, RegistryError
from algotools.image import credentials, finding, reference
from algotools.image.credentials import Login
from algotools.image.engine import Message, engine, refused, said, told
from algotools.image.reference import HUB, Reference
from algotools.image.refusal import known, refusal

State = Literal["waiting", "pushing", "retrying", "pushed", "there", "mounted"]

_STATES: list[tuple[str, State]] = [
    ("Pushing", "pushing"),
    ("Retrying", "retrying"),
    ("Pushed", "pushed"),
    ("Layer already exists", "there"),
    ("Mounted from", "mounted"),
]
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")


class Layer(NamedTuple):
    """How far a layer is. Sizes are in bytes, unpacked, and 0 where the engine does not know them yet."""

    id: str
    state: State
    done: int = 0
    total: int = 0
    words: str = ""
    """What the engine says of it: from where it is mounted, when it is tried again."""


def pushable(name: str) -> Reference:
    """The name under which an image can be pushed; without a tag it is ``latest``, as Docker has it.

    Raises:
        ImageNotFound: it is no image's name.
        ImageError: it is a digest.
        RegistryError: it names no registry.
    """
    parsed = reference.parse(name)
    if parsed.digest:
        raise ImageError(
            f"{name} names an image by its digest, which a registry gives once the image is there; push a tag: "
            f"{parsed.name}:{parsed.tag or '1'}"
        )
    if not parsed.registry:
        wanted = f"{parsed.repository}:{parsed.version}"
        raise RegistryError(
            f"{name} names no registry to push to; build it under a name that does (`algotools build --tag "
            f"registry.example.org/{wanted}`), or give it one (`docker tag {name} registry.example.org/{wanted}`). "
            f"Docker's own registry is {HUB}/{wanted}"
        )
    return Reference(registry=parsed.registry, repository=parsed.repository, tag=parsed.version, digest="")


def push(name: str, tell: Callable[[Layer], None]) -> str:
    """Push an image and give its name there, ``name@sha256:…``; ``tell`` hears of each step of each layer.

    Raises:
        EngineError: there is no engine, or it went away in the middle.
        ImageNotFound: there is no such image on this machine, or it is no image's name.
        ImageError: the name is a digest.
        RegistryError: the registry is not named, does not answer, wants a login, or refuses.
    """
    target = pushable(name)
    with engine() as client:
        finding.find(client, f"{target.name}:{target.tag}")
        login = credentials.of(target.registry)
        try:
            stream: Iterable[Message] = client.api.push(
                target.name, target.tag, stream=True, decode=True, auth_config=login and login.for_engine()
            )
        except APIError as error:  # Podman asks the registry before it answers
            raise known(target, said(error), login, "push to") or refused(said(error)) from None
        return f"{target.name}@{_follow(target, stream, login, tell)}"


def _follow(target: Reference, stream: Iterable[Message], login: Login | None, tell: Callable[[Layer], None]) -> str:
    """Hear a push out, and give the digest that it ends with."""
    digest = ""
    for message in told(stream):
        if "error" in message:
            raise _failure(target, str(message["error"]), login)
        status = str(message.get("status", ""))
        if layer := message.get("id"):
            tell(_layer(str(layer), status, message.get("progressDetail") or {}))
        elif stated := _DIGEST.search(status):
            digest = stated[1]
        digest = (message.get("aux") or {}).get("Digest") or digest
    if not digest:
        raise RegistryError(
            f"the engine ended the push to {target.registry} without naming a digest; see whether the image is there: "
            f"`algotools inspect {target.name}:{target.tag}`"
        )
    return digest


def _layer(layer: str, status: str, progress: Message) -> Layer:
    state: State = next((state for words, state in _STATES if status.startswith(words)), "waiting")
    done, total = int(progress.get("current") or 0), int(progress.get("total") or 0)
    return Layer(layer, state, done, max(done, total), status)


def _failure(target: Reference, words: str, login: Login | None) -> Exception:
    if "does not exist locally" in words:
        return ImageNotFound(f"there is no image {target.name}:{target.tag} on this machine any more", detail=words)
    return refusal(target, words, login, "push to")
