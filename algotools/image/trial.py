"""A new image on trial: it is started and asked what it can do, so that one that cannot start is found here."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import docker
import msgspec
from docker.errors import APIError
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


def check_starts(client: docker.DockerClient, image: str, platform: str | None = None) -> None:
    """See that a node, which starts an image as it is, would start algotools.

    Raises:
        ImageError: it has a user of its own, or a command that does something else.
    """
    configuration = client.images.get(image).attrs["Config"]
    user = str(configuration.get("User") or "")
    if user not in ROOT:
        raise ImageError(
            f"the Dockerfile says USER {user}: at v3 and v4 nodes the output file belongs to root, and the run would "
            "end with a PermissionError; leave USER out, the algorithm's code runs as an unprivileged user anyway"
        )
    ended = _run(client, image, None, platform)
    failure = read_failure(ended.stderr.rstrip().rpartition("\n")[2])
    if failure is None or failure.exit_code != ContractError.exit_code:
        command = [*(configuration.get("Entrypoint") or []), *(configuration.get("Cmd") or [])]
        raise ImageError(
            f"the image's command {command} does not start algotools (it ended with exit code {ended.code}); end the "
            "Dockerfile without CMD and ENTRYPOINT: the base image has them",
            detail=ended.stderr,
        )


def describe(client: docker.DockerClient, image: str, platform: str | None = None) -> Told:
    """What an image can do and what is in it, found out inside, without network.

    Raises:
        ImageError: its algorithm cannot be imported, or is declared in a way that cannot work.
    """
    ended = _run(client, image, ["python", "-m", "algotools.describe"], platform)
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


def _run(client: docker.DockerClient, image: str, command: list[str] | None, platform: str | None) -> Ended:
    """Start a container that can reach nothing, and wait for its end."""
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
        container.start()
        code = int(container.wait(timeout=LIMIT)["StatusCode"])
        stdout, stderr = (container.logs(stdout=out, stderr=not out) for out in (True, False))
    except APIError as error:
        raise _unstartable(error) from None
    except (ReadTimeout, NoAnswer) as error:
        if "timed out" not in str(error):
            raise
        what = " ".join(command) if command else "its command"
        raise ImageError(
            f"the image was started, and {what} did not come to an end within {LIMIT} s; it must not wait for "
            "anything when it is imported, and end the Dockerfile without CMD and ENTRYPOINT: the base image has them"
        ) from None
    finally:
        with contextlib.suppress(APIError):
            container.remove(force=True, v=True)  # with the volumes that the image declares
    text = stderr.decode(errors="backslashreplace")
    if "exec format error" in text + stdout.decode(errors="replace"):
        raise ImageError(f"the image cannot be tried: {NO_EMULATOR}")
    return Ended(code, stdout, text)


def _unstartable(error: APIError) -> ImageError:
    why = said(error)
    return ImageError(f"the image cannot be started: {NO_EMULATOR if 'exec format error' in why else why}")
