"""Messages between a supervisor and its worker, and between a runner and its template process.

A message is a msgpack document that follows its length. File descriptors are sent before the message that they belong
to.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import TypeVar, Union

import msgspec

from algotools.disclosure.facts import Intent, Matches, Permission, TableFacts
from algotools.task import Database, Identity

LENGTH = struct.Struct("!Q")
LARGEST_TABLE = 1 << 32
"""Bytes of a table that stays at the node, which has no other limit: MessagePack expresses no more."""
ENVELOPE = 1 << 16
"""Bytes that a message may have in addition to the encoded result."""


class Start(msgspec.Struct, tag=True):
    """From the supervisor of a container, as its first message: the parts of the task that the environment lacks."""

    variables: dict[bytes, bytes]
    """All environment variables that the author's code may have. The worker has started with a few of them."""
    databases: tuple[Database, ...]
    """The databases that the task requests, with their options."""
    confinement: Union[tuple[int, int, tuple[str, ...]], None] = None
    """User, group and folders of code; see ``algotools.runtime.sandbox.Confinement``."""


class Declaration(msgspec.Struct, tag=True):
    """From the worker, once, after the import: the parts of the node that the function's signature names.

    The supervisor replies with a ``PermissionReply``. Until then the worker reads no data.
    """

    intent: Intent = Intent()
    """The function, and the databases and columns that it reads, for the policy of the node's owner."""

    token: bool = False
    """Whether the function has a client, which needs the node's token."""
    identity: bool = False
    """Whether the function has a parameter for the run's ids."""
    labels: tuple[str, ...] = ()
    """The labels of databases."""
    source: str = ""
    """The folder of the algorithm, or the file of a notebook's cell."""


class Listener(msgspec.Struct, tag=True):
    """From the worker, once, before the import, with a descriptor: see ``algotools.runtime.sandbox.metadata``."""


class StackOffer(msgspec.Struct, tag=True):
    """From the worker, once, as its first message: it can write its stack; see ``algotools.runtime.dispatch.stack``.

    The worker of a container sends the pipe's read end as a descriptor.
    """


class TablesRead(msgspec.Struct, tag=True):
    """From the worker, once, before it calls the function: facts about the tables that the function receives."""

    tables: tuple[TableFacts, ...]


class ResultMatches(msgspec.Struct, tag=True):
    """From the worker, before the result: values of the result that are cells of the tables."""

    matches: Matches


class LogLine(msgspec.Struct, tag=True):
    """From the worker: a line for the run's log."""

    line: str
    matches: Union[Matches, None] = None
    """Values of the line that are cells of the tables; None for a line of algotools itself, which is not judged."""


class TokenRequest(msgspec.Struct, tag=True):
    """From the worker: the function needs the node's token."""


class IdentityRequest(msgspec.Struct, tag=True):
    """From the worker: the function needs the run's ids, which only the token contains (v3, v4)."""


class SignatureRequest(msgspec.Struct, tag=True):
    """From the worker of a master: sign the input of a subtask."""

    method: str
    input_hash: str
    organizations: tuple[int, ...]


class ConfiguredRequest(msgspec.Struct, tag=True):
    """From the worker: the function reads a database of the node that the task did not request."""

    label: str


class DatabaseRequest(msgspec.Struct, tag=True):
    """From the worker: the function is about to read a database that the worker may not open."""

    label: str


class Reply(msgspec.Struct, kw_only=True):
    """From the supervisor: the requested value, or an exit code and the reason why there is no value."""

    exit_code: int = 0
    message: str = ""
    detail: str = ""


class TokenReply(Reply, tag=True):
    """The node's token."""

    token: str = ""


class PermissionReply(Reply, tag=True):
    """The policy's decisions that the worker needs; None after a refusal."""

    permission: Union[Permission, None] = None


class IdentityReply(Reply, tag=True):
    """The run's ids; None after a failure."""

    identity: Union[Identity, None] = None


class SignatureReply(Reply, tag=True):
    """The signature of a subtask."""

    signature: str = ""


