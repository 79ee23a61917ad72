"""The messages of a control connection, in the order in which they are sent.

    process of the engine                                federation
    ``Hello``: its versions                     ──▶
                                                ◀──  ``Offer``: algorithm and files
    ``Response``: the parts that it does not have ──▶
                                                ◀──  the contents of these parts, then ``StartWorker``
    ``Started``                                 ──▶
                                                ◀──  ``STACK_REQUEST``, at any time
    ``WorkerTrace``, ``WorkerExit``             ──▶

When the federation closes its sending side, the worker is killed. Its exit code still arrives.
"""

from __future__ import annotations

from typing import Union

import msgspec

from algotools.errors import Failure
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


class CodeInPlace(msgspec.Struct):
    """An algorithm that every process finds where the federation has it."""

    module: str
    root: Union[str, None] = None
    file: Union[str, None] = None


class Offer(msgspec.Struct):
    """From the federation: everything that a run needs, apart from its input."""

    markers: tuple[FolderMarker, ...]
    code: CodeInPlace


class Response(msgspec.Struct):
    """From the process of the engine: what it has."""

    is_shared: bool
    """Whether it shares the file system with the federation."""


class StartWorker(msgspec.Struct):
    """From the federation: start the worker now."""

    environment: dict[str, str]
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
