"""Which files the author's code may use: the image's own, and what is this task's.

What belongs to the node is whatever is mounted into the container, wherever a generation mounts it. So nothing here
knows a generation's paths, and a mount that a later one adds is out of reach until somebody lets it in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator

from algotools.confine.landlock import (
    EVERY,
    EXECUTE,
    IOCTL_DEV,
    READ_DIR,
    READ_FILE,
    TRUNCATE,
    WRITE_FILE,
    Rule,
)
from algotools.data.reading import path_of
from algotools.task import Task

TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # the image's own, which nobody else sees
"""Where the author's code may do as it likes."""

KERNELS = ("/proc", "/sys", "/dev")
SYSTEM = ("/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr")
"""Readable with all that is mounted there: an engine's own resolv.conf and hosts, and a GPU's drivers."""

READ = READ_FILE | READ_DIR
USE = READ | WRITE_FILE | TRUNCATE | IOCTL_DEV
"""Devices, a GPU's among them: to make new ones or remove them is no use of them."""


def rules(task: Task, mountinfo: str, code: Collection[str]) -> list[Rule]:
    """All that the author's code may use.

    ``mountinfo`` is the text of ``/proc/self/mountinfo``, ``code`` the folders that it is imported from.
    """
    foreign = _foreign(mountinfo)
    return [
        *(Rule(path, READ | EXECUTE) for path in SYSTEM),
        Rule("/proc", READ),
        Rule("/sys", READ),
        Rule("/dev", USE),
        *(Rule(path, EVERY) for path in TEMPORARY),
        *_image("/", foreign, code),
        Rule(str(task.input_file), READ, follow=True),
        *(Rule(path, READ, follow=True) for d in task.databases if (path := path_of(d.uri))),
        *([Rule(str(task.temporary_folder), EVERY, follow=True)] if task.temporary_folder else []),
    ]


def mount_points(mountinfo: str) -> set[str]:
    """Where something is mounted; see proc(5), which writes blanks and backslashes as octal numbers."""
    return {
        re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split(" ")[4])
        for line in mountinfo.split("\n")  # not splitlines: a path may hold what else ends a line
        if line
    }


def _foreign(mountinfo: str) -> set[str]:
    """What the node mounted."""
    known = (*KERNELS, *SYSTEM)
    return {
        point
        for point in mount_points(mountinfo)
        if point != "/" and point not in known and not point.startswith(tuple(f"{path}/" for path in known))
    }


def _image(folder: str, foreign: set[str], code: Collection[str]) -> Iterator[Rule]:
    """The largest parts of a folder in which nothing is mounted.

    A rule holds for all that is below its path. So a folder in which something is mounted can have no rule, and not
    even be listed: except where code is imported from, which takes listing. There the names of what is mounted show.
    """
    if folder in code and folder != "/":
        yield Rule(folder, READ_DIR)
    try:
        with os.scandir(folder) as entries:
            paths = [entry.path for entry in entries if not entry.is_symlink()]
    except OSError:  # a folder that is closed to whoever asks is closed to the author's code
        return
    for path in paths:
        if path in foreign or path in KERNELS or path in SYSTEM:
            continue
        if any(point.startswith(f"{path}/") for point in foreign):
            yield from _image(path, foreign, code)
        else:
            yield Rule(path, READ | EXECUTE)
