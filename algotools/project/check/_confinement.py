"""The sandbox of the check's child process: the author's code gets only the project and its local data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from algotools.declare.locate import Location
from algotools.federation.configuration import Member
from algotools.runtime.dispatch.limits import can_limit_memory, limit_memory
from algotools.runtime.sandbox.local import LocalSandbox
from algotools.task import is_image_variable

LARGEST_MEMORY = 4 << 30
"""Bytes of memory that the author's code may use, if this machine has twice as much."""

_LONGEST_COMPUTATION = 3600.0
"""Seconds of computing time per processor. This limit holds if the author's code stops the timers of the check."""


def list_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for the child process. The others may be secrets of the caller, and no node sets them."""
    return {name: value for name, value in environ.items() if is_image_variable(name)}


def confine(
    location: Location, project: Path | None, members: Sequence[Member], folder: str, seconds: float
) -> tuple[str, ...]:
    """Confine this process for good, and return the parts of the sandbox that this machine does not have.

    Args:
        location: the algorithm that this process will import.
        project: the project's folder, which becomes readable.
        members: the organizations whose databases become readable.
        folder: the only folder that stays writable.
        seconds: the time limit of the import and of each trial call.
    """
    memory = None
    if can_limit_memory():
        memory = min(LARGEST_MEMORY, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
        limit_memory(memory)
    sandbox = LocalSandbox(
        folder=folder,
        readable=tuple(str(path) for path in (project, location.root) if path),
        databases=tuple(database.uri for member in members for database in member.databases.values()),
        memory=memory,
        seconds=max(_LONGEST_COMPUTATION, 10 * seconds) * (os.cpu_count() or 1),
    )
    return sandbox.apply()
