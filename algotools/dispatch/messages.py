"""The bytes between supervisor and worker: messages over a socket, each with its length in front."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Union

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


class Returned(msgspec.Struct, tag=True):
    """The worker, at last: the encoded result."""

    data: bytes


class Failed(msgspec.Struct, tag=True):
    """The worker, at last: why there is none."""

    exit_code: int
    message: str
    detail: str


FromWorker = Union[Said, TokenAsked, Returned, Failed]

_decode = msgspec.msgpack.Decoder(FromWorker).decode


def send(channel: socket.socket, message: msgspec.Struct) -> None:
    """Send one message whole."""
    data = msgspec.msgpack.encode(message)
    channel.sendall(LENGTH.pack(len(data)))
    channel.sendall(data)


def receive_token(channel: socket.socket) -> TokenGiven:
    """The supervisor's answer to ``TokenAsked``; ``EOFError`` if the supervisor is gone."""
    return msgspec.msgpack.decode(_exactly(channel, LENGTH.unpack(_exactly(channel, LENGTH.size))[0]), type=TokenGiven)


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
