"""The container runner: every run in a container of its image, which can reach and change next to nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import docker
from docker.types import Mount

from algotools import contract, debug
from algotools.errors import AlgotoolsError
from algotools.federation.runners import Job
from algotools.federation.runners.containers import GRACE, Containers
from algotools.federation.runners.relay import PORT, relay
from algotools.image.local import Image
from algotools.report import Console

URL = f"http://127.0.0.1:{PORT}"
"""The API, as a container reaches it."""

PROCESSES = 512
LIMIT = 3600.0
"""Seconds for a run, where nobody says otherwise."""


class ContainerRunner:
    """Runs an image hardened: no network, nothing to write to, no rights, and limits.

    Args:
        client: the engine; the runner's own from now on.
        image: what to run.
        api: the folder of the socket on which the federation's API listens.
        memory: what a run may use, in bytes; by default its share of what the engine has.
    """

    sees_frames = False

    def __init__(self, client: docker.DockerClient, image: Image, api: Path, memory: int | None = None) -> None:
        self._containers = Containers(client)
        self._image = image
        self._api = api
        self.places = max(2, os.cpu_count() or 1)
        information = client.info()
        self._memory = memory or int(information["MemTotal"] * 0.8) // self.places
        rootless = any("rootless" in option for option in information.get("SecurityOptions") or [])
        # Of a rootless engine, root in a container is the user outside.
        self._user = "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""
        job.make_room()
        environment = job.prepare(job.contract.inside(job.task, URL)).environment
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
                    mounts=_mounts(job),
                    labels={"algotools.task": job.task.output_file.parent.name},
                    **self._hardened(),
                )
            )
            grace = GRACE if self._image.ours else 0.0  # no other wrapper says in its own words that it is overdue
            return self._containers.watch(container, console, job.ending, timeout or LIMIT, grace)

    def wake(self) -> None:
        """See ``Runner``: there is nothing to get ready."""

    def rest(self) -> None:
        """See ``Runner``: each run has removed its own containers."""

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
        """Whether a run may need the API: a master does, and an image that does not say what it is (v3, v4)."""
        if job.contract.has_sessions:
            return job.task.role == "master"  # the cluster lets nobody else
        if not self._image.roles:
            return True
        try:
            method = contract.detect(job.environment).read(job.environment).method
        except AlgotoolsError:
            return False  # it will say so itself
        return self._image.roles.get(method) == "master"


def _mounts(job: Job) -> list[Mount]:
    """What a run may write to, and the node's databases, which it may not."""
    own = {**job.contract.mounted(job.task), **_details(job)}
    places = job.contract.mounted_databases(job.task)
    return [*(mount(place, path) for place, path in own.items()), *databases_mounted(places)]


def _details(job: Job) -> dict[PurePosixPath, Path]:
    """The owner's own file, where the folder that it is in is none of what a generation mounts."""
    if debug.VARIABLE not in job.task.variables:
        return {}
    path = Path(job.task.variables[debug.VARIABLE])
    if path.parent in job.contract.mounted(job.task).values():
        return {}
    path.touch()
    return {PurePosixPath(job.contract.inside(job.task, URL).variables[debug.VARIABLE]): path}


def mount(
    place: PurePosixPath, source: Path | str, *, kind: Literal["bind", "volume"] = "bind", read_only: bool = False
) -> Mount:
    """A folder or file of this machine, or a volume, at a place in a container."""
    return Mount(str(place), str(source), type=kind, read_only=read_only)


def databases_mounted(found: Mapping[PurePosixPath, Path]) -> list[Mount]:
    """Databases, which may be written to by nobody; several labels may name one file."""
    return [mount(place, path.resolve(), read_only=True) for place, path in found.items()]
