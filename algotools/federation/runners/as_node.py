"""An image started just as the nodes of v3 and v4 start it: what works here works there.

As root, with no limits, the image's own command, and one folder that all tasks of a node share, into which the node
has copied its databases. It is here to show what an image does at a node; run what you do not trust in ``container``.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

import docker
from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import Mount

from algotools import debug
from algotools.contract import Contract
from algotools.contract.places import DATA, TEMPORARY
from algotools.federation.runners import Job
from algotools.federation.runners.container import URL, databases_mounted, mount
from algotools.federation.runners.containers import Containers
from algotools.federation.runners.relay import relay
from algotools.image.local import Image
from algotools.report import Console
from algotools.task import Task


class AsNodeRunner:
    """Runs an image as a real node does.

    Args:
        client: the engine; the runner's own from now on.
        image: what to run.
        api: the folder of the socket on which the federation's API listens.
    """

    sees_frames = False

    def __init__(self, client: docker.DockerClient, image: Image, api: Path) -> None:
        self._containers = Containers(client)
        self._image = image
        self._api = api
        self._lock = threading.Lock()
        self._placed: set[tuple[Path, object]] = set()
        self.places = max(2, os.cpu_count() or 1)

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""
        job.make_room()
        task = job.contract.inside(job.task, URL)
        node, name = job.task.output_file.parent.parent, job.task.output_file.parent.name
        helper = {"labels": {"vantage6-type": "algorithm-helper"}}
        with (
            self._containers.use(),
            relay(self._containers, self._image.id, self._api, helper) as other,
            self._containers.create(
                self._image.id,
                environment=job.prepare(task).environment,
                network_mode=f"container:{other.id}",
                labels={"vantage6-type": "algorithm", "node": node.name, "algotools.task": name},
                mounts=self._mounts(job.task, job.contract),
            ) as container,
        ):
            self._furnish(container, job.task, job.contract)
            code = self._containers.watch(container, console, job.ending, timeout)
            _fetch(container, task.output_file, job.task.output_file)
            if debug.VARIABLE in task.variables:
                with contextlib.suppress(NotFound):
                    _fetch(container, Path(task.variables[debug.VARIABLE]), Path(job.task.variables[debug.VARIABLE]))
            return code

    def wake(self) -> None:
        """See ``Runner``: there is nothing to get ready."""

    def rest(self) -> None:
        """See ``Runner``: each run has removed its own containers; its node's volumes stay."""

    def close(self) -> None:
        """See ``Runner``; what a node would keep goes, too."""
        self._containers.close()

    def _mounts(self, task: Task, contract: Contract) -> list[Mount]:
        """A node's volumes: one for all data, one for each job; and its databases that are folders."""
        node = task.output_file.parent.parent
        job = task.temporary_folder.name if task.temporary_folder else "tmp"
        volumes = [
            mount(place, self._containers.volume(f"{node.parent.name}-{node.name}-{kind}"), kind="volume")
            for kind, place in (("data", DATA), (job, TEMPORARY))
        ]
        # A node lets an algorithm write there. These are the user's own files, and no copies.
        there = contract.mounted_databases(task)
        return volumes + databases_mounted({place: path for place, path in there.items() if path.is_dir()})

    def _furnish(self, container: Container, task: Task, contract: Contract) -> None:
        """Put the node's databases and the task's folder where all of its tasks have theirs."""
        folder = task.output_file.parent
        files = {place: path for place, path in contract.mounted_databases(task).items() if path.is_file()}
        with self._lock:  # a node copies a database once, before its first task
            new = {place: path for place, path in files.items() if (folder.parent, place) not in self._placed}
            with tempfile.TemporaryFile() as archive:
                _pack({**new, DATA / folder.name: folder}, archive)
                container.put_archive(str(DATA), archive)
            self._placed |= {(folder.parent, place) for place in files}


def _pack(files: Mapping[PurePosixPath, Path], archive: IO[bytes]) -> None:
    """Write a tar of files and folders that belong to root, with the rights that they have here."""

    def of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        for place, path in files.items():
            tar.add(path, str(place.relative_to(DATA)), filter=of_root)
    archive.seek(0)


def _fetch(container: Container, inside: Path, outside: Path) -> None:
    """Copy a file out of a container."""
    stream, _ = container.get_archive(str(inside))
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        content = tar.extractfile(inside.name)
        outside.write_bytes(content.read() if content else b"")
