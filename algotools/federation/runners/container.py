"""The runners that start an algorithm's image: hardened (``container``), or as a real node does (``as-node``).

A hardened container has no network, no privileges and a read-only file system. The runner ``as-node`` starts an image
as a node of v3 or v4 does: as root, without limits, with the image's own command, and with one folder that all tasks of
a node share and into which the node has copied its databases. Run images that you do not trust in ``container``.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tarfile
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

import docker
from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import Mount

from algotools.disclosure.policy import SETTINGS
from algotools.errors import AlgotoolsError, FederationError
from algotools.federation.contract import NodeContract
from algotools.federation.contract.prepare import DATA, TEMPORARY, list_ledger_mount
from algotools.federation.runners import Job, Runner
from algotools.federation.runners._described import check_described
from algotools.federation.runners.containers import GRACE, PORT, Containers, start_relay
from algotools.image.build import build_project, get_local_tag
from algotools.image.engine import connect, translate_errors
from algotools.image.inspect import RunnableImage, read_runnable_image
from algotools.runtime import contract, logs
from algotools.runtime.dispatch.checking import CheckedCall, CheckReply
from algotools.runtime.logs import Console
from algotools.task import Task

URL = f"http://127.0.0.1:{PORT}"
"""The URL of the API inside a container."""

PROCESSES = 512
"""Processes and threads that a run may have."""

LIMIT = 3600.0
"""Seconds that a run may take, if the caller sets no limit."""

ORGANIZATIONS = SETTINGS["organizations"].variable
"""The variable with the minimum of organizations."""


class _ContainerRunner:
    """Runs an image hardened: no network, a read-only file system, no privileges, limited memory and processes.

    Args:
        client: the connection to the engine; ``close`` closes it.
        image: the image to run.
        api: the folder of the socket on which the federation's API listens.
        memory: the memory limit of a run in bytes; default: an equal share of 80 % of the engine's memory.
    """

    sees_frames = False

    def __init__(self, client: docker.DockerClient, image: RunnableImage, api: Path, memory: int | None = None) -> None:
        self._containers = Containers(client, image.id)
        self.image = image
        self._api = api
        self.slots = max(2, os.cpu_count() or 1)
        self.has_gate = image.has_gate
        information = client.info()
        self._memory = memory or int(information["MemTotal"] * 0.8) // self.slots
        # A run must write its output file, which belongs to this user. A rootless engine maps root in a container to
        # this user. Any other user of the container has no access to the file.
        is_rootless = any("rootless" in option for option in information.get("SecurityOptions") or [])
        self._user = "0:0" if is_rootless else f"{os.getuid()}:{os.getgid()}"

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""
        job.make_temporary_folder()
        environment = job.prepare(job.contract.map_to_container(job.task, URL)).environment
        with self._containers.use(), contextlib.ExitStack() as stack:
            network = "none"
            if self._needs_api(job):
                relay = start_relay(self._containers, self.image.id, self._api, self._make_hardened_settings())
                network = f"container:{stack.enter_context(relay).id}"
            container = stack.enter_context(
                self._containers.create(
                    self.image.id,
                    environment=environment,
                    network_mode=network,
                    mounts=_make_mounts(job),
                    labels={"algotools.task": job.task.output_file.parent.name},
                    **self._make_hardened_settings(),
                )
            )
            # Only runs of algotools report their own timeout.
            grace = GRACE if self.image.has_algotools_labels else 0.0
            return self._containers.watch(container, console, job.cancellation, timeout or LIMIT, grace)

    def check(self, call: CheckedCall | None, timeout: float) -> CheckReply | None:
        """See ``Runner``. The label of the image describes its functions, so no container starts."""
        del timeout
        return check_described(self.image.functions, call)

    def start(self) -> None:
        """See ``Runner``. Nothing to prepare."""

    def stop(self) -> None:
        """See ``Runner``. Each run has removed its own containers."""

    def close(self) -> None:
        """See ``Runner``."""
        self._containers.close()

    def _make_hardened_settings(self) -> dict[str, Any]:
        return {
            "user": self._user,
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": PROCESSES,
            "mem_limit": self._memory,
            "memswap_limit": self._memory,
            "tmpfs": {"/tmp": "rw,nosuid,nodev,mode=1777"},  # noqa: S108 - a path in the container
        }

    def _needs_api(self, job: Job) -> bool:
        """Whether a run may need the API.

        A master does. On v3 and v4, so does the gate that asks which task has created an internal function's task, or
        how many organizations the task has, and any run of an image whose roles are unknown.
        """
        if job.contract.has_sessions:
            return job.task.role == "master"  # only masters have network access on v5
        if not self.image.roles:
            return True
        try:
            method = contract.detect(job.environment).read(job.environment).method
        except AlgotoolsError:
            return False  # the run reads the same input, and reports the error
        if self.image.roles.get(method) == "master" or method in self.image.internal:
            return True
        # A policy file can set the minimum of organizations, too.
        return ORGANIZATIONS in job.task.policy_variables or job.task.policy_file is not None


def _make_mounts(job: Job) -> list[Mount]:
    """Return the mounts of a run: the run's files, which are writable, and the node's databases, which are not."""
    writable = {**job.contract.list_mounts(job.task), **_list_owner_log_mount(job), **list_ledger_mount(job.task)}
    databases = job.contract.list_database_mounts(job.task)
    return [*(_make_mount(target, path) for target, path in writable.items()), *_make_database_mounts(databases)]


def _list_owner_log_mount(job: Job) -> dict[PurePosixPath, Path]:
    """Return the mount of the file with details for the node's owner; empty if a mounted folder contains the file."""
    if logs.OWNER_LOG not in job.task.variables:
        return {}
    path = Path(job.task.variables[logs.OWNER_LOG])
    if path.parent in job.contract.list_mounts(job.task).values():
        return {}
    path.touch()
    return {PurePosixPath(job.contract.map_to_container(job.task, URL).variables[logs.OWNER_LOG]): path}


