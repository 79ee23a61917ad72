"""The engine of a federation, and the address on which the workers of the engine reach this process."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

from algotools.errors import AlgotoolsError, FederationError
from algotools.federation.engines._dask_workers import DaskWorkers

LOOPBACK = "127.0.0.1"


class Address(NamedTuple):
    """An address on which this process listens for the workers of an engine."""

    host: str
    port: int = 0
    """The port; 0 for any free port."""

    def __str__(self) -> str:
        return f"{self.host}, port {self.port}" if self.port else self.host


@dataclass(frozen=True)
class Engine:
    """An executor that runs rpcs, and the facts about it that the runner needs."""

    name: str
    """The name in messages: ``dask``, or the class of the executor."""
    executor: Executor
    address: Address
    """The address on which the workers of the engine reach this process."""
    threads: int
    """The number of tasks that the engine executes at the same time, or may execute after it has grown."""
    explain: Callable[[BaseException], AlgotoolsError | None]
    """Return the error that explains the exception of a future; None if the engine does not know the exception."""
    close: Callable[[], None]
    """Close what was opened for this federation. An executor of the caller remains open."""
    workers: DaskWorkers | None = None
    """The workers of a Dask scheduler; None for an engine whose workers are not known."""


def parse_address(text: str) -> Address:
    """Return the address of HOST, HOST:PORT or [HOST]:PORT.

    Raises:
        FederationError: the text is not an address of this machine.
    """
    host, port = text.strip(), "0"
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":") or "0"
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise FederationError(f"address {text!r} is not valid; write HOST or HOST:PORT, for instance 10.0.0.5")
    try:
        family, kind, protocol, _, socket_address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(socket_address)
    except OSError as error:
        raise FederationError(
            f"this process cannot listen on the address {text}: {error.strerror or error}; write an address of this "
            "machine that the workers of the engine reach"
        ) from None
    return Address(host, int(port))


def find_address(peers: list[str]) -> Address:
    """Return the address of this machine on the route to the first peer that is elsewhere; otherwise the loopback."""
    for peer in peers:
        host = _find_route(peer)
        if host is not None and not host.startswith("127.") and host != "::1":
            return Address(host)
    return Address(LOOPBACK)


def _find_route(peer: str) -> str | None:
    """Return the address of this machine from which packets to a host are sent; None if the host is unknown."""
    try:
        family, kind, protocol, _, socket_address = socket.getaddrinfo(peer, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(socket_address)  # sends nothing, because the socket is a datagram socket
            return str(probe.getsockname()[0])
    except OSError:
        return None
