"""The container engine, through the ``docker`` package: connecting to it, and what its errors mean to a user."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import docker
from docker.errors import APIError, DockerException, InvalidConfigFile
from docker.errors import ImageNotFound as NoSuchImage
from docker.models.images import Image
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from algotools.errors import AlgotoolsError, EngineError, ImageNotFound
from algotools.image.credentials import misread

PATIENCE = 3600
"""Seconds that the engine may be silent: a step of a build can take long without a word."""

T = TypeVar("T")

Message = Mapping[str, Any]
"""One item of the stream in which the engine tells how a build, a push or a pull goes."""


@contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """The engine that ``DOCKER_HOST``, Docker's context, or the default socket names; errors are named on the way.

    Podman's compatible socket will do.

    Raises:
        EngineError: there is none, it may not be used, or it goes away within.
        RegistryError: Docker's configuration file, in which the logins stand too, cannot be understood.
    """
    with naming_trouble():
        client = connect()
        try:
            yield client
        finally:
            client.close()


def connect(connections: int = 10) -> docker.DockerClient:
    """A client that is its caller's to close, within ``naming_trouble``; see ``engine``."""
    try:
        return docker.from_env(timeout=PATIENCE, max_pool_size=connections)
    except InvalidConfigFile as error:
        raise misread(error) from None
    except (DockerException, RequestException):
        raise
    except (ValueError, TypeError, AttributeError) as error:  # what docker-py trips over in that file
        raise misread(error) from None


@contextmanager
def naming_trouble(*, met: bool = False) -> Iterator[None]:
    """Turn what the engine and the way to it raise within into an error that says what to do.

    ``met`` tells that it has answered before: if it no longer does, it went away.

    Raises:
        EngineError: see ``engine``.
        ImageNotFound: an image that the engine does not have.
    """
    try:
        yield
    except AlgotoolsError:
        raise
    except NoSuchImage as error:
        raise ImageNotFound(f"the engine has no such image: {said(error)}", detail=str(error)) from None
    except APIError as error:
        raise refused(said(error)) from None
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise _gone(error) if met else _unreachable(error) from None


def fetched(client: docker.DockerClient, reference: str, tell: Callable[[str], object]) -> Image:
    """An image by name, from its registry if the engine has none.

    Raises:
        ImageNotFound: it is in neither, or cannot be got.
    """
    try:
        return client.images.get(reference)
    except NoSuchImage:
        tell(f"getting {reference}")
    try:
        return client.images.pull(reference)
    except APIError as error:
        raise ImageNotFound(
            f"there is no image {reference} here, and its registry does not give it: {said(error)}"
        ) from None


def labels_of(client: docker.DockerClient, image: str) -> dict[str, str]:
    """The labels of an image; none if the engine does not have it."""
    try:
        return dict(client.images.get(image).labels)
    except NoSuchImage:
        return {}


def disk_is_full(words: str) -> bool:
    """Whether that is what the engine says."""
    return "no space left on device" in words.lower()


def refused(words: str) -> EngineError:
    """What the engine said when it could not do its work, with a way out where there is one."""
    if disk_is_full(words):
        return EngineError(
            "the disk of the container engine is full; see what takes the room with `docker system df`, "
            "and free some with `docker system prune`",
            detail=words,
        )
    return EngineError(f"the container engine could not do it: {words}")


def told(stream: Iterable[T]) -> Generator[T, None, None]:
    """What comes in a stream from the engine (messages, lines), as it comes.

    Raises:
        EngineError: the engine went away in the middle.
    """
    try:
        yield from stream
    except APIError:  # an answer, and no silence
        raise
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise _gone(error) from None


def said(error: APIError) -> str:
    """The engine's own words for an error."""
    return str(error.explanation or error).strip()


def _gone(error: BaseException) -> EngineError:
    return EngineError(
        "the container engine went away in the middle; see whether it still runs (`docker info`), and try again",
        detail=f"{type(error).__name__}: {error}",
    )


def _unreachable(error: BaseException) -> EngineError:
    where = os.environ.get("DOCKER_HOST", "")
    at = f" at {where} (DOCKER_HOST)" if where else ""
    numbers = {number for cause in _causes(error) if isinstance(number := getattr(cause, "errno", None), int)}
    if numbers & {errno.EACCES, errno.EPERM}:
        message = (
            f"the container engine{at} may not be used by you; join its group "
            "(`sudo usermod -aG docker $USER`, then log in anew), or use a rootless engine through DOCKER_HOST"
        )
    elif numbers & {errno.ECONNRESET, errno.EPIPE} or "RemoteDisconnected" in str(error):
        return _gone(error)
    else:
        message = (
            f"no container engine answers{at}; start Docker, or name another engine in DOCKER_HOST "
            "(Podman: `systemctl --user start podman.socket`, DOCKER_HOST=unix://$XDG_RUNTIME_DIR/podman/podman.sock)"
        )
    return EngineError(message, detail=f"{type(error).__name__}: {error}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it was raised from or carries: the libraries wrap each other's."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        further = [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
        waiting += [found for found in further if isinstance(found, BaseException)]
