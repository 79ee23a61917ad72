"""The node's HTTP proxy, on loopback: what a master speaks to, here as at a real node."""

from __future__ import annotations

import json
import selectors
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from algotools.contract.rest import to_base64

Answer = Callable[[str, str, str, Mapping[str, str], bytes], "tuple[int, object]"]
"""Token, method, path, query, body -> status and JSON."""


class _Serving(socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is none of our business."""


class _Server(_Serving, ThreadingHTTPServer):
    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _PortHandler)
        self.answer = answer


class _SocketServer(_Serving, socketserver.ThreadingUnixStreamServer):
    def __init__(self, path: Path, answer: Answer) -> None:
        super().__init__(str(path), _Handler)
        self.answer = answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _Server | _SocketServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        parts = urlsplit(self.path)
        status, content = self.server.answer(
            token, self.command, parts.path.strip("/"), dict(parse_qsl(parts.query)), body
        )
        try:
            data = msgspec.json.encode(content)
        except (TypeError, UnicodeEncodeError):  # half a character in a name, for instance
            data = json.dumps(content, default=to_base64).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    do_GET = do_POST = _answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        """The runs' own logs say what there is to say."""


class _PortHandler(_Handler):
    disable_nagle_algorithm = True  # what a Unix socket does not have


class Api:
    """Serves ``answer`` on loopback, and on a socket in a folder, each from when it is asked for until a rest.

    Who asks for it after its end gets a ``CancelledError``: the federation was closed under a run's feet.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._closed = False
        self._servers: dict[str, tuple[_Serving, socket.socket, threading.Thread]] = {}

    @property
    def url(self) -> str:
        """Where it listens: a free port of loopback."""
        server = self._serve("loopback", lambda: _Server(self._answer))
        return f"http://127.0.0.1:{server.server_address[1]}"

    def socket(self, folder: Path) -> Path:
        """The folder of the Unix socket ``api`` on which it listens, made if need be."""

        def make() -> _SocketServer:
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / "api").unlink(missing_ok=True)
            return _SocketServer(folder / "api", self._answer)

        self._serve("socket", make)
        return folder

    def close(self) -> None:
        """Stop listening for good."""
        self._closed = True
        self.rest()

    def rest(self) -> None:
        """Stop listening, until somebody asks for it again."""
        with self._lock:
            for server, wake, thread in self._servers.values():
                wake.close()
                thread.join()
                server.server_close()
            self._servers.clear()

    def _serve(self, name: str, make: Callable[[], _Serving]) -> Any:
        with self._lock:
            if self._closed:
                raise CancelledError
            if name not in self._servers:
                server, (wake, woken) = make(), socket.socketpair()
                thread = threading.Thread(target=_listen, args=(server, woken), name="federation API", daemon=True)
                thread.start()
                self._servers[name] = server, wake, thread
            return self._servers[name][0]


def _listen(server: _Serving, woken: socket.socket) -> None:
    """Serve until the other end of ``woken`` is closed, which is heard at once."""
    with woken, selectors.DefaultSelector() as selector:
        selector.register(woken, selectors.EVENT_READ)
        selector.register(server.fileno(), selectors.EVENT_READ)
        while woken not in {key.fileobj for key, _ in selector.select()}:
            server.handle_request()
