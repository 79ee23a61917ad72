"""The labels that an image carries, so that it can be inspected without being run."""

import re
from collections.abc import Mapping

DESCRIPTION = "algotools.description"
"""JSON: name and functions of the algorithm, as ``algotools describe --json`` shows them."""

PACKAGES = "algotools.packages"
"""JSON: name -> version of Python and of every package in the image."""

VERSION = "algotools.version"
"""The version of algotools in the image."""

CONTEXT = "algotools.context"
"""A base image: the digest of what it was made from."""

MADE_FROM = "algotools.made-from"
"""The image that these labels were put on: the same one need not be tried again."""

CLEAN = "algotools.clean"
"""``true`` if the files in the image are those of the revision."""

REVISION = "org.opencontainers.image.revision"
TITLE = "org.opencontainers.image.title"
DETAILS = "org.opencontainers.image.description"
ALGORITHM_VERSION = "org.opencontainers.image.version"
LICENSES = "org.opencontainers.image.licenses"
BASE = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"

TRIAL = "algotools.trial"
"""A container: it tries a new image, and is removed after that."""

LONGEST_LINE = 60_000
"""Of a Dockerfile; the classic builder takes 65,535."""


def in_one_step(labels: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The ``LABEL`` line that sets all labels at once, and those that have no place in it.

    The builder makes a step, and a container, of each label that it is given in another way.
    """
    line, rest = "LABEL", {}
    for name, value in labels.items():
        word = f' "{name}"="{_escaped(value)}"'
        if value.isprintable() and len((line + word).encode()) <= LONGEST_LINE:
            line += word
        else:
            rest[name] = value
    return line if len(line) > len("LABEL") else "", rest


def _escaped(value: str) -> str:
    """A value as it stands between double quotes: there the builder looks for its end, and for variables."""
    return re.sub(r'(["\\$])', r"\\\1", value)
