"""The labels that an image carries, so that it can be inspected without being run."""

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
"""``true`` if the project's folder held nothing that its revision does not."""

REVISION = "org.opencontainers.image.revision"
TITLE = "org.opencontainers.image.title"
DETAILS = "org.opencontainers.image.description"
ALGORITHM_VERSION = "org.opencontainers.image.version"
LICENSES = "org.opencontainers.image.licenses"
BASE = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"

TRIAL = "algotools.trial"
"""A container: it tries a new image, and is removed after that."""
