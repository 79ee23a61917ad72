"""The platforms of images, and the platform of this machine."""

from __future__ import annotations

import platform

import msgspec

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i386": "386", "i686": "386"}


class ImagePlatform(msgspec.Struct, frozen=True):
    """The operating system and processor that an image is built for."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    @property
    def is_known(self) -> bool:
        """Whether this is the platform of an image. Attachments of an index have the platform "unknown"."""
        return self.os not in {"", "unknown"}


def get_local_platform() -> ImagePlatform:
    """Return the platform of this machine's containers, which run Linux on every machine."""
    machine = platform.machine().lower()
    return ImagePlatform("linux", _MACHINES.get(machine, machine))
