"""The container runner: every run in a container of its image, which can reach and change next to nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import docker
import msgspec
from docker.errors import DockerException
from docker.types import Mount
from docker.utils import parse_bytes

from algotools import contract, debug
from algotools.errors import AlgotoolsError, FederationError
from algotools.federation.runners import Job
from algotools.federation.runners.containers import Containers
from algotools.federation.runners.relay import PORT, relay
from algotools.image.local import Image
from algotools.report import Console
from algotools.task import Database, Proxy, Task

DATA = PurePosixPath("/mnt/data")
TEMPORARY = PurePosixPath("/mnt/tmp")
PROCESSES = 512
LIMIT = 3600.0
"""Seconds for a run, where nobody says otherwise."""


class ContainerRunner:
    """Runs an image hardened: no network, nothing to write to, no rights, and limits.

    Args:
        client: the engine; the runner's own from now on.
        image: what to run.
        api: the folder of the socket on which the federation's API listens.
        memory: what a run may use, by default its share of what the engine has.

    Raises:
        FederationError: ``memory`` is no amount of memory.
    """

    def __init__(self, client: docker.DockerClient, image: Image, api: Path, memory: int | str | None = None) -> None:
        self._containers = Containers(client)
        self._image = image
        self._api = api
        self.places = max(2, os.cpu_count() or 1)
        information = client.info()
        self._memory = _bytes(memory) if memory else int(information["MemTotal"] * 0.8) // self.places
        rootless = any("rootless" in option for option in information.get("SecurityOptions") or [])
        # Of a rootless engine, root in a container is the user outside.
        self._user = "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""
        environment = job.prepare(within(job.task)).environment
        with self._containers.use(), contextlib.ExitStack() as stack:
            network = "none"
            if self._asks_others(job):
                other = stack.enter_context(relay(self._containers, self._image.id, self._api, self._hardened()))
                network = f"container:{other.id}"
            container = stack.enter_context(
                self._containers.create(
                    self._image.id,
                    environment=environment,
                    network_mode=network,
                    mounts=_mounts(job.task),
                    labels={"algotools.task": job.task.output_file.parent.name},
                    **self._hardened(),
                )
            )
            return self._containers.watch(container, console, timeout or LIMIT)

    def close(self) -> None:
        """See ``Runner``."""
        self._containers.close()

    def _hardened(self) -> dict[str, Any]:
        return {
            "user": self._user,
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": PROCESSES,
            "mem_limit": self._memory,
            "memswap_limit": self._memory,
            "tmpfs": {"/tmp": "rw,nosuid,nodev,mode=1777"},  # noqa: S108 - the container's own
        }

    def _asks_others(self, job: Job) -> bool:
        """Whether a run may need the API: a master does, and an image that does not say what it is."""
        if not self._image.roles:
            return True
        try:
            method = contract.detect(job.environment).read(job.environment).method
        except AlgotoolsError:
            return False  # it will say so itself
        return self._image.roles.get(method) == "master"


def _bytes(memory: int | str) -> int:
    try:
        return int(parse_bytes(memory))
    except DockerException:
        raise FederationError(f"{memory!r} is no amount of memory; write 512m or 4g, or a number of bytes") from None


def _mounts(task: Task) -> list[Mount]:
    """A run's own folder, its job's, and the node's databases, which cannot be written to."""
    folder = task.output_file.parent
    own = {DATA / folder.name: folder, **({TEMPORARY: task.temporary_folder} if task.temporary_folder else {})}
    return [*(mount(place, path) for place, path in own.items()), *databases_mounted(places(task))]


def mount(
    place: PurePosixPath, source: Path | str, *, kind: Literal["bind", "volume"] = "bind", read_only: bool = False
) -> Mount:
    """A folder or file of this machine, or a volume, at a place in a container."""
    return Mount(str(place), str(source), type=kind, read_only=read_only)


def databases_mounted(found: Mapping[PurePosixPath, Path]) -> list[Mount]:
    """Databases, which may be written to by nobody; several labels may name one file."""
    return [mount(place, path.resolve(), read_only=True) for place, path in found.items()]


def within(task: Task) -> Task:
    """A task with the paths of a container: where the nodes of v3 and v4 have files and databases."""
    folder = Path(DATA / task.output_file.parent.name)
    variables = dict(task.variables)
    if debug.VARIABLE in variables:
        variables[debug.VARIABLE] = str(folder / Path(variables[debug.VARIABLE]).name)
    return msgspec.structs.replace(
        task,
        databases=tuple(map(_moved, task.databases)),
        configured=tuple(map(_moved, task.configured)),
        input_file=folder / task.input_file.name,
        output_file=folder / task.output_file.name,
        temporary_folder=Path(TEMPORARY) if task.temporary_folder else None,
        proxy=Proxy(f"http://127.0.0.1:{PORT}", folder / task.proxy.token_file.name) if task.proxy else None,
        variables=variables,
    )


def places(task: Task) -> dict[PurePosixPath, Path]:
    """Where a container has the databases that are files and folders here."""
    databases = (*task.databases, *task.configured)
    return {place: Path(database.uri) for database in databases if (place := _place(database))}


def _moved(database: Database) -> Database:
    place = _place(database)
    return msgspec.structs.replace(database, uri=str(place)) if place else database


def _place(database: Database) -> PurePosixPath | None:
    """Where a container has a database that is a file or a folder here; None for any other."""
    path = Path(database.uri)
    if not database.uri or "://" in database.uri or not path.exists():
        return None
    return DATA.parent / database.label if path.is_dir() else DATA / f"{database.label}{path.suffix}"
