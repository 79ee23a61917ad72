"""The messages of a control connection, in the order in which they are sent.

    process of the engine                                federation
    ``Hello``: its versions                     ──▶
                                                ◀──  ``Offer``: algorithm and files
    requests of the parts that it does not have ──▶
                                                ◀──  the contents of these parts
    ``Ready``                                   ──▶
                                                ◀──  ``StartWorker``
    ``Started``                                 ──▶
                                                ◀──  ``STACK_REQUEST``, at any time
    ``WorkerTrace``, ``WorkerExit``             ──▶

When the federation closes its sending side, the worker is killed. Its exit code still arrives.
"""

from __future__ import annotations

from typing import Union

import msgspec

from algotools.errors import Failure
from algotools.federation.engines._code import CodeFacts
from algotools.federation.engines._files import FileFacts, PathState
from algotools.runtime.sandbox.local import LocalSandbox

STACK_REQUEST = b"s"
"""From the federation, without the frame of a message: the worker must write its stack."""


class Hello(msgspec.Struct):
    """From the process of the engine, as its first message. All versions of algotools must be able to read it."""

    version: str
    """The version of algotools."""
    python: str
    """Major and minor version of Python."""
    host: str


class FolderMarker(msgspec.Struct):
    """A file of the federation with random content. A process that reads this content shares the file system."""

    path: str
    content: bytes


class Offer(msgspec.Struct):
    """From the federation: everything that a run needs, apart from its input."""

    markers: tuple[FolderMarker, ...]
    code: CodeFacts
    paths: tuple[str, ...]
    """The paths of the databases that are files or folders."""
    states: tuple[Union[PathState, None], ...]
    """The states of these paths. A machine can share the federation's folder, but have its own file at such a path."""


class FactsRequest(msgspec.Struct, tag=True):
    """From the process of the engine, which does not share the file system: it needs facts about the databases."""


class FileList(msgspec.Struct):
    """The reply: the facts about the paths of the offer, in order."""

    files: tuple[FileFacts, ...]


class CodeRequest(msgspec.Struct, tag=True):
    """From the process of the engine: it does not have the algorithm."""


class CodeContent(msgspec.Struct):
    """The reply: the packed algorithm."""

    data: bytes


class FileRequest(msgspec.Struct, tag=True):
    """From the process of the engine: it does not have a database. The reply is the stream of ``_files.send``."""

    index: int


class Ready(msgspec.Struct, tag=True):
    """From the process of the engine: it has everything that was offered, or the reason why not."""

    paths: Union[tuple[str, ...], None] = None
    """The paths of the databases here; None if the process shares the file system with the federation."""
    folder: str = ""
    """A folder for the input and the temporary files of the run, if it does not share the file system."""
    code: str = ""
    """The folder of the algorithm, or its file, if it is not the federation's."""
    failure: Union[Failure, None] = None


TEMPORARY = "temporary"
"""The name of the temporary folder of a job in the folder of the run."""

HandshakeRequest = Union[FactsRequest, CodeRequest, FileRequest, Ready]


class StartWorker(msgspec.Struct):
    """From the federation: start the worker now."""

    environment: dict[str, str]
    files: dict[str, bytes] = {}
    """The files of the run: path on the machine of the worker -> content."""
    memory: Union[int, None] = None
    """The memory limit in bytes, in addition to the imported libraries."""
    timeout: Union[float, None] = None
    """The time limit of the run, in seconds."""
    sandbox: Union[LocalSandbox, None] = None
    """The sandbox, without the folders that only the process of the engine knows."""


class Started(msgspec.Struct):
    """From the process of the engine: the worker runs, or why it does not."""

    pid: int = 0
    channel: bytes = b""
    """The purpose of the connection that is the worker's channel."""
    failure: Union[Failure, None] = None


class WorkerTrace(msgspec.Struct, tag=True):
    """From the process of the engine: the bytes that the worker wrote about its stack."""

    data: bytes


class WorkerExit(msgspec.Struct, tag=True):
    """From the process of the engine, as its last message: the worker's exit code, negative for a signal."""

    code: int


FromRelay = Union[WorkerTrace, WorkerExit]
