"""Servers that answer as real ones do, where a real one cannot be brought to fail, or is none of ours to have."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

IMAGE = {"Id": "sha256:" + "1" * 64, "RepoTags": ["r.example.org/a:1"]}


@contextlib.contextmanager
def fake_engine(messages: list[dict[str, object]], *, dies: bool) -> Iterator[str]:
    """An engine that has one image, tells these messages of its push, and then ends or is gone; gives DOCKER_HOST."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                length = 0
                while (header := self.rfile.readline().strip()) != b"":
                    key, _, value = header.partition(b":")
                    length = int(value) if key.lower() == b"content-length" else length
                self.rfile.read(length)
                if b"/push" in line:
                    self._tell()
                    return
                answer = {"ApiVersion": "1.41"} if b"/version" in line else IMAGE
                body = json.dumps(answer).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body)

        def _tell(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
            for message in messages:
                body = json.dumps(message).encode() + b"\r\n"
                self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
            if not dies:
                self.wfile.write(b"0\r\n\r\n")

    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        path = Path(folder, "docker.sock")
        with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield f"unix://{path}"
            finally:
                server.shutdown()
                thread.join()


@contextlib.contextmanager
def closed_socket() -> Iterator[str]:
    """An engine's socket that only others may use; gives DOCKER_HOST."""
    with fake_engine([], dies=False) as host:
        path = host.removeprefix("unix://")
        os.chmod(Path(path).parent, 0o755)
        os.chmod(path, 0o000)
        yield host


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """An HTTP server on this machine; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def page_server() -> Iterator[str]:
    """A server that has nothing but a page."""

    class Handler(_Quiet):
        def do_GET(self) -> None:
            self.answer(200, b"<html>Welcome</html>", "text/html")

    with serving(Handler) as address:
        yield address


@contextlib.contextmanager
def token_server(files: Mapping[str, str], user: str, password: str, identity: str) -> Iterator[str]:
    """A server for a registry's tokens, signed with the key in ``files``; gives its address as a realm."""
    basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(_Quiet):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            given = self.headers.get("Authorization")
            self._give(asked, known=given == basic, stranger=given is None)

        def do_POST(self) -> None:
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._give(asked, known=asked.get("refresh_token") == [identity], stranger=False)

        def _give(self, asked: dict[str, list[str]], *, known: bool, stranger: bool) -> None:
            if not known and not stranger:
                self.answer(401, b"{}", "application/json")
                return
            wanted = (scope.split(":") for text in asked.get("scope", []) for scope in text.split() if known)
            access = [{"type": kind, "name": name, "actions": acts.split(",")} for kind, name, acts in wanted]
            self.answer(200, json.dumps({"token": signed(files, access)}).encode(), "application/json")

    with serving(Handler) as address:
        yield f"http://{address}/token"


class _Quiet(BaseHTTPRequestHandler):
    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def signed(files: Mapping[str, str], access: list[dict[str, object]]) -> str:
    """A token that grants access, as a registry reads it (JWT, RS256)."""
    certificate = "".join(Path(files["certificate"]).read_text().strip().splitlines()[1:-1])
    now = int(time.time())
    claims = {"iss": "test", "sub": "somebody", "aud": "test", "nbf": now - 60, "exp": now + 600, "iat": now}
    parts = ({"typ": "JWT", "alg": "RS256", "x5c": [certificate]}, {**claims, "jti": "1", "access": access})
    text = ".".join(_url64(json.dumps(part).encode()) for part in parts)
    signature = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", files["key"]], input=text.encode(), capture_output=True, check=True
    ).stdout
    return f"{text}.{_url64(signature)}"


def _url64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
