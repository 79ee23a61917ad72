"""The engine's side of a handshake: find the algorithm and the databases of a run here, or receive them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from algotools.declare.locate import Location
from algotools.errors import EngineError
from algotools.federation.engines import _code, _files
from algotools.federation.engines._file_receiver import receive as receive_file
from algotools.federation.engines._handshake import (
    TEMPORARY,
    CodeContent,
    CodeRequest,
    FactsRequest,
    FileList,
    FileRequest,
    FolderMarker,
    Offer,
    Ready,
    StartWorker,
)
from algotools.federation.engines._worker_folder import WorkerFolder
from algotools.runtime.dispatch.messages import receive, send, wait_readable

Message = TypeVar("Message", bound=msgspec.Struct)


class Reception(NamedTuple):
    """A run that can start here."""

    location: Location
    """The algorithm."""
    start: StartWorker


def obtain(control: socket.socket, offer: Offer, folder: WorkerFolder, run_folder: Path) -> Reception:
    """Find or receive everything that an offer names, and return it with the request for the worker.

    Args:
        control: the control connection.
        offer: the offer.
        folder: the folder with the parts that were received before.
        run_folder: the run's own folder, which is empty.

    Raises:
        AlgotoolsError: a part cannot be used here.
        TransferFailed: a part cannot be stored here, which the federation knows.
        EOFError, OSError: the federation has cancelled the run, or exited.
    """
    location = _find_code(control, offer.code, folder)
    is_here = all(map(_has_marker, offer.markers)) and tuple(map(_files.read_state, offer.paths)) == offer.states
    ready = Ready(folder=str(run_folder), code=str(location.file or location.root or ""))
    if not is_here:
        ready.paths = _find_files(control, folder)
        (run_folder / TEMPORARY).mkdir()
    send(control, ready)
    start = receive(control, StartWorker)
    for path, content in start.files.items():
        Path(path).write_bytes(content)
    return Reception(location, start)


def _has_marker(marker: FolderMarker) -> bool:
    try:
        return Path(marker.path).read_bytes() == marker.content
    except OSError:
        return False


def _find_code(control: socket.socket, facts: _code.CodeFacts, folder: WorkerFolder) -> Location:
    location = _code.find_in_place(facts)
    if location is not None:
        return location
    if reason := _code.explain_missing(facts):
        raise EngineError(reason)

    def receive_code() -> bytes:
        send(control, CodeRequest())
        return receive(control, CodeContent).data

    return folder.store_code(facts, receive_code, _make_check(control))


def _find_files(control: socket.socket, folder: WorkerFolder) -> tuple[str, ...]:
    """Return the paths of the databases on this machine: the federation's own path if it has the same content here."""
    send(control, FactsRequest())
    files = receive(control, FileList).files
    return tuple(str(_find_file(control, index, facts, folder)) for index, facts in enumerate(files))


def _find_file(control: socket.socket, index: int, facts: _files.FileFacts, folder: WorkerFolder) -> Path:
    if _files.is_same(facts):
        return facts.get_path()

    def receive_copy(target: Path) -> None:
        send(control, FileRequest(index))
        receive_file(control, facts, target)

    return folder.find(facts) or folder.store(facts, receive_copy, _make_check(control))


def _make_check(control: socket.socket) -> Callable[[], None]:
    """Return a check that raises when the federation cancels the run while another thread receives the same part."""

    def check() -> None:
        if wait_readable([control], 0):  # nothing is sent meanwhile, so this is the end
            raise EOFError

    return check
