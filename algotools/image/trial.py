"""A new image on trial: it is started and asked what it can do, so that one that cannot start is found here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import docker
import msgspec
from docker.errors import APIError
from docker.models.containers import Container
from requests.exceptions import ConnectionError as NoAnswer
from requests.exceptions import ReadTimeout

from algotools.errors import ContractError, ImageError
from algotools.image import labels
from algotools.image.engine import said
from algotools.image.steps import NO_EMULATOR
from algotools.report import read_failure

ROOT = frozenset({"", "0", "root", "0:0", "root:root"})
LIMIT = 300
"""Seconds that an image may take to tell what it is."""


class Told(msgspec.Struct):
    """What an image says of itself."""

    description: dict[str, object]
    packages: dict[str, str]


class Ended(NamedTuple):
    """How a container ended."""

    code: int
    stdout: bytes
    stderr: str


def try_out(client: docker.DockerClient, image: str, platform: str | None = None) -> Told:
    """See that a node, which starts an image as it is, would start algotools; what is in it, found out inside.

    Both at the same time, and without network.

    Raises:
        ImageError: it has a user of its own, or a command that does something else, or its algorithm cannot be
            imported, or is declared in a way that cannot work.
    """
    configuration = client.images.get(image).attrs["Config"]
    user = str(configuration.get("User") or "")
    if user not in ROOT:
        raise ImageError(
            f"the Dockerfile says USER {user}: at v3 and v4 nodes the output file belongs to root, and the run would "
            "end with a PermissionError; leave USER out, the algorithm's code runs as an unprivileged user anyway"
        )
    command = [*(configuration.get("Entrypoint") or []), *(configuration.get("Cmd") or [])]
    with (
        _started(client, image, None, platform) as at_a_node,
        _started(client, image, ["python", "-m", "algotools.describe"], platform) as describing,
    ):
        _check_start(_ended(at_a_node, "its command"), command)
        return _description(_ended(describing, "python -m algotools.describe"))


def _check_start(ended: Ended, command: list[str]) -> None:
    """Started with no variables at all, algotools says that this is no node's environment."""
    failure = read_failure(ended.stderr.rstrip().rpartition("\n")[2])
    if failure is None or failure.exit_code != ContractError.exit_code:
        raise ImageError(
            f"the image's command {command} does not start algotools (it ended with exit code {ended.code}); end the "
            "Dockerfile without CMD and ENTRYPOINT: the base image has them",
            detail=ended.stderr,
        )


def _description(ended: Ended) -> Told:
    if ended.code:
        first, _, rest = ended.stderr.strip().partition("\n")
        raise ImageError(
            "the image was built, and its algorithm cannot be loaded in it: " + (first or f"exit code {ended.code}"),
            detail=rest,
        )
    try:
        return msgspec.json.decode(ended.stdout, type=Told)
    except msgspec.DecodeError:
        raise ImageError("the image's own algotools does not tell what it can do; build it on the base image") from None


@contextlib.contextmanager
def _started(
    client: docker.DockerClient, image: str, command: list[str] | None, platform: str | None
) -> Iterator[Container]:
    """A running container that can reach nothing; removed at the end."""
    try:
        container = client.containers.create(
            image,
            command,
            entrypoint=[] if command else None,
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            tmpfs={"/tmp": ""},  # noqa: S108 - the container's own
            platform=platform,
            labels={labels.TRIAL: ""},
        )
    except APIError as error:
        raise _unstartable(error) from None
    try:
        try:
            container.start()
        except APIError as error:
            raise _unstartable(error) from None
        yield container
    finally:
        with contextlib.suppress(APIError):
            container.remove(force=True, v=True)  # with the volumes that the image declares


def _ended(container: Container, what: str) -> Ended:
    """Wait for a container's end."""
    try:
        code = int(container.wait(timeout=LIMIT)["StatusCode"])
    except (ReadTimeout, NoAnswer) as error:
        if "timed out" not in str(error):
            raise
        raise ImageError(
            f"the image was started, and {what} did not come to an end within {LIMIT} s; it must not wait for "
            "anything when it is imported, and end the Dockerfile without CMD and ENTRYPOINT: the base image has them"
        ) from None
    stdout, stderr = (container.logs(stdout=out, stderr=not out) for out in (True, False))
    text = stderr.decode(errors="backslashreplace")
    if "exec format error" in text + stdout.decode(errors="replace"):
        raise ImageError(f"the image cannot be tried: {NO_EMULATOR}")
    return Ended(code, stdout, text)


def _unstartable(error: APIError) -> ImageError:
    why = said(error)
    return ImageError(f"the image cannot be started: {NO_EMULATOR if 'exec format error' in why else why}")
