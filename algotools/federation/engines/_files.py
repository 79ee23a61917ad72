"""Databases that are files or folders, and how they travel from the federation to a worker of an engine.

A worker that can read the same file under the same path uses it in place: ``is_same`` compares path, size, time of
modification and samples of the content. Otherwise ``send`` and ``receive`` transfer the file over a connection.

Both ends of a transfer always reach the end of the stream, also after a failure of either end. The connection can then
carry further messages. The stream consists of batches of members. The content of a small file is part of its batch;
the content of a large file follows its batch in chunks. The sender ends the stream, and the receiver replies once:
after the end, or earlier if it cannot store the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Union
from urllib.parse import quote

import msgspec

from algotools.data.reading import Unreadable
from algotools.errors import MachineError
from algotools.federation._file_hashes import is_settled
from algotools.federation.engines._members import DataMember, Kind, list_members, list_regular, wait_for_tick
from algotools.runtime.dispatch.messages import receive as receive_message
from algotools.runtime.dispatch.messages import send as send_message
from algotools.runtime.dispatch.messages import wait_readable

_SAMPLE = 1 << 16
"""Bytes of a sample. A file has three of them: its beginning, its middle and its end."""
_SMALL = 1 << 16
"""Largest file in bytes whose content is part of a batch."""
_BATCH = 1 << 20
"""Bytes of a batch, and members of a batch times 1,024."""
CHUNK = 1 << 20
"""Bytes of a chunk of a large file."""

CHUNK_LENGTH = struct.Struct("!I")
COMPLETE, ABORTED = 0, 0xFFFFFFFF
"""Lengths that end the chunks of a file: it is complete, or the transfer has failed."""

_CHANGED = (
    "its file changed while it was sent to a worker of the engine; run the task again when no program writes to it"
)


class FileFacts(msgspec.Struct, frozen=True):
    """Facts about a database that is a file or a folder."""

    path: bytes
    """The absolute path at the federation."""
    is_folder: bool
    size: int
    """Bytes of all members."""
    modified_ns: int
    """Time of the last modification of a member."""
    members: int
    """Number of files, folders and links."""
    digest: str
    """Hash of the names, sizes, times and samples of all members. It is the same on each machine with the files."""
    state: str
    """Hash of the state of all members, with inodes and times of change. It is compared on the federation's machine."""

    @property
    def name(self) -> str:
        """The name of the file or folder."""
        return os.fsdecode(os.path.basename(self.path))

    def get_path(self) -> Path:
        """Return the path at the federation."""
        return Path(os.fsdecode(self.path))


class PathState(msgspec.Struct, frozen=True):
    """The state of a file or a folder, which is equal on all machines that share its file system."""

    size: int
    """Bytes of a file; 0 for a folder."""
    modified_ns: int
    is_readable: bool
    """Whether this process may read it."""


class SentMember(msgspec.Struct, array_like=True):
    """A member of a batch. A file without content is the last member of its batch, and its chunks follow."""

    name: bytes
    kind: Kind
    size: int = 0
    modified_ns: int = 0
    target: bytes = b""
    content: Union[bytes, None] = None


class FileBatch(msgspec.Struct, tag=True):
    """Members in order."""

    members: list[SentMember]


class TransferEnd(msgspec.Struct, tag=True):
    """The sender's last message."""

    is_complete: bool


class TransferReply(msgspec.Struct, tag=True):
    """The receiver's only message: the reason why it cannot store the file, and its folder; empty after a success."""

    reason: str = ""
    folder: str = ""


FromSender = Union[FileBatch, TransferEnd]

_cache: dict[bytes, FileFacts] = {}
"""Path -> facts about files that had not changed lately."""


def describe(path: Path) -> FileFacts:
    """Return the facts about a file or a folder. The content is sampled again only if the state has changed.

    Raises:
        OSError: the path does not exist, or may not be read.
        Unreadable: the database cannot travel; see ``list_members``.
    """
    source = os.path.abspath(os.fsencode(path))
    return _describe(source, list_members(source))


