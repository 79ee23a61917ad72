"""The files that the author's code may use: the files of the image, and the files of its task.

Everything that is mounted into the container belongs to the node. So this module contains no path of any generation. If
a later generation adds a mount, the author's code cannot use it until a rule here allows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator

from algotools.data.reading import find_path
from algotools.runtime.sandbox._kernel import (
    ALL_RIGHTS,
    EXECUTE,
    IOCTL_DEV,
    READ_DIR,
    READ_FILE,
    TRUNCATE,
    WRITE_FILE,
    Rule,
)
from algotools.task import Task

TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # inside the container, which no other process uses
"""Folders in which the author's code has every right."""

KERNEL_FOLDERS = ("/proc", "/sys", "/dev")
SYSTEM = ("/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr")
"""Readable, including files mounted there: the engine's resolv.conf and hosts, and the drivers of a GPU."""

READ = READ_FILE | READ_DIR
USE_DEVICE = READ | WRITE_FILE | TRUNCATE | IOCTL_DEV
"""The rights on devices, for instance a GPU: use them, but do not create or remove any."""


def build_rules(task: Task, mountinfo: str, code: Collection[str]) -> list[Rule]:
    """Return the rules for everything that the author's code may use.

    ``mountinfo`` is the text of ``/proc/self/mountinfo``, ``code`` the folders that the author's code is imported from.
    """
    node_mounts = _find_node_mounts(mountinfo)
    return [
        *(Rule(path, READ | EXECUTE) for path in SYSTEM),
        Rule("/proc", READ),
        Rule("/sys", READ),
        Rule("/dev", USE_DEVICE),
        *(Rule(path, ALL_RIGHTS) for path in TEMPORARY),
        *_build_image_rules("/", node_mounts, code),
        Rule(str(task.input_file), READ, follows_links=True),
        *(Rule(path, READ, follows_links=True) for d in task.databases if (path := find_path(d.uri))),
        *([Rule(str(task.temporary_folder), ALL_RIGHTS, follows_links=True)] if task.temporary_folder else []),
    ]


def read_mount_points(mountinfo: str) -> set[str]:
    """Return the mount points in a ``mountinfo`` file; see proc(5), which writes blanks and backslashes in octal."""
    return {
        re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split(" ")[4])
        for line in mountinfo.split("\n")  # not splitlines(), which also splits at characters that a path may contain
        if line
    }


def _find_node_mounts(mountinfo: str) -> set[str]:
    """Return the mount points that belong to the node."""
    readable = (*KERNEL_FOLDERS, *SYSTEM)
    return {
        point
        for point in read_mount_points(mountinfo)
        if point != "/" and point not in readable and not point.startswith(tuple(f"{path}/" for path in readable))
    }


def _build_image_rules(folder: str, node_mounts: set[str], code: Collection[str]) -> Iterator[Rule]:
    """Yield a rule for each of the largest parts of a folder that contain no mount of the node."""
    # A rule covers everything below its path, and Landlock has no exceptions. So a folder that contains a mount gets no
    # rule, not even for listing. Instead, each of its other entries gets a rule. The exception is a folder that code is
    # imported from: Python must list it, so the names of the mounts in it are visible, but not their contents.
    if folder in code and folder != "/":
        yield Rule(folder, READ_DIR)
    try:
        with os.scandir(folder) as entries:
            paths = [entry.path for entry in entries if not entry.is_symlink()]
    except OSError:  # a folder that this process cannot read, the author's code cannot read either
        return
    for path in paths:
        if path in node_mounts or path in KERNEL_FOLDERS or path in SYSTEM:
            continue
        if any(point.startswith(f"{path}/") for point in node_mounts):
            yield from _build_image_rules(path, node_mounts, code)
        else:
            yield Rule(path, READ | EXECUTE)
