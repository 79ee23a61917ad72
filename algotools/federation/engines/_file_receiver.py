"""The receiver of a database that travels to a worker of an engine; see ``_files`` for the stream.

The receiver writes only into a new folder beside the target, whatever names the sender uses. The target gets its name
when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from algotools.federation.engines._files import (
    ABORTED,
    CHUNK,
    CHUNK_LENGTH,
    COMPLETE,
    FileBatch,
    FileFacts,
    FromSender,
    SentMember,
    TransferEnd,
    TransferReply,
)
from algotools.federation.engines._members import COMPANIONS, is_inside, is_member_name
from algotools.runtime.dispatch.messages import LENGTH
from algotools.runtime.dispatch.messages import send as send_message

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_decode = msgspec.msgpack.Decoder(FromSender).decode
"""Decodes a message of the sender."""


class TransferFailed(Exception):
    """A transfer has failed at either end. The sender knows the reason, and reports it."""


def receive(connection: socket.socket, facts: FileFacts, target: Path) -> None:
    """Receive a file or a folder, and store it as *target*, whose folder exists.

    Raises:
        TransferFailed: the file cannot be stored, or the sender has failed. The connection can carry further messages.
        OSError: the connection is broken.
        EOFError: the sender has closed the connection.
    """
    stream, writer = _Stream(connection), _Writer(facts, target)
    try:
        try:
            with _convert_errors():
                writer.prepare()
            _receive_members(stream, writer)
            with _convert_errors():
                writer.finish()
        except (_StorageFailed, _SenderFailed) as error:
            # The sender reads the reply between two chunks, and then ends the stream.
            send_message(connection, TransferReply(str(error), writer.folder_name))
            stream.skip()
            raise TransferFailed(f"{error} ({writer.folder_name})") from None
        send_message(connection, TransferReply())
    finally:
        writer.remove()


class _StorageFailed(Exception):
    """The file cannot be stored. Errors of the connection are not converted to this error."""


@contextlib.contextmanager
def _convert_errors() -> Iterator[None]:
    """Convert errors of the file system. The block must not use the connection."""
    try:
        yield
    except OSError as error:
        raise _StorageFailed((error.strerror or type(error).__name__).lower()) from None


class _Stream:
    """The stream of a sender."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._in_chunks = self._has_ended = False
        self._buffer = memoryview(bytearray(CHUNK))

    def receive_message(self) -> FileBatch | TransferEnd:
        """Return the next message; not while chunks follow."""
        header = bytearray(LENGTH.size)
        self._receive_into(memoryview(header))
        data = bytearray(LENGTH.unpack(header)[0])
        self._receive_into(memoryview(data))
        message: FileBatch | TransferEnd = _decode(data)
        self._has_ended = isinstance(message, TransferEnd)
        self._in_chunks = isinstance(message, FileBatch) and any(_is_in_chunks(member) for member in message.members)
        return message

    def receive_chunk(self) -> memoryview | None:
        """Return the next chunk, which is valid until the next call; None after the last chunk.

        Raises:
            _SenderFailed: the sender cannot read the rest of the file.
        """
        header = bytearray(CHUNK_LENGTH.size)
        self._receive_into(memoryview(header))
        (length,) = CHUNK_LENGTH.unpack(header)
        if length in (COMPLETE, ABORTED):
            self._in_chunks = False
            if length == ABORTED:
                raise _SenderFailed("the sender cannot read the file")
            return None
        if length > CHUNK:
            raise EOFError("the sender does not follow the protocol")
        self._receive_into(chunk := self._buffer[:length])
        return chunk

    def skip(self) -> None:
        """Receive everything up to the end of the stream, and drop it."""
        while not self._has_ended:
            with contextlib.suppress(_SenderFailed):
                while self._in_chunks:
                    self.receive_chunk()
            self.receive_message()

    def _receive_into(self, buffer: memoryview) -> None:
        position = 0
        while position < len(buffer):
            if not (length := self._connection.recv_into(buffer[position:])):
                raise EOFError
            position += length


def _is_in_chunks(member: SentMember) -> bool:
    return member.kind == "file" and member.content is None