def read_state(path: str | Path) -> PathState | None:
    """Return the state of a path on this machine; None if nothing is there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a path with a null character is a ValueError
        return None
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return PathState(size, status.st_mtime_ns, os.access(path, os.R_OK))


def is_same(facts: FileFacts) -> bool:
    """Whether this machine has the same file or folder under the same path."""
    try:
        members = list_members(facts.path)
        if len(members) != facts.members or _sum_sizes(members) != facts.size:
            return False
        return _describe(facts.path, members).digest == facts.digest
    except (OSError, Unreadable):
        return False


def _describe(path: bytes, members: list[DataMember]) -> FileFacts:
    state = hashlib.sha256(repr([member.state for member in members]).encode()).hexdigest()
    if (cached := _cache.get(path)) is not None and cached.state == state:
        return cached
    digest = hashlib.sha256()
    for member in members:
        is_file = member.kind == "file"
        values = (member.identity.size, member.identity.modified_ns) if is_file else (0, 0)
        digest.update(repr((member.name, member.kind, member.target, *values)).encode())
        if is_file:
            digest.update(_sample(member))
    files = list_regular(members)
    facts = FileFacts(
        path=path,
        is_folder=not (members and members[0].name == b""),
        size=_sum_sizes(members),
        modified_ns=max((member.identity.modified_ns for member in files), default=0),
        members=len(members),
        digest=digest.hexdigest(),
        state=state,
    )
    if is_settled(member.identity for member in files):
        _cache[path] = facts
    return facts


def _sum_sizes(members: list[DataMember]) -> int:
    return sum(member.identity.size for member in list_regular(members))


def _sample(member: DataMember) -> bytes:
    """Return the hash of samples of a file; of the whole file if it is small."""
    size = member.identity.size
    digest = hashlib.sha256()
    with _open(member) as file:
        if size <= 3 * _SAMPLE:
            digest.update(os.pread(file, 3 * _SAMPLE, 0))
        else:
            for position in (0, (size - _SAMPLE) // 2, size - _SAMPLE):
                digest.update(os.pread(file, _SAMPLE, position))
    return digest.digest()


@contextlib.contextmanager
def _open(member: DataMember) -> Iterator[int]:
    # Another program can replace the file by a pipe, and opening a pipe must not block.
    file = os.open(member.source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def send(connection: socket.socket, facts: FileFacts) -> None:
    """Send a file or a folder. The receiver calls ``receive`` at the same position of the stream.

    Raises:
        Unreadable: the file cannot be read, or has changed since *facts*, or changes while it is sent.
        MachineError: the receiver cannot store the file.
        OSError: the connection is broken.
        EOFError: the receiver has closed the connection.
    """
    failure: Unreadable | None = None
    try:
        _send_members(connection, facts)
    except _ReceiverFailed:
        pass
    except _SourceFailed as error:
        failure = error.reason
    except Unreadable as error:
        failure = error
    send_message(connection, TransferEnd(is_complete=failure is None))
    reply = receive_message(connection, TransferReply)
    if failure is not None:
        raise failure
    if reply.reason:
        raise MachineError(
            f"a worker of the engine cannot store a database in {reply.folder}: {reply.reason}; free disk space there, "
            "or set TMPDIR where the workers start"
        )


class _ReceiverFailed(Exception):
    """The receiver has replied before the end, so the rest is not sent."""


class _SourceFailed(Exception):
    """A file cannot be read. Errors of the connection are not converted to this error."""

    def __init__(self, reason: Unreadable) -> None:
        super().__init__()
        self.reason = reason


@contextlib.contextmanager
def _convert_errors(path: bytes) -> Iterator[None]:
    """Convert errors of the file system. The block must not use the connection."""
    try:
        yield
    except OSError as error:
        changed = isinstance(error, FileNotFoundError)  # it was described before
        reason = _CHANGED if changed else f"it cannot be read for a worker of the engine ({error.strerror})"
        raise _SourceFailed(Unreadable(reason, f"{os.fsdecode(path)}: {error}")) from None


def _send_members(connection: socket.socket, facts: FileFacts) -> None:
    with _convert_errors(facts.path):
        members = list_members(facts.path)
        if _describe(facts.path, members).state != facts.state:
            raise Unreadable(_CHANGED, os.fsdecode(facts.path))
        wait_for_tick(members)
    batch: list[SentMember] = []
    weight = 0
    for member in members:
        sent = SentMember(member.name, member.kind, target=member.target)
        if member.kind == "file":
            sent.size, sent.modified_ns = member.identity.size, member.identity.modified_ns
            if sent.size <= _SMALL:
                sent.content = _read_small(member)
        batch.append(sent)
        weight += 1024 + len(member.name) + len(sent.content or b"")
        is_large = member.kind == "file" and sent.content is None
        if is_large or weight >= _BATCH:
            _send_batch(connection, batch)
            batch, weight = [], 0
        if is_large:
            _send_chunks(connection, member)
    if batch:
        _send_batch(connection, batch)
    with _convert_errors(facts.path):
        states = [member.state for member in list_members(facts.path)]
        if states != [member.state for member in members]:
            raise Unreadable(_CHANGED, os.fsdecode(facts.path))


def _send_batch(connection: socket.socket, members: list[SentMember]) -> None:
    _raise_if_failed(connection)
    send_message(connection, FileBatch(members))


def _read_small(member: DataMember) -> bytes:
    with _convert_errors(member.source), _open(member) as file:
        content = os.read(file, member.identity.size + 1) if member.identity.size else b""
        if len(content) != member.identity.size:
            raise Unreadable(_CHANGED, os.fsdecode(member.source))
    return content


def _send_chunks(connection: socket.socket, member: DataMember) -> None:
    """Send the content of a file. The chunks also end if the file cannot be read, or if the receiver has failed."""
    buffer = memoryview(bytearray(CHUNK_LENGTH.size + CHUNK))
    try:
        for length in _read_chunks(member, buffer[CHUNK_LENGTH.size :]):
            _raise_if_failed(connection)
            CHUNK_LENGTH.pack_into(buffer, 0, length)
            connection.sendall(buffer[: CHUNK_LENGTH.size + length])
    except (_ReceiverFailed, _SourceFailed, Unreadable):
        connection.sendall(CHUNK_LENGTH.pack(ABORTED))
        raise
    connection.sendall(CHUNK_LENGTH.pack(COMPLETE))


def _read_chunks(member: DataMember, buffer: memoryview) -> Iterator[int]:
    """Read a file into the buffer, part by part, and yield the length of each part."""
    with contextlib.ExitStack() as stack:
        with _convert_errors(member.source):
            file = stack.enter_context(_open(member))
        missing = member.identity.size
        while missing:
            with _convert_errors(member.source):
                length = os.readv(file, [buffer[:missing]])
            if not length:
                raise Unreadable(_CHANGED, os.fsdecode(member.source))
            yield length
            missing -= length


def _raise_if_failed(connection: socket.socket) -> None:
    if wait_readable([connection], 0):  # the receiver sends nothing but its reply
        raise _ReceiverFailed


def relocate_uri(uri: str, path: Path) -> str:
    """Return the URI of a file or folder with another absolute path. Scheme and options stay the same."""
    scheme, separator, remainder = uri.partition("://")
    if not separator:
        return str(path)
    if scheme == "file":
        return f"file://{quote(os.fsencode(path))}"
    slashes = "///" if scheme.partition("+")[0] == "sqlite" else "//"
    _, mark, options = remainder.partition("?")
    return f"{scheme}:{slashes}{path}{mark}{options}"
