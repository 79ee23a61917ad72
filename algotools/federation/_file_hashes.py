"""Hashes of texts and files, and whether a stored hash of a file still holds."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

LENGTH = 32
"""Number of hexadecimal digits of a hash."""

SETTLED_NS = 2_000_000_000
"""Nanoseconds without a change after which the hash of a file may be stored. Two changes at nearly the same moment can
have the same time, so a hash of a newer file may belong to the content before the last change."""


class FileIdentity(NamedTuple):
    """The values of a file's status that change with its content.

    A program can restore the size, the inode and the time of modification, but not the time of the last change.
    """

    size: int
    modified_ns: int
    changed_ns: int
    inode: int

    @property
    def last_change_ns(self) -> int:
        """The later one of the two times."""
        return max(self.modified_ns, self.changed_ns)


def identify_file(status: os.stat_result) -> FileIdentity:
    """Return the identity of a file's content."""
    return FileIdentity(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def is_settled(identities: Iterable[FileIdentity]) -> bool:
    """Whether no file has changed lately, so that the hashes of the files may be stored."""
    return time.time_ns() - max((identity.last_change_ns for identity in identities), default=0) > SETTLED_NS


def hash_texts(*texts: str) -> str:
    """Return the hash of texts."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:LENGTH]


def hash_file(path: Path, status: os.stat_result) -> str | None:
    """Return the hash of a file's content; None if it cannot be read, or has changed since *status*."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        if identify_file(path.stat()) != identify_file(status):
            return None
    except OSError:
        return None
    return digest.hexdigest()[:LENGTH]