def _make_mount(
    target: PurePosixPath, source: Path | str, *, kind: Literal["bind", "volume"] = "bind", read_only: bool = False
) -> Mount:
    """Mount a file or folder of this machine, or a volume, at the path ``target`` of a container."""
    return Mount(str(target), str(source), type=kind, read_only=read_only)


def _make_database_mounts(databases: Mapping[PurePosixPath, Path]) -> list[Mount]:
    """Mount databases read-only. Several labels can name the same file."""
    return [_make_mount(target, path.resolve(), read_only=True) for target, path in databases.items()]


class _AsNodeRunner:
    """Runs an image as a real node does.

    A node keeps a volume for its databases, and copies each database into the volume once, before the first task. So
    does this runner: a task that changes a copy changes it for later tasks, and the user's own files stay unchanged.

    Args:
        client: the connection to the engine; ``close`` closes it.
        image: the image to run.
        api: the folder of the socket on which the federation's API listens.
    """

    sees_frames = False

    def __init__(self, client: docker.DockerClient, image: RunnableImage, api: Path) -> None:
        self._containers = Containers(client, image.id)
        self.image = image
        self._api = api
        self._lock = threading.Lock()
        self._copied: set[tuple[Path, PurePosixPath]] = set()
        """The databases in the nodes' volumes: the node's folder here, and the database's path in the container."""
        self.has_gate = image.has_gate
        self.slots = max(2, os.cpu_count() or 1)

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``."""
        job.make_temporary_folder()
        task = job.contract.map_to_container(job.task, URL)
        node, name = job.task.output_file.parent.parent, job.task.output_file.parent.name
        relay_settings = {"labels": {"vantage6-type": "algorithm-helper"}}
        with (
            self._containers.use(),
            start_relay(self._containers, self.image.id, self._api, relay_settings) as relay,
            self._containers.create(
                self.image.id,
                environment=job.prepare(task).environment,
                network_mode=f"container:{relay.id}",
                labels={"vantage6-type": "algorithm", "node": node.name, "algotools.task": name},
                mounts=self._make_node_mounts(job.task, job.contract),
            ) as container,
        ):
            self._copy_files(container, job.task, job.contract)
            code = self._containers.watch(container, console, job.cancellation, timeout)
            _fetch(container, task.output_file, job.task.output_file)
            if logs.OWNER_LOG in task.variables:
                with contextlib.suppress(NotFound):
                    _fetch(container, Path(task.variables[logs.OWNER_LOG]), Path(job.task.variables[logs.OWNER_LOG]))
            return code

    def check(self, call: CheckedCall | None, timeout: float) -> CheckReply | None:
        """See ``Runner``. The label of the image describes its functions, so no container starts."""
        del timeout
        return check_described(self.image.functions, call)

    def start(self) -> None:
        """See ``Runner``. Nothing to prepare."""

    def stop(self) -> None:
        """See ``Runner``. Each run has removed its own containers; the nodes' volumes are kept for later tasks."""

    def close(self) -> None:
        """See ``Runner``. The nodes' volumes are removed, too."""
        self._containers.close()

    def _make_node_mounts(self, task: Task, contract: NodeContract) -> list[Mount]:
        """Return the mounts of a run: the node's volume, the job's volume, and the databases that are folders."""
        node = task.output_file.parent.parent
        job = task.temporary_folder.name if task.temporary_folder else "tmp"
        volumes = [
            _make_mount(target, self._containers.ensure_volume(f"{node.parent.name}-{node.name}-{kind}"), kind="volume")
            for kind, target in (("data", DATA), (job, TEMPORARY))
        ]
        # A node lets an algorithm write to a database that is a folder. Here the mount is read-only, because the folder
        # is the user's own and not a copy.
        databases = contract.list_database_mounts(task)
        ledger = [_make_mount(target, path) for target, path in list_ledger_mount(task).items()]
        folders = {target: path for target, path in databases.items() if path.is_dir()}
        return volumes + ledger + _make_database_mounts(folders)

    def _copy_files(self, container: Container, task: Task, contract: NodeContract) -> None:
        """Copy the task's folder, and the node's databases that are files, into the node's volume."""
        folder = task.output_file.parent
        files = {target: path for target, path in contract.list_database_mounts(task).items() if path.is_file()}
        with self._lock:  # otherwise two first tasks could copy a database twice, over each other's changes
            new = {target: path for target, path in files.items() if (folder.parent, target) not in self._copied}
            with tempfile.TemporaryFile() as archive:
                _pack({**new, DATA / folder.name: folder}, archive)
                container.put_archive(str(DATA), archive)
            self._copied |= {(folder.parent, target) for target in files}


