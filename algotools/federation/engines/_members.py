"""The members of a database that is a file or a folder: which files its readers see, and in which state they are.

A folder is listed completely, with hidden files, because its readers decide what they use. A link to another member is
a member of its own. A link that leads out of the folder is refused: nobody would notice that other files travel.

A message never contains the name of a member: the folder of a partition can be named after a value from the data. The
detail, which only the owner reads, contains the path.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from algotools.data.reading import Unreadable
from algotools.federation._file_hashes import FileIdentity, identify_file

COMPANIONS = (b"-wal", b"-journal", b".wal")
"""Endings of the files beside a SQLite or DuckDB database that contain rows which the database itself lacks."""

_TICK_NS = 20_000_000
"""Nanoseconds in which two changes of a file can have the same time, because the clock of file systems is coarse."""

Kind = Literal["file", "folder", "link"]


class DataMember(NamedTuple):
    """A file, a folder or a link of a database."""

    name: bytes
    """The path relative to the folder. For a database that is a file: empty, and the ending of a companion."""
    kind: Kind
    source: bytes
    """The path on this machine."""
    identity: FileIdentity
    target: bytes = b""
    """The member that a link leads to, relative to the folder of the link."""

    @property
    def state(self) -> tuple[object, ...]:
        """The values that change with the member. The time of a folder is not among them: its names are compared."""
        return self.name, self.kind, self.target, self.identity if self.kind == "file" else None


def list_members(path: bytes) -> list[DataMember]:
    """Return the members of a database in order; a folder comes before its content.

    Raises:
        OSError: the path does not exist, or may not be read.
        Unreadable: the path, or a member, is not a file or folder; or a link leads out of the folder.
    """
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        root = os.path.realpath(path)
        return sorted(_list_folder(root, root, b""), key=lambda member: member.name)
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("it is a pipe or a device, which cannot be read twice; save its content to a file")
    return [DataMember(b"", "file", path, identify_file(status)), *_list_companions(path)]


def _list_companions(path: bytes) -> Iterator[DataMember]:
    for ending in COMPANIONS:
        # SQLite resolves a link before it looks for the companions, DuckDB does not.
        for source in (os.path.realpath(path) + ending, path + ending):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(source)
                if stat.S_ISREG(status.st_mode):
                    yield DataMember(ending, "file", source, identify_file(status))
                    break


def _list_folder(root: bytes, folder: bytes, prefix: bytes) -> Iterator[DataMember]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            status = entry.stat(follow_symlinks=False)
            identity = identify_file(status)
            if stat.S_ISDIR(status.st_mode):
                yield DataMember(name, "folder", entry.path, identity)
                yield from _list_folder(root, entry.path, name + b"/")
            elif stat.S_ISREG(status.st_mode):
                yield DataMember(name, "file", entry.path, identity)
            elif stat.S_ISLNK(status.st_mode):
                yield DataMember(name, "link", entry.path, identity, _resolve_link(root, folder, entry.path))
            else:
                raise Unreadable(
                    "its folder contains a pipe, a socket or a device, which cannot be sent to a worker of the engine",
                    os.fsdecode(entry.path),
                )


def _resolve_link(root: bytes, folder: bytes, path: bytes) -> bytes:
    """Return the target of a link, relative to the link's folder."""
    target = os.path.realpath(path)
    if not is_inside(root, target):
        raise Unreadable(
            "its folder contains a link that leads out of the folder; replace the link by a copy, or put the folder "
            "on storage that the engine's workers share",
            f"{os.fsdecode(path)} leads to {os.fsdecode(target)}",
        )
    return os.path.relpath(target, folder)


def list_regular(members: Iterable[DataMember]) -> list[DataMember]:
    """Return the members that are files, without folders and links."""
    return [member for member in members if member.kind == "file"]


def is_member_name(name: bytes) -> bool:
    """Whether a name, as it arrives from another machine, names something in a folder and does not lead out of it."""
    return b"\0" not in name and not any(part in (b"", b".", b"..") for part in name.split(b"/"))


def is_inside(root: bytes, path: bytes) -> bool:
    """Whether a resolved path is a resolved folder, or is in it."""
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


def wait_for_tick(members: list[DataMember]) -> None:
    """Wait until a further change of a file must give it another time than its last change."""
    age = time.time_ns() - max((member.identity.last_change_ns for member in list_regular(members)), default=0)
    if 0 <= age < _TICK_NS:
        time.sleep((_TICK_NS - age) / 1e9)
