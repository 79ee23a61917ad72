"""The container runner: every run in a container of its image, which can reach and change next to nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import docker
import msgspec
from docker.errors import DockerException
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


class Inside(NamedTuple):
    """A task as its container sees it."""

    task: Task
    mounts: dict[str, dict[str, str]]
    """Path on this machine -> where it is in the container, and how."""


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
        inside = see(job.task)
        environment = job.prepare(inside.task).environment
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
                    volumes=inside.mounts,
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
        environment = job.prepare(job.task).environment
        try:
            method = contract.detect(environment).read(environment).method
        except AlgotoolsError:
            return False  # it will say so itself
        return self._image.roles.get(method) == "master"


def _bytes(memory: int | str) -> int:
    try:
        return int(parse_bytes(memory))
    except DockerException:
        raise FederationError(f"{memory!r} is no amount of memory; write 512m or 4g, or a number of bytes") from None


def see(task: Task) -> Inside:
    """Where a task's files and databases are in a container: where the nodes of v3 and v4 have them."""
    folder = DATA / task.output_file.parent.name
    mounts = {str(task.output_file.parent): {"bind": str(folder), "mode": "rw"}}
    if task.temporary_folder is not None:
        mounts[str(task.temporary_folder)] = {"bind": str(TEMPORARY), "mode": "rw"}

    def mounted(database: Database) -> Database:
        place = database_place(database)
        if place is None:
            return database
        mounts[str(Path(database.uri).resolve())] = {"bind": str(place), "mode": "ro"}
        return msgspec.structs.replace(database, uri=str(place))

    return Inside(within(task, tuple(map(mounted, task.databases)), tuple(map(mounted, task.configured))), mounts)


def within(task: Task, databases: tuple[Database, ...], configured: tuple[Database, ...]) -> Task:
    """A task with the paths of a container, and databases that are already its own."""
    folder = Path(DATA / task.output_file.parent.name)
    variables = dict(task.variables)
    if debug.VARIABLE in variables:
        variables[debug.VARIABLE] = str(folder / Path(variables[debug.VARIABLE]).name)
    return msgspec.structs.replace(
        task,
        databases=databases,
        configured=configured,
        input_file=folder / task.input_file.name,
        output_file=folder / task.output_file.name,
        temporary_folder=Path(TEMPORARY) if task.temporary_folder else None,
        proxy=Proxy(f"http://127.0.0.1:{PORT}", folder / task.proxy.token_file.name) if task.proxy else None,
        variables=variables,
    )


def database_place(database: Database) -> PurePosixPath | None:
    """Where a container has a database that is a file or a folder here; None for any other."""
    path = Path(database.uri)
    if not database.uri or "://" in database.uri or not path.exists():
        return None
    return DATA.parent / database.label if path.is_dir() else DATA / f"{database.label}{path.suffix}"
