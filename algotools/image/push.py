"""Push an image to its registry, through the engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from docker.errors import APIError

from algotools.errors import ImageError, ImageNotFound, RegistryError
from algotools.image._registry import explain_refusal, make_refusal
from algotools.image.engine import (
    Login,
    Message,
    find_image,
    get_error_text,
    make_engine_error,
    name_silent_registry,
    open_engine,
    read_login,
    read_stream,
)
from algotools.image.names import HUB, Reference, parse_reference

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
    """The progress of a layer. Sizes are in bytes, unpacked, and 0 if the engine does not know them yet."""

    id: str
    state: State
    done: int = 0
    total: int = 0
    status: str = ""
    """The engine's own message: the repository that the layer is mounted from, the time of the next attempt."""


def parse_target(name: str) -> Reference:
    """Return the reference that an image is pushed to. The default tag is ``latest``, as in Docker.

    Raises:
        ImageNotFound: the name is malformed.
        ImageError: the name contains a digest.
        RegistryError: the name has no registry.
    """
    parsed = parse_reference(name)
    if parsed.digest:
        raise ImageError(
            f"{name} contains a digest, which the registry computes after the push; push a tag: "
            f"{parsed.name}:{parsed.tag or '1'}"
        )
    if not parsed.registry:
        path = f"{parsed.repository}:{parsed.version}"
        raise RegistryError(
            f"{name} has no registry to push to; build the image under a name with a registry (`algotools build --tag "
            f"registry.example.org/{path}`), or rename it (`docker tag {name} registry.example.org/{path}`). "
            f"The name in Docker's own registry is {HUB}/{path}"
        )
    return Reference(registry=parsed.registry, repository=parsed.repository, tag=parsed.version, digest="")


def push(name: str, report: Callable[[Layer], None]) -> str:
    """Push an image and return its name in the registry, ``name@sha256:…``. Report each step of each layer.

    Raises:
        EngineError: no engine answers, or the connection to it is lost.
        ImageNotFound: this machine does not have the image, or the name is malformed.
        ImageError: the name contains a digest.
        RegistryError: the name has no registry, or the registry does not answer, requires a login, or refuses.
    """
    target = parse_target(name)
    with open_engine() as client:
        find_image(client, f"{target.name}:{target.tag}")
        login = read_login(target.registry)
        with name_silent_registry(f"push {target.name}:{target.tag}", target.registry):
            try:
                stream: Iterable[Message] = client.api.push(
                    target.name, target.tag, stream=True, decode=True, auth_config=login and login.format_for_engine()
                )
            except APIError as error:  # Podman contacts the registry before it starts the stream
                text = get_error_text(error)
                raise explain_refusal(target, text, login, "push to") or make_engine_error(text) from None
            return f"{target.name}@{_follow(target, stream, login, report)}"


def _follow(target: Reference, stream: Iterable[Message], login: Login | None, report: Callable[[Layer], None]) -> str:
    """Report the progress of a push, and return the digest that the last messages contain."""
    digest = ""
    for message in read_stream(stream):
        if "error" in message:
            raise _make_error(target, str(message["error"]), login)
        status = str(message.get("status", ""))
        if layer := message.get("id"):
            report(_parse_layer(str(layer), status, message.get("progressDetail") or {}))
        elif match := _DIGEST.search(status):
            digest = match[1]
        digest = (message.get("aux") or {}).get("Digest") or digest
    if not digest:
        raise RegistryError(
            f"the engine finished the push to {target.registry} without a digest; check that the image is in the "
            f"registry: `algotools inspect {target.name}:{target.tag}`"
        )
    return digest


def _parse_layer(layer: str, status: str, progress: Message) -> Layer:
    state: State = next((state for text, state in _STATES if status.startswith(text)), "waiting")
    done, total = int(progress.get("current") or 0), int(progress.get("total") or 0)
    return Layer(layer, state, done, max(done, total), status)


def _make_error(target: Reference, text: str, login: Login | None) -> Exception:
    if "does not exist locally" in text:
        return ImageNotFound(f"the image {target.name}:{target.tag} has been removed from this machine", detail=text)
    return make_refusal(target, text, login, "push to")
