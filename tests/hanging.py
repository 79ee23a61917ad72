"""Servers that do not answer: each is reached, and then keeps its caller waiting."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """Yield the port of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def full_server() -> Iterator[int]:
    """Yield the port of a server whose queue is full: the system answers no attempt to connect, as a firewall does."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = server.getsockname()
        for _ in range(64):
            client = stack.enter_context(socket.socket())
            client.settimeout(0.2)
            try:
                client.connect(address)
            except TimeoutError:
                break
        else:
            raise AssertionError("the queue of the server does not fill")
        yield address[1]


@contextlib.contextmanager
def stopping_server(response: bytes) -> Iterator[int]:
    """Yield the port of a server that reads something, sends the start of a response, and then nothing."""

    def serve(client: socket.socket, _open: list[socket.socket]) -> None:
        client.recv(65536)
        client.sendall(response)

    with _serve(serve) as port:
        yield port


@contextlib.contextmanager
def greeting_server(greeting: bytes) -> Iterator[int]:
    """Yield the port of a server that sends the start of a greeting, and then nothing."""
    with _serve(lambda client, _open: client.sendall(greeting)) as port:
        yield port


@contextlib.contextmanager
def dripping_server(head: bytes) -> Iterator[int]:
    """Yield the port of a server that sends the head of a response, and then a byte every 0.1 s."""
    stopped = threading.Event()

    def serve(client: socket.socket, _open: list[socket.socket]) -> None:
        client.recv(65536)
        client.sendall(head)
        while not stopped.wait(0.1):
            client.sendall(b" ")

    with _serve(serve) as port:
        try:
            yield port
        finally:
            stopped.set()


@contextlib.contextmanager
def freezing_proxy(target: int, last: bytes) -> Iterator[int]:
    """Yield the port of a proxy that passes on the bytes of a server up to and including ``last``, and then nothing."""

    def serve(client: socket.socket, connections: list[socket.socket]) -> None:
        server = socket.create_connection(("127.0.0.1", target))
        connections.append(server)
        threading.Thread(target=forward, args=(client, server), daemon=True).start()
        received = b""
        while last not in received and (data := server.recv(65536)):
            received += data
            client.sendall(data)

    def forward(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    with _serve(serve) as port:
        yield port


@contextlib.contextmanager
def _serve(serve: Callable[[socket.socket, list[socket.socket]], None]) -> Iterator[int]:
    """Call ``serve`` in a thread for each connection. All connections stay open until the end of the context."""
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def run(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            serve(client, connections)

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                connections.append(client)
                threads.append(threading.Thread(target=run, args=(client,), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=accept, args=(server,), daemon=True)
        accepting.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in [*connections]:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            for thread in threads:
                thread.join()