class _SenderFailed(Exception):
    """The sender cannot read a file, or the file has changed."""


def _receive_members(stream: _Stream, writer: _Writer) -> None:
    """Write all members.

    Raises:
        _StorageFailed: a member cannot be written.
        _SenderFailed: the sender has not sent all members.
    """
    while isinstance(message := stream.receive_message(), FileBatch):
        for member in message.members:
            with _convert_errors():
                writer.add(member)
            if not _is_in_chunks(member):
                continue
            while (chunk := stream.receive_chunk()) is not None:
                with _convert_errors():
                    writer.write(chunk)
            with _convert_errors():
                writer.close()
    if not message.is_complete:
        raise _SenderFailed("the sender cannot read the file")


class _Writer:
    """Writes the members of one database into a new folder, and gives the database its name at the end."""

    def __init__(self, facts: FileFacts, target: Path) -> None:
        self._facts = facts
        self._target = os.fsencode(target)
        self._folder = b""
        self._root = b""
        self._file: int | None = None
        self._member = SentMember(b"", "file")
        self._missing = 0
        self._folders = {b""}
        self._links: list[tuple[bytes, bytes]] = []
        self.folder_name = f"{os.fsdecode(os.path.dirname(self._target))} of {socket.gethostname()}"

    def prepare(self) -> None:
        """Make the new folder, if the disk has space for the database."""
        parent = os.path.dirname(self._target)
        if os.path.lexists(self._target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if shutil.disk_usage(parent).free < self._facts.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._folder = tempfile.mkdtemp(prefix=b".incoming-", dir=parent)
        self._root = os.path.join(self._folder, b"content")
        if self._facts.is_folder:
            os.mkdir(self._root, 0o700)

    def add(self, member: SentMember) -> None:
        """Write a member. The content of a large file follows by ``write``."""
        path = self._make_path(member.name)
        if member.kind == "folder":
            os.mkdir(path, 0o700)
            self._folders.add(member.name)
        elif member.kind == "link":
            self._links.append((path, member.target))
        else:
            self._file, self._member, self._missing = os.open(path, _CREATE, 0o600), member, member.size
            if member.content is not None:
                if member.content:
                    self.write(memoryview(member.content))
                self.close()

    def write(self, chunk: memoryview) -> None:
        """Write a part of the content of the last member."""
        assert self._file is not None  # noqa: S101 - for type checkers
        self._missing -= len(chunk)
        while chunk:
            chunk = chunk[os.write(self._file, chunk) :]

    def close(self) -> None:
        """Finish the last member."""
        assert self._file is not None  # noqa: S101 - for type checkers
        file, self._file = self._file, None
        try:
            os.utime(file, ns=(self._member.modified_ns, self._member.modified_ns))
        finally:
            os.close(file)  # some file systems report only here that the disk is full
        if self._missing:
            raise _StorageFailed("the sender does not follow the protocol")

    def finish(self) -> None:
        """Make the links, and rename the content to the target."""
        # Links are made last, so no file is written through a link.
        for path, target in self._links:
            os.symlink(target, path)
        for path, _ in self._links:
            if not is_inside(os.path.realpath(self._root), os.path.realpath(path)):
                raise _StorageFailed("a link leads out of the folder")
        endings = [] if self._facts.is_folder else [e for e in COMPANIONS if os.path.exists(self._root + e)]
        for ending in (*endings, b""):
            os.rename(self._root + ending, self._target + ending)

    def remove(self) -> None:
        """Remove everything that has not got its final name."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _make_path(self, name: bytes) -> bytes:
        """Return the path of a member in the new folder.

        Raises:
            _StorageFailed: the name is not that of a member, or leads out of the folder.
        """
        if not self._facts.is_folder:
            if name and name not in COMPANIONS:
                raise _StorageFailed("the name of a member leads out of the folder")
            return self._root + name
        if not is_member_name(name):
            raise _StorageFailed("the name of a member leads out of the folder")
        if os.path.dirname(name) not in self._folders:
            raise _StorageFailed("the sender does not follow the protocol")
        return os.path.join(self._root, name)
