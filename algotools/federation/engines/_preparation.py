"""The federation's side of a handshake: offer a run, send the parts that are missing, and prepare the worker's task."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from algotools.data.reading import Unreadable, find_path, name_errors
from algotools.declare.functions import Algorithm
from algotools.declare.locate import Location
from algotools.errors import CODES, EngineError
from algotools.federation.engines import _code, _files
from algotools.federation.engines._handshake import (
    TEMPORARY,
    CodeContent,
    CodeRequest,
    FactsRequest,
    FileList,
    FileRequest,
    FolderMarker,
    HandshakeRequest,
    Offer,
    Ready,
    StartWorker,
)
from algotools.federation.runners import Job
from algotools.federation.runners.sandbox import make_sandbox
from algotools.runtime import logs
from algotools.runtime.dispatch.messages import receive, send
from algotools.runtime.dispatch.scratch import VARIABLE
from algotools.task import Database, Task

_MARKER = ".marker"
"""The name of a file with random content; see ``FolderMarker``."""


class Preparation:
    """Prepares the runs of one algorithm for the machines of an engine.

    Args:
        algorithm: the algorithm to run.
        memory: the memory limit of a run in bytes, in addition to the imported libraries.
        confined: whether each worker is in a sandbox.
    """

    def __init__(self, algorithm: Location | Algorithm, memory: int | None, *, confined: bool) -> None:
        self._algorithm = algorithm
        self._memory = memory
        self._confined = confined
        self._lock = threading.Lock()
        self._markers: dict[Path, FolderMarker] = {}

    def prepare(self, control: socket.socket, job: Job, timeout: float | None) -> tuple[StartWorker, tuple[str, str]]:
        """Offer a run to a process of the engine, send it what it requests, and return the request for its worker.

        The second value is the folder or file of the algorithm there, and here.

        Raises:
            AlgotoolsError: a part of the run cannot be sent, or cannot be stored there.
            EOFError, OSError: the process of the engine is gone.
        """
        databases = list(_list_files(job.task))
        facts = self._describe_code()
        paths = tuple(str(path) for _, path in databases)
        send(control, Offer(self._make_markers(job.task), facts, paths, tuple(map(_files.read_state, paths))))
        files: tuple[_files.FileFacts, ...] = ()
        while True:
            request: HandshakeRequest = receive(control, cast("Any", HandshakeRequest))
            if isinstance(request, Ready):
                start = self._make_start(job, request, paths, timeout)
                return start, (request.code, facts.file or facts.root)
            if isinstance(request, FactsRequest):
                files = tuple(_describe_file(database, path) for database, path in databases)
                send(control, FileList(files))
            elif isinstance(request, CodeRequest):
                send(control, CodeContent(_code.pack(facts)))
            elif isinstance(request, FileRequest):
                try:
                    _files.send(control, files[request.index])
                except Unreadable as problem:  # other errors are those of the connection
                    with name_errors(databases[request.index][0], "file"):
                        raise problem  # noqa: TRY201 - raised again in the context that names the database

    def _describe_code(self) -> _code.CodeFacts:
        with self._lock:
            return _code.describe(self._algorithm)

    def _make_markers(self, task: Task) -> tuple[FolderMarker, ...]:
        """Return the markers of the folders with the run's files, and create those that are missing."""
        folders = {task.output_file.parent.parent}
        if task.temporary_folder is not None:
            folders.add(task.temporary_folder.parent)
        with self._lock:
            for folder in folders - self._markers.keys():
                folder.mkdir(parents=True, exist_ok=True)
                marker = FolderMarker(str(folder / f"{_MARKER}-{secrets.token_hex(4)}"), secrets.token_bytes(16))
                Path(marker.path).write_bytes(marker.content)
                self._markers[folder] = marker
            return tuple(self._markers[folder] for folder in sorted(folders))

    def _make_start(self, job: Job, ready: Ready, paths: tuple[str, ...], timeout: float | None) -> StartWorker:
        """Return the request for the worker, with the paths on its machine."""
        if ready.failure is not None:
            code, message, detail = ready.failure
            raise CODES.get(code, EngineError)(message, detail=detail)
        files: dict[str, bytes] = {}
        if ready.paths is not None:
            task = _relocate(job.task, dict(zip(paths, ready.paths, strict=True)), Path(ready.folder))
            prepared = job.prepare(task)
            # Of the files, a worker reads the input. The token stays here: the supervisor knows it.
            files[str(task.input_file)] = prepared.files[task.input_file]
            job = job._replace(task=task, environment=prepared.environment)
        start = StartWorker(job.make_worker_environment(), files, self._memory, timeout)
        if self._confined:
            if ready.paths is None:
                job.make_temporary_folder()  # the worker may not create it
            start.sandbox = make_sandbox(job, self._algorithm, {VARIABLE: ""}, self._memory)
        return start


def _list_files(task: Task) -> Iterator[tuple[Database, Path]]:
    """Yield the databases of a node that are files or folders, with their paths."""
    for database in (*task.databases, *task.configured):
        path = find_path(database.uri)
        if path is not None and Path(path).exists():
            yield database, Path(path).absolute()


def _describe_file(database: Database, path: Path) -> _files.FileFacts:
    with name_errors(database, "file"):
        return _files.describe(path)


def _relocate(task: Task, paths: Mapping[str, str], folder: Path) -> Task:
    """Return a task with the paths on another machine. *folder* is its folder for the run."""

    def relocate(database: Database) -> Database:
        path = find_path(database.uri)
        target = None if path is None else paths.get(str(Path(path).absolute()))
        if target is None:
            return database
        return msgspec.structs.replace(database, uri=_files.relocate_uri(database.uri, Path(target)))

    changes: dict[str, Any] = {
        "databases": tuple(map(relocate, task.databases)),
        "configured": tuple(map(relocate, task.configured)),
        "input_file": folder / "input",
        "output_file": folder / "output",
    }
    if task.temporary_folder is not None:
        changes["temporary_folder"] = folder / TEMPORARY
    if logs.OWNER_LOG in task.variables:
        changes["variables"] = {**task.variables, logs.OWNER_LOG: str(folder / "details.log")}
    if task.proxy is not None and task.proxy.token_file is not None:
        changes["proxy"] = msgspec.structs.replace(task.proxy, token_file=folder / "token")
    return msgspec.structs.replace(task, **changes)
