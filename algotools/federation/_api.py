"""The HTTP API that masters use, as a real node's proxy offers it: on a port of loopback, or on a Unix socket.

Every process of the machine can connect to the port. So a request is refused before its body is read if its token is
unknown, or if the body is too large or has no exact length. The connection is then closed, because the rest of a body
could otherwise be taken for the next request.
"""

from __future__ import annotations

import io
import json
import selectors
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from algotools.federation.contract.rest import MASKED, to_base64
from algotools.payload.values import LARGEST

Respond = Callable[[str, str, str, Mapping[str, str], bytes], "tuple[int, object]"]
"""Token, method, path, query, body -> status and JSON content of the response."""

Authorize = Callable[[str], bool]
"""Whether a token is that of a run."""

READ_TIMEOUT = 30.0
"""Seconds between two parts of a request. Between two requests, a master may wait without a limit."""

_LARGEST_PART = 1 << 20
"""Bytes of a response that a client must take within ``READ_TIMEOUT``."""

_DISCARD_TIMEOUT = 1.0
"""Seconds in which the rest of a refused request is read."""


class _Refusal(Exception):
    """The response to a request whose body is not read."""

    def __init__(self, status: int, content: object) -> None:
        self.status = status
        self.content = content


class _Serving(socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 1024
    largest_body = LARGEST
    respond: Respond
    authorize: Authorize

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that has closed its connection."""


class _Server(_Serving, ThreadingHTTPServer):
    def __init__(self, respond: Respond, authorize: Authorize) -> None:
        super().__init__(("127.0.0.1", 0), _PortHandler)
        self.respond = respond
        self.authorize = authorize


class _SocketServer(_Serving, socketserver.ThreadingUnixStreamServer):
    def __init__(self, path: Path, respond: Respond, authorize: Authorize) -> None:
        super().__init__(str(path), _Handler)
        self.respond = respond
        self.authorize = authorize


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    rfile: io.BufferedReader
    server: _Server | _SocketServer

    def handle_one_request(self) -> None:
        """Wait for a request without a limit, and then for each of its parts at most ``READ_TIMEOUT`` seconds."""
        self.connection.settimeout(None)
        if self.rfile.peek(1):
            self.connection.settimeout(READ_TIMEOUT)
            super().handle_one_request()
        else:
            self.close_connection = True

    def handle_expect_100(self) -> bool:
        """Do not request the body yet: ``_respond`` does so after its checks."""
        return True

    def _respond(self) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        try:
            body = self._read_body(token)
            parts = urlsplit(self.path)
        except _Refusal as refusal:
            self.close_connection = True
            self._send(refusal.status, refusal.content)
            self._discard_rest()
            return
        except ValueError:  # the URL is malformed
            self._send(*MASKED)
            return
        path, query = parts.path.strip("/"), dict(parse_qsl(parts.query))
        self._send(*self.server.respond(token, self.command, path, query, body))

    def _read_body(self, token: str) -> bytes:
        """Return the body of the request.

        Raises:
            _Refusal: the token, or the headers about the body, are not acceptable.
        """
        if not self.server.authorize(token):
            raise _Refusal(*MASKED)
        if "Transfer-Encoding" in self.headers:
            raise _Refusal(411, {"msg": "the body needs a Content-Length; its transfer encoding is not supported"})
        lengths = [text.strip() for text in self.headers.get_all("Content-Length", [])]
        if len(lengths) > 1 or not all(text.isascii() and text.isdigit() for text in lengths):
            raise _Refusal(400, {"msg": "the Content-Length must be one number"})
        digits = lengths[0].lstrip("0") if lengths else ""
        largest = self.server.largest_body
        if len(digits) > len(str(largest)) or int(digits or 0) > largest:
            raise _Refusal(413, {"msg": f"the body is larger than {largest} bytes, the largest size of a result"})
        length = int(digits or 0)
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionResetError  # the client has closed the connection before the end of the body
        return body

    def _discard_rest(self) -> None:
        """Read the beginning of the body: closing a connection with unread bytes would destroy the response."""
        deadline = time.monotonic() + _DISCARD_TIMEOUT
        try:
            self.connection.shutdown(socket.SHUT_WR)
            while (remaining := deadline - time.monotonic()) > 0:
                self.connection.settimeout(remaining)
                if not self.connection.recv(1 << 16):
                    return
        except OSError:
            return

    def _send(self, status: int, content: object) -> None:
        try:
            data = msgspec.json.encode(content)
        except (TypeError, UnicodeEncodeError):  # for instance, a lone surrogate in a name
            data = json.dumps(content, default=to_base64).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        view = memoryview(data)
        for start in range(0, len(data), _LARGEST_PART):
            self.wfile.write(view[start : start + _LARGEST_PART])
        self.wfile.flush()

    do_GET = do_POST = _respond  # noqa: N815 - http.server calls these names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        """Log nothing: the requests of a run are not part of its log."""


class _PortHandler(_Handler):
    disable_nagle_algorithm = True  # a Unix socket does not have this option


class Api:
    """A server on loopback and one on a Unix socket; each starts at its first use and runs until ``stop``.

    After ``close`` each use raises ``CancelledError``, because the federation was closed during a run.
    """

    def __init__(self, respond: Respond, authorize: Authorize) -> None:
        self._respond = respond
        self._authorize = authorize
        self._lock = threading.Lock()
        self._closed = False
        self._servers: dict[str, tuple[_Serving, socket.socket, threading.Thread]] = {}

    @property
    def url(self) -> str:
        """The URL of the server on a free port of loopback."""
        server = self._serve("loopback", lambda: _Server(self._respond, self._authorize))
        return f"http://127.0.0.1:{server.server_address[1]}"

    def serve_socket(self, folder: Path) -> Path:
        """Serve on the Unix socket ``api`` in a folder, which is created if necessary, and return the folder."""

        def make_server() -> _SocketServer:
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / "api").unlink(missing_ok=True)
            return _SocketServer(folder / "api", self._respond, self._authorize)

        self._serve("socket", make_server)
        return folder

    def close(self) -> None:
        """Stop listening for good."""
        self._closed = True
        self.stop()

    def stop(self) -> None:
        """Stop listening until the next use."""
        with self._lock:
            for server, stop_sender, thread in self._servers.values():
                stop_sender.close()
                thread.join()
                server.server_close()
            self._servers.clear()

    def _serve(self, name: str, make_server: Callable[[], _Serving]) -> Any:
        with self._lock:
            if self._closed:
                raise CancelledError
            if name not in self._servers:
                server, (stop_sender, stop_receiver) = make_server(), socket.socketpair()
                # Here, and not in the thread: the caller can report that no descriptors are left.
                arguments = server, stop_receiver, selectors.DefaultSelector()
                thread = threading.Thread(target=_listen, args=arguments, name="federation API", daemon=True)
                thread.start()
                self._servers[name] = server, stop_sender, thread
            return self._servers[name][0]


def _listen(server: _Serving, stop_receiver: socket.socket, selector: selectors.BaseSelector) -> None:
    """Serve until the other end of ``stop_receiver`` is closed.

    ``serve_forever`` of the standard library would notice a stop only at its next poll, after up to 0.5 s.
    """
    with stop_receiver, selector:
        selector.register(stop_receiver, selectors.EVENT_READ)
        selector.register(server.fileno(), selectors.EVENT_READ)
        while stop_receiver not in {key.fileobj for key, _ in selector.select()}:
            server.handle_request()
