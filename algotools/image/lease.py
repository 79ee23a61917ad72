"""Images that a federation uses: a build that gives an image's name to a newer image must not remove them.

A lease is a lock on a file in the temporary folder, so the kernel ends it with its process. The file is empty until a
build replaces the image. The image is then removed with the last lease, or by the next build if a process was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Lease:
    """The right to use an image until ``close``.

    Args:
        client: the connection to the engine.
        image: the id of the image.
    """

    def __init__(self, client: docker.DockerClient, image: str) -> None:
        self._client = client
        with lock_names():
            self._descriptor = os.open(_get_path(image), _FLAGS, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def close(self) -> None:
        """End the lease, and remove the image if it has been replaced and nobody else uses it."""
        os.close(self._descriptor)
        with lock_names():
            remove_replaced_images(self._client)


@contextlib.contextmanager
def lock_names() -> Iterator[None]:
    """Let only one process of this user name an image, take a lease or end a lease at a time."""
    descriptor = os.open(_get_folder() / f"{_get_prefix()}naming.lock", _FLAGS, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def mark_replaced(image: str) -> None:
    """Note that an image has lost its name, for ``remove_replaced_images``. The caller holds ``lock_names``."""
    descriptor = os.open(_get_path(image), _FLAGS, 0o600)
    try:
        os.write(descriptor, b"replaced")
    finally:
        os.close(descriptor)


def remove_replaced_images(client: docker.DockerClient) -> None:
    """Remove the replaced images that nobody has a lease on. The caller holds ``lock_names``."""
    for path in _get_folder().glob(f"{_get_prefix()}image-*"):
        with contextlib.suppress(OSError):  # a file of another user
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_size:
                    _remove_unnamed(client, f"sha256:{path.name.rpartition('-')[2]}")
                path.unlink()
            finally:
                os.close(descriptor)


def _remove_unnamed(client: docker.DockerClient, image: str) -> None:
    """Remove an image unless it has a name again: a build that changes nothing gives the same image."""
    with contextlib.suppress(Exception):  # a container or another image uses it, or the engine has been stopped
        if not client.images.get(image).tags:
            client.api.remove_image(image)


def _get_folder() -> Path:
    return Path(tempfile.gettempdir())


def _get_prefix() -> str:
    return f"algotools-{os.getuid()}-"


def _get_path(image: str) -> Path:
    return _get_folder() / f"{_get_prefix()}image-{re.sub('[^0-9a-f]', '', image.removeprefix('sha256:'))}"
