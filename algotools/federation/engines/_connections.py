"""The TCP connections between a federation and the processes of an engine.

A connection begins with the key of its ticket and one byte for its purpose. Nothing else authenticates it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import weakref
from dataclasses import dataclass, field

from algotools.data.time_limit import keep_alive

KEY_SIZE = 32
"""Bytes of a key."""
CONTROL, OUTPUT, LEASE = b"c", b"o", b"l"
"""The purposes of a connection: messages about the worker, its prints, and the life of the federation."""
CHANNELS = (b"1", b"2")
"""The purposes of the worker's channel, one for each attempt to start the worker."""
GREETING_SIZE = KEY_SIZE + 1

_CONNECT_TIMEOUT = 10.0
_IDLE, _INTERVAL, _PROBES = 10, 5, 3
"""Seconds and probes after which the kernel reports that the other machine does not respond any more: 25 s."""
_SEND_BUFFER = 1 << 20
"""Bytes of the buffer for replies to a worker, so that one reply never waits for the worker to read."""


@dataclass(frozen=True)
class Ticket:
    """The right to run one worker, once: the only argument of the function that an engine calls."""

    host: str
    port: int
    key: bytes = field(repr=False)
    """The secret of the run. It is valid for one connection of each purpose."""
    federation: str
    """A random name. The processes of the engine keep one folder for each federation."""


def connect(ticket: Ticket, purpose: bytes) -> socket.socket:
    """Return a new connection to the federation.

    Raises:
        ConnectionError: the federation cannot be reached; the message names its address and the way out.
    """
    try:
        connection = socket.create_connection((ticket.host, ticket.port), timeout=_CONNECT_TIMEOUT)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConnectionError(
            f"{socket.gethostname()} cannot connect to the federation at {ticket.host}, port {ticket.port} ({reason}); "
            "choose an address that the machines of the engine reach with address= (--address), and allow connections "
            "to it in the firewall"
        ) from None
    configure(connection)
    connection.settimeout(None)
    connection.sendall(ticket.key + purpose)
    return connection


def configure(connection: socket.socket) -> None:
    """Send small messages at once, and notice a machine that does not respond any more."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    keep_alive(connection, _IDLE, _INTERVAL, _PROBES)


def end(connection: socket.socket) -> None:
    """Close a connection, also for the processes that have a copy of its descriptor."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def close_in_forks(connection: socket.socket) -> None:
    """Close a connection in the processes that are forked from this one.

    A copy of the descriptor would keep the connection open after this process was killed, and the other end would not
    notice.
    """
    _open_connections.add(connection)


def _close_connections() -> None:
    for connection in list(_open_connections):
        connection.close()
    _open_connections.clear()


_open_connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_connections)