class ConfiguredReply(Reply, tag=True):
    """A database of the node, with its URI and options; None after a failure."""

    database: Union[Database, None] = None


class DatabaseReply(Reply, tag=True):
    """The URI of a copy that the worker may open."""

    uri: str = ""


class RunResult(msgspec.Struct, tag=True):
    """From the worker, as its last message: the encoded result."""

    data: bytes


class RunFailure(msgspec.Struct, tag=True):
    """From the worker, as its last message: the error that the run failed with."""

    exit_code: int
    message: str
    detail: str
    field_text: str = ""
    """The values of the fields of an author's own message."""
    matches: Union[Matches, None] = None
    """Values of these fields that are cells of the tables; None for a message of algotools itself."""


Request = Union[TokenRequest, IdentityRequest, SignatureRequest, ConfiguredRequest, DatabaseRequest]
Notice = Union[StackOffer, Listener, TablesRead, ResultMatches, LogLine]
FromWorker = Union[Declaration, Notice, Request, RunResult, RunFailure]
Message = TypeVar("Message", bound=msgspec.Struct)
End = TypeVar("End", bound="socket.socket | int")

_decode = msgspec.msgpack.Decoder(FromWorker).decode


def send(channel: socket.socket, message: msgspec.Struct, *descriptors: int) -> None:
    """Send a whole message; block until the channel has taken it. The descriptors are sent with its first bytes."""
    data = msgspec.msgpack.encode(message)
    if descriptors:
        socket.send_fds(channel, [LENGTH.pack(len(data))], descriptors)
    else:
        channel.sendall(LENGTH.pack(len(data)))
    channel.sendall(data)


def try_reply(channel: socket.socket, message: Reply) -> bool:
    """Send a reply to the worker without blocking; return false if the channel's buffer is full.

    A worker sends one request and then waits for the reply, so its buffer is empty. The author's code can write
    requests into the channel without ever reading a reply. A blocking send would then hang the supervisor.
    """
    data = msgspec.msgpack.encode(message)
    data = LENGTH.pack(len(data)) + data
    try:
        return channel.send(data, socket.MSG_DONTWAIT) == len(data)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True  # the worker has exited, which the supervisor's next read reports


def receive(channel: socket.socket, kind: type[Message]) -> Message:
    """Return the next message, which must be of type *kind*.

    Raises:
        EOFError: the other end is closed.
    """
    (size,) = LENGTH.unpack(_receive_exactly(channel, LENGTH.size))
    return msgspec.msgpack.decode(_receive_exactly(channel, size), type=kind)


def _receive_exactly(channel: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        if not (chunk := channel.recv(size - len(data))):
            raise EOFError
        data += chunk
    return bytes(data)


class Inbox:
    """Buffer of the bytes received from a worker, split into messages.

    Args:
        limit: the largest size of a message in bytes. The author's code can write into the channel, too.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def add(self, chunk: bytes) -> None:
        """Append received bytes."""
        self._data += chunk

    def take_messages(self) -> Iterator[FromWorker]:
        """Remove and yield the complete messages.

        Raises:
            msgspec.DecodeError: the bytes are not messages, because the author's code wrote into the channel.
        """
        while len(self._data) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._data)
            if size > self._limit:
                raise msgspec.DecodeError("no message is that large")
            if len(self._data) < LENGTH.size + size:
                return
            with memoryview(self._data)[LENGTH.size : LENGTH.size + size] as data:
                message = _decode(data)
            del self._data[: LENGTH.size + size]
            yield message


def wait_readable(ends: Iterable[End], timeout: float | None) -> list[End]:
    """Return the sockets and descriptors that become readable within *timeout* seconds; None waits without a limit."""
    # Not `select.select`, which refuses descriptors above 1,023: a federation of many nodes has more.
    poll = select.poll()
    by_number = {end if isinstance(end, int) else end.fileno(): end for end in ends}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(None if timeout is None else timeout * 1000)]
