"""The bytes between supervisor and worker: messages over a socket, each with its length in front."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import TypeVar, Union

import msgspec

LENGTH = struct.Struct("!Q")
LARGEST = 1 << 40
"""Bytes of a message; a length beyond it is something else that was written into the channel."""


class Said(msgspec.Struct, tag=True):
    """The worker: a line for the run's log."""

    line: str


class TokenAsked(msgspec.Struct, tag=True):
    """The worker: the function needs the node's token."""


class TokenGiven(msgspec.Struct, tag=True):
    """The supervisor: here it is, or why not."""

    token: str = ""
    exit_code: int = 0
    message: str = ""
    detail: str = ""


class DatabaseAsked(msgspec.Struct, tag=True):
    """The worker: the function is about to read a database that the worker may not open."""

    label: str


class DatabaseGiven(msgspec.Struct, tag=True):
    """The supervisor: where the worker finds a copy of it, or why there is none."""

    uri: str = ""
    exit_code: int = 0
    message: str = ""
    detail: str = ""


class Returned(msgspec.Struct, tag=True):
    """The worker, at last: the encoded result."""

    data: bytes


class Failed(msgspec.Struct, tag=True):
    """The worker, at last: why there is none."""

    exit_code: int
    message: str
    detail: str


FromWorker = Union[Said, TokenAsked, DatabaseAsked, Returned, Failed]
Answer = TypeVar("Answer", TokenGiven, DatabaseGiven)

_decode = msgspec.msgpack.Decoder(FromWorker).decode


def send(channel: socket.socket, message: msgspec.Struct) -> None:
    """Send one message whole."""
    data = msgspec.msgpack.encode(message)
    channel.sendall(LENGTH.pack(len(data)))
    channel.sendall(data)


def answer(channel: socket.socket, message: TokenGiven | DatabaseGiven) -> bool:
    """Send the worker what it asked for, without waiting; false if there is no room for it.

    One that waits for its answer has room. The author's code may ask and never read, which must not keep us.
    """
    data = msgspec.msgpack.encode(message)
    data = LENGTH.pack(len(data)) + data
    try:
        return channel.send(data, socket.MSG_DONTWAIT) == len(data)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True  # nobody is there any more, as the next read will tell


def receive(channel: socket.socket, kind: type[Answer]) -> Answer:
    """The supervisor's answer; ``EOFError`` if the supervisor is gone."""
    return msgspec.msgpack.decode(_exactly(channel, LENGTH.unpack(_exactly(channel, LENGTH.size))[0]), type=kind)


def _exactly(channel: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        if not (chunk := channel.recv(size - len(data))):
            raise EOFError
        data += chunk
    return bytes(data)


class Inbox:
    """What has come in from the worker so far, cut into messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take what a read gave."""
        self._data += chunk

    def messages(self) -> Iterator[FromWorker]:
        """The messages that are complete; ``msgspec.DecodeError`` if the author's code wrote in between."""
        while len(self._data) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._data)
            if size > LARGEST:
                raise msgspec.DecodeError("no message is that large")
            if len(self._data) < LENGTH.size + size:
                return
            message = _decode(memoryview(self._data)[LENGTH.size : LENGTH.size + size])
            self._data = self._data[LENGTH.size + size :]
            yield message