def _pack(files: Mapping[PurePosixPath, Path], archive: IO[bytes]) -> None:
    """Write a tar of files and folders. They keep their permissions, but belong to root, as at a real node."""

    def set_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        for target, path in files.items():
            tar.add(path, str(target.relative_to(DATA)), filter=set_owner)
    archive.seek(0)


def _fetch(container: Container, source: Path, target: Path) -> None:
    """Copy a file of a container to this machine."""
    stream, _ = container.get_archive(str(source))
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        content = tar.extractfile(source.name)
        target.write_bytes(content.read() if content else b"")


_CONNECTIONS = 64
"""Connections to the engine: each run keeps one open for its log, and needs others for short requests."""


def make_runner(algorithm: object, api: Path, *, as_node: bool, memory: int | None) -> Runner:
    """Return a runner for an image, or for a project's folder, from which an image is built.

    Raises:
        FederationError: the algorithm is neither an image nor a folder.
        ImageNotFound: the image does not exist.
        ImageError, EngineError: see ``algotools.image``.
    """
    if not isinstance(algorithm, (str, Path)):
        raise FederationError(
            "functions that are defined here are not in an image; give runner container a project's folder or an image"
        )
    with translate_errors():
        client = connect(_CONNECTIONS)
        try:
            name = str(algorithm)
            if (folder := Path(algorithm)).is_dir():
                name = build_project(client, folder, f"algotools-run/{get_local_tag(folder)}", _report).id
            image = read_runnable_image(client, name, _report)
            return _AsNodeRunner(client, image, api) if as_node else _ContainerRunner(client, image, api, memory)
        except BaseException:
            client.close()
            raise


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
